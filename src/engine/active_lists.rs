//! Lists of active users: made anew in the background after each of their events, so that the next
//! request finds one that follows the click, and reads it like a prepared list.
//!
//! A user is active once they asked for a list. From then on their list is made after each event, and
//! after requests that find none; until it is there, requests blend their own. The users who asked least
//! recently make room for others.

use std::sync::Arc;

use lru::LruCache;
use parking_lot::{Condvar, Mutex};

use crate::domain::{Generation, HistoryEvent, UserIdx};
use crate::model::prepared::PreparedList;

/// Parts of the lists, each with a lock of its own.
const PARTS: usize = 16;
/// Maximum number of users whose lists wait to be made; those who acted first wait for their next event.
const WAITING: usize = 65_536;
/// Time for which a list holds, in milliseconds: how long ago things were is part of it.
const HOLDS_MS: i64 = 600_000;

/// The lists, and the users whose lists are to be made.
#[derive(Debug)]
pub(super) struct ActiveLists {
    parts: [Mutex<Lists>; PARTS],
    /// Maximum number of users of a part.
    most: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// By user; none until it is made.
type Lists = LruCache<UserIdx, Option<Arc<ActiveList>>>;

/// A user's list.
#[derive(Debug)]
pub(super) struct ActiveList {
    /// The model that it was made from.
    pub generation: Generation,
    /// When it was made, in milliseconds since 1970.
    pub made_ms: i64,
    /// The list.
    pub list: PreparedList,
}

#[derive(Debug)]
struct Waiting {
    /// The user who acted last is the most recent.
    users: LruCache<UserIdx, ()>,
    is_closing: bool,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { users: LruCache::unbounded(), is_closing: false }
    }
}

impl ActiveList {
    /// Whether it holds for this model and history at this time.
    pub(super) fn holds(
        &self,
        generation: Generation,
        history: &[HistoryEvent],
        now_ms: i64,
    ) -> bool {
        // A clock that was set back is before the making.
        self.generation == generation
            && (0..HOLDS_MS).contains(&(now_ms - self.made_ms))
            && self.list.list(history).is_some()
    }
}

impl ActiveLists {
    /// Keeps the lists of about `users` users; 0: of none.
    pub(super) fn new(users: usize) -> Option<Self> {
        let parts = std::array::from_fn(|_| Mutex::new(LruCache::unbounded()));
        let most = users.div_ceil(PARTS);
        let (waiting, changed) = Default::default();
        (users > 0).then_some(Self { parts, most, waiting, changed })
    }

    fn part(&self, user: UserIdx) -> &Mutex<Lists> {
        // Users at equal distances would all be in one part, as every 16th.
        let spread = user.wrapping_mul(2_654_435_769) >> 16;
        &self.parts[spread as usize % PARTS]
    }

    /// A user's list, which may hold no longer.
    pub(super) fn of(&self, user: UserIdx) -> Option<Arc<ActiveList>> {
        self.part(user).lock().get(&user)?.clone()
    }

    /// Notes a request of a user, and whether it found a list that holds.
    pub(super) fn note_request(&self, user: UserIdx, found: bool) {
        let was_active = {
            let mut lists = self.part(user).lock();
            let was_active = lists.get(&user).is_some();
            if !was_active {
                lists.put(user, None);
            }
            if lists.len() > self.most {
                lists.pop_lru();
            }
            was_active
        };
        // Many ask only once: a list is made for those who ask again, or act.
        if was_active && !found {
            self.make_soon(user);
        }
    }

    /// Notes that an event of a user is in their history.
    pub(super) fn note_event(&self, user: UserIdx) {
        if self.part(user).lock().contains(&user) {
            self.make_soon(user);
        }
    }

    /// Forgets a user, whose list is not made any more.
    pub(super) fn forget(&self, user: UserIdx) {
        self.waiting.lock().users.pop(&user);
        self.part(user).lock().pop(&user);
    }

    fn make_soon(&self, user: UserIdx) {
        let mut waiting = self.waiting.lock();
        waiting.users.put(user, ());
        if waiting.users.len() > WAITING {
            waiting.users.pop_lru();
        }
        self.changed.notify_one();
    }

    /// The next user whose list is to be made, once there is one; none when the store closes.
    pub(super) fn next(&self) -> Option<UserIdx> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.is_closing {
                return None;
            }
            // Those who acted last first: they are the likeliest to ask next.
            if let Some((user, ())) = waiting.users.pop_mru() {
                return Some(user);
            }
            self.changed.wait(&mut waiting);
        }
    }

    /// Keeps a list, unless its user has been forgotten meanwhile.
    pub(super) fn keep(&self, user: UserIdx, list: ActiveList) {
        if let Some(kept) = self.part(user).lock().peek_mut(&user) {
            *kept = Some(Arc::new(list));
        }
    }

    /// Ends [`ActiveLists::next`].
    pub(super) fn close(&self) {
        self.waiting.lock().is_closing = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> ActiveList {
        ActiveList { generation: 1, made_ms: 0, list: PreparedList::default() }
    }

    #[test]
    fn a_list_is_made_for_those_who_ask_again_and_after_their_events() {
        let active = ActiveLists::new(100).unwrap();
        active.note_event(7);
        active.note_request(7, false);
        active.note_request(7, true);
        assert!(active.waiting.lock().users.is_empty());
        active.note_request(7, false);
        active.note_event(7);
        assert_eq!(active.next(), Some(7));
        active.keep(7, list());
        assert!(active.of(7).is_some());
        active.note_request(8, true);
        [7, 8, 7].iter().for_each(|&user| active.note_event(user));
        assert_eq!([active.next(), active.next()], [Some(7), Some(8)], "who acted last is first");
        active.close();
        assert_eq!(active.next(), None);
    }

    #[test]
    fn who_is_forgotten_stays_so_and_the_oldest_make_room() {
        let active = ActiveLists::new(2).unwrap();
        active.note_request(1, false);
        active.forget(1);
        active.keep(1, list());
        assert!(active.of(1).is_none());

        // Both in one part, which has room for one.
        let is_beside = |user: &u32| std::ptr::eq(active.part(*user), active.part(3));
        let (first, last) = (3, (4..).find(is_beside).unwrap());
        [first, last].iter().for_each(|&user| active.note_request(user, false));
        active.keep(first, list());
        active.keep(last, list());
        assert!(active.of(first).is_none() && active.of(last).is_some());
    }

    #[test]
    fn users_at_equal_distances_share_all_the_room() {
        let active = ActiveLists::new(1_600).unwrap();
        for user in (0..1_600).step_by(16).map(|user| user * 3) {
            active.note_request(user, false);
        }
        let kept = active.parts.iter().map(|part| part.lock().len()).filter(|len| *len > 0);
        assert!(kept.count() > PARTS / 2);
    }

    #[test]
    fn a_list_holds_for_its_model_its_history_and_its_time() {
        let event = |item| HistoryEvent::new(crate::domain::EventKind::View, item, 5);
        let history = [event(1)];
        let stamp = crate::model::prepared::stamp(&history);
        let list = ActiveList { list: PreparedList { stamp, ..PreparedList::default() }, ..list() };
        assert!(list.holds(1, &history, 1_000));
        assert!(!list.holds(2, &history, 1_000));
        assert!(!list.holds(1, &[event(1), event(2)], 1_000));
        assert!(!list.holds(1, &history, HOLDS_MS));
        assert!(!list.holds(1, &history, -1));
    }
}
