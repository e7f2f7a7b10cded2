//! What a user spends at a time: the gamma-gamma model of Fader and Hardie ("The gamma-gamma model of
//! monetary value", 2013). A user's spends are gamma distributed with shape p and a rate of their own, which is
//! gamma distributed with shape q and rate v.

use statrs::function::gamma::ln_gamma;

use super::minimum::minimum;

/// A fitted model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GammaGamma {
    /// Shape of the spends.
    pub p: f64,
    /// Shape of the rates.
    pub q: f64,
    /// Rate of the rates, in the store's currency.
    pub v: f64,
}

/// Natural logarithms of the parameters beyond which a fit has run away from its data.
const BOUND: f64 = 12.0;

impl GammaGamma {
    /// Fits the model by maximum likelihood to numbers of spends and their means, all greater than 0; none
    /// where the search does not converge, or where the mean spend of all users would be infinite.
    pub fn fit(spends: &[(f64, f64)]) -> Option<Self> {
        let mean = spends.iter().map(|spend| spend.1).sum::<f64>() / spends.len() as f64;
        if mean.is_nan() || mean <= 0.0 {
            return None;
        }
        let cost = |ln: &[f64]| {
            let [p, q, v] = std::array::from_fn(|at| ln[at].exp());
            let model = Self { p, q, v };
            let sum: f64 = spends.iter().map(|(x, m)| model.ln_likelihood(*x, *m / mean)).sum();
            -sum / spends.len() as f64
        };
        let found = minimum(cost, &[0.0, 1.0, 0.0])?;
        let is_inside = found.iter().all(|ln| ln.abs() < BOUND);
        let [p, q, v] = std::array::from_fn(|at| found[at].exp());
        (is_inside && q > 1.0).then_some(Self { p, q, v: v * mean })
    }

    fn ln_likelihood(&self, x: f64, m: f64) -> f64 {
        let Self { p, q, v } = *self;
        let px = p * x;
        ln_gamma(px + q) - ln_gamma(px) - ln_gamma(q)
            + q * v.ln()
            + (px - 1.0) * m.ln()
            + px * x.ln()
            - (px + q) * (x * m + v).ln()
    }

    /// The expected spend at a time of a user with `x` spends of mean `m`; with none, of a new user.
    pub fn expected(&self, x: f64, m: f64) -> f64 {
        let Self { p, q, v } = *self;
        p * (v + x * m) / (p * x + q - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_parameters_are_found_again() {
        // Spends drawn from the model itself.
        use rand::SeedableRng;
        use rand_distr::{Distribution, Gamma};
        let mut rng = rand::rngs::StdRng::seed_from_u64(7);
        let truth = GammaGamma { p: 6.0, q: 4.0, v: 15.0 };
        let rates = Gamma::new(truth.q, 1.0 / truth.v).unwrap();
        let spends: Vec<(f64, f64)> = (0..20_000)
            .map(|n| {
                let (x, rate) = (f64::from(n % 5 + 1), rates.sample(&mut rng));
                let sum = Gamma::new(truth.p * x, 1.0 / rate).unwrap().sample(&mut rng);
                (x, sum / x)
            })
            .collect();
        let found = GammaGamma::fit(&spends).unwrap();
        for (found, truth) in [(found.p, truth.p), (found.q, truth.q), (found.v, truth.v)] {
            assert!((found / truth - 1.0).abs() < 0.06, "{found}, not {truth}");
        }
        let new_user = truth.expected(0.0, 0.0);
        assert!((new_user - 30.0).abs() < 1e-9 && (truth.expected(1e6, 70.0) - 70.0).abs() < 0.01);
    }

    #[test]
    fn the_fit_of_another_implementation_is_met() {
        // lifetimes 0.11.3 on CDNOW's 946 repeat buyers gives p 6.2488, q 3.7446, v 15.4478; and 24.6586
        // for two purchases of mean 22.35.
        let model = GammaGamma { p: 6.2488, q: 3.74459, v: 15.44775 };
        assert!((model.expected(2.0, 22.35) - 24.658616).abs() < 1e-4);
    }

    #[test]
    fn equal_spends_fit_nothing() {
        assert_eq!(GammaGamma::fit(&[]), None);
        assert_eq!(GammaGamma::fit(&[(1.0, 5.0); 50]), None);
    }
}
