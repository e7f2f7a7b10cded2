//! What lists read of a user: not what the user does not want to be believed.

use super::Live;
use crate::domain::history::{Past, note_left};
use crate::domain::{HistoryEvent, UserIdx};

impl Live {
    /// A user's past as lists read it: without the events of items whose tags the user removed, but for the
    /// fact that they were bought.
    pub fn past(&self, user: UserIdx) -> Past {
        let mut past = self.histories.read(user);
        self.silence(user, &mut past);
        past
    }

    /// Calls `ask` with the events of [`Live::past`], oldest first.
    pub fn history<T>(&self, user: UserIdx, ask: impl FnOnce(&[HistoryEvent]) -> T) -> T {
        let is_whole = self
            .profiles
            .read()
            .preferences(user)
            .is_none_or(|decided| decided.removed_tags.is_empty());
        if is_whole { self.histories.of(user, ask) } else { ask(&self.past(user).events) }
    }

    fn silence(&self, user: UserIdx, past: &mut Past) {
        let profiles = self.profiles.read();
        let Some(decided) = profiles.preferences(user) else { return };
        if decided.removed_tags.is_empty() {
            return;
        }
        let (names, catalogue) = (self.items.read(), self.catalogue.read());
        let Past { events, bought } = past;
        events.retain(|event| {
            let is_silent = decided.ignores(names.id(event.item), catalogue.get(event.item));
            if is_silent {
                note_left(bought, event);
            }
            !is_silent
        });
    }
}
