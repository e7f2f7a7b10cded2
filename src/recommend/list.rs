//! A personalised list.

use crate::domain::{HistoryEvent, ItemIdx};
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

/// Why an item is in a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reasons {
    /// The part of each source, largest first; they sum to the blend's score.
    pub shares: Vec<(Source, f32)>,
    /// What the second stage adds or takes away.
    pub second_stage: f32,
    /// What variety takes away.
    pub variety: f32,
    /// The user's events that led to it, largest part first: their newest events on each item, with
    /// their parts of the score.
    pub led_by: Vec<(HistoryEvent, f32)>,
    /// How many of the users most similar to this one took it.
    pub similar_users: u32,
    /// The usual days between two purchases of it, and the days since the user's last.
    pub due: Option<(f32, f32)>,
}

impl Reasons {
    /// The blend's score.
    pub fn blend_score(&self) -> f32 {
        self.shares.iter().map(|(_, share)| share).sum()
    }
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
