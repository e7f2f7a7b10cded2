//! Candidate sources: each is described once, in a file of its own, by an implementation of
//! [`CandidateSource`]: how it is trained, how it proposes items, what the tuner may change. Its
//! name, its number in the protocol and its default weight are its line in `model/source.rs`,
//! from which its module here is declared too.
//!
//! - [`candidate`]: the trait; [`training`]: trains the parts of a snapshot by asking every source
//! - [`memory`]: what a training takes, and which sources fit
//! - [`query`]: what is asked, and what may be offered; [`scratch`]: memory that requests reuse
//! - [`watch`]: the stages of a list, and who follows them
//! - [`search_space`]: settings that the tuner may change, and the values worth trying
//! - `linear`, `nearest`, `neighbours`, `ranked`: proposals that several sources share

pub mod candidate;
mod linear;
pub mod memory;
mod nearest;
mod neighbours;
pub mod objective;
pub mod query;
mod ranked;
pub mod scratch;
pub mod search_space;
pub mod training;
pub mod watch;

pub use candidate::{CandidateSource, TrainingJob};
pub use memory::{DataSize, MemoryNeed, TrainingMemory};
pub use nearest::nearest;
pub use neighbours::similar_users;
pub use objective::{Objective, Worth};
pub use query::{Diversifier, Likeness, Query, RepeatPolicy, Shelf, Variety};
pub use scratch::Scratch;
pub use training::{Trained, train};
pub use watch::{FunnelStage, Watch};

use crate::model::source::candidate_sources;
use crate::model::{Snapshot, Source};

macro_rules! register {
    ($($(#[$doc:meta])* $module:ident: $variant:ident = $number:literal, weight $weight:literal, $origin:ident;)*) => {
        $(mod $module;)*

        /// The implementation of a source of the blend; none for the others, which come in where
        /// a list is filled or asked for by name.
        pub fn of(source: Source) -> Option<&'static dyn CandidateSource> {
            match source {
                $(Source::$variant => Some(&$module::$variant),)*
                _ => None,
            }
        }
    };
}
candidate_sources!(register);

/// Writes the best `k` allowed items of a source into `scratch.candidates`; none for a source that
/// the blend does not ask.
pub fn propose(
    snapshot: &Snapshot,
    source: Source,
    query: &Query<'_>,
    k: usize,
    scratch: &mut Scratch,
) {
    match of(source) {
        Some(candidate) => candidate.propose(snapshot, query, k, scratch),
        None => scratch.candidates.clear(),
    }
}
