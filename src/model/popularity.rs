//! Popularity: items by distinct buyers in several windows of time.

use crate::domain::ItemIdx;
use crate::domain::topk::Scored;

/// Buyers below which an item is rare: behaviour says next to nothing of it.
const RARE: f32 = 3.0;

/// Whether an item has fewer than three buyers, by `buyers` of all time.
pub fn is_rare(buyers: &[f32], item: ItemIdx) -> bool {
    buyers.get(item as usize).is_none_or(|&n| n < RARE)
}

/// A window of time that ends at the newest event trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The last 7 days.
    Days7,
    /// The last 30 days.
    Days30,
    /// The whole log.
    AllTime,
}

impl Window {
    /// Its length in days, where it has one.
    pub fn days(self) -> Option<i64> {
        match self {
            Window::Days7 => Some(7),
            Window::Days30 => Some(30),
            Window::AllTime => None,
        }
    }
}

/// Items with a score above 0, best first, ties by the lower idx.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking {
    /// The ranked items.
    pub items: Vec<ItemIdx>,
    /// Their scores.
    pub scores: Vec<f32>,
    /// The score of every item, by idx; 0 for those not ranked.
    pub by_item: Vec<f32>,
}

impl Ranking {
    /// Ranks items by score; `scores[i]` belongs to item i.
    pub fn new(scores: impl IntoIterator<Item = f32>) -> Self {
        let by_item: Vec<f32> = scores.into_iter().collect();
        let mut ranked: Vec<Scored> = (0u32..)
            .zip(by_item.iter().copied())
            .filter(|(_, score)| *score > 0.0)
            .map(|(idx, score)| Scored { idx, score })
            .collect();

        ranked.sort_unstable_by(Scored::best_first);
        Self {
            items: ranked.iter().map(|s| s.idx).collect(),
            scores: ranked.iter().map(|s| s.score).collect(),
            by_item,
        }
    }

    /// Items with their scores, best first.
    pub fn iter(&self) -> impl Iterator<Item = Scored> + '_ {
        self.items.iter().zip(&self.scores).map(|(&idx, &score)| Scored { idx, score })
    }
}

/// Popularity in several windows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Popularity {
    /// Distinct buyers of the last 7 days.
    pub days7: Ranking,
    /// Distinct buyers of the last 30 days.
    pub days30: Ranking,
    /// Distinct buyers ever.
    pub all_time: Ranking,
    /// Sum of the faded cells: trending, with a half-life.
    pub trending: Ranking,
}

impl Popularity {
    /// The ranking of a window.
    pub fn window(&self, window: Window) -> &Ranking {
        match window {
            Window::Days7 => &self.days7,
            Window::Days30 => &self.days30,
            Window::AllTime => &self.all_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_first_and_nothing_unbought() {
        let ranking = Ranking::new([1.0, 0.0, 3.0, 1.0]);
        assert_eq!(ranking.items, [2, 0, 3]);
        assert_eq!(ranking.scores, [3.0, 1.0, 1.0]);
    }
}
