//! Reads a store from its folder: the log into live state, the models beside it.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::active_lists::ActiveLists;
use super::checkpoint::Folded;
use super::folding::{Checkpoints, folding};
use super::lease::Lease;
use super::measure::{self, Unmeasured};
use super::options::{EngineOptions, StoreLimits};
use super::population::Populations;
use super::pseudonyms::Pseudonyms;
use super::registry::Models;
use super::state::{self, State};
use super::stats::Stats;
use crate::content::Reader;
use crate::domain::{BoxError, Error, Offset, Result};
use crate::experiment::Measurements;
use crate::live::{DedupWindow, Live, LiveWriter};
use crate::recommend::prepared::PreparedListOptions;
use crate::store::{
    self, Checkpoint, Entry, Log, Opening, Record, StoreFolder, Writers, checkpoint,
};

/// A store that was read, and what only its writer needs.
pub(super) struct Opened {
    pub(super) state: Arc<State>,
    pub(super) log: Log,
    pub(super) dedup: DedupWindow,
    pub(super) live_writer: LiveWriter,
    /// Where the replay of the log began: what came before is from a checkpoint.
    pub(super) replayed_from: Offset,
}

/// Replays the log of the store that the options name into live state, and loads the newest whole snapshot.
///
/// # Errors
/// [`Error::Storage`] where the folder is in use, damaged, or written by a newer version.
pub(super) fn open(data: &Path, options: &EngineOptions) -> Result<Opened> {
    let mut folder = StoreFolder::open(data, &options.store)?;
    let pseudonyms = Pseudonyms::new(options.privacy.pseudonym_key.reveal(), &options.store);
    folder.hold_to_key(pseudonyms.fingerprint().as_deref(), options.log.accept_loss)?;

    let recommend = &options.recommend;
    let started = Instant::now();
    let unmeasured = Unmeasured::new(&options.experiments)?;
    let folding = folding(options);
    let (folded, log, models) = read_files(&mut folder, &unmeasured, &folding, options)?;
    let Folded { live, mut writer, measurements, dedup, begins } = folded;
    live.index(&mut writer);
    let until = live.offset();
    live.remake_parted(&mut writer, |visit| store::replay(&folder.log(), until, visit))?;
    folder.mark_format()?;
    let lease = Lease::new(options.follows, options.seats.writing.clone());
    let writers = writers_of(&folder, &lease, until)?;

    let lists = PreparedListOptions {
        repeat: recommend.repeat_policy,
        history_limit: live.histories.limit(),
        max_users: options.train.prepared_lists,
    };
    report_open(&options.store, &live, &models, (until - begins.base, started));

    let limits = (StoreLimits::of(&options.limits), options.train.clone());
    let stats = Stats::new(log.flush_seconds());
    let populations = Populations::new(options.insight.refresh_minutes);
    let checkpoints = Checkpoints::new(folding, options.log.checkpoint_records, begins.base);
    let state = Arc::new(State::new(
        (live, measurements, unmeasured),
        models,
        (folder, writers, checkpoints),
        pseudonyms,
        (lists, ActiveLists::new(recommend.active_lists)),
        limits,
        (stats, populations, lease, options.seats.clone()),
    ));
    Ok(Opened { state, log, dedup, live_writer: writer, replayed_from: begins.base })
}

/// Who wrote the log that ends at `end`: from now on this process, unless it follows another.
fn writers_of(folder: &StoreFolder, lease: &Lease, end: Offset) -> Result<Writers> {
    let mut writers = Writers::read(&folder.log())?;
    if !lease.is_follower() {
        writers.begin(end);
        writers.write(&folder.log())?;
    }
    Ok(writers)
}

/// What an empty log is folded into.
fn empty(options: &EngineOptions) -> Result<Folded> {
    let recommend = &options.recommend;
    let reader = Reader::open(&options.catalog.text_model)?;
    let (history_limit, cohorts) = (recommend.history_limit, recommend.cohorts.clone());
    let (live, mut writer) = Live::new(history_limit, cohorts, reader);
    let live = live.of_shard(options.shard);
    if recommend.fatigue_after > 0 {
        live.impressions.write(&mut writer).count();
    }
    // The configuration's check refuses other zones before.
    let zone = options.insight.zone().map_err(|what| Error::Storage(what.into()))?;
    live.activity.write(&mut writer).set_zone(zone);
    let measurements = Measurements::new(options.experiments.attribution());
    let (dedup, begins) = Default::default();
    Ok(Folded { live, writer, measurements, dedup, begins })
}

/// What the checkpoint holds, if there is one that fits; otherwise what an empty log is folded into.
fn begin(folder: &StoreFolder, folding: &str, options: &EngineOptions) -> Result<Folded> {
    // What is lost must not come back from it.
    let found = if options.log.accept_loss {
        Ok(None)
    } else {
        Checkpoint::open(folder.root(), &folder.log(), folding)
    };
    let restore = |found| Folded::restored(empty(options)?, found);
    let restored = found.map_err(BoxError::from).and_then(|found| found.map(restore).transpose());

    match restored {
        Ok(Some(folded)) => return Ok(folded),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(%error, "the checkpoint cannot be read: the log is replayed whole");
        }
    }
    // It is of no use again, and may name users who are erased.
    if let Err(error) = checkpoint::remove(folder.root()) {
        tracing::warn!(%error, "an old checkpoint stays");
    }
    empty(options)
}

/// Folds the log and loads the models, both at once; one after the other where models that the
/// log does not reach may be set aside.
fn read_files(
    folder: &mut StoreFolder,
    unmeasured: &Unmeasured,
    folding: &str,
    options: &EngineOptions,
) -> Result<(Folded, Log, Models)> {
    let snapshots = folder.snapshots();
    let load = || Models::open(snapshots, options.models.clone());
    if options.log.accept_loss {
        let (folded, log) = fold_log(folder, unmeasured, folding, options)?;
        return Ok((folded, log, load()?));
    }

    std::thread::scope(|scope| {
        let loader = std::thread::Builder::new().name("models".to_owned());
        let models = loader.spawn_scoped(scope, load).map_err(|e| {
            Error::Storage(format!("the models' thread does not start: {e}").into())
        })?;
        let read = fold_log(folder, unmeasured, folding, options);
        let models = models.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (folded, log) = read?;
        Ok((folded, log, models?))
    })
}

/// Opens the log, with all that the checkpoint has not applied to it; returns what it is folded into.
fn fold_log(
    folder: &mut StoreFolder,
    unmeasured: &Unmeasured,
    folding: &str,
    options: &EngineOptions,
) -> Result<(Folded, Log)> {
    let trained_to = Models::newest_offset(&folder.snapshots())?;
    let mut folded = begin(folder, folding, options)?;
    let from = folded.begins;
    // A newer model than that of the checkpoint knows some of its pairs.
    folded.live.overlay.write().forget_before(trained_to.unwrap_or(Offset::MAX));
    let mut apply = |entry: Entry<'_>| {
        let Folded { live, writer, measurements, dedup, .. } = &mut folded;
        dedup.replay(&entry);
        if let Entry::Record(_, record) = &entry {
            measure::note(measurements, live, unmeasured, record);
        }
        live.replay(writer, &entry);
        if let Entry::Record(offset, Record::Event(event)) = &entry
            && trained_to.is_some_and(|trained_to| *offset >= trained_to)
        {
            live.note_pairs(writer, *offset, event);
        }
    };

    let opening = Opening {
        durability: options.log.durability,
        segment_bytes: options.log.segment_mib << 20,
        proven: folder.is_proven(),
        accept_loss: options.log.accept_loss,
        from,
    };

    let mut log = Log::open(&folder.log(), opening, &mut apply)?;
    folder.lock_witness()?.into_iter().for_each(|witness| log.watch(witness));
    Models::check_within(&folder.snapshots(), log.next_offset(), options.log.accept_loss)?;
    Ok((folded, log))
}

/// Logs what was opened, and a clock that was ahead.
fn report_open(store: &str, live: &Live, models: &Models, (replayed, started): (u64, Instant)) {
    tracing::info!(
        store,
        events = live.events(),
        users = live.users.read().len(),
        items = live.items.read().len(),
        generation = models.generation(),
        replayed,
        seconds = started.elapsed().as_secs_f64(),
        "store open"
    );
    state::warn_if_ahead(live);
}
