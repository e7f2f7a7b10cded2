//! What an objective would cost and bring: the lists of some users of the store's own log, for several
//! strengths of it.

use super::decisions::Steering;
use super::dry_run::MAX_USERS;
use crate::domain::{Result, UserIdx, limits};
use crate::engine::serve::{Answer, RecommendRequest, Recommender};
use crate::recommend::Objective;

/// What the weights are multiplied by; the first is without the objective.
const STRENGTHS: [f64; 6] = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0];

/// An objective of one strength, relative to lists without it, which have 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TradeOffPoint {
    /// What its weights but that of a purchase are multiplied by.
    pub strength: f64,
    /// Purchases to expect.
    pub conversions: f64,
    /// Margin to expect; none where no item has a margin.
    pub margin: Option<f64>,
    /// Refunds to expect.
    pub returns: f64,
}

/// Sums over lists, of the model's own scores.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    conversions: f64,
    margin: f64,
    returns: f64,
}

impl Steering {
    /// Makes the lists of users of the store's log, evenly spread, with an objective of several
    /// strengths, and without rules. Nothing is written or counted as shown. Returns the number of
    /// users, and a point for each strength.
    ///
    /// # Errors
    /// [`crate::domain::Error::Invalid`] where a weight breaks its limit;
    /// [`crate::domain::Error::NotReady`] before the first event.
    pub fn trade_off(
        &self,
        objective: Objective,
        users: usize,
        limit: usize,
        recommender: &Recommender,
    ) -> Result<(usize, Vec<TradeOffPoint>)> {
        limits::number("users", users as f64, 0.0, MAX_USERS as f64)?;
        objective.check().map_err(|violation| violation.within("objective"))?;
        // Without a weight of purchases, nothing would be left at strength 0.
        let plain = Objective { buy: objective.buy.max(f64::MIN_POSITIVE), ..objective };
        let users = self.sample(users);
        let mut sums = [Sums::default(); STRENGTHS.len()];
        for &user in &users {
            for (sums, strength) in sums.iter_mut().zip(STRENGTHS) {
                let objective = if strength == 0.0 { plain } else { objective };
                let list = self.weighed(user, objective.scaled(strength), limit, recommender)?;
                self.add(&list, sums);
            }
        }

        let base = sums[0];
        let ratio = |value: f64, base: f64| if base > 0.0 { value / base } else { 1.0 };
        let point = |(sums, strength): (&Sums, f64)| TradeOffPoint {
            strength,
            conversions: ratio(sums.conversions, base.conversions),
            margin: (base.margin > 0.0).then(|| sums.margin / base.margin),
            returns: ratio(sums.returns, base.returns),
        };
        Ok((users.len(), sums.iter().zip(STRENGTHS).map(point).collect()))
    }

    fn weighed(
        &self,
        user: UserIdx,
        objective: Objective,
        limit: usize,
        recommender: &Recommender,
    ) -> Result<Answer> {
        let request = RecommendRequest {
            limit,
            objective: Some(objective),
            explain: true,
            rules: Some(Default::default()),
            ..RecommendRequest::default()
        };
        recommender.dry_list(user, &request)
    }

    fn add(&self, list: &Answer, sums: &mut Sums) {
        let catalogue = self.state.live.catalogue.read();
        let outcomes = self.state.live.outcomes.read();
        for entry in &list.entries {
            let own = entry.explanation.as_ref().map(|why| why.blend_score + why.second_stage);
            let (Some(own), Some(item)) = (own, entry.idx) else { continue };
            let margin = catalogue.get(item).and_then(|item| item.margin).unwrap_or(0.0);
            sums.conversions += f64::from(own);
            sums.margin += f64::from(own) * margin;
            sums.returns += f64::from(own) * outcomes.return_rate(item);
        }
    }
}
