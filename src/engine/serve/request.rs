//! What is asked of the recommender, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::steered::SteeredAnswer;
use crate::domain::{Deadline, EventKind, Generation, ItemIdx};
use crate::engine::stats::Made;
use crate::live::Filter;
use crate::model::blend::BlendSettings;
use crate::model::{Manifest, Source};
use crate::recommend::{Basis, FunnelStage, Objective, RandomSlot, RepeatPolicy, Variety};
use crate::rules::CompiledRules;
use crate::telemetry::RequestRecord;

/// A request for a personalised list.
#[derive(Debug, Clone, Default)]
pub struct RecommendRequest {
    /// The user's external id; empty: anonymous.
    pub user_id: String,
    /// Identifies the session of a user without an id, for experiments; may be empty.
    pub session_id: String,
    /// Items of the running session, oldest first; unknown ones are ignored.
    pub session: Vec<String>,
    /// Length of the list.
    pub limit: usize,
    /// What may be offered.
    pub filter: Arc<Filter>,
    /// Items never offered; unknown ones are ignored.
    pub exclude: Vec<String>,
    /// The placement, or the name of the method that answers.
    pub placement: String,
    /// The category of the page; empty for none.
    pub page_category: String,
    /// The items of the page: the one shown, or a basket; unknown ones are ignored.
    pub page_items: Vec<String>,
    /// Items that earlier pages of the list showed; they are not offered.
    pub shown_before: Vec<ItemIdx>,
    /// Only these may be offered; none: all that pass the filter.
    pub candidates: Option<Vec<String>>,
    /// One candidate source alone; none: the blend.
    pub strategy: Option<Source>,
    /// Whether bought items may come back; none: the store's setting.
    pub repeat: Option<RepeatPolicy>,
    /// When the caller stops waiting: near it, the second stage is left out.
    pub deadline: Option<Deadline>,
    /// Attributes of the user as of now; they override those in the store.
    pub attributes: BTreeMap<String, String>,
    /// Whether each item comes with an explanation.
    pub explain: bool,
    /// How much the items differ; none: by their scores alone.
    pub variety: Option<Variety>,
    /// Rules other than those in force, to try them.
    pub rules: Option<Arc<CompiledRules>>,
    /// What the list is for; none: what users take.
    pub objective: Option<Objective>,
    /// Weights of the sources other than the model's.
    pub weights: Option<BlendSettings>,
    /// The kept model that makes the list; none: the one that answers.
    pub generation: Option<Generation>,
    /// The position whose item is drawn by chance.
    pub slot: Option<RandomSlot>,
    /// Variants that a tester wants to see, as "experiment/variant"; such lists count in no experiment.
    pub forced_variants: Vec<String>,
    /// What the list is of an experiment, as "experiment/variant"; empty for none.
    pub variant: String,
    /// Whether it is a part of another list, and not shown by itself.
    pub is_part: bool,
    /// Where the stages of the list are noted; none where no one reads them.
    pub record: Option<Arc<RequestRecord>>,
}

impl RecommendRequest {
    /// Notes that a stage ends now.
    pub(super) fn end(&self, stage: &'static str) {
        if let Some(record) = &self.record {
            record.end(stage);
        }
    }

    /// Notes that a stage of the funnel ends now.
    pub(super) fn end_funnel_stage(&self, stage: FunnelStage, passed: usize) {
        if let Some(record) = &self.record {
            let source = stage.source().map_or("", Source::name);
            record.end_stage(stage.name(), source, Some(passed));
        }
    }
}

/// An item of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredItem {
    /// Its external id.
    pub item_id: String,
    /// Its idx; none for an item that the store does not know.
    pub idx: Option<ItemIdx>,
    /// Higher is better, within one list.
    pub score: f32,
    /// The source that contributed most.
    pub source: Source,
    /// The probability with which it is at its place; 1 where nothing was drawn by chance.
    pub propensity: f32,
    /// Why it is in the list, where the request asks.
    pub explanation: Option<Box<Explanation>>,
}

/// Why an item is in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The blend's score: the sum of the shares.
    pub blend_score: f32,
    /// The part of each source, largest first.
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
    /// The rules that moved it, each with what it adds to the score, or takes away.
    pub rules: Vec<(String, f32)>,
    /// The user's events that led to it, largest part first.
    pub led_by: Vec<LedBy>,
    /// How many of the users most similar to this one took it.
    pub similar_users: u32,
    /// What it has in common with the item of the first of these events: names and values.
    pub shared: Vec<(String, String)>,
    /// The usual days between two purchases of it, and the days since the user's last.
    pub due: Option<(f32, f32)>,
    /// The reason as a sentence, in English.
    pub sentence_en: String,
    /// The reason as a sentence, in Chinese.
    pub sentence_zh: String,
}

/// An event of the user that led to an item.
#[derive(Debug, Clone, PartialEq)]
pub struct LedBy {
    /// The item of the event.
    pub item_id: String,
    /// Its kind.
    pub kind: EventKind,
    /// Its time, in milliseconds since 1970.
    pub time_ms: i64,
    /// Its part of the score.
    pub share: f32,
}

/// A user of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredUser {
    /// Their name in the store.
    pub user_id: String,
    /// Similarity, 0 to 1.
    pub score: f32,
}

/// An answer: a list and where it came from.
#[derive(Debug, Clone)]
pub struct Answer<T = ScoredItem> {
    /// Identifies this answer in later events.
    pub recommendation_id: Uuid,
    /// The generation that scored it; 0: live counts.
    pub generation: Generation,
    /// The list, best first.
    pub entries: Vec<T>,
    /// What it is based on.
    pub basis: Basis,
    /// Whether bought items could come back, and what decided that.
    pub repeat: Repeat,
    /// How it was made.
    pub made: Made,
    /// Whether the second stage was left out because of the deadline.
    pub reduced: bool,
    /// Whether it was made without what the store has of users, because a follower's lease has ended.
    pub stale: bool,
    /// With [`Basis::Attributes`]: the narrowest cohort that the list came from.
    pub cohort: String,
    /// What is shown above it; empty for nothing.
    pub title: String,
    /// What it is of an experiment, as "experiment/variant"; empty for none.
    pub variant: String,
    /// Where two lists were interleaved: the team of each item.
    pub(super) teams: Vec<u8>,
    /// The item that it is about, where a placement picked one.
    pub about: Option<String>,
    /// What rules did to it.
    pub(super) steered: SteeredAnswer,
}

impl Answer {
    /// The sum of the model's own scores of its items.
    pub(in crate::engine) fn own_score(&self) -> f64 {
        self.steered.own.1
    }
}

impl<T> Answer<T> {
    /// An answer with a fresh id that does not depend on what the user bought.
    pub(super) fn new(generation: Generation, entries: Vec<T>, basis: Basis) -> Self {
        Self {
            recommendation_id: Uuid::now_v7(),
            generation,
            entries,
            basis,
            repeat: Repeat { policy: RepeatPolicy::Allow, reason: RepeatReason::Default },
            made: Made::Live,
            reduced: false,
            stale: false,
            cohort: String::new(),
            title: String::new(),
            variant: String::new(),
            teams: Vec::new(),
            about: None,
            steered: SteeredAnswer::default(),
        }
    }
}

/// Whether items that the user bought could come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// Never [`RepeatPolicy::Auto`].
    pub policy: RepeatPolicy,
    /// What decided it.
    pub reason: RepeatReason,
}

/// What decides whether bought items may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatReason {
    /// The request.
    Request,
    /// The store's setting.
    Setting,
    /// The tuner: the setting is `auto`.
    Tuned,
    /// The default: the setting is `auto`, and the tuner has not run.
    Default,
}

impl Repeat {
    /// The policy of a request, where the store's `setting` applies to requests without one.
    pub(super) fn resolve(
        requested: Option<RepeatPolicy>,
        setting: RepeatPolicy,
        model: Option<&Manifest>,
    ) -> Self {
        let is_tuned = model.is_some_and(|model| model.tuning.is_some());
        let reason = match (requested, setting) {
            (Some(_), _) => RepeatReason::Request,
            (None, RepeatPolicy::Auto) if is_tuned => RepeatReason::Tuned,
            (None, RepeatPolicy::Auto) => RepeatReason::Default,
            (None, _) => RepeatReason::Setting,
        };
        let settings = model.map(|model| model.settings).unwrap_or_default();
        Self { policy: requested.unwrap_or(setting).resolved(&settings), reason }
    }
}
