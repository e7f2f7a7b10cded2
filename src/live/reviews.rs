//! What users think of items: ratings, and what reviews say.

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use crate::domain::ItemIdx;

/// Number of ratings, or of reviews, that the mean of the store stands for beside an item's own.
const PRIOR: f64 = 5.0;
/// Number of ratings of the store from which on one that is far off counts as one that is less so.
const ENOUGH: u32 = 20;
/// Standard deviations from the mean that a rating counts with at most.
const REACH: f64 = 4.0;
/// Ratings count as no more than this: squares of larger ones have no sum.
const MOST: f64 = 1e9;

/// A sum of scores.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Scores {
    count: u32,
    sum: f64,
    squares: f64,
}

impl Scores {
    fn add(&mut self, score: f64) {
        self.count = self.count.saturating_add(1);
        self.sum += score;
        self.squares += score * score;
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }

    /// A score, no further from the mean than some deviations: one that is far off must not set the scale.
    fn within_reach(&self, score: f64) -> f64 {
        let score = score.clamp(-MOST, MOST);
        match self.mean() {
            Some(mean) if self.count >= ENOUGH => {
                let reach = REACH * self.deviation().max(f64::MIN_POSITIVE);
                score.clamp(mean - reach, mean + reach)
            }
            _ => score,
        }
    }

    fn deviation(&self) -> f64 {
        let Some(mean) = self.mean() else { return 0.0 };
        (self.squares / f64::from(self.count) - mean * mean).max(0.0).sqrt()
    }

    /// How far the mean is above that of all, in standard deviations of all; drawn to 0 where there are few.
    fn standing(&self, all: &Self) -> Option<f64> {
        let (own, of_all) = (self.mean()?, all.mean()?);
        let trusted = f64::from(self.count) / (f64::from(self.count) + PRIOR);
        let deviation = all.deviation();
        Some(if deviation > 0.0 { trusted * (own - of_all) / deviation } else { 0.0 })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct OfItem {
    ratings: Scores,
    sentiments: Scores,
}

/// What users think of an item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reputation {
    /// Number of ratings.
    pub ratings: u32,
    /// Their mean, as they were given; none without one.
    pub mean_rating: Option<f64>,
    /// Number of reviews that say something, or came with a score.
    pub reviews: u32,
    /// Their mean sentiment, -1 to 1; none without one.
    pub mean_sentiment: Option<f64>,
    /// How far both are above the store's means, in standard deviations: 0 is average, and few ratings and
    /// reviews count little.
    pub quality: f64,
}

/// What users think of all items.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Reviews {
    items: AHashMap<ItemIdx, OfItem>,
    all: OfItem,
}

impl Reviews {
    /// Notes a rating and the sentiment of a review, as far as they are there.
    pub fn note(&mut self, item: ItemIdx, rating: Option<f64>, sentiment: Option<f64>) {
        if rating.is_none() && sentiment.is_none() {
            return;
        }
        let rating = rating.map(|rating| self.all.ratings.within_reach(rating));
        for of in [self.items.entry(item).or_default(), &mut self.all] {
            rating.into_iter().for_each(|rating| of.ratings.add(rating));
            sentiment.into_iter().for_each(|sentiment| of.sentiments.add(sentiment));
        }
    }

    /// What users think of an item; none where none said.
    pub fn of(&self, item: ItemIdx) -> Option<Reputation> {
        let OfItem { ratings, sentiments } = self.items.get(&item)?;
        let by_both = [
            (ratings.standing(&self.all.ratings), ratings.count),
            (sentiments.standing(&self.all.sentiments), sentiments.count),
        ];
        let known =
            by_both.iter().filter_map(|(standing, count)| Some((*standing)? * f64::from(*count)));
        let count = f64::from(ratings.count) + f64::from(sentiments.count);
        Some(Reputation {
            ratings: ratings.count,
            mean_rating: ratings.mean(),
            reviews: sentiments.count,
            mean_sentiment: sentiments.mean(),
            quality: known.sum::<f64>() / count,
        })
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.items.capacity() * size_of::<(ItemIdx, OfItem)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_relative_and_few_ratings_say_little() {
        let mut reviews = Reviews::default();
        assert_eq!(reviews.of(1), None);
        for _ in 0..50 {
            reviews.note(1, Some(5.0), None);
            reviews.note(2, Some(3.0), None);
        }
        reviews.note(3, Some(5.0), Some(1.0));
        let quality = |reviews: &Reviews, item| reviews.of(item).unwrap().quality;
        assert!(
            quality(&reviews, 1) > 0.8 && quality(&reviews, 2) < -0.8,
            "{} {}",
            quality(&reviews, 1),
            quality(&reviews, 2)
        );
        assert!((0.0..0.3).contains(&quality(&reviews, 3)), "{}", quality(&reviews, 3));
        let third = reviews.of(3).unwrap();
        assert_eq!((third.ratings, third.mean_rating, third.reviews), (1, Some(5.0), 1));
        assert_eq!(
            (third.mean_sentiment, reviews.of(2).unwrap().mean_sentiment),
            (Some(1.0), None)
        );
        // A rating that is far off says little of the others.
        let before = quality(&reviews, 1);
        reviews.note(4, Some(1e200), None);
        assert!(
            (quality(&reviews, 1) - before).abs() < 0.1 && quality(&reviews, 4) < 1.0,
            "{}",
            quality(&reviews, 1)
        );
        // One rating of one item is average: there is nothing to compare it with.
        let mut one = Reviews::default();
        one.note(1, Some(1e300), None);
        assert_eq!(one.of(1).unwrap().quality, 0.0);
    }
}
