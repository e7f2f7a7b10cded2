//! A personalised list.

use super::reasons::Reasons;
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

/// How a list was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// When the snapshot was trained.
    Prepared,
    /// From all sources.
    Blended,
    /// From one source.
    Single,
    /// From what is taken now: the snapshot knows neither the user nor their items.
    Cold,
}

/// A personalised list, best first.
#[derive(Debug, Clone, PartialEq)]
pub struct List {
    /// The items.
    pub items: Vec<Recommended>,
    /// What it is based on.
    pub basis: Basis,
    /// How it was made.
    pub origin: Origin,
    /// Whether the second stage was left out because of the deadline.
    pub reduced: bool,
    /// With [`Basis::Attributes`]: the narrowest cohort that the list came from.
    pub cohort: String,
    /// Why each item is in it; empty where the query does not ask.
    pub reasons: Vec<Reasons>,
    /// The probability with which each item is at its place; empty where all are 1. Items after its
    /// end have 1.
    pub propensities: Vec<f32>,
}
