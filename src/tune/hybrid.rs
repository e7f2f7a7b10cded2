//! Fits how content takes part in the blend: its weight, how much more it counts for items with few
//! buyers, and the room that these get after the first page.
//!
//! Rare items are hardly among what is held out, so that the quality of lists says little of them.
//! Beside the blend of behaviour alone, content gets the largest weight and boost that cost the first
//! page next to nothing, and the most room that costs a long list little; none where it costs more.

use rayon::prelude::*;

use super::blend::{self, Proposals};
use super::compare::mean;
use super::trials::TrialSnapshot;
use crate::domain::topk::Scored;
use crate::evaluate::Case;
use crate::model::blend::BlendSettings;
use crate::model::popularity::is_rare;
use crate::model::{Settings, Source};

/// Boosts that are tried.
const BOOSTS: [f32; 4] = [0.0, 4.0, 16.0, 64.0];
/// Minimum share of the best NDCG at 10 that is kept.
const KEPT: f64 = 0.998;
/// Weights that are tried, relative to the largest of behaviour.
const WEIGHTS: [f32; 10] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2, 3.0];
/// Room that is tried.
const ROOMS: [f32; 5] = [0.05, 0.1, 0.125, 0.15, 0.2];
/// Minimum share of the NDCG of long lists that is kept.
const KEPT_LONG: f64 = 0.97;

/// Fits the blend of behaviour to the proposals of its sources, then how content takes part in it;
/// changes the blend and content's boost and room in `settings`, and content's part of the proposals.
pub fn fit(
    trials: &mut TrialSnapshot<'_>,
    cases: &[Case],
    proposals: &mut Vec<Proposals>,
    settings: &mut Settings,
) {
    let of_behaviour = without_content(proposals, cases);
    let start = BlendSettings { content: 0.0, ..settings.blend };
    settings.blend = blend::fit(&of_behaviour, &start);

    let largest = settings.blend.largest_of_behaviour();
    let mut tried = vec![(mean(&blend::ndcg(&of_behaviour, &settings.blend)), *settings)];
    for boost in BOOSTS {
        settings.content.boost = boost;
        let lists = trials.lists_of(Source::Content, settings);
        let with = with_lists(&of_behaviour, &lists, cases);
        for weight in WEIGHTS {
            settings.blend.content = weight * largest;
            let ndcg = mean(&blend::ndcg(&with, &settings.blend));
            tracing::debug!(boost, weight, ndcg, "trial of content");
            tried.push((ndcg, *settings));
        }
    }
    if let Some(chosen) = most_of_content(&tried) {
        *settings = chosen;
    }

    let lists = trials.lists_of(Source::Content, settings);
    *proposals = with_lists(&of_behaviour, &lists, cases);
    settings.content.room = room(proposals, &settings.blend, &trials.buyers());
    tracing::debug!(
        weight = settings.blend.content,
        boost = settings.content.boost,
        room = settings.content.room,
        "content takes part in the blend"
    );
}

/// NDCG at 10, case by case, with the weights of behaviour fitted to the other half of the cases, and
/// content's share as it is in `fitted`.
pub fn cross_validated(
    proposals: &[Proposals],
    cases: &[Case],
    start: &BlendSettings,
    fitted: &BlendSettings,
) -> Vec<f64> {
    let of_behaviour = without_content(proposals, cases);
    let half = proposals.len() / 2;
    let start = BlendSettings { content: 0.0, ..*start };
    let share = fitted.share_of_content();
    let fit = |half: &[Proposals]| {
        let blend = blend::fit(half, &start);
        BlendSettings { content: share * blend.largest_of_behaviour(), ..blend }
    };

    let mut scores = blend::ndcg(&proposals[..half], &fit(&of_behaviour[half..]));
    scores.extend(blend::ndcg(&proposals[half..], &fit(&of_behaviour[..half])));
    scores
}

fn without_content(proposals: &[Proposals], cases: &[Case]) -> Vec<Proposals> {
    with_lists(proposals, &vec![Vec::new(); cases.len()], cases)
}

/// Of the settings that keep nearly the best NDCG, those with the largest weight of content.
fn most_of_content(tried: &[(f64, Settings)]) -> Option<Settings> {
    let best = tried.iter().map(|(ndcg, _)| *ndcg).fold(0.0, f64::max);
    let costs_little = |(ndcg, _): &&(f64, Settings)| *ndcg >= best * KEPT;
    let weight = |(_, settings): &&(f64, Settings)| settings.blend.content;
    let most = tried.iter().filter(costs_little).max_by(|a, b| weight(a).total_cmp(&weight(b)));
    most.map(|(_, settings)| *settings)
}

/// The most room that costs a long list little; none without content.
fn room(proposals: &[Proposals], blend: &BlendSettings, buyers: &[f32]) -> f32 {
    if blend.content <= 0.0 {
        return 0.0;
    }
    let long = |room: f32| {
        mean(&blend::ndcg_of_long(proposals, blend, room, |item| is_rare(buyers, item)))
    };
    let without = long(0.0);
    let enough = |room: &f32| long(*room) >= without * KEPT_LONG;
    ROOMS.into_iter().rev().find(enough).unwrap_or(0.0)
}

fn with_lists(proposals: &[Proposals], lists: &[Vec<Scored>], cases: &[Case]) -> Vec<Proposals> {
    let all = proposals.par_iter().zip(lists).zip(cases);
    all.map(|((proposals, list), case)| proposals.with_list(Source::Content, list, &case.truth))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(all: &[(f64, f32)]) -> Vec<(f64, Settings)> {
        let of = |&(ndcg, content): &(f64, f32)| {
            let blend = BlendSettings { content, ..BlendSettings::default() };
            (ndcg, Settings { blend, ..Settings::default() })
        };
        all.iter().map(of).collect()
    }

    #[test]
    fn content_counts_as_much_as_costs_little_and_not_at_all_where_it_costs() {
        let weight = |all: &[(f64, f32)]| most_of_content(&tried(all)).unwrap().blend.content;
        assert_eq!(weight(&[(0.2, 0.0), (0.2, 0.1), (0.1999, 0.5), (0.19, 1.2)]), 0.5);
        // What content gains is not given away for more weight.
        assert_eq!(weight(&[(0.2, 0.0), (0.22, 0.1), (0.2, 0.5)]), 0.1);
        // Noise.
        assert_eq!(weight(&[(0.2, 0.0), (0.19, 0.1), (0.15, 0.5)]), 0.0);
    }
}
