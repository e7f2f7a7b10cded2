//! Special functions, where no kept crate has them.

/// Maximum number of terms.
const TERMS: usize = 100_000;

/// Gauss's hypergeometric function ₂F₁(a, b; c; z) for 0 ≤ z < 1 by its series (Abramowitz and Stegun
/// 15.1.1); none where it does not converge, or where c is 0 or a negative whole number.
pub(super) fn hypergeometric(a: f64, b: f64, c: f64, z: f64) -> Option<f64> {
    if !(0.0..1.0).contains(&z) {
        return None;
    }
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 0..TERMS {
        let n = n as f64;
        term *= (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z;
        sum += term;
        if !sum.is_finite() {
            return None;
        }
        if term.abs() <= 1e-14 * sum.abs() {
            return Some(sum);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_met() {
        let near = |found: Option<f64>, value: f64| {
            let found = found.unwrap();
            assert!((found - value).abs() < 1e-11 * value.abs(), "{found} {value}");
        };
        // Abramowitz and Stegun 15.1.3 and 15.1.8.
        near(hypergeometric(1.0, 1.0, 2.0, 0.5), 2.0 * std::f64::consts::LN_2);
        near(hypergeometric(2.5, 1.7, 1.7, 0.9), 0.1f64.powf(-2.5));
        near(hypergeometric(3.0, -2.0, 1.0, 0.25), 1.0 - 6.0 * 0.25 + 6.0 * 0.0625);
        assert_eq!(hypergeometric(1.0, 1.0, 0.0, 0.5), None);
        assert_eq!(hypergeometric(1.0, 1.0, 2.0, 1.0), None);
    }
}
