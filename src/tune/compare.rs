//! Compares two methods on the same cases.

/// The mean of scores, one for each case; 0 of none.
pub fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
}

/// Whether scores are higher than others of the same cases by more than the standard error of the
/// difference: less may be chance, and many trials find chance.
pub fn is_better(scores: &[f64], than: &[f64]) -> bool {
    let n = scores.len().max(2) as f64;
    let gains: Vec<f64> = scores.iter().zip(than).map(|(a, b)| a - b).collect();
    let gain = mean(&gains);
    let variance = gains.iter().map(|g| (g - gain) * (g - gain)).sum::<f64>() / (n - 1.0);
    gain > (variance / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gain_must_stand_out() {
        let base = [0.5; 100];
        let steady: Vec<f64> = base.iter().map(|b| b + 0.001).collect();
        let chance: Vec<f64> = (0..100).map(|i| if i % 2 == 0 { 1.0 } else { 0.01 }).collect();
        assert!(is_better(&steady, &base));
        assert!(mean(&chance) > mean(&base) && !is_better(&chance, &base));
        assert!(!is_better(&base, &base));
    }
}
