//! The minimum of a function, by Nelder and Mead (1965).

use argmin::core::{CostFunction, Error, Executor, State, TerminationReason, TerminationStatus};
use argmin::solver::neldermead::NelderMead;

/// Maximum number of steps; the models here take 100 to 400.
const STEPS: u64 = 2_000;
/// Standard deviation of the values at the corners at which the search ends.
const TOLERANCE: f64 = 1e-9;
/// Cost of what is not a number: no corner of the simplex stays there.
const FORBIDDEN: f64 = 1e100;

struct Cost<F>(F);

impl<F: Fn(&[f64]) -> f64> CostFunction for Cost<F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, at: &Vec<f64>) -> Result<f64, Error> {
        Ok(Some((self.0)(at)).filter(|cost| cost.is_finite()).unwrap_or(FORBIDDEN))
    }
}

/// The point where a function is smallest, from a start and its neighbours at distance 1 in each
/// coordinate; none where the search does not converge.
pub(super) fn minimum(cost: impl Fn(&[f64]) -> f64, start: &[f64]) -> Option<Vec<f64>> {
    let corner = |at: usize| {
        let mut corner = start.to_vec();
        if let Some(value) = at.checked_sub(1).and_then(|at| corner.get_mut(at)) {
            *value += 1.0;
        }
        corner
    };
    let corners = (0..=start.len()).map(corner).collect();
    let solver = NelderMead::new(corners).with_sd_tolerance(TOLERANCE).ok()?;
    let found = Executor::new(Cost(cost), solver).configure(|state| state.max_iters(STEPS));
    let found = found.run().ok()?;

    let status = found.state().get_termination_status();
    let is_converged =
        matches!(status, TerminationStatus::Terminated(TerminationReason::SolverConverged));
    found.state().get_best_param().filter(|_| is_converged).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valley_is_followed_to_its_end_and_a_slope_has_none() {
        // Rosenbrock's.
        let valley = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let found = minimum(valley, &[-1.2, 1.0]).unwrap();
        assert!((found[0] - 1.0).abs() < 1e-3 && (found[1] - 1.0).abs() < 1e-3, "{found:?}");
        assert_eq!(minimum(|x| x[0], &[0.0]), None);
        assert_eq!(minimum(|_| f64::NAN, &[0.0]).map(|x| x.len()), Some(1));
    }
}
