//! The engine's part of the configuration; each struct is a table of the file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Secret;
use crate::model::Settings;
use crate::recommend::RepeatPolicy;
use crate::store::Durability;
use crate::tune::Budget;

/// Everything an engine is opened with.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// The log.
    pub log: LogOptions,
    /// The trainer.
    pub train: TrainOptions,
    /// The models kept.
    pub models: ModelOptions,
    /// Models that were trained elsewhere.
    pub push: PushOptions,
    /// Serving.
    pub recommend: RecommendOptions,
    /// Privacy.
    pub privacy: PrivacyOptions,
    /// How large the store may become.
    pub limits: LimitOptions,
}

/// `[limits]`: how large a store may become; what would exceed a limit is refused
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOptions {
    /// Most users that are ever named, erased ones included.
    pub max_users: usize,
    /// Most items that are ever named.
    pub max_items: usize,
    /// Memory in MiB that the process may hold for more to be written; 0: 85 % of what there is.
    pub memory_mib: u64,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self { max_users: 50_000_000, max_items: 10_000_000, memory_mib: 0 }
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
    /// Whether to go on without what a lost file of the log held. Asked for once, by a flag:
    /// what goes on by itself is never noticed.
    #[serde(skip)]
    pub accept_loss: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { durability: Durability::PowerLoss, segment_mib: 256, accept_loss: false }
    }
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Train without being asked: at start where there is no model, by
    /// schedule, and by number of new events.
    pub automatic: bool,
    /// Train when the newest model is this old and the log has grown; 0: never.
    pub every_minutes: u64,
    /// Train when the log has grown by this many records; 0: never.
    pub new_events: u64,
    /// Threads of the trainer; 0: one per core.
    pub threads: usize,
    /// Seed of its random numbers.
    pub seed: u64,
    /// Fit settings and blend weights to the store at every training but the very
    /// first, which is published at once and followed by a tuned one.
    pub tune: bool,
    /// Values of settings that a tuning tries at the most.
    pub tune_trials: usize,
    /// Minutes after which a tuning tries no more; 0: no such limit.
    pub tune_minutes: u64,
    /// Lists made ahead by a training that is not the very first, of the shoppers who were
    /// there last: they are answered at once until the shopper does something. Each takes
    /// about 400 bytes.
    pub prepared_lists: usize,
    /// Seconds after which no more lists are made ahead.
    pub prepare_seconds: u64,
    /// How models are trained and their sources blended, where the tuner is off or
    /// has nothing to go by; where the first tuning starts.
    pub settings: Settings,
}

impl TrainOptions {
    /// What a tuning may spend.
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
            seed: 1,
            tune: true,
            tune_trials: 120,
            tune_minutes: 60,
            prepared_lists: 1_000_000,
            prepare_seconds: 360,
            settings: Settings::default(),
        }
    }
}

/// `[models]`: which are kept
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelOptions {
    /// Models kept on disk of those that answered once, and of those that wait; those that take
    /// part in serving, and the one that going back leads to, are kept besides.
    pub keep: usize,
    /// Room on disk, in MiB, beyond which of these the oldest go; 0: any.
    pub keep_mib: u64,
    /// The model that answered before stays in memory up to this size in MiB, so that going
    /// back to it takes no reading.
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
    /// Largest file, in MiB.
    pub max_mib: u64,
    /// Most memory that reading, indexing and serving one may take, in MiB; judging its lists
    /// takes as much as a tuning besides.
    pub memory_mib: u64,
    /// Minutes for which a broken push can be taken up again.
    pub resume_minutes: u64,
    /// Least share of the items that can be bought now which it must know.
    #[serde(alias = "least_catalogue")]
    pub min_catalogue: f64,
    /// Least share of the last week's sales which it must know the items of.
    #[serde(alias = "least_sales")]
    pub min_sales: f64,
    /// Largest share of its ids that the store may not know.
    #[serde(alias = "most_unknown")]
    pub max_unknown: f64,
    /// What lists with it must reach of what they reach without.
    #[serde(alias = "least_quality")]
    pub min_quality: f64,
    /// Days after which a training leaves it out.
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
    /// Whether bought items come back where a request does not say:
    /// "auto" (as the tuner finds best), "exclude-purchased", "when-due",
    /// `{ exclude-within = 30 }` or "allow". Lists are made ahead where it comes to all of
    /// them or none.
    pub repeat_policy: RepeatPolicy,
    /// Newest events kept in memory of each shopper.
    pub history_limit: usize,
    /// Attributes by which a shopper who has done nothing yet is like others, the one to
    /// give up last first: with all of them, lists come from those alike in all, then in
    /// all but the last, and so on.
    pub cohorts: Vec<String>,
}

impl Default for RecommendOptions {
    fn default() -> Self {
        let cohorts = ["segment", "country", "device"].map(str::to_owned).to_vec();
        Self { repeat_policy: RepeatPolicy::Auto, history_limit: 2_000, cohorts }
    }
}

/// `[privacy]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyOptions {
    /// Secret by which users are stored under pseudonyms, at least 16 bytes; empty: under
    /// their ids. A data folder keeps to what it was begun with. Best given by the variable
    /// QIANMIAN_PRIVACY__PSEUDONYM_KEY.
    pub pseudonym_key: Secret,
}
