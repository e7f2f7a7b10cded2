//! What is seen of the topics that a store takes in, and who waits for them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;

use crate::domain::{Error, Result};

/// Time that topics get to be taken in up to a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// The topics of one store, as far as this server takes them in.
#[derive(Debug, Default)]
pub struct Intake {
    is_on: AtomicBool,
    is_reading: AtomicBool,
    /// Number of the moment up to which all is to be taken in, and of the last one that was reached.
    asked: watch::Sender<u64>,
    reached: watch::Sender<u64>,
    /// By topic and partition: messages that are not taken in yet.
    behind: Mutex<BTreeMap<(String, u32), u64>>,
    /// Messages taken in, those refused among them.
    pub messages: Counter,
    /// Messages refused.
    pub refused: Counter,
}

impl Intake {
    /// Begins: from now on this server takes in topics.
    pub fn begin(&self) {
        self.is_on.store(true, Ordering::Release);
    }

    /// Whether this server takes in topics.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// Notes whether the topics are read: brokers may be away, or a topic missing.
    pub fn note_reading(&self, is_reading: bool) {
        self.is_reading.store(is_reading, Ordering::Release);
    }

    /// Whether the topics are read.
    pub fn is_reading(&self) -> bool {
        self.is_reading.load(Ordering::Acquire)
    }

    /// Notes how many messages of a partition are not taken in yet.
    pub fn note_behind(&self, topic: &str, partition: u32, messages: u64) {
        self.behind.lock().insert((topic.to_owned(), partition), messages);
    }

    /// Messages that are not taken in yet, by topic and partition.
    pub fn behind(&self) -> BTreeMap<(String, u32), u64> {
        self.behind.lock().clone()
    }

    /// Waits until everything is taken in that was in the topics when it was called: what is written after it, such
    /// as an erasure, comes after what was sent before it.
    ///
    /// # Errors
    /// [`Error::TopicsAway`] where that takes more than 10 s.
    pub async fn reach_now(&self) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let mut moment = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            moment = *asked;
        });
        let mut reached = self.reached.subscribe();
        let waiting = reached.wait_for(|&reached| reached >= moment);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::TopicsAway(
                "what was sent before is not taken in from the topics yet; try again".to_owned(),
            )),
        }
    }

    /// The number of the last moment that is asked for.
    pub fn asked(&self) -> u64 {
        *self.asked.borrow()
    }

    /// The number of the last moment that was reached.
    pub fn reached(&self) -> u64 {
        *self.reached.borrow()
    }

    /// Notes that everything is taken in that was in the topics at a moment.
    pub fn note_reached(&self, moment: u64) {
        self.reached.send_if_modified(|reached| {
            let is_new = moment > *reached;
            *reached = moment.max(*reached);
            is_new
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn who_waits_waits_for_the_moment_of_asking() {
        let intake = Arc::new(Intake::default());
        assert!(intake.reach_now().await.is_ok(), "no topics are taken in");
        intake.begin();
        let short = Duration::from_millis(20);
        assert!(tokio::time::timeout(short, intake.reach_now()).await.is_err());

        intake.note_reached(1);
        let waiting = tokio::spawn({
            let intake = intake.clone();
            async move { intake.reach_now().await }
        });
        tokio::time::sleep(short).await;
        assert!(!waiting.is_finished(), "what is reached was asked for before");
        intake.note_reached(intake.asked());
        assert!(waiting.await.unwrap().is_ok());
    }
}
