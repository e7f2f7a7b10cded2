//! What a merchandiser decides of lists: rules, each with the items that it concerns, what it does
//! with them, and when.
//!
//! - [`rule`]: rules as data, and their limits
//! - [`schedule`]: when a rule holds
//! - [`select`]: the items of a rule in a catalogue
//! - [`compiled`]: the rules in force, merged by placement
//! - [`active`]: those that hold for one list
//! - [`target`]: the controller that holds a share of what is shown

pub mod active;
pub mod compiled;
pub mod rule;
pub mod schedule;
pub mod select;
pub mod target;

pub use active::{ActiveRules, Asked};
pub use compiled::CompiledRules;
pub use rule::{Action, Rule, RuleSet};
pub use schedule::{Schedule, When};
pub use select::{ItemSet, Select};
pub use target::{Target, TargetReport};
