//! Prices in two bytes, so that every event of every history can hold one.

/// The price of one, to within a thirtieth of a percent; or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Price(u16);

/// Natural logarithm of the smallest price that can be represented.
const MIN_LN: f64 = -10.0;
/// Steps from one price to e times that price.
const STEPS: f64 = 1_750.0;

impl Price {
    /// The price of one, in the store's currency. A price of 0, or none, is unknown; prices beyond
    /// the largest, about 8e11, become the largest.
    pub fn new(price: Option<f64>) -> Self {
        let Some(price) = price.filter(|&price| price > 0.0) else { return Self(0) };
        let code = ((price.ln() - MIN_LN) * STEPS).round() + 1.0;
        Self(code.clamp(1.0, f64::from(u16::MAX)) as u16)
    }

    /// Its code, of which [`Price::of_code`] makes it again.
    pub fn code(self) -> u16 {
        self.0
    }

    /// The price with a code.
    pub fn of_code(code: u16) -> Self {
        Self(code)
    }

    /// Its natural logarithm; none for an unknown price.
    pub fn ln(self) -> Option<f32> {
        (self.0 > 0).then(|| ((f64::from(self.0) - 1.0) / STEPS + MIN_LN) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_read_back_nearly() {
        for price in [0.01, 0.55, 1.0, 19.99, 250_000.0, 1e11] {
            let read = Price::new(Some(price)).ln().map(|ln| f64::from(ln).exp() / price);
            assert!(read.is_some_and(|ratio| (ratio - 1.0).abs() < 4e-4), "{price}: {read:?}");
        }
        for none in [None, Some(0.0), Some(-1.0), Some(f64::NAN)] {
            assert_eq!(Price::new(none).ln(), None);
        }
        assert!(Price::new(Some(1e300)).ln() < Some(27.5));
        assert!(Price::new(Some(1e-300)).ln() >= Some(-10.0));
    }
}
