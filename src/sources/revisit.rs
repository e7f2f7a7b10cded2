//! Returns to items of late: what the user looked at a moment ago, or put into the cart yesterday, and
//! may come back to. score_j = P^power, with P the share of users' returns to items as recent, as often
//! and as strongly dealt with ([`revisit::train`]).

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{Hyperparameter, parameter};
use crate::domain::topk::{Scored, keep_top};
use crate::matrix::recent::recent_items;
use crate::model::{Parts, Snapshot, Source};
use crate::train::{TrainError, revisit};

pub(super) struct Revisit;

impl CandidateSource for Revisit {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        parts.tables.insert(Source::Revisit, Arc::new(revisit::train(job.data.events())));
        Ok(())
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let power = query.settings(snapshot).revisit.power;
        let known = snapshot.parts.popularity.trending.by_item.len();
        query.events(scratch);
        let Scratch { events, recent, mask, candidates, .. } = scratch;
        recent_items(events, query.shelf.now_ms, recent);

        candidates.clear();
        for of in recent.iter().filter(|of| (of.item as usize) < known && mask.allows(of.item)) {
            let chance = snapshot.parts.chance_of_return(of);
            if chance > 0.0 {
                candidates.push(Scored { idx: of.item, score: chance.powf(power) });
            }
        }
        keep_top(candidates, k);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        vec![parameter!(false, revisit.power, f32, [0.25, 0.5, 1.0, 2.0])]
    }

    /// Trees read the shares too.
    fn is_always_trained(&self) -> bool {
        true
    }

    fn reads_order(&self) -> bool {
        true
    }
}
