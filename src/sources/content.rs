//! Content: score_j = (Σ_i x_i P_ij)^(1/4) · (1 + boost / (1 + n_j)), with P the share of i's weight that
//! falls on j by the fourth power of their likeness ([`content::train`]), and n_j the buyers of j: a sure
//! item leans on behaviour, a new one on content. The root makes a likeness of the sum again, so that
//! the first candidates do not outweigh all others.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::memory::{DataSize, MemoryNeed};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{HALF_LIVES, Hyperparameter, parameter};
use crate::content::Field;
use crate::domain::topk::keep_top;
use crate::matrix::Weighting;
use crate::model::{Parts, Settings, Snapshot, Source};
use crate::train::{TrainError, TrainingData, content, popularity};

/// Items of the user that are asked for their neighbours, those of most weight first: what the
/// hundredth is says little that the first have not said.
const ASKED: usize = 60;
/// The names of the weights of vectors.
const VECTORS_0: &str = "content.fields.vectors[0]";
const VECTORS_1: &str = "content.fields.vectors[1]";

pub(super) struct Content;

impl CandidateSource for Content {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let settings = &job.settings.content;
        let buyers = popularity::buyers(job.data.events());
        let table = content::train(job.data.corpus(), &buyers, settings, job.seed, job.control)?;
        parts.tables.insert(Source::Content, Arc::new(table));
        Ok(())
    }

    fn memory(&self, size: &DataSize, settings: &Settings) -> MemoryNeed {
        size.item_rows(settings.content.neighbours)
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        scratch.candidates.clear();
        let Some(table) = snapshot.parts.tables.get(&Source::Content) else { return };
        let settings = &query.settings(snapshot).content;
        let half_life_days = settings.profile_half_life_days;
        query.profile(Weighting { half_life_days, counts: 0.0 }, scratch);

        let Scratch { profile, items, mask, candidates, .. } = scratch;
        if profile.len() > ASKED {
            profile.select_nth_unstable_by(ASKED, |a, b| b.weight.total_cmp(&a.weight));
            profile.truncate(ASKED);
        }
        items.reserve(table.width);
        table.fetch(profile.iter().map(|cell| cell.item));
        for cell in profile.iter() {
            for (item, likeness) in table.pairs(cell.item as usize) {
                items.add(item, cell.weight * likeness);
            }
        }
        items.drain_top(usize::MAX, |item| mask.allows(item), candidates);

        let buyers = &snapshot.parts.popularity.all_time.by_item;
        for candidate in candidates.iter_mut() {
            let buyers = buyers.get(candidate.idx as usize).copied().unwrap_or(0.0);
            candidate.score = candidate.score.powf(1.0 / content::SHARPNESS as f32)
                * (1.0 + settings.boost / (1.0 + buyers));
        }
        keep_top(candidates, k);
    }

    fn is_worth_trying(&self, setting: &Hyperparameter, data: &TrainingData<'_>) -> bool {
        let corpus = data.corpus();
        let has = |field| corpus.has_field(field);
        match setting.name {
            "content.fields.category" => has(Field::Category),
            "content.fields.brand" => has(Field::Brand),
            "content.fields.part" => has(Field::Part),
            "content.fields.description" => has(Field::Description),
            "content.fields.attribute" => has(Field::Attribute),
            "content.fields.price" => has(Field::Price),
            VECTORS_0 => corpus.vectors_of_shop().next().is_some(),
            VECTORS_1 => corpus.vectors_of_shop().nth(1).is_some(),
            "content.fields.text_model" => corpus.has_text_model(),
            _ => true,
        }
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![
            parameter!(true, content.fields.category, f32, [0.0, 0.3, 1.0, 3.0]),
            parameter!(true, content.fields.brand, f32, [0.0, 0.3, 1.0, 3.0]),
            parameter!(true, content.fields.part, f32, [0.0, 0.3, 1.0]),
            parameter!(true, content.fields.description, f32, [0.0, 0.3, 1.0]),
            parameter!(true, content.fields.attribute, f32, [0.0, 0.3, 1.0, 3.0]),
            parameter!(true, content.fields.price, f32, [0.0, 0.3, 1.0]),
            vectors::<0>(),
            vectors::<1>(),
            parameter!(true, content.fields.text_model, f32, [0.0, 0.3, 1.0, 3.0]),
            parameter!(false, content.profile_half_life_days, f64, HALF_LIVES),
        ]
    }
}

/// The weight of the vectors with the first name, or with the second.
fn vectors<const AT: usize>() -> Hyperparameter {
    Hyperparameter {
        name: [VECTORS_0, VECTORS_1][AT],
        grid: &[0.0, 0.3, 1.0, 3.0],
        retrains: true,
        min_gain: 0.0,
        applies: |_| true,
        get: |settings| f64::from(settings.content.fields.vectors[AT]),
        set: |settings, weight| settings.content.fields.vectors[AT] = weight as f32,
    }
}
