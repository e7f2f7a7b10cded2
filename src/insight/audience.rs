//! Whom to send an item, a category or an offer: those of whose orders in the coming days most hold it.
//!
//! The chance that an order of a user holds the target is the user's own share of orders with it, drawn to what
//! the store's share and the user's interest let expect, as a beta-binomial model does (Gelman et al., "Bayesian
//! data analysis", 2013, section 5.3). The number of orders is that of the user's forecast.
//!
//! A gain is what a user is expected to bring, contacted or not; what contacting them changes is for an
//! experiment to say.

/// Number of orders of a user that the expectation from the store and the interest stands for.
const PRIOR_ORDERS: f64 = 8.0;
/// The interest of users who show none, as a share of the mean.
const NO_INTEREST: f64 = 0.1;
/// Largest interest that counts, as a multiple of the mean.
const MOST_INTEREST: f64 = 20.0;

/// What a user's history says of a target.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    /// Number of the user's orders.
    pub orders: u32,
    /// Number of those that hold it.
    pub with_target: u32,
    /// How near the user's newer events are to it: 0 to 1.
    pub interest: f32,
}

/// What all users say of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// The share of orders that hold it.
    share: f64,
    /// Mean interest of those who ordered.
    mean_interest: f64,
}

impl Target {
    /// The target among all users.
    pub fn of<'a>(all: impl Iterator<Item = &'a Evidence>) -> Self {
        let (mut orders, mut with_target, mut interest, mut buyers) = (0.0, 0.0, 0.0, 0.0);
        for evidence in all.filter(|evidence| evidence.orders > 0) {
            orders += f64::from(evidence.orders);
            with_target += f64::from(evidence.with_target);
            interest += f64::from(evidence.interest);
            buyers += 1.0;
        }
        let ratio = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        Self { share: ratio(with_target, orders), mean_interest: ratio(interest, buyers) }
    }

    /// The interest of a user as a multiple of the mean; 1 where no user shows any.
    pub fn affinity(&self, evidence: &Evidence) -> f64 {
        if self.mean_interest <= 0.0 {
            return 1.0;
        }
        let interest = f64::from(evidence.interest) / self.mean_interest;
        NO_INTEREST + (1.0 - NO_INTEREST) * interest.min(MOST_INTEREST)
    }

    /// The chance that an order of a user holds the target: 0 to 1.
    pub fn chance(&self, evidence: &Evidence) -> f64 {
        let expected = (self.share * self.affinity(evidence)).min(1.0);
        let (own, orders) = (f64::from(evidence.with_target), f64::from(evidence.orders));
        (own + PRIOR_ORDERS * expected) / (orders + PRIOR_ORDERS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(orders: u32, with_target: u32, interest: f32) -> Evidence {
        Evidence { orders, with_target, interest }
    }

    #[test]
    fn own_orders_and_interest_raise_the_chance_and_all_together_have_the_stores_share() {
        let all =
            [evidence(10, 4, 0.4), evidence(10, 0, 0.1), evidence(10, 0, 0.0), evidence(0, 0, 0.9)];
        let target = Target::of(all.iter());
        let chances = all.map(|one| target.chance(&one));
        assert!(chances[0] > chances[1] && chances[1] > chances[2] && chances[2] > 0.0);
        // One who never ordered, but is interested, before those who ordered and are not.
        assert!(chances[3] > chances[2], "{chances:?}");
        let mean = chances[..3].iter().sum::<f64>() / 3.0;
        assert!((mean - 4.0 / 30.0).abs() < 0.02, "{mean}");
        // (4 + 8 · p) / (10 + 8), with p = 4/30 of an interest of 2.4 times the mean.
        let expected = 4.0 / 30.0 * (0.1 + 0.9 * 0.4 / (0.5 / 3.0));
        assert!((chances[0] - (4.0 + 8.0 * expected) / 18.0).abs() < 1e-6, "{chances:?}");
    }

    #[test]
    fn what_was_never_bought_has_no_chance_and_nothing_is_no_number() {
        let target = Target::of([evidence(3, 0, 0.0)].iter());
        assert_eq!(
            (target.chance(&evidence(3, 0, 0.5)), target.affinity(&evidence(3, 0, 0.5))),
            (0.0, 1.0)
        );
        assert_eq!(Target::of([].iter()).chance(&evidence(0, 0, 0.0)), 0.0);
        let sure = Target::of([evidence(1, 1, 0.01), evidence(1, 1, 1.0)].iter());
        assert!(sure.chance(&evidence(0, 0, 1.0)) <= 1.0);
    }
}
