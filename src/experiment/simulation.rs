//! Simulated users, whose taste is known: the truth that estimates are compared with.
//!
//! A user looks at a list from the top. They look at the first item, and after each item at the next with
//! probability `patience`: the rest of the list is abandoned (the cascade of Craswell et al., WSDM 2008).
//! An item that they look at and like is clicked with the probability of its attraction; any item that they
//! look at is clicked by mistake with probability `noise`. What is clicked and liked is bought with
//! probability `buys`.

use rand::RngExt;
use rand::rngs::StdRng;

/// How users look at lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Browsing {
    /// Probability of looking at the next item.
    pub patience: f64,
    /// Probability of a click by mistake.
    pub noise: f64,
    /// Probability of a purchase after a click on an item that is liked.
    pub buys: f64,
}

impl Default for Browsing {
    fn default() -> Self {
        Self { patience: 0.85, noise: 0.01, buys: 0.2 }
    }
}

/// What a user does with an item that they look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Whether they click it.
    pub clicked: bool,
    /// Whether they buy it.
    pub bought: bool,
}

impl Browsing {
    /// Looks at a list whose items have these attractions, from 0 to 1; one entry for each item that is
    /// looked at.
    pub fn browse(&self, attractions: &[f64], rng: &mut StdRng) -> Vec<Look> {
        let mut looks = Vec::new();
        for &attraction in attractions {
            let likes = rng.random_bool(attraction.clamp(0.0, 1.0));
            let clicked = likes || rng.random_bool(self.noise);
            let bought = likes && rng.random_bool(self.buys);
            looks.push(Look { clicked, bought });
            if !rng.random_bool(self.patience) {
                break;
            }
        }
        looks
    }

    /// The expected number of clicks on such a list.
    pub fn expected_clicks(&self, attractions: &[f64]) -> f64 {
        let looks = std::iter::successors(Some(1.0), |looks| Some(looks * self.patience));
        let clicks = attractions.iter().map(|a| a + (1.0 - a) * self.noise);
        looks.zip(clicks).map(|(looks, clicks)| looks * clicks).sum()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn users_click_as_often_as_expected() {
        let browsing = Browsing::default();
        let attractions = [0.3, 0.1, 0.0, 0.5];
        let mut rng = StdRng::seed_from_u64(1);
        let mut clicks = 0;
        let mut bought = 0;
        for _ in 0..100_000 {
            let looks = browsing.browse(&attractions, &mut rng);
            clicks += looks.iter().filter(|look| look.clicked).count();
            bought += looks.iter().filter(|look| look.bought).count();
        }
        let expected = browsing.expected_clicks(&attractions);
        assert!((clicks as f64 / 1e5 / expected - 1.0).abs() < 0.02, "{clicks} {expected}");
        assert!(bought * 4 < clicks);
    }
}
