//! What the server that writes hands out to followers: where the log and the models stand, the log from one
//! offset on, models as files. And what it takes from them: what they have shown.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::{DAY_MS, Error, Generation, Offset, Result, Violation, limits, now_ms};
use crate::engine::position::Position;
use crate::engine::state::State;
use crate::engine::write::{Write, Writer};
use crate::model::copied::StoredModel;
use crate::model::{Manifest, Roles};
use crate::store::folder::FORMAT;
use crate::store::{Exposure, LogTail, Writers};

/// Maximum number of exposures in one batch of a follower.
pub(super) const MAX_EXPOSURES: usize = 2_000;
/// Maximum number of items of one exposure.
const MAX_ITEMS: usize = 10_000;

/// Where a store stands that is followed.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// End of its log.
    pub offset: Offset,
    /// The roles of its models.
    pub roles: Roles,
    /// Its models, newest first.
    pub models: Vec<Manifest>,
}

/// What followers of a store ask for.
#[derive(Debug, Clone)]
pub struct Source {
    state: Arc<State>,
    writer: Writer,
}

impl Source {
    pub(in crate::engine) fn new(state: Arc<State>, writer: Writer) -> Self {
        Self { state, writer }
    }

    /// Grants a lease of this length to a follower that stands at `position`: everything acknowledged so far
    /// lies before the offset of the answer. Call it from a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`Error::NotReady`] where this server follows another itself, or the follower is of an earlier version;
    /// [`Error::Invalid`] where the copy is of another store; [`Error::Conflict`] where it is no part of this log.
    pub fn grant(&self, follower: u128, position: &Position, length: Duration) -> Result<Standing> {
        self.check_version(position)?;
        let offset = self.state.live.offset();
        self.check_part(position, offset)?;
        self.state.followers.note_lease(follower, offset.saturating_sub(position.offset), length);
        self.standing(offset)
    }

    /// Where the store stands, whose log has reached `offset`. Call it from a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`Error::Storage`] where the disk fails.
    pub fn standing(&self, offset: Offset) -> Result<Standing> {
        let roles = self.state.models.roles();
        Ok(Standing { offset, roles, models: self.state.models.list()? })
    }

    /// Where the log stands.
    pub fn position(&self) -> Position {
        self.state.position()
    }

    /// Checks that a copy at `position` is a part of this log.
    ///
    /// # Errors
    /// As [`Source::grant`].
    pub fn check(&self, position: &Position) -> Result<()> {
        self.check_version(position)?;
        self.check_part(position, self.state.live.offset())
    }

    /// Notes that the records before `offset` are uploaded.
    pub fn note_uploaded(&self, offset: Offset) {
        self.state.uploaded.send_replace(offset);
    }

    /// Whether the log holds all of another one that ends at `end`, whose last record `writer` wrote.
    pub fn holds(&self, writer: Option<&str>, end: Offset) -> bool {
        self.state.writers.load().hold(writer, end, self.state.live.offset())
    }

    /// Blocks of the log from one that begins at `from` on, whoever asks.
    ///
    /// # Errors
    /// [`Error::Storage`] where no block begins there, or the disk fails.
    pub fn tail_from(&self, from: Offset) -> Result<LogTail> {
        Ok(LogTail::at(&self.state.folder.log(), from)?)
    }

    /// Number of times that files of the log were rewritten without erased users, and every change to come.
    pub fn rewritings(&self) -> watch::Receiver<u64> {
        self.state.rewritings.subscribe()
    }

    /// Whether the log's files hold an erased user.
    pub fn holds_erased(&self) -> bool {
        self.state.live.erasures.read().has_in_files()
    }

    /// The roles and the kept models, changed or not.
    pub fn roles(&self) -> Roles {
        self.state.models.roles()
    }

    /// Checks that a follower can read what this server writes.
    fn check_version(&self, position: &Position) -> Result<()> {
        if self.state.lease.is_follower() {
            let message = "this server follows another; follow that one";
            return Err(Error::NotReady(message.to_owned()));
        }
        if !self.state.seats.may_write() {
            return Err(Error::SeatLost);
        }
        if position.format < FORMAT {
            return Err(Error::NotReady(format!(
                "this server writes format {FORMAT}, the follower reads formats up to {}: bring followers to a \
                 newer version first, then the server that they follow",
                position.format
            )));
        }
        if position.key != self.state.pseudonyms.fingerprint() {
            let message = "the follower has another key for pseudonyms (privacy.pseudonym_key)";
            return Err(Violation::new("position.pseudonym_key", message).into());
        }
        Ok(())
    }

    /// Checks that a copy is a part of the log, which ends at `end`.
    fn check_part(&self, position: &Position, end: Offset) -> Result<()> {
        let offset = position.offset;
        if self.state.writers.load().hold(position.writer.as_deref(), offset, end) {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "the copy, which ends at offset {offset}, is no part of this log, which ends at {end}: one of \
             them was restored, or written to apart from the other. Move the copy's folder away, and it is \
             made anew"
        )))
    }

    /// Who wrote the log.
    pub fn writers(&self) -> Arc<Writers> {
        self.state.writers.load_full()
    }

    /// The outcome of `work`, or none once the store closes.
    pub async fn unless_closing<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.state.closing.unless_begun(work).await
    }

    /// Completes once the store has been closing for this time.
    pub async fn closing_for(&self, time: Duration) {
        self.state.closing.unless_begun(std::future::pending::<()>()).await;
        tokio::time::sleep(time).await;
    }

    /// The log from where a copy ends.
    ///
    /// # Errors
    /// As [`Source::grant`]; [`Error::Storage`] where no block begins there, or the disk fails.
    pub fn tail(&self, position: &Position) -> Result<LogTail> {
        self.check(position)?;
        self.tail_from(position.offset)
    }

    /// The end of the log, and every change to come.
    pub fn log_end(&self) -> watch::Receiver<Offset> {
        self.state.log_end.subscribe()
    }

    /// A model as it is on disk.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::Storage`] where the disk fails.
    pub fn model(&self, generation: Generation) -> Result<StoredModel> {
        self.state.models.find(generation)?;
        StoredModel::open(&self.state.folder.snapshots(), generation)
            .map_err(|error| Error::Storage(error.into()))
    }

    /// Records what a follower has shown, once: a batch that was recorded before is not recorded again. Call it
    /// from a thread that may wait for the disk.
    ///
    /// # Errors
    /// As [`Source::grant`]; [`Error::Invalid`] for bytes that are no batch of exposures, [`Error::Overloaded`]
    /// where too many wait; as other writes.
    pub fn record_exposures(
        &self,
        (follower, position): (u128, &Position),
        sequence: u64,
        batch: &[u8],
    ) -> Result<()> {
        // What it names are the users and items of its copy.
        self.check(position)?;
        // One batch at a time: the same one may be sent twice at once.
        let _recording = self.state.recording.lock();
        if self.state.followers.has_recorded(follower, sequence) {
            return Ok(());
        }

        let exposures = self.decoded(batch).map_err(|what| Violation::new("exposures", what))?;
        if !self.state.exposures.push_all(exposures) {
            let message = "too many answers wait to be recorded already; try again later";
            return Err(Error::Overloaded(message.to_owned()));
        }
        self.writer.submit_blocking(Write::Exposures)?.wait()?;
        self.state.followers.note_recorded(follower, sequence);
        Ok(())
    }

    /// The exposures of a batch, with what they name.
    fn decoded(&self, batch: &[u8]) -> Result<Vec<Exposure<'static>>, String> {
        let given: Vec<Exposure<'_>> =
            postcard::from_bytes(batch).map_err(|e| format!("do not decode: {e}"))?;
        if given.len() > MAX_EXPOSURES {
            return Err(format!("must hold at most {MAX_EXPOSURES}, hold {}", given.len()));
        }

        let users = self.state.live.users.read().len();
        let items = self.state.live.items.read().len();
        let is_known = |exposure: &Exposure<'_>| {
            exposure.user.is_none_or(|user| (user as usize) < users)
                && exposure.items.iter().all(|&item| (item as usize) < items)
        };
        let now = now_ms();
        let is_sized = |exposure: &Exposure<'_>| {
            let shown = exposure.items.len();
            let texts = [&exposure.placement, &exposure.variant];
            shown <= MAX_ITEMS
                && (0..=now + DAY_MS).contains(&exposure.time_ms)
                && exposure.sources.len() == shown
                && [exposure.propensities.len(), exposure.teams.len()]
                    .into_iter()
                    .all(|length| length == 0 || length == shown)
                && texts.iter().all(|text| text.len() <= limits::MAX_ID_BYTES)
        };
        match given.iter().position(|exposure| !(is_known(exposure) && is_sized(exposure))) {
            Some(at) => Err(format!("name at {at} what no answer of this store can hold")),
            None => Ok(given.into_iter().map(Exposure::into_owned).collect()),
        }
    }
}
