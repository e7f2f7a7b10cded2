//! What a training reads from the log: the behaviour of users who consent.

use super::state::State;
use crate::doctor::Pulse;
use crate::domain::{HistoryEvent, Offset, Result, now_ms};
use crate::live::history_event;
use crate::matrix::UserEvents;
use crate::store::{Entry, Record, replay};

/// Reads the events before `offset` that may be trained on, and whether they look whole.
///
/// # Errors
/// [`crate::domain::Error::Storage`] where bytes of the log are not what was written.
pub(super) fn read(state: &State, offset: Offset) -> Result<(UserEvents, Pulse)> {
    let mut users = 0;
    let mut items = 0;
    let mut log = Vec::new();
    let objecting = state.live.profiles.read().objecting().clone();
    // Copied, so that no link waits for the whole log.
    let links = state.live.links.read().clone();
    let now_ms = now_ms();
    let mut pulse = Pulse::new(state.live.newest_ms(), now_ms);

    replay(&state.folder.log(), offset, &mut |entry| match entry {
        Entry::User(_) => users += 1,
        Entry::Item(_) => items += 1,
        Entry::Record(at, Record::Event(event))
            if at < offset
                && event.kind.is_behaviour()
                && !objecting.contains(&links.resolve(event.user)) =>
        {
            pulse.note(event.time_ms);
            // Events from a clock that was ahead count as of now.
            let time_ms = event.time_ms.min(now_ms);
            let user = links.resolve(event.user);
            log.push((user, HistoryEvent { time_ms, ..history_event(&event) }));
        }
        Entry::Record(..) => {}
    })?;
    Ok((UserEvents::new(users, items, log), pulse))
}
