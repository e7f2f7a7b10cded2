//! Checkpoints of what the log was folded into: the committer writes one now and then, and when the store closes;
//! opening replays only what came after the last one.

use std::time::Instant;

use super::state::State;
use crate::domain::{BoxError, limits};
use crate::experiment::Measurements;
use crate::live::{DedupWindow, Live, LiveWriter, saved};
use crate::store::{Basis, Begins, Checkpoint, Log, NewCheckpoint};

/// What the log is folded into.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) live: Live,
    pub(super) writer: LiveWriter,
    pub(super) measurements: Measurements,
    pub(super) dedup: DedupWindow,
    /// Where the log goes on.
    pub(super) begins: Begins,
}

impl Folded {
    /// Restores a checkpoint into what is `empty`.
    ///
    /// # Errors
    /// Where it is damaged, or the disk fails.
    pub(super) fn restored(empty: Self, mut read: Checkpoint) -> Result<Self, BoxError> {
        let Self { live, mut writer, .. } = empty;
        let begins = read.begins;
        let mut section = || read.section().map_err(BoxError::from);
        live.restore(&mut writer, &mut section)?;
        let dedup = DedupWindow::restored(saved::value(&section()?)?);
        let measurements = saved::value(&section()?)?;
        if live.offset() != begins.base {
            return Err("it is of another offset than it says".into());
        }
        Ok(Self { live, writer, measurements, dedup, begins })
    }
}

/// Writes a checkpoint of all that was applied, and logs what it cost. Where that fails, the one before stays.
pub(super) fn write(state: &State, log: &mut Log, dedup: &DedupWindow, writer: &mut LiveWriter) {
    // A rewritten file of the log would not be the one that the checkpoint names.
    let Some(_unchanged) = state.rewriting.try_lock() else { return };
    let end = log.next_offset();
    let is_whole = state.live.offset() == end && !state.live.links.read().has_parted();
    // No event is accepted that is as far ahead: this machine's clock is behind, and a later one reads their times.
    let is_timely = state.live.ahead_ms() <= limits::MAX_AHEAD_MS;
    if log.poison().is_some() || !is_whole || !is_timely {
        return;
    }
    let started = Instant::now();
    let written = try_write(state, log, dedup, writer);
    state.checkpoints.note_tried(end);
    let seconds = started.elapsed().as_secs_f64();
    match written {
        Ok(()) => tracing::info!(offset = end, seconds, "a checkpoint is written"),
        Err(error) => {
            tracing::warn!(%error, "no checkpoint is written: the next start takes longer")
        }
    }
}

fn try_write(
    state: &State,
    log: &mut Log,
    dedup: &DedupWindow,
    writer: &mut LiveWriter,
) -> Result<(), BoxError> {
    log.roll()?;
    let basis = Basis::at_end(&state.folder.log(), log.begins(), state.checkpoints.folding())?;
    let mut new = NewCheckpoint::begin(state.folder.root(), &basis)?;
    let mut add = |section: &[u8]| new.add(section).map_err(BoxError::from);
    state.live.save(writer, &mut add)?;
    add(&saved::bytes(dedup.saved())?)?;
    add(&saved::bytes(&*state.measurements.lock())?)?;
    new.finish()?;
    Ok(())
}
