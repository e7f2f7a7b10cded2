//! What the store knows of its users, from its live state.
//!
//! - `population`: what compares users with each other, fitted from time to time
//! - [`user`]: one user's portrait, value and tiers
//! - [`rights`]: what a user may ask about themselves
//! - [`overview`]: the store's users as a whole

pub mod overview;
mod population;
pub mod rights;
pub mod user;

use std::sync::Arc;
use std::time::Duration;

use super::periodic::Periodic;
use super::state::State;
use crate::domain::Result;
use population::Populations;

/// Time between two looks at the age of the figures.
const REST: (Duration, u32) = (Duration::from_secs(5), 20);

/// Answers what the store knows of its users.
#[derive(Debug)]
pub struct Insight {
    state: Arc<State>,
    populations: Arc<Populations>,
    _refresher: Periodic,
}

impl Insight {
    /// Figures that compare users are made anew when they are older than `refresh_minutes`.
    pub(super) fn start(state: Arc<State>, refresh_minutes: u64) -> Result<Self> {
        let populations = Arc::new(Populations::new(refresh_minutes));
        let (of_thread, populations_of_thread) = (state.clone(), populations.clone());
        let refresher = Periodic::start("insight", REST, move || {
            populations_of_thread.refresh(&of_thread.live);
        })?;
        Ok(Self { state, populations, _refresher: refresher })
    }
}
