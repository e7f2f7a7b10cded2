//! Exploration: some places of a list go to new and rare items by chance, so that the shop learns who
//! takes them. The chance of each item at its place, its propensity, is noted: evaluations rest on
//! it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::list::Recommended;
use super::room::Roomed;
use super::variety::Caps;
use crate::model::popularity::is_rare;
use crate::model::{Snapshot, Source};
use crate::sources::{Query, Scratch};

/// Items that one is drawn from.
const POOL: usize = 100;

/// What exploration may change.
pub(super) struct Places<'l> {
    /// The list.
    pub(super) list: &'l mut [Recommended],
    /// The candidates that it was chosen from.
    pub(super) reserve: &'l [Recommended],
    /// Items at places that are for rare ones anyway; those drawn join them.
    pub(super) roomed: &'l mut Vec<Roomed>,
}

/// Gives each place of a list after the first, with the chance `share`, to a rare item of the
/// reserve, or of the shelf where that has none. Returns the propensity of every item.
pub(super) fn explore(
    snapshot: &Snapshot,
    query: &Query<'_>,
    share: f32,
    Places { list, reserve, roomed }: Places<'_>,
    caps: &mut Caps<'_>,
    scratch: &Scratch,
) -> Vec<f32> {
    let mut propensities = vec![1.0; list.len()];
    let mut pool = pool(snapshot, list, reserve, scratch);
    for place in 1..list.len() {
        if roomed.iter().any(|roomed| roomed.item == list[place].item) {
            continue;
        }
        pool.retain(|candidate| caps.has_room(candidate.item));
        if pool.is_empty() {
            break;
        }

        propensities[place] = 1.0 - share;
        let [lot, which] = [0, 1].map(|draw| uniform(query.seed, [place as u64, draw]));
        if lot < share {
            let among = pool.len() as f32;
            let drawn = pool.swap_remove((which * among) as usize);
            caps.admit(drawn.item);
            let score = list[place].score;
            roomed.push(Roomed { item: drawn.item, added: Some(score - drawn.score) });
            list[place] = Recommended { score, ..drawn };
            propensities[place] = share / among;
        }
    }
    propensities
}

/// A number from 0 to 1, 1 excluded: a function of the seed and of what it is drawn for.
fn uniform(seed: u64, of: [u64; 2]) -> f32 {
    let hash = xxh3_64_with_seed(bytemuck::bytes_of(&of), seed);
    // The 24 bits that an f32 holds exactly.
    (hash >> 40) as f32 / (1 << 24) as f32
}

/// Rare items that may be offered and are not in the list.
fn pool(
    snapshot: &Snapshot,
    list: &[Recommended],
    reserve: &[Recommended],
    scratch: &Scratch,
) -> Vec<Recommended> {
    let buyers = &snapshot.parts.popularity.all_time.by_item;
    let is_new = |item| is_rare(buyers, item) && list.iter().all(|listed| listed.item != item);
    let proposed = reserve.iter().filter(|candidate| is_new(candidate.item));
    let pool: Vec<Recommended> = proposed.take(POOL).copied().collect();
    if !pool.is_empty() {
        return pool;
    }
    let source = Source::Catalog;
    let others = scratch.mask.iter().filter(|&item| is_new(item));
    others.map(|item| Recommended { item, score: 0.0, source }).collect()
}
