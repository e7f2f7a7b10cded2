//! The thread that makes the lists of active users. It has the lowest priority: on a busy machine
//! requests come first, and all events of a user who waits get one list.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::active_lists::ActiveList;
use super::state::State;
use crate::domain::{Error, Result, UserIdx, now_ms};
use crate::recommend::Scratch;
use crate::recommend::prepared::{make_now, newcomers};
use crate::store::priority::step_back;

/// The thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct ListMaker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl ListMaker {
    pub(super) fn start(state: Arc<State>) -> Result<Self> {
        let of_thread = state.clone();
        let thread = std::thread::Builder::new()
            .name("active-lists".into())
            .spawn(move || make_all(&of_thread))
            .map_err(|e| Error::Storage(format!("the lists' thread does not start: {e}").into()))?;
        Ok(Self { state, thread: Some(thread) })
    }
}

fn make_all(state: &State) {
    let Some(active) = &state.active_lists else { return };
    step_back();
    let mut scratch = Scratch::default();
    while let Some(user) = active.next() {
        match catch_unwind(AssertUnwindSafe(|| made(state, user, &mut scratch))) {
            // Meanwhile the user may have acted again, been erased, or withdrawn consent.
            Ok(Some(list)) if is_still(state, user, &list) => active.keep(user, list),
            Ok(_) => {}
            Err(_) => {
                // Working memory is left as it was in the middle.
                scratch = Scratch::default();
                tracing::error!("making the list of an active user panicked");
            }
        }
    }
}

/// Whether a list still holds for what the user did and consents to.
fn is_still(state: &State, user: UserIdx, list: &ActiveList) -> bool {
    state.live.profiles.read().consents(user)
        && state.live.history(user, |history| list.list.list(history).is_some())
}

/// A user's list from the active model; none without a model, or where nothing is known of the user.
fn made(state: &State, user: UserIdx, scratch: &mut Scratch) -> Option<ActiveList> {
    let snapshot = state.models.active()?;
    if !state.live.profiles.read().consents(user) {
        return None;
    }
    let past = state.live.past(user);
    let items = state.live.items.read().len();
    let made_ms = now_ms();
    let new = |scratch: &mut Scratch| {
        // Held for short: a writer would wait for this thread, which runs only when others do not.
        let catalogue = state.live.catalogue.read();
        newcomers(&snapshot, &past, (&catalogue, items, made_ms), scratch)
    };
    let repeat = state.lists.repeat;
    let list = make_now(&snapshot, (user, &past), repeat, (items, made_ms), new, scratch)?;
    Some(ActiveList { generation: snapshot.manifest.generation, made_ms, list })
}

impl Drop for ListMaker {
    fn drop(&mut self) {
        if let Some(active) = &self.state.active_lists {
            active.close();
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the lists' thread panicked");
        }
    }
}
