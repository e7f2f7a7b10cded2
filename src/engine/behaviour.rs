//! What a training reads from the log: the behaviour of users who consent.

use roaring::RoaringBitmap;

use super::state::State;
use crate::doctor::Pulse;
use crate::domain::{HistoryEvent, ItemIdx, Offset, Result, now_ms};
use crate::live::history_event;
use crate::matrix::UserEvents;
use crate::store::{Entry, Record, replay};

/// Behaviour in the log.
pub(super) struct Behaviour {
    /// The events that may be trained on.
    pub(super) events: UserEvents,
    /// Whether they look whole.
    pub(super) pulse: Pulse,
    /// Items of erased users, as far as the log's files still hold them; each once.
    pub(super) erased_items: Vec<ItemIdx>,
    /// Whether an event came from a clock that was ahead, so that its time depends on when it is read.
    pub(super) has_ahead: bool,
}

/// Reads the behaviour before `offset`.
///
/// # Errors
/// [`crate::domain::Error::Storage`] where bytes of the log are not what was written.
pub(super) fn read(state: &State, offset: Offset) -> Result<Behaviour> {
    let mut users = 0;
    let mut items = 0;
    let mut has_ahead = false;
    // At most: also events count that are not trained on.
    let mut log = Vec::with_capacity(state.live.events() as usize);
    let erased: RoaringBitmap = state.live.erasures.read().in_files().into_iter().collect();
    let mut erased_items = RoaringBitmap::new();
    let objecting = state.live.profiles.read().objecting().clone();
    // Copied, so that no link waits for the whole log.
    let links = state.live.links.read().clone();
    let now_ms = now_ms();
    let mut pulse = Pulse::new(state.live.newest_ms(), now_ms);

    replay(&state.folder.log(), offset, &mut |entry| match entry {
        Entry::User(_) => users += 1,
        Entry::Item(_) => items += 1,
        Entry::Record(at, Record::Event(event)) if at < offset && event.kind.is_behaviour() => {
            let user = links.resolve(event.user);
            if erased.contains(event.user) {
                erased_items.insert(event.item);
            } else if !objecting.contains(&user) {
                pulse.note(event.time_ms);
                // Events from a clock that was ahead count as of now.
                has_ahead |= event.time_ms > now_ms;
                let time_ms = event.time_ms.min(now_ms);
                log.push((user, HistoryEvent { time_ms, ..history_event(&event) }));
            }
        }
        Entry::Record(..) => {}
    })?;
    let events = UserEvents::new(users, items, log);
    let erased_items = erased_items.into_iter().collect();
    Ok(Behaviour { events, pulse, erased_items, has_ahead })
}
