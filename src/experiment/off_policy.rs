//! Off-policy estimates: what a candidate policy would have earned, from what another one showed with
//! known probabilities.
//!
//! With w = π(a|x) / p, the candidate's probability of the logged action over its propensity:
//! IPS is mean(w r) (Horvitz and Thompson, 1952), SNIPS Σ w r / Σ w (Swaminathan and Joachims, NIPS 2015),
//! and DR mean(w (r − q(x,a)) + Σ_a π(a|x) q(x,a)) (Dudík, Langford and Li, ICML 2011). The effective sample
//! size is (Σ w)² / Σ w² (Kish, 1965).

use super::statistics::{Estimate, Sample};

/// Below this effective sample size an estimate says nothing.
pub const MIN_EFFECTIVE: f64 = 100.0;

/// Mean weights with which an estimate is sound: of a candidate that shows what could have been shown.
const SUPPORTED: std::ops::Range<f64> = 0.7..1.5;

/// A decision that was logged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logged {
    /// What it earned.
    pub reward: f64,
    /// The probability with which it was taken, above 0.
    pub propensity: f64,
    /// The probability with which the candidate takes it.
    pub probability: f64,
    /// The expected reward of the logged action, by a model.
    pub expected: f64,
    /// The expected reward of the candidate's actions: Σ_a π(a|x) q(x,a).
    pub expected_of_candidate: f64,
}

/// What a candidate would have earned by decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OffPolicy {
    /// Mean reward as it was logged.
    pub logged: Estimate,
    /// Inverse propensity score.
    pub ips: Estimate,
    /// Self-normalised inverse propensity score.
    pub snips: Estimate,
    /// Doubly robust.
    pub dr: Estimate,
    /// Effective sample size.
    pub effective: f64,
    /// The mean weight: 1 where the log could have shown all that the candidate would.
    pub mean_weight: f64,
}

impl OffPolicy {
    /// The estimates from these decisions; none where the candidate takes none of them.
    pub fn new(decisions: &[Logged]) -> Option<Self> {
        let weight = |logged: &Logged| logged.probability / logged.propensity;
        let sum: f64 = decisions.iter().map(weight).sum();
        let squares: f64 = decisions.iter().map(|logged| weight(logged).powi(2)).sum();
        if sum <= 0.0 || !squares.is_finite() {
            return None;
        }

        let mean_of = |of: &dyn Fn(&Logged) -> f64| {
            let mut sample = Sample::default();
            decisions.iter().for_each(|logged| sample.add(of(logged), 0.0));
            sample.estimate()
        };
        let mut weighted = Sample::default();
        decisions.iter().for_each(|l| weighted.add(weight(l) * l.reward, weight(l)));
        Some(Self {
            logged: mean_of(&|logged| logged.reward),
            ips: weighted.estimate(),
            snips: weighted.ratio()?,
            dr: mean_of(&|logged| {
                weight(logged) * (logged.reward - logged.expected) + logged.expected_of_candidate
            }),
            effective: sum * sum / squares,
            mean_weight: sum / decisions.len() as f64,
        })
    }

    /// Why the estimates cannot be used; none where they can.
    pub fn refusal(&self) -> Option<String> {
        if self.effective < MIN_EFFECTIVE {
            return Some(format!(
                "the candidate would have shown too little of what was shown: the effective sample \
                 size is {:.0}, at least {MIN_EFFECTIVE} are needed; log for longer, or randomise more",
                self.effective
            ));
        }
        (!SUPPORTED.contains(&self.mean_weight)).then(|| {
            format!(
                "of what the candidate would show, only {:.0} % could have been shown: nothing is known of \
                 the rest; draw the slot among more candidates, or compare lists that are more alike",
                100.0 * self.mean_weight
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_by_hand() {
        let logged = |reward, propensity, probability| Logged {
            reward,
            propensity,
            probability,
            expected: 0.5,
            expected_of_candidate: 0.4,
        };
        // Weights 2, 0, 1.
        let decisions = [logged(1.0, 0.25, 0.5), logged(1.0, 0.5, 0.0), logged(0.0, 0.5, 0.5)];
        let estimated = OffPolicy::new(&decisions).unwrap();
        let close =
            |value: f64, expected: f64| assert!((value - expected).abs() < 1e-12, "{value}");
        close(estimated.ips.value, 2.0 / 3.0);
        close(estimated.snips.value, 2.0 / 3.0);
        close(estimated.dr.value, (2.0 * 0.5 - 0.5 + 3.0 * 0.4) / 3.0);
        close(estimated.effective, 9.0 / 5.0);
        close(estimated.logged.value, 2.0 / 3.0);
        assert!(estimated.refusal().unwrap().contains("effective sample size is 2"));
        assert_eq!(OffPolicy::new(&decisions[1..2]), None);
    }

    #[test]
    fn a_known_policy_is_valued_right() {
        // Two actions that earn .2 and .6, logged half and half; the candidate takes the second with
        // probability .9.
        let mut decisions = Vec::new();
        for at in 0..10_000 {
            let (action, earns) = if at % 2 == 0 { (0, at % 10 == 0) } else { (1, at % 10 < 6) };
            let probability = if action == 1 { 0.9 } else { 0.1 };
            let expected = if action == 1 { 0.5 } else { 0.3 };
            let reward = f64::from(u8::from(earns));
            let expected_of_candidate = 0.9 * 0.5 + 0.1 * 0.3;
            let logged =
                Logged { reward, propensity: 0.5, probability, expected, expected_of_candidate };
            decisions.push(logged);
        }
        let estimated = OffPolicy::new(&decisions).unwrap();
        for value in [estimated.ips, estimated.snips, estimated.dr] {
            assert!((value.value - 0.56).abs() < 1e-9, "{value:?}");
        }
        assert!(estimated.dr.standard_error < estimated.ips.standard_error);
        assert_eq!(estimated.refusal(), None);
    }
}
