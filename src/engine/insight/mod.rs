//! What the store knows of its users, from its live state.
//!
//! - `facts`: what is read of a user
//! - [`user`]: one user's portrait, value and tiers
//! - [`audience`]: whom to send something
//! - [`rights`]: what a user may ask about themselves
//! - [`overview`]: the store's users as a whole

pub mod audience;
mod facts;
pub mod overview;
pub mod rights;
pub mod user;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::periodic::Periodic;
use super::state::State;
use crate::domain::Result;

pub(super) use facts::Facts;

/// Time between two looks at the age of the figures.
const REST: (Duration, u32) = (Duration::from_secs(5), 20);

/// Answers what the store knows of its users.
#[derive(Debug)]
pub struct Insight {
    state: Arc<State>,
    /// Held while an audience is made: one takes seconds and memory on a large store.
    audience: Mutex<()>,
    _refresher: Periodic,
}

impl Insight {
    /// Figures that compare users are made anew from time to time.
    pub(super) fn start(state: Arc<State>) -> Result<Self> {
        let of_thread = state.clone();
        let refresher = Periodic::start("insight", REST, move || {
            of_thread.populations.refresh(&of_thread.live);
        })?;
        Ok(Self { state, audience: Mutex::default(), _refresher: refresher })
    }
}
