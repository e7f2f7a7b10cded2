//! The engine's part of the configuration; each struct is a table of the file.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::seats::Seats;
use crate::domain::{Secret, Shard};
use crate::experiment::AttributionOptions;
use crate::model::Settings;
use crate::recommend::RepeatPolicy;
use crate::store::Durability;
use crate::tune::Budget;

/// The store that every data folder has.
pub const DEFAULT_STORE: &str = "default";

/// Everything an engine is opened with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Name of the store.
    pub store: String,
    /// The log.
    pub log: LogOptions,
    /// Training.
    pub train: TrainOptions,
    /// Models kept on disk.
    pub models: ModelOptions,
    /// Models that were trained elsewhere.
    pub push: PushOptions,
    /// Lists.
    pub recommend: RecommendOptions,
    /// What is measured of lists.
    pub experiments: ExperimentOptions,
    /// `[insight]`
    pub insight: InsightOptions,
    /// What is read of items.
    pub catalog: CatalogOptions,
    /// Privacy.
    pub privacy: PrivacyOptions,
    /// Limits on the size of the store.
    pub limits: LimitOptions,
    /// Whether the store follows one of another server: writes come from there alone.
    pub follows: bool,
    /// The users whose lists this server makes.
    pub shard: Shard,
    /// What this server may do, where it shares an object store with others.
    pub seats: Seats,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            store: DEFAULT_STORE.to_owned(),
            log: LogOptions::default(),
            train: TrainOptions::default(),
            models: ModelOptions::default(),
            push: PushOptions::default(),
            recommend: RecommendOptions::default(),
            experiments: ExperimentOptions::default(),
            insight: InsightOptions::default(),
            catalog: CatalogOptions::default(),
            privacy: PrivacyOptions::default(),
            limits: LimitOptions::default(),
            follows: false,
            shard: Shard::WHOLE,
            seats: Seats::default(),
        }
    }
}

/// `[limits]`: the size of the store; writes beyond a limit are refused
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOptions {
    /// Maximum number of users ever named, erased ones included.
    pub max_users: usize,
    /// Maximum number of items ever named.
    pub max_items: usize,
    /// Memory of the process in MiB beyond which writes that grow the store are refused; 0: 85 % of
    /// the machine's.
    pub memory_mib: u64,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self { max_users: 50_000_000, max_items: 10_000_000, memory_mib: 0 }
    }
}

/// How large a store may become; writes beyond a limit are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Maximum number of users ever named, erased ones included.
    pub max_users: usize,
    /// Maximum number of items ever named.
    pub max_items: usize,
    /// Maximum of [`crate::engine::Engine::memory_bytes`], in MiB; 0: no limit of its own.
    pub memory_mib: u64,
}

impl StoreLimits {
    /// The limits of a store that has none of its own.
    pub fn of(options: &LimitOptions) -> Self {
        Self { max_users: options.max_users, max_items: options.max_items, memory_mib: 0 }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// What an acknowledged write survives: "power-loss" or "process-crash".
    pub durability: Durability,
    /// Size at which a new file of the log begins, in MiB.
    pub segment_mib: u64,
    /// Minimum number of records between two checkpoints, from which a start goes on; 0: none is written.
    pub checkpoint_records: u64,
    /// Whether to start without lost files of the log. Set once, by a flag: a setting would hide
    /// later losses.
    #[serde(skip)]
    pub accept_loss: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            durability: Durability::PowerLoss,
            segment_mib: 256,
            checkpoint_records: 1_000_000,
            accept_loss: false,
        }
    }
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Train automatically: at start without a model, by schedule, and by number of new events.
    pub automatic: bool,
    /// Train when the newest model is this old, in minutes, and the log has grown; 0: never.
    pub every_minutes: u64,
    /// Train when the log has grown by this many records; 0: never.
    pub new_events: u64,
    /// Threads of the trainer; 0: one per core.
    pub threads: usize,
    /// Memory in MiB that a training may take beside what the server holds: sources that do not fit
    /// are left out. 0: what is left of 85 % of the machine's.
    pub memory_mib: u64,
    /// Seed of random numbers.
    pub seed: u64,
    /// Fit settings and blend weights to the store in every training but the very first, which is
    /// published at once and followed by a tuned one.
    pub tune: bool,
    /// Maximum number of values that a tuning tries.
    pub tune_trials: usize,
    /// Maximum duration of a tuning in minutes; 0: no limit.
    pub tune_minutes: u64,
    /// Maximum number of prepared lists of a training, for the most recent users: they are served
    /// at once until their user does something. About 400 bytes each. Those of the very first
    /// model are prepared after it is published.
    pub prepared_lists: usize,
    /// Maximum duration of preparing lists, in seconds.
    pub prepare_seconds: u64,
    /// What happens where the data is broken (the last week has less than half of the week before,
    /// or events are dated after now): "warn" trains all the same, "hold" keeps the model before.
    pub doctor: DoctorPolicy,
    /// Settings of training and blending, where the tuner is off or has no data; where the first
    /// tuning starts.
    pub settings: Settings,
}

/// What happens where a training would rest on broken data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoctorPolicy {
    /// It is said, and the training runs.
    Warn,
    /// The training is held back; the model before answers.
    Hold,
}

impl TrainOptions {
    /// The budget of a tuning.
    pub fn budget(&self) -> Budget {
        let minutes = self.tune_minutes;
        Budget::new(self.tune_trials, (minutes > 0).then(|| Duration::from_secs(minutes * 60)))
    }
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            automatic: true,
            every_minutes: 1_440,
            new_events: 100_000,
            threads: 0,
            memory_mib: 0,
            seed: 1,
            tune: true,
            tune_trials: 120,
            tune_minutes: 60,
            prepared_lists: 1_000_000,
            prepare_seconds: 360,
            doctor: DoctorPolicy::Warn,
            settings: Settings::default(),
        }
    }
}

/// `[models]`: models kept on disk
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelOptions {
    /// Number of retired and of staged models kept on disk; models with a role in serving, and the
    /// target of a rollback, are kept in addition.
    pub keep: usize,
    /// Size in MiB beyond which the oldest of these are removed; 0: no limit.
    pub keep_mib: u64,
    /// The model before the active one stays in memory up to this size in MiB, for an instant
    /// rollback.
    pub standby_mib: u64,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { keep: 5, keep_mib: 0, standby_mib: 1_024 }
    }
}

/// `[push]`: models that were trained elsewhere
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushOptions {
    /// Maximum size of a file, in MiB.
    pub max_mib: u64,
    /// Maximum memory for reading, indexing and serving a pushed model, in MiB; judging its lists
    /// takes as much as a tuning in addition.
    pub memory_mib: u64,
    /// Minutes for which a broken push can be resumed.
    pub resume_minutes: u64,
    /// Minimum share of the available items that it must know.
    #[serde(alias = "least_catalogue")]
    pub min_catalogue: f64,
    /// Minimum share of the last week's sales whose items it must know.
    #[serde(alias = "least_sales")]
    pub min_sales: f64,
    /// Maximum share of its ids that the store does not know.
    #[serde(alias = "most_unknown")]
    pub max_unknown: f64,
    /// Minimum quality of lists with it, relative to lists without.
    #[serde(alias = "least_quality")]
    pub min_quality: f64,
    /// Days after which trainings no longer carry it on.
    pub keep_days: u32,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            max_mib: 1_024,
            memory_mib: 4_096,
            resume_minutes: 10,
            min_catalogue: 0.1,
            min_sales: 0.5,
            max_unknown: 0.5,
            min_quality: 0.99,
            keep_days: 30,
        }
    }
}

/// `[recommend]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecommendOptions {
    /// Whether bought items come back where a request does not say: "auto" (as the tuner finds
    /// best), "exclude-purchased", "when-due", `{ exclude-within = 30 }` or "allow". Lists are
    /// prepared for "allow" and "exclude-purchased", and for "auto", which becomes one of them.
    pub repeat_policy: RepeatPolicy,
    /// Newest events kept in memory of each user.
    pub history_limit: usize,
    /// Maximum number of active users whose lists are made anew after each of their events, in the
    /// background; 0: of none, so that each request makes its own. About 700 bytes each.
    pub active_lists: usize,
    /// Share of the answers whose items are recorded in the log, 0 to 1: what was shown to whom, from
    /// which later evaluations start. Some 80 bytes an answer.
    pub exposures: f64,
    /// Impressions of an item without a click after which it fades for that user; 0: never. Counted
    /// from events of the kind "impression".
    pub fatigue_after: u32,
    /// What a tired item's score is multiplied by for each impression from then on, 0 to 1.
    pub fatigue_factor: f32,
    /// Attributes that define cohorts of users without events, the one dropped first last: lists
    /// come from users alike in all of them, then in all but the last, and so on.
    pub cohorts: Vec<String>,
}

impl Default for RecommendOptions {
    fn default() -> Self {
        let cohorts = ["segment", "country", "device"].map(str::to_owned).to_vec();
        Self {
            repeat_policy: RepeatPolicy::Auto,
            history_limit: 2_000,
            active_lists: 100_000,
            exposures: 1.0,
            fatigue_after: 0,
            fatigue_factor: 0.7,
            cohorts,
        }
    }
}

/// `[experiments]`: how outcomes are attributed to lists, and what is measured
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExperimentOptions {
    /// How long after a list an event that names no recommendation can belong to it, in minutes.
    pub window_minutes: u64,
    /// Maximum number of lists that events can be attributed to; the oldest leave. About 300 bytes
    /// each.
    pub lists: usize,
    /// Users whose lists and events are not measured, such as staff and bots: their attributes, as
    /// "name=value".
    pub exclude: Vec<String>,
    /// A canary whose conversion is certainly lower than the active model's by more than this share is
    /// withdrawn; 1: never.
    pub canary_guardrail: f64,
}

impl Default for ExperimentOptions {
    fn default() -> Self {
        Self { window_minutes: 1_440, lists: 200_000, exclude: Vec::new(), canary_guardrail: 0.1 }
    }
}

impl ExperimentOptions {
    /// How outcomes are attributed.
    pub fn attribution(&self) -> AttributionOptions {
        AttributionOptions { window_ms: self.window_minutes as i64 * 60_000, lists: self.lists }
    }

    /// The attributes of users who are not measured, as names and values.
    ///
    /// # Errors
    /// The first that is no "name=value".
    pub fn excluded(&self) -> Result<Vec<(String, String)>, String> {
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
            Some((name.to_owned(), value.to_owned()))
        };
        let read =
            |text| pair(text).ok_or_else(|| format!("must hold \"name=value\", holds {text:?}"));
        self.exclude.iter().map(read).collect()
    }
}

/// `[insight]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InsightOptions {
    /// The store's time zone (IANA), in which hours, days, weeks and months of activity are counted.
    pub time_zone: String,
    /// Figures that compare users, such as quintiles and fitted models, are made anew when they are older
    /// than this, in minutes.
    pub refresh_minutes: u64,
}

impl Default for InsightOptions {
    fn default() -> Self {
        Self { time_zone: "UTC".to_owned(), refresh_minutes: 60 }
    }
}

impl InsightOptions {
    /// The time zone.
    ///
    /// # Errors
    /// What it must be.
    pub fn zone(&self) -> Result<TimeZone, String> {
        TimeZone::get(&self.time_zone)
            .map_err(|_| format!("must be an IANA time zone, was {:?}", self.time_zone))
    }
}

/// `[catalog]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogOptions {
    /// Folder of a static text model (Model2Vec), which gives items a further vector, of their titles
    /// and descriptions; empty: none. In builds with the feature `text-model`.
    pub text_model: PathBuf,
}

/// `[privacy]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyOptions {
    /// Secret by which users are stored under pseudonyms, at least 16 bytes; empty: under their
    /// ids. A data folder keeps the key it was created with. Best set by the variable
    /// QIANMIAN_PRIVACY__PSEUDONYM_KEY.
    pub pseudonym_key: Secret,
}
