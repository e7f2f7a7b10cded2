//! A personalised list.

use crate::domain::ItemIdx;
use crate::model::Source;

/// An item in a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recommended {
    /// The item.
    pub item: ItemIdx,
    /// Higher is better, within one list.
    pub score: f32,
    /// The source that contributed most.
    pub source: Source,
}

/// What a list was built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The shopper's own history.
    History,
    /// The items of an anonymous session.
    Session,
    /// Nothing known: a popular list.
    Popular,
    /// Nothing known but attributes: what those take now who have the same.
    Attributes,
}

/// A personalised list, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// The items.
    pub items: Vec<Recommended>,
    /// What they were chosen by.
    pub basis: Basis,
    /// Whether the second stage was left out for want of time.
    pub reduced: bool,
    /// With [`Basis::Attributes`]: the narrowest cohort that the list came from.
    pub cohort: String,
}
