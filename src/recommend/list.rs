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

/// What a list is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The user's own history.
    History,
    /// The items of an anonymous session.
    Session,
    /// Popularity: nothing is known of the user.
    Popular,
    /// Attributes: what users with the same attributes take now.
    Attributes,
}

/// A personalised list, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// The items.
    pub items: Vec<Recommended>,
    /// What it is based on.
    pub basis: Basis,
    /// Whether it was made when the snapshot was trained.
    pub prepared: bool,
    /// Whether the second stage was left out because of the deadline.
    pub reduced: bool,
    /// With [`Basis::Attributes`]: the narrowest cohort that the list came from.
    pub cohort: String,
}
