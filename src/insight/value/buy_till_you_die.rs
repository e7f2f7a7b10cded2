//! Models of users who buy at a rate of their own until they leave: NBD, BG/NBD and MBG/NBD.
//!
//! - NBD: Ehrenberg, "The pattern of consumer purchases" (Applied Statistics 8, 1959): users do not leave
//! - BG/NBD: Fader, Hardie and Lee, "Counting your customers the easy way" (Marketing Science 24, 2005)
//! - MBG/NBD: Batislam, Denizel and Filiztekin, "Empirical validation and comparison of models for
//!   customer base analysis" (IJRM 24, 2007): a user can also leave after the first purchase
//!
//! Rates are gamma distributed with shape r and rate α (per day), chances to leave after a purchase beta
//! distributed with a and b. Expectations use Euler's transformation of ₂F₁ (Abramowitz and Stegun
//! 15.3.3), whose series stays small however many purchases a user made.

use statrs::function::gamma::ln_gamma;

use super::minimum::minimum;
use super::past::Past;
use super::special::hypergeometric;

/// When users leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// NBD: never.
    Never,
    /// BG/NBD: users leave after a repeat purchase only.
    AfterRepeat,
    /// MBG/NBD: users can leave after the first purchase too.
    AfterAny,
}

/// A fitted model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BuyTillYouDie {
    /// When users leave.
    pub leaving: Leaving,
    /// Shape of the rates.
    pub r: f64,
    /// Rate of the rates, in days.
    pub alpha: f64,
    /// First parameter of the chance to leave; 0 where users never leave.
    pub a: f64,
    /// Second parameter of the chance to leave; 0 where users never leave.
    pub b: f64,
}

/// A user with others of the same past.
#[derive(Debug, Clone, Copy)]
struct Weighted {
    past: Past,
    weight: f64,
}

/// Natural logarithms of the parameters beyond which a fit has run away from its data.
const BOUND: f64 = 9.0;
/// Minimum mean chance to leave after a purchase.
const MIN_LEAVING: f64 = 1e-3;

impl BuyTillYouDie {
    /// Fits the model by maximum likelihood; none where the search does not converge, or where the likelihood
    /// grows without end as a parameter does.
    pub fn fit(leaving: Leaving, pasts: &[Past]) -> Option<Self> {
        let weighted = grouped(pasts);
        let users = pasts.len() as f64;
        let mean_age = pasts.iter().map(|past| past.age).sum::<f64>() / users;
        if mean_age <= 0.0 {
            return None;
        }

        // Ages near 1, so that all parameters are of one magnitude.
        let scaled: Vec<Weighted> = weighted
            .into_iter()
            .map(|Weighted { past, weight }| {
                let (recency, age) = (past.recency / mean_age, past.age / mean_age);
                Weighted { past: Past { recency, age, ..past }, weight }
            })
            .collect();
        let cost = |ln: &[f64]| {
            let model = Self::of_logs(leaving, ln);
            // Users of one number of purchases follow each other: most of the cost is theirs in common.
            let mut common = (f64::NAN, 0.0);
            let sum: f64 = scaled
                .iter()
                .map(|Weighted { past, weight }| {
                    if common.0 != past.repeats {
                        common = (past.repeats, model.ln_of_repeats(past.repeats));
                    }
                    weight * (common.1 + model.ln_of_times(past))
                })
                .sum();
            -sum / users
        };

        let parameters = if leaving == Leaving::Never { 2 } else { 4 };
        let found = minimum(cost, &vec![0.0; parameters])?;
        let is_inside = found.iter().all(|ln| ln.abs() < BOUND);
        let model = Self::of_logs(leaving, &found);
        // Where almost no user leaves, the data do not say when: the model without leaving is the plainer.
        let leaves = leaving == Leaving::Never || model.a / (model.a + model.b) > MIN_LEAVING;
        (is_inside && leaves).then_some(Self { alpha: model.alpha * mean_age, ..model })
    }

    fn of_logs(leaving: Leaving, ln: &[f64]) -> Self {
        let [r, alpha, a, b] = std::array::from_fn(|at| ln.get(at).map_or(0.0, |ln| ln.exp()));
        Self { leaving, r, alpha, a, b }
    }

    /// The part of the logarithm of the likelihood that depends on the times of a past.
    fn ln_of_times(&self, past: &Past) -> f64 {
        let left = self.ln_left_odds(past).map_or(0.0, ln_1p_exp);
        left - (self.r + past.repeats) * (self.alpha + past.age).ln()
    }

    /// The part of the logarithm of the likelihood that depends on the number of purchases alone.
    fn ln_of_repeats(&self, x: f64) -> f64 {
        let Self { r, alpha, a, b, .. } = *self;
        let rate = ln_gamma(r + x) - ln_gamma(r) + r * alpha.ln();
        let stays = match self.leaving {
            Leaving::Never => 0.0,
            Leaving::AfterRepeat => {
                ln_gamma(a + b) + ln_gamma(b + x) - ln_gamma(b) - ln_gamma(a + b + x)
            }
            Leaving::AfterAny => {
                ln_gamma(a + b) + ln_gamma(b + x + 1.0) - ln_gamma(b) - ln_gamma(a + b + x + 1.0)
            }
        };
        rate + stays
    }

    /// Logarithm of the odds that the user has left; none where the model excludes it.
    fn ln_left_odds(&self, past: &Past) -> Option<f64> {
        let Self { r, alpha, a, b, .. } = *self;
        let x = past.repeats;
        let waited = (r + x) * ((alpha + past.age) / (alpha + past.recency)).ln();
        match self.leaving {
            Leaving::Never => None,
            Leaving::AfterRepeat if x == 0.0 => None,
            Leaving::AfterRepeat => Some(a.ln() - (b + x - 1.0).ln() + waited),
            Leaving::AfterAny => Some(a.ln() - (b + x).ln() + waited),
        }
    }

    /// The probability that the user still buys: 0 to 1.
    pub fn alive(&self, past: &Past) -> f64 {
        self.ln_left_odds(past).map_or(1.0, |odds| 1.0 / (1.0 + odds.exp()))
    }

    /// Expected number of days with a purchase in the next `days`; none where the series does not converge.
    pub fn expected(&self, past: &Past, days: f64) -> Option<f64> {
        let Self { leaving, r, alpha, b, .. } = *self;
        // The formula has a removable singularity at a = 1.
        let a = if (self.a - 1.0).abs() < 1e-6 { 1.0 + 1e-6 } else { self.a };
        let x = past.repeats;
        let z = days / (alpha + past.age + days);

        let (purchases, first, third) = match leaving {
            Leaving::Never => return Some((r + x) / (alpha + past.age) * days),
            Leaving::AfterRepeat => (a + b + x - 1.0, a + b - 1.0 - r, a + b + x - 1.0),
            Leaving::AfterAny => (a + b + x, a + b - r, a + b + x),
        };
        let series = hypergeometric(first, a - 1.0, third, z)?;
        let while_alive = purchases / (a - 1.0) * (1.0 - (1.0 - z).powf(a - 1.0) * series);
        let expected = while_alive * self.alive(past);
        expected.is_finite().then_some(expected.max(0.0))
    }
}

impl BuyTillYouDie {
    /// The probability of a purchase in the next `days`: users leave only after purchases, so that it is that
    /// of a Poisson process with a gamma distributed rate while they still buy.
    pub fn again(&self, past: &Past, days: f64) -> f64 {
        let waits = (self.r + past.repeats) * (-days / (self.alpha + past.age + days)).ln_1p();
        self.alive(past) * -waits.exp_m1()
    }
}

/// Users of one past together: most bought once.
fn grouped(pasts: &[Past]) -> Vec<Weighted> {
    let key = |past: &Past| (past.repeats as u64, past.recency.to_bits(), past.age.to_bits());
    let mut sorted = pasts.to_vec();
    sorted.sort_unstable_by_key(key);
    let groups = sorted.chunk_by(|one, other| key(one) == key(other));
    groups.map(|group| Weighted { past: group[0], weight: group.len() as f64 }).collect()
}

/// ln(1 + eˣ) without overflow.
fn ln_1p_exp(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The summary of 2,357 customers of CDNOW by Fader and Hardie, in weeks: identifier, repeats, recency,
    /// age.
    fn cdnow() -> Vec<Past> {
        let table = include_str!("../../../tests/it/fixtures/cdnow.csv");
        let rows = table.lines().skip(1).map(|line| {
            let mut fields = line.split(',').skip(1).map(|field| field.parse().unwrap());
            let mut next = || fields.next().unwrap();
            Past { repeats: next(), recency: next(), age: next(), mean_spend: 0.0 }
        });
        rows.collect()
    }

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() < tolerance, "{found}, not {expected}");
    }

    #[test]
    fn published_parameters_are_found_again() {
        let pasts = cdnow();
        assert_eq!(pasts.len(), 2_357);
        let found = BuyTillYouDie::fit(Leaving::AfterRepeat, &pasts).unwrap();
        // Fader, Hardie and Lee (2005), table 2.
        for (found, published) in
            [(found.r, 0.2426), (found.alpha, 4.4135), (found.a, 0.7929), (found.b, 2.4258)]
        {
            near(found, published, 1e-3);
        }
        // Batislam, Denizel and Filiztekin's model, as the package lifetimes 0.11.3 fits it.
        let found = BuyTillYouDie::fit(Leaving::AfterAny, &pasts).unwrap();
        for (found, other) in
            [(found.r, 0.5248), (found.alpha, 6.183), (found.a, 0.8914), (found.b, 1.614)]
        {
            near(found, other, 1e-3);
        }
    }

    #[test]
    fn expectations_are_those_of_another_implementation() {
        // lifetimes 0.11.3, for 39 weeks; rows 0, 10, 100 and 1000 of the summary.
        let pasts = cdnow();
        let rows = [0, 10, 100, 1_000].map(|row| pasts[row]);
        let model = |leaving, [r, alpha, a, b]: [f64; 4]| BuyTillYouDie { leaving, r, alpha, a, b };
        let repeat = model(Leaving::AfterRepeat, [0.24259, 4.41353, 0.79289, 2.42575]);
        let any = model(Leaving::AfterAny, [0.52484, 6.18299, 0.89136, 1.614]);
        let known = [
            (
                repeat,
                [(0.726609, 1.225910), (0.491427, 1.870991), (0.862950, 3.331178), (1.0, 0.218940)],
            ),
            (
                any,
                [
                    (0.706126, 1.262671),
                    (0.467682, 1.766994),
                    (0.851839, 3.260528),
                    (0.405419, 0.178670),
                ],
            ),
        ];
        for (model, known) in known {
            for (past, (alive, expected)) in rows.iter().zip(known) {
                near(model.alive(past), alive, 1e-4);
                near(model.expected(past, 39.0).unwrap(), expected, 1e-4);
                let again = model.again(past, 39.0);
                assert!(again > 0.0 && again < model.alive(past), "{again}");
            }
        }
    }

    #[test]
    fn extreme_pasts_have_numbers_and_users_who_never_leave_do_not_fit() {
        let model =
            BuyTillYouDie { leaving: Leaving::AfterRepeat, r: 0.3, alpha: 5.0, a: 1.0, b: 2.0 };
        let past = |repeats, recency, age| Past { repeats, recency, age, mean_spend: 1.0 };
        for past in [past(1e4, 9e3, 1e4), past(0.0, 0.0, 0.0), past(3_000.0, 3_000.0, 30_000.0)] {
            for days in [1.0, 365.0, 36_500.0] {
                assert!(model.expected(&past, days).is_some_and(f64::is_finite), "{past:?}");
            }
        }
        // All users buy to the end, at rates that differ: the chance to leave goes to 0.
        let pasts: Vec<Past> =
            (0..400).map(|n| past(f64::from(n % 20) + 1.0, 100.0, 101.0)).collect();
        assert_eq!(BuyTillYouDie::fit(Leaving::AfterRepeat, &pasts), None);
        let never = BuyTillYouDie::fit(Leaving::Never, &pasts).unwrap();
        near(never.expected(&past(10.0, 100.0, 101.0), 101.0).unwrap(), 10.2, 0.05);
        assert_eq!(BuyTillYouDie::fit(Leaving::Never, &[past(0.0, 0.0, 0.0)]), None);
    }
}
