//! Recency, frequency and monetary value in quintiles, and named segments of users (Hughes, "Strategic
//! database marketing", 1994).

use serde::{Deserialize, Serialize};

use crate::domain::order::OrderBook;
use crate::domain::quote::quoted;
use crate::domain::{DAY_MS, Violation, limits};

/// Maximum number of segments of a store.
pub const MAX_SEGMENTS: usize = 50;
/// The scores.
const SCORES: [u8; 2] = [1, 5];

/// A named part of the users: those whose scores are all within its ranges. The first that holds counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RfmSegment {
    /// Its name.
    pub name: String,
    /// Lowest and highest score of recency: 5 bought last.
    pub recency: [u8; 2],
    /// Lowest and highest score of frequency: 5 buys most often.
    pub frequency: [u8; 2],
    /// Lowest and highest score of monetary value: 5 spends most.
    pub monetary: [u8; 2],
}

/// The segments of a store that named none, on recency and frequency.
pub fn usual_segments() -> Vec<RfmSegment> {
    let segment = |(name, recency, frequency): (&str, [u8; 2], [u8; 2])| RfmSegment {
        name: name.to_owned(),
        recency,
        frequency,
        monetary: SCORES,
    };
    let usual = [
        ("champions", [5, 5], [4, 5]),
        ("loyal", [3, 4], [4, 5]),
        ("potential_loyalists", [4, 5], [2, 3]),
        ("new", [5, 5], [1, 1]),
        ("promising", [4, 4], [1, 1]),
        ("need_attention", [3, 3], [3, 3]),
        ("about_to_sleep", [3, 3], [1, 2]),
        ("cannot_lose", [1, 2], [5, 5]),
        ("at_risk", [1, 2], [3, 4]),
        ("hibernating", [1, 2], [1, 2]),
    ];
    usual.map(segment).into()
}

/// Checks the segments of a store.
///
/// # Errors
/// The field that breaks its limit.
pub fn check(segments: &[RfmSegment]) -> Result<(), Violation> {
    limits::count("rfm_segments", segments.len(), 0, MAX_SEGMENTS)?;
    for (at, segment) in segments.iter().enumerate() {
        let field = |name: &str| format!("rfm_segments[{at}].{name}");
        limits::name(&field("name"), &segment.name)?;
        if segments[..at].iter().any(|before| before.name == segment.name) {
            let message = format!("must name no segment twice, names {}", quoted(&segment.name));
            return Err(Violation::new(field("name"), message));
        }
        let ranges = [
            ("recency", segment.recency),
            ("frequency", segment.frequency),
            ("monetary", segment.monetary),
        ];
        for (name, [low, high]) in ranges {
            if low < SCORES[0] || high > SCORES[1] || low > high {
                let message = format!("must be a range of scores from 1 to 5, was {low} to {high}");
                return Err(Violation::new(field(name), message));
            }
        }
    }
    Ok(())
}

/// What a user's scores are made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Days since the last order.
    pub recency_days: f64,
    /// Number of orders.
    pub frequency: u32,
    /// Spend, refunds taken back, in the store's currency.
    pub monetary: f64,
}

impl Figures {
    /// A user's figures; none without an order.
    pub fn of(book: &OrderBook, now_ms: i64) -> Option<Self> {
        let last_ms = book.last_ms()?;
        Some(Self {
            recency_days: (now_ms - last_ms).max(0) as f64 / DAY_MS as f64,
            frequency: book.count(),
            monetary: book.spend(),
        })
    }
}

/// The boundaries of the scores: of each figure those of four fifths of the buyers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quintiles {
    /// Of days since the last order.
    pub recency_days: [f64; 4],
    /// Of the number of orders.
    pub frequency: [f64; 4],
    /// Of the spend.
    pub monetary: [f64; 4],
}

/// The scores of a user, each 1 to 5: 5 is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scores {
    /// Of recency.
    pub recency: u8,
    /// Of frequency.
    pub frequency: u8,
    /// Of monetary value.
    pub monetary: u8,
}

impl Quintiles {
    /// The quintiles of buyers.
    pub fn of(buyers: &[Figures]) -> Self {
        let boundaries = |figure: fn(&Figures) -> f64| {
            let mut values: Vec<f64> = buyers.iter().map(figure).collect();
            values.sort_unstable_by(f64::total_cmp);
            // The nearest rank.
            let at = |fifth: usize| (values.len() * fifth).div_ceil(5).max(1) - 1;
            [1, 2, 3, 4].map(|fifth| values.get(at(fifth)).copied().unwrap_or(0.0))
        };
        Self {
            recency_days: boundaries(|buyer| buyer.recency_days),
            frequency: boundaries(|buyer| f64::from(buyer.frequency)),
            monetary: boundaries(|buyer| buyer.monetary),
        }
    }

    /// The scores of a buyer. Equal figures have equal scores.
    pub fn scores(&self, buyer: &Figures) -> Scores {
        let above = |boundaries: &[f64; 4], value: f64| {
            boundaries.iter().filter(|boundary| value > **boundary).count() as u8
        };
        Scores {
            recency: 5 - above(&self.recency_days, buyer.recency_days),
            frequency: 1 + above(&self.frequency, f64::from(buyer.frequency)),
            monetary: 1 + above(&self.monetary, buyer.monetary),
        }
    }
}

impl Scores {
    /// The segment that holds them, by its place.
    pub fn segment(&self, segments: &[RfmSegment]) -> Option<usize> {
        let within = |score: u8, [low, high]: [u8; 2]| (low..=high).contains(&score);
        segments.iter().position(|segment| {
            within(self.recency, segment.recency)
                && within(self.frequency, segment.frequency)
                && within(self.monetary, segment.monetary)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buyer(recency_days: f64, frequency: u32, monetary: f64) -> Figures {
        Figures { recency_days, frequency, monetary }
    }

    #[test]
    fn a_fifth_of_the_buyers_has_each_score_and_equals_are_equal() {
        let buyers: Vec<Figures> = (1..=100)
            .map(|n| buyer(f64::from(n), if n <= 60 { 1 } else { n }, f64::from(n)))
            .collect();
        let quintiles = Quintiles::of(&buyers);
        assert_eq!(quintiles.recency_days, [20.0, 40.0, 60.0, 80.0]);
        let of = |n: usize| {
            let Scores { recency, frequency, monetary } = quintiles.scores(&buyers[n - 1]);
            [recency, frequency, monetary]
        };
        assert_eq!([of(1), of(20), of(21)], [[5, 1, 1], [5, 1, 1], [4, 1, 2]]);
        assert_eq!([of(60), of(61), of(100)], [[3, 1, 3], [2, 4, 4], [1, 5, 5]]);
        assert_eq!(Quintiles::of(&[]), Quintiles::default());
    }

    #[test]
    fn the_usual_segments_hold_every_score_once() {
        let segments = usual_segments();
        assert_eq!(check(&segments), Ok(()));
        for recency in 1..=5 {
            for frequency in 1..=5 {
                let scores = Scores { recency, frequency, monetary: 3 };
                assert!(scores.segment(&segments).is_some(), "{scores:?}");
            }
        }
        let name = |recency, frequency| {
            let scores = Scores { recency, frequency, monetary: 1 };
            segments[scores.segment(&segments).unwrap()].name.clone()
        };
        assert_eq!([name(5, 5), name(1, 5), name(5, 1)], ["champions", "cannot_lose", "new"]);
    }

    #[test]
    fn ranges_and_names_are_checked() {
        let mut segments = usual_segments();
        segments[1].recency = [4, 3];
        assert_eq!(check(&segments).unwrap_err().field, "rfm_segments[1].recency");
        segments[1].recency = [0, 3];
        assert_eq!(check(&segments).unwrap_err().field, "rfm_segments[1].recency");
        segments[1] = segments[0].clone();
        assert_eq!(check(&segments).unwrap_err().field, "rfm_segments[1].name");
    }
}
