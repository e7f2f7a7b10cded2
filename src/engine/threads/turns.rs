//! One training at a time in the process, in the order in which stores ask: a store that has
//! trained asks again behind the others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Time between two looks at whether the wait is cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The queue of trainings of all stores; each store has at most one place.
#[derive(Debug, Default)]
pub(in crate::engine) struct TrainingTurns {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Tickets of those that wait, and first of the one whose turn it is.
    tickets: VecDeque<u64>,
    next: u64,
}

impl TrainingTurns {
    /// Waits for a turn, which lasts until it is dropped; none once `cancel` is set.
    pub(in crate::engine) fn take(self: &Arc<Self>, cancel: &AtomicBool) -> Option<Turn> {
        let mut queue = self.queue.lock();
        let ticket = queue.next;
        queue.next += 1;
        queue.tickets.push_back(ticket);

        let turn = Turn { turns: self.clone(), ticket };
        while queue.tickets.front() != Some(&ticket) {
            if cancel.load(Ordering::Relaxed) {
                // The guard takes the ticket back, which needs the lock.
                drop(queue);
                return None;
            }
            self.changed.wait_for(&mut queue, LOOK_EVERY);
        }
        drop(queue);
        Some(turn)
    }
}

/// The turn of one store.
#[derive(Debug)]
pub(in crate::engine) struct Turn {
    turns: Arc<TrainingTurns>,
    ticket: u64,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.queue.lock().tickets.retain(|ticket| *ticket != self.ticket);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_the_order_of_asking_and_one_that_is_cancelled_leaves() {
        let turns = Arc::new(TrainingTurns::default());
        let never = AtomicBool::new(false);
        let first = turns.take(&never).unwrap();

        let order = Arc::new(Mutex::new(Vec::new()));
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for store in 0..4 {
            let asked = turns.clone();
            let order = order.clone();
            let cancelled = cancelled.clone();
            threads.push(std::thread::spawn(move || {
                let never = AtomicBool::new(false);
                let cancel = if store == 1 { &*cancelled } else { &never };
                let turn = asked.take(cancel);
                order.lock().extend(turn.is_some().then_some(store));
            }));
            while turns.queue.lock().tickets.len() < store + 2 {
                std::thread::yield_now();
            }
        }

        cancelled.store(true, Ordering::Relaxed);
        threads.remove(1).join().unwrap();
        assert!(order.lock().is_empty(), "the first turn lasts");
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*order.lock(), [0, 2, 3]);
    }
}
