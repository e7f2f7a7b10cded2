//! Experiments: what sells, and how sure that is. Pure: given records and a time, no I/O and no clock.
//!
//! - [`definition`]: experiments as people define them; [`assignment`]: who sees which variant
//! - [`attribution`]: joins outcomes to the lists that led to them; [`metrics`]: counts by placement, variant,
//!   model, source and hour; [`units`]: what users did in an experiment; [`measurements`]: all three, as a
//!   fold over the log
//! - [`statistics`]: intervals that may be read daily; [`figures`]: an experiment's, with sentences;
//!   [`verdict`]: what may be concluded; [`report`]: all of it
//! - [`interleaving`]: two variants in one list; [`off_policy`]: what a candidate would have earned
//! - [`simulation`]: users whose taste is known, for tests of all this

pub mod assignment;
pub mod attribution;
pub mod definition;
pub mod figures;
pub mod interleaving;
pub mod measurements;
pub mod metrics;
pub mod off_policy;
pub mod report;
pub mod simulation;
pub mod statistics;
pub mod units;
pub mod verdict;

pub use assignment::{Assigned, assign};
pub use definition::{
    Experiment, ExperimentSet, ExperimentState, Method, Metric, RampStep, Variant,
};
pub use measurements::{AttributionOptions, Measurements, alias_hash, session_hash};
pub use metrics::{Counts, Dimension, Group};
pub use report::Report;
pub use units::Before;
pub use verdict::Verdict;
