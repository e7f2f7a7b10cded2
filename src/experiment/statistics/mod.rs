//! Statistics of experiments: how sure a difference between two variants is.
//!
//! - [`sample`]: what is summed over the units of a variant, with a covariate
//! - [`estimate`]: a difference, a lift or a ratio with its standard error, and its intervals
//! - [`check`]: whether units arrived in the planned shares
//! - [`power`]: how many units an experiment needs

pub mod check;
pub mod estimate;
pub mod power;
pub mod sample;

pub use check::sample_ratio;
pub use estimate::{Estimate, Interval, TUNED_FOR};
pub use power::units_needed;
pub use sample::Sample;
