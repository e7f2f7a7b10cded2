//! Returns: how often users come back to an item that they dealt with, by how many others they dealt with
//! since, how often and how strongly, and in which visit. Anderson et al. ("The dynamics of repeat
//! consumption", WWW 2014) find that recency says most about what is taken up again.
//!
//! P(c, r) = (returns_cr + p · P(r)) / (asked_cr + p) over all steps of users, with P(r) the share of all
//! classes at rank r, itself drawn to the share of all ranks alike; p = 20.

use rayon::prelude::*;

use crate::matrix::recent::{MOST, Recent, recent_items};
use crate::matrix::weight::kind_weight;
use crate::matrix::{Csr, UserEvents};

/// Pseudo-count of a share.
const PRIOR: f64 = 20.0;
/// Events of the users that are counted, about, for the 900 shares.
const ENOUGH: usize = 1_000_000;

/// How often it was asked whether a user comes back to an item, and how often they did.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    asked: u64,
    returns: u64,
}

/// By class and rank.
type Counts = Vec<Count>;

/// Counts returns: classes ([`Recent::class`]) × ranks.
pub fn train(events: &UserEvents) -> Csr {
    let stride = events.all().len().div_ceil(ENOUGH).max(1);
    let users = (0..events.users()).into_par_iter().step_by(stride);
    let none = || vec![Count::default(); Recent::CLASSES * MOST];
    let counts = users
        .fold(none, |mut counts, user| {
            count(events, user, &mut counts);
            counts
        })
        .reduce(none, |mut all, more| {
            all.iter_mut().zip(more).for_each(|(all, more)| all.add(more));
            all
        });
    shares(&counts)
}

/// Adds what a user came back to at each of their steps.
fn count(events: &UserEvents, user: usize, counts: &mut Counts) {
    let speaking = events.of(user).iter().filter(|e| kind_weight(e.kind) > 0.0);
    let speaking: Vec<_> = speaking.copied().collect();
    let mut recent = Vec::new();
    let mut start = 0;
    for step in speaking.chunk_by(|a, b| a.moment() == b.moment()) {
        recent_items(&speaking[..start], step[0].time_ms, &mut recent);
        start += step.len();
        for known in &recent {
            let returns = step.iter().any(|event| event.item == known.item);
            let of = Count { asked: 1, returns: u64::from(returns) };
            counts[known.class() * MOST + known.rank].add(of);
        }
    }
}

/// Shares of counts, those of few drawn to those of many.
fn shares(counts: &Counts) -> Csr {
    let sum = |of: &mut dyn Iterator<Item = &Count>| {
        of.fold(Count::default(), |mut all, one| {
            all.add(*one);
            all
        })
    };
    let all = sum(&mut counts.iter()).share(0.0);
    let of_rank: Vec<f64> =
        (0..MOST).map(|rank| sum(&mut counts.iter().skip(rank).step_by(MOST)).share(all)).collect();

    let row = |of_class: &[Count]| -> Vec<(u32, f32)> {
        let shares = of_class.iter().zip(&of_rank).map(|(count, share)| count.share(*share) as f32);
        (0..).zip(shares).filter(|(_, share)| *share > 0.0).collect()
    };
    Csr::from_rows(MOST, counts.chunks_exact(MOST).map(row).collect())
}

impl Count {
    fn add(&mut self, more: Count) {
        self.asked += more.asked;
        self.returns += more.returns;
    }

    /// The share of returns, drawn to `prior`.
    fn share(&self, prior: f64) -> f64 {
        (self.returns as f64 + PRIOR * prior) / (self.asked as f64 + PRIOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventKind, HistoryEvent};

    #[test]
    fn shares_are_those_of_the_steps() {
        // Every user views A, B, A: asked at B whether A comes, at A whether B or A comes.
        let view = |user, item, n| (user, HistoryEvent::new(EventKind::View, item, n));
        let of_user = |user| [view(user, 0, 0), view(user, 1, 1_000), view(user, 0, 2_000)];
        let log: Vec<_> = (0..10_000).flat_map(of_user).collect();
        let table = train(&UserEvents::new(10_000, 2, log));

        let once = Recent { item: 0, rank: 0, count: 1, strength: 0.2, is_current: true };
        let share = |of: Recent| {
            let (ranks, shares) = table.row(of.class());
            ranks.iter().position(|rank| *rank == of.rank as u32).map(|at| shares[at])
        };
        assert!(share(once).unwrap() < 0.01, "the item in view did not come again");
        assert!(share(Recent { rank: 1, ..once }).unwrap() > 0.99);
        // What was never asked has the share of its rank.
        assert!(share(Recent { rank: 1, count: 2, ..once }).unwrap() > 0.9);
    }

    #[test]
    fn nothing_that_comes_back_leaves_nothing_to_propose() {
        let log = (0..50).map(|n| (n / 10, HistoryEvent::new(EventKind::View, n, i64::from(n))));
        assert_eq!(train(&UserEvents::new(5, 50, log.collect())).entries(), 0);
        assert_eq!(train(&UserEvents::default()).entries(), 0);
    }
}
