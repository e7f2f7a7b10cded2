//! Holds the share of some items among all places that are shown: an integral controller on the
//! logarithm of the factor by which their scores are multiplied.
//!
//! After each list the logarithm moves by `GAIN` times the places that were missing to the share, or
//! too many. So it settles where the share is held, lists in which the items are nearly good enough
//! change first, and the places owed at any time are at most `ln(MAX_FACTOR) / GAIN`. The step is
//! that of dual gradient ascent for an average constraint (Balseiro, Lu and Mirrokni, "The Best of
//! Many Worlds: Dual Mirror Descent for Online Allocation Problems", 2020).

use parking_lot::Mutex;

use super::rule::MAX_FACTOR;

/// How much the logarithm of the factor moves by one missing place.
const GAIN: f64 = 0.02;

/// A share that is held.
#[derive(Debug)]
pub struct Target {
    share: f64,
    state: Mutex<TargetReport>,
}

/// What a target has done.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TargetReport {
    /// Lists that it looked at.
    pub lists: u64,
    /// Their places.
    pub places: u64,
    /// Places with its items.
    pub shown: u64,
    /// The factor by which its items' scores are multiplied now.
    pub factor: f64,
    /// The share of the model's own score that all rules together took from these lists.
    pub cost: f64,
    /// The sum of the model's own scores of the best items, and of those that were shown.
    best: f64,
    kept: f64,
}

impl TargetReport {
    /// The share that was shown; 0 before the first list.
    pub fn share(&self) -> f64 {
        if self.places == 0 { 0.0 } else { self.shown as f64 / self.places as f64 }
    }
}

impl Target {
    /// A target that has seen no list.
    pub fn new(share: f64) -> Self {
        Self { share, state: Mutex::new(TargetReport { factor: 1.0, ..TargetReport::default() }) }
    }

    /// The share to hold.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// The factor for the next list.
    pub fn factor(&self) -> f64 {
        self.state.lock().factor
    }

    /// Notes a list that is shown: its places, those with items of the target, and the model's own
    /// scores of the best items and of those shown.
    pub fn note(&self, places: usize, shown: usize, (best, kept): (f64, f64)) {
        let mut state = self.state.lock();
        state.lists += 1;
        state.places += places as u64;
        state.shown += shown as u64;
        state.best += best;
        state.kept += kept;
        state.cost = if state.best > 0.0 { 1.0 - state.kept / state.best } else { 0.0 };

        let missing = self.share * places as f64 - shown as f64;
        let most = MAX_FACTOR.ln();
        state.factor = (state.factor.ln() + GAIN * missing).clamp(-most, most).exp();
    }

    /// What it has done.
    pub fn report(&self) -> TargetReport {
        *self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Shows `lists` lists of 10 from 120 candidates with fading scores, of which a share
    /// `natural` is of the target, and a drift of their quality; returns the report.
    fn simulated(share: f64, natural: f64, lists: usize, drift: f64) -> TargetReport {
        let mut random = SmallRng::seed_from_u64(7);
        let target = Target::new(share);
        for list in 0..lists {
            let factor = target.factor();
            let quality = 1.0 + drift * list as f64 / lists as f64;
            let mut scores: Vec<(f64, f64, bool)> = (0..120)
                .map(|_| {
                    let is_of = random.random_bool(natural);
                    let own: f64 = random.random::<f64>().powi(2);
                    let own = if is_of { own * quality } else { own };
                    (if is_of { own * factor } else { own }, own, is_of)
                })
                .collect();
            let mut best: Vec<f64> = scores.iter().map(|s| s.1).collect();
            best.sort_by(|a, b| b.total_cmp(a));
            scores.sort_by(|a, b| b.0.total_cmp(&a.0));
            let shown = scores[..10].iter().filter(|s| s.2).count();
            let kept = scores[..10].iter().map(|s| s.1).sum();
            target.note(10, shown, (best[..10].iter().sum(), kept));
        }
        target.report()
    }

    #[test]
    fn a_share_is_held_within_a_point_whatever_it_would_be_without() {
        for (share, natural, drift) in
            [(0.15, 0.03, 0.0), (0.15, 0.15, 0.0), (0.15, 0.4, 0.0), (0.05, 0.02, 2.0)]
        {
            let report = simulated(share, natural, 2_000, drift);
            assert!((report.share() - share).abs() < 0.01, "{share} {natural} {report:?}");
            assert!((0.0..0.3).contains(&report.cost), "{report:?}");
        }
        // What is held at no effort costs nothing, and more effort costs more.
        let none = simulated(0.15, 0.15, 2_000, 0.0);
        let much = simulated(0.4, 0.05, 2_000, 0.0);
        assert!(none.cost < 0.01 && much.cost > 0.02, "{none:?} {much:?}");
    }

    #[test]
    fn what_cannot_be_held_ends_at_the_largest_factor() {
        let report = simulated(0.5, 0.0, 500, 0.0);
        assert_eq!((report.shown, report.factor.round()), (0, 100.0));
    }
}
