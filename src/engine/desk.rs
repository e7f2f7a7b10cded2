//! Where the trainer of a store that follows another leaves its models for the server that writes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::position::Position;
use crate::domain::{Error, Generation, Result};

/// Time between two looks at the outcome.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A model that is handed over.
#[derive(Debug)]
pub struct HandedModel {
    /// The folder of its files, and the number that it has there.
    pub place: (PathBuf, Generation),
    /// The checksum in its manifest.
    pub checksum: String,
    /// Where the log stands when it is handed over, which has all that the model was trained on.
    pub position: Position,
    /// The generation that must still be active; none: any.
    pub after: Option<Generation>,
    answer: oneshot::Sender<Result<Generation>>,
}

impl HandedModel {
    /// Says the outcome: the generation that it was published as, or why it was not.
    pub fn answer(self, outcome: Result<Generation>) {
        // The trainer may have stopped.
        let _ = self.answer.send(outcome);
    }

    /// Whether the trainer has stopped.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

/// The desk.
#[derive(Debug)]
pub(super) struct Desk {
    sender: mpsc::Sender<HandedModel>,
    receiver: Mutex<Option<mpsc::Receiver<HandedModel>>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Desk {
    /// The models that are handed over, for the one who takes them.
    pub(super) fn take(&self) -> Option<mpsc::Receiver<HandedModel>> {
        self.receiver.lock().take()
    }

    /// Hands a model over, and waits for the outcome, unless `is_closing`.
    pub(super) fn hand_over(
        &self,
        (place, checksum): ((PathBuf, Generation), String),
        position: Position,
        after: Option<Generation>,
        is_closing: impl Fn() -> bool,
    ) -> Result<Generation> {
        let (answer, mut outcome) = oneshot::channel();
        let handed = HandedModel { place, checksum, position, after, answer };
        self.sender.blocking_send(handed).map_err(|_| Error::ShuttingDown)?;
        while !is_closing() {
            match outcome.try_recv() {
                Ok(outcome) => return outcome,
                Err(oneshot::error::TryRecvError::Empty) => std::thread::sleep(LOOK_EVERY),
                Err(oneshot::error::TryRecvError::Closed) => break,
            }
        }
        Err(Error::ShuttingDown)
    }

    /// Waits until `holds`, at most for `patience`, unless `is_closing`.
    pub(super) fn wait_until(
        holds: impl Fn() -> bool,
        patience: Duration,
        is_closing: impl Fn() -> bool,
    ) {
        let until = Instant::now() + patience;
        while !holds() && !is_closing() && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
