//! Fits how content takes part in the blend: its weight, how much more it counts for items with few
//! buyers, and the room that these get after the first page.
//!
//! Rare items are hardly among what is held out, so that the quality of lists says little of them.
//! Content gets the largest weight, and then the largest boost of such items, that cost the first page
//! next to nothing, and the most room that costs a long list little.

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
/// Minimum share of the best NDCG at 10 that is kept.
const KEPT: f64 = 0.998;
/// Weights that are tried, relative to the largest.
const WEIGHTS: [f32; 9] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2];
/// Room that is tried.
const ROOMS: [f32; 5] = [0.05, 0.1, 0.125, 0.15, 0.2];
/// Minimum share of the NDCG of long lists that is kept.
const KEPT_LONG: f64 = 0.97;

/// Fits the blend to the proposals of all sources, then how content takes part in it; changes the blend
/// and content's boost and room in `settings`, and content's part of the proposals.
pub fn fit(
    trials: &mut TrialSnapshot<'_>,
    cases: &[Case],
    proposals: &mut Vec<Proposals>,
    settings: &mut Settings,
) {
    settings.blend = blend::fit(proposals, &settings.blend);
    let largest = settings.blend.largest();
    let mut tried = Vec::new();
    for boost in BOOSTS {
        settings.content.boost = boost;
        let lists = trials.lists_of(Source::Content, settings);
        let with = with_lists(proposals, &lists, cases);
        for weight in WEIGHTS {
            settings.blend.content = weight * largest;
            tried.push((mean(&blend::ndcg(&with, &settings.blend)), *settings));
        }
    }

    let best = tried.iter().map(|(ndcg, _)| *ndcg).fold(0.0, f64::max);
    let costs_little = |(ndcg, _): &&(f64, Settings)| *ndcg >= best * KEPT;
    let most = |(_, settings): &&(f64, Settings)| settings.blend.content;
    let chosen = tried.iter().filter(costs_little).max_by(|a, b| most(a).total_cmp(&most(b)));
    *settings = chosen.map_or(*settings, |(_, chosen)| *chosen);
    let lists = trials.lists_of(Source::Content, settings);
    *proposals = with_lists(proposals, &lists, cases);

    let buyers = trials.buyers();
    let long = |room: f32| {
        let rare = |item| is_rare(&buyers, item);
        mean(&blend::ndcg_of_long(proposals, &settings.blend, room, rare))
    };
    let without = long(0.0);
    let enough = |room: &f32| long(*room) >= without * KEPT_LONG;
    settings.content.room = ROOMS.into_iter().rev().find(enough).unwrap_or(0.0);
    tracing::debug!(
        weight = settings.blend.content,
        boost = settings.content.boost,
        room = settings.content.room,
        "content takes part in the blend"
    );
}

fn with_lists(proposals: &[Proposals], lists: &[Vec<Scored>], cases: &[Case]) -> Vec<Proposals> {
    let all = proposals.par_iter().zip(lists).zip(cases);
    all.map(|((proposals, list), case)| proposals.with_list(Source::Content, list, &case.truth))
        .collect()
}
