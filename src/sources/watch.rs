//! The stages of a list, and who follows them.

use crate::model::Source;

/// Follows the stages of a list: is called as each ends. The stages know no clock.
#[derive(Clone, Copy, Default)]
pub struct Watch<'a>(Option<&'a dyn Fn(FunnelStage, usize)>);

impl<'a> Watch<'a> {
    /// Calls `follow` with each stage and the number of candidates that leave it.
    pub fn by(follow: &'a dyn Fn(FunnelStage, usize)) -> Self {
        Self(Some(follow))
    }

    /// Notes that a stage ends; `passed` counts what leaves it where anyone follows.
    pub(crate) fn end(self, stage: FunnelStage, passed: impl FnOnce() -> usize) {
        if let Some(follow) = self.0 {
            follow(stage, passed());
        }
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}

/// A stage of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunnelStage {
    /// What may be offered at all.
    Restrict,
    /// A list that was prepared.
    Prepared,
    /// Candidates of one source.
    Retrieve(Source),
    /// One score from all sources.
    Blend,
    /// The second stage.
    Rerank,
    /// Items taken together since the training.
    Fresh,
    /// What is taken now, for a user unknown to the snapshot.
    Cold,
    /// Boosts, buries and targets of rules.
    Boost,
    /// Pins and quotas of rules.
    Place,
    /// Items that differ, chosen from the candidates.
    Variety,
    /// Places for new and rare items, by chance.
    Exploration,
    /// Places for rare items that content proposes.
    Room,
    /// Popular items, up to the limit.
    Fill,
    /// What led to each item.
    Reasons,
}

impl FunnelStage {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            FunnelStage::Restrict => "restrict",
            FunnelStage::Prepared => "prepared",
            FunnelStage::Retrieve(_) => "retrieve",
            FunnelStage::Blend => "blend",
            FunnelStage::Rerank => "rerank",
            FunnelStage::Fresh => "fresh",
            FunnelStage::Cold => "cold",
            FunnelStage::Boost => "boost",
            FunnelStage::Place => "place",
            FunnelStage::Variety => "variety",
            FunnelStage::Exploration => "exploration",
            FunnelStage::Room => "room",
            FunnelStage::Fill => "fill",
            FunnelStage::Reasons => "reasons",
        }
    }

    /// The source that it asks.
    pub fn source(self) -> Option<Source> {
        match self {
            FunnelStage::Retrieve(source) => Some(source),
            _ => None,
        }
    }
}
