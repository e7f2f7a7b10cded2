//! How items are bought: again, by how many of those who tried them, and how soon;
//! since when, until when, and for what price.

/// Purchases by item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Habits {
    /// Share of an item's buyers who came back for it, 0 to 1, drawn towards the
    /// store's mean where few bought it.
    pub again: Vec<f32>,
    /// Usual days between two purchases by one shopper, drawn towards the store's
    /// mean likewise; 0 where the store knows no repeat purchase.
    pub gap_days: Vec<f32>,
    /// Days from an item's first event to the newest of the log.
    pub age_days: Vec<f32>,
    /// Days from an item's newest event to the newest of the log.
    pub idle_days: Vec<f32>,
    /// What one of it usually costs, in the store's currency; 0 where unknown.
    pub price: Vec<f32>,
}
