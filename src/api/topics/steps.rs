//! Messages as writes, in the order in which they were read.

use std::collections::BTreeMap;

use super::message::Change;
use crate::domain::{ItemChange, now_ms};
use crate::engine::Write;

/// A write, and up to which message of each partition it is all.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) write: Write,
    /// By partition: the offset of the next message.
    pub(super) ends: BTreeMap<u32, u64>,
    /// Number of messages.
    pub(super) messages: u64,
}

impl Step {
    fn new(write: Write) -> Self {
        Self { write, ends: BTreeMap::new(), messages: 0 }
    }

    /// Nothing to write, of one message.
    pub(super) fn nothing(partition: u32, next: u64) -> Self {
        let ends = BTreeMap::from([(partition, next)]);
        Self { ends, messages: 1, ..Self::new(Write::Events(Vec::new())) }
    }
}

/// Messages of one topic as writes. What is none, and follows nothing, is a write without anything.
#[derive(Debug, Default)]
pub(super) struct Steps(Vec<Step>);

impl Steps {
    /// Adds a message, `None` one that is refused.
    pub(super) fn add(&mut self, partition: u32, next: u64, change: Option<Change>) {
        let step = match change {
            Some(change) => self.add_change(change),
            None => self.last(),
        };
        step.ends.insert(partition, next);
        step.messages += 1;
    }

    /// The steps; the newest of one item, or of one user, within a write.
    pub(super) fn into_steps(mut self) -> Vec<Step> {
        for step in &mut self.0 {
            match &mut step.write {
                Write::Items(items) => keep_newest(items),
                Write::Users(users) => keep_newest(users),
                _ => {}
            }
        }
        self.0
    }

    fn add_change(&mut self, change: Change) -> &mut Step {
        // One that goes on with the write before is put into it.
        let rest = match (self.0.last_mut().map(|step| &mut step.write), change) {
            (Some(Write::Events(events)), Change::Event(event)) => {
                events.push(event);
                None
            }
            (Some(Write::Items(items)), Change::Item(id, item)) => {
                items.push((id, ItemChange::whole(item)));
                None
            }
            (Some(Write::Users(users)), Change::User(id, user)) => {
                users.push((id, user));
                None
            }
            (Some(Write::DeleteItems(ids)), Change::DeleteItem(id))
            | (Some(Write::Erase(ids, _)), Change::Erase(id)) => {
                ids.push(id);
                None
            }
            (_, change) => Some(change),
        };

        if let Some(change) = rest {
            self.0.push(Step::new(write(change)));
        }
        self.last()
    }

    fn last(&mut self) -> &mut Step {
        if self.0.is_empty() {
            self.0.push(Step::new(Write::Events(Vec::new())));
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

/// Keeps the last of each id.
fn keep_newest<T>(all: &mut Vec<(String, T)>) {
    let newest: BTreeMap<String, T> = all.drain(..).collect();
    all.extend(newest);
}

fn write(change: Change) -> Write {
    match change {
        Change::Event(event) => Write::Events(vec![event]),
        Change::Item(id, item) => Write::Items(vec![(id, ItemChange::whole(item))]),
        Change::User(id, user) => Write::Users(vec![(id, user)]),
        Change::DeleteItem(id) => Write::DeleteItems(vec![id]),
        Change::Erase(id) => Write::Erase(vec![id], now_ms()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, EventKind, Item};

    fn view(user: &str) -> Option<Change> {
        Some(Change::Event(Event::new(EventKind::View, user, "tea", 1)))
    }

    fn titled(title: &str) -> Option<Change> {
        let item = Item { title: title.into(), ..Default::default() };
        Some(Change::Item("tea".into(), item))
    }

    #[test]
    fn an_erasure_stands_between_the_events_before_and_after_it() {
        let mut steps = Steps::default();
        steps.add(0, 1, None);
        steps.add(0, 2, view("ada"));
        steps.add(1, 8, view("bob"));
        steps.add(0, 3, Some(Change::Erase("ada".into())));
        steps.add(2, 6, Some(Change::Erase("eve".into())));
        steps.add(0, 4, None);
        steps.add(1, 9, view("bob"));
        steps.add(0, 5, view("ada"));

        let steps = steps.into_steps();
        let count = |step: &Step| match &step.write {
            Write::Events(events) => events.len(),
            _ => 0,
        };
        assert_eq!(steps.iter().map(count).collect::<Vec<_>>(), [2, 0, 2]);
        assert!(matches!(&steps[1].write, Write::Erase(ids, _) if ids == &["ada", "eve"]));
        let ends: Vec<_> = steps.into_iter().map(|step| step.ends).collect();
        let of = |ends: &[(u32, u64)]| ends.iter().copied().collect::<BTreeMap<_, _>>();
        assert_eq!(ends, [of(&[(0, 2), (1, 8)]), of(&[(0, 4), (2, 6)]), of(&[(0, 5), (1, 9)])]);
    }

    #[test]
    fn the_newest_of_one_item_is_written() {
        let mut steps = Steps::default();
        steps.add(0, 1, titled("Green"));
        steps.add(0, 2, titled("Black"));
        let [step] = &steps.into_steps()[..] else { panic!("one write") };
        let Write::Items(items) = &step.write else { panic!("items") };
        let Some(Change::Item(id, newest)) = titled("Black") else { panic!("an item") };
        assert_eq!(items[..], [(id, ItemChange::whole(newest))]);
        assert_eq!(step.ends, BTreeMap::from([(0, 2)]));
    }
}
