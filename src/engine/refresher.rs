//! Compiles rules again, and holds the models that placements name, within seconds of a change that concerns
//! them.

use std::sync::Arc;
use std::time::Duration;

use super::periodic::Periodic;
use super::state::State;
use crate::domain::Result;

/// Time between two looks, and the multiple of the time that compiling took.
const REST: (Duration, u32) = (Duration::from_secs(1), 20);

/// Starts the thread.
pub(super) fn start(state: Arc<State>) -> Result<Periodic> {
    Periodic::start("rules", REST, move || {
        let placements = state.in_force.placements();
        let named = placements.placements.iter().filter_map(|placement| placement.generation);
        state.pinned.hold(&named.collect::<Vec<_>>(), &state.models);
        if let Err(error) = state.in_force.refresh(&state.live) {
            tracing::error!(%error, "rules are not up to date");
        }
    })
}
