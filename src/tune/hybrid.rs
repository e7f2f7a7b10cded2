//! Fits how content takes part in the blend: its weight, and how much more it counts for items with
//! few buyers.
//!
//! Such items are rarely among what is held out, so that the mean quality of lists says little of
//! them. Content gets the weight and the boost that bring most of them into long lists, up to a
//! tenth, of those that cost the first places next to nothing.

use rayon::prelude::*;

use super::blend::{self, Proposals};
use super::compare::mean;
use super::trials::TrialSnapshot;
use crate::domain::topk::Scored;
use crate::evaluate::Case;
use crate::model::popularity::is_rare;
use crate::model::{Settings, Source};

/// Boosts that are tried.
const BOOSTS: [f32; 4] = [0.0, 4.0, 16.0, 64.0];
/// Weights that are tried, relative to the largest weight.
const WEIGHTS: [f32; 8] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8];
/// Minimum share of the best NDCG at 10 that is kept.
const KEPT: f64 = 0.998;
/// Length of the lists in which rare items are counted, and their share that is enough.
const LONG: usize = 50;
const ENOUGH: f64 = 0.1;

/// Fits the blend with content to the proposals of the other sources, which become those of all;
/// changes the blend and the boost in `settings`.
pub fn fit(
    trials: &mut TrialSnapshot<'_>,
    cases: &[Case],
    proposals: &mut Vec<Proposals>,
    settings: &mut Settings,
) {
    let buyers = trials.buyers();
    let rare = |item| is_rare(&buyers, item);
    let start = settings.blend;
    let mut best = (0.0, *settings, proposals.clone());
    let mut tried = Vec::new();
    for boost in BOOSTS {
        settings.content.boost = boost;
        let lists = trials.lists_of(Source::Content, settings);
        let with = with_lists(proposals, &lists, cases);
        let fitted = blend::fit(&with, &start);
        let ndcg = mean(&blend::ndcg(&with, &fitted));
        if ndcg > best.0 {
            let settings = Settings { blend: fitted, ..*settings };
            best = (ndcg, settings, with.clone());
        }
        tried.push((*settings, with));
    }

    let (ndcg, fitted, _) = &best;
    let mut chosen: Option<((f64, f64), Settings, &Vec<Proposals>)> = None;
    for (settings, with) in &tried {
        for weight in WEIGHTS {
            let mut blend = fitted.blend;
            blend.set_weight(Source::Content, weight);
            let reached = mean(&blend::ndcg(with, &blend));
            let share = blend::share_of(with, &blend, LONG, rare).min(ENOUGH);
            let is_better = chosen.as_ref().is_none_or(|(most, ..)| (share, reached) > *most);
            if reached >= ndcg * KEPT && share > 0.0 && is_better {
                chosen = Some(((share, reached), Settings { blend, ..*settings }, with));
            }
        }
    }

    match chosen {
        Some((_, found, with)) => (*settings, *proposals) = (found, with.clone()),
        None => (*settings, *proposals) = (best.1, best.2),
    }
    tracing::debug!(
        weight = settings.blend.content,
        boost = settings.content.boost,
        "content takes part in the blend"
    );
}

fn with_lists(proposals: &[Proposals], lists: &[Vec<Scored>], cases: &[Case]) -> Vec<Proposals> {
    let all = proposals.par_iter().zip(lists).zip(cases);
    all.map(|((proposals, list), case)| proposals.with_list(Source::Content, list, &case.truth))
        .collect()
}
