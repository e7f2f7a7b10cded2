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
    /// What a place that is for rare items adds.
    pub room: f32,
    /// What it loses because it was shown again and again.
    pub fatigue: f32,
    /// What the list's objective adds or takes away.
    pub objective: f32,
    /// What variety takes away.
    pub variety: f32,
    /// The rules that moved it, by their places among the compiled ones, each with what it adds to the
    /// score, or takes away.
    pub rules: Vec<(usize, f32)>,
    /// The user's events that led to it, largest part first: their newest events on each item, with
    /// their parts of the score.
    pub led_by: Vec<(HistoryEvent, f32)>,
    /// How many of the users most similar to this one took it.
    pub similar_users: u32,
    /// The usual days between two purchases of it, and the days since the user's last.
    pub due: Option<(f32, f32)>,
}

impl Reasons {
    /// What fatigue, the objective, variety and rules add to the model's own score, or take away.
    pub fn after(&self) -> f32 {
        self.fatigue
            + self.objective
            + self.variety
            + self.rules.iter().map(|(_, part)| part).sum::<f32>()
    }

    /// The blend's score.
    pub fn blend_score(&self) -> f32 {
        self.shares.iter().map(|(_, share)| share).sum()
    }
}

/// What rules did to a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steered {
    /// The items that rules moved, with the rule, by its place among the compiled ones, and what it
    /// adds to the score, or takes away. Of boosts only where the query asks for reasons.
    pub moved: Vec<Moved>,
    /// The sum of the model's own scores of the best items.
    pub best: f32,
    /// The same of the items in the list.
    pub kept: f32,
}

/// An item that a rule moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// The item.
    pub item: ItemIdx,
    /// The rule, by its place among the compiled ones.
    pub rule: usize,
    /// What it adds to the score, or takes away.
    pub part: f32,
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
    /// What rules did; none where none moves items.
    pub steered: Option<Steered>,
}
