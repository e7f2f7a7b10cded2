//! Takes in a model that was trained elsewhere: through the gate, beside the parts that
//! the server trained, and into the registry.

use std::sync::Arc;
use std::time::Instant;

use super::gate::Gate;
use super::uploads::Incoming;
use super::{Engine, training};
use crate::domain::progress::Control;
use crate::domain::{Error, Generation, Result, Verdict, limits, now_ms};
use crate::model::push_reader::PushReader;
use crate::model::{Lineage, Manifest, Pushed, Role, Snapshot, Source};
use crate::tune::pushed::{UNTRIED, Worth, judge};

/// Longest words about a push, in bytes.
const MAX_NOTE_BYTES: usize = 4_096;

/// What is said of a push beside its file.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Names the push, so that it can be taken up again.
    pub id: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Who pushes.
    pub pushed_by: String,
    /// Words about it.
    pub note: String,
    /// What it is to be for.
    pub role: Role,
    /// Whether it may be worse than what it comes beside.
    pub force: bool,
}

impl Engine {
    /// Begins a push, or takes up again one whose stream broke.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a size or words beyond the limits, [`Error::NotReady`] before
    /// the first model, [`Error::Overloaded`] while too many are under way.
    pub fn begin_push(&self, request: &PushRequest) -> Result<Incoming> {
        limits::text("header.pushed_by", &request.pushed_by, limits::MAX_ID_BYTES)?;
        limits::text("header.note", &request.note, MAX_NOTE_BYTES)?;
        self.base()?;
        self.uploads.begin(&request.id, request.bytes)
    }

    /// Bytes that came of a push whose stream broke.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none to be taken up again.
    pub fn received_of_push(&self, id: &str) -> Result<u64> {
        let unknown = || Error::NotFound { kind: "push", id: id.to_owned() };
        self.uploads.received(id).ok_or_else(unknown)
    }

    /// Checks a push that came whole and publishes it; what is known of its generation. On
    /// the background threads, one push at a time: for threads that may wait.
    ///
    /// # Errors
    /// [`Error::Invalid`] where size, checksum or layout are not what they should be,
    /// [`Error::Refused`] with all checks where one fails; everything is as before then.
    pub fn commit_push(
        &self,
        incoming: Incoming,
        request: &PushRequest,
        bytes: u64,
        sha256: &str,
    ) -> Result<Manifest> {
        let started = Instant::now();
        let (upload, sha256) = incoming.finish(bytes, sha256)?;
        let mut file = PushReader::open(upload.into_file(), bytes)?;
        let _one_at_a_time = self.checking.lock();
        let facts = file.facts()?;
        let (active, pushed_ms) = (self.base()?, now_ms());
        let mut gate = Gate {
            state: &self.state,
            pseudonyms: &self.pseudonyms,
            options: &self.options.push,
            active: &active,
            checks: Vec::new(),
        };
        let control = Control::new(&|_| {}, &self.stopping);
        let failed = |e: &dyn std::fmt::Display| Error::Training(e.to_string());
        let (pushed, worth) = self.background.install(|| -> Result<(Arc<Pushed>, Worth)> {
            let mut pushed = gate.read(&mut file, &facts, pushed_ms)?;
            gate.index(&mut pushed, &control)?;
            let pushed = Arc::new(pushed);
            let events = training::read_log(&self.state, self.live().offset())?;
            let repeat = self.options.recommend.repeat_policy;
            let worth = judge(&events, &active, &pushed, repeat, &control);
            let worth = worth.map_err(|e| failed(&e))?;
            gate.quality(&worth, request.force)?;
            Ok((pushed, worth))
        })?;
        let checks = gate.checks;
        let lineage = Lineage {
            pushed_by: request.pushed_by.clone(),
            note: request.note.clone(),
            pushed_ms,
            trained_until_ms: pushed.trained_until_ms,
            log_offset: facts.log_offset,
            contents: file.contents(),
            bytes,
            sha256,
            forced: checks.iter().any(|check| check.verdict == Verdict::Overridden),
            checks,
            ..Lineage::default()
        };
        self.publish_pushed(pushed, &worth, lineage, request.role, started)
    }

    /// Puts a pushed model beside what the server trained last.
    fn publish_pushed(
        &self,
        pushed: Arc<Pushed>,
        worth: &Worth,
        lineage: Lineage,
        role: Role,
        started: Instant,
    ) -> Result<Manifest> {
        let _assembling = self.state.assembling.lock();
        let base = self.base()?;
        let mut snapshot = Snapshot::clone(&base);
        let generation = self.models().next_generation();
        let weight = |source: Source| worth.blend.weight(source);
        put(&mut snapshot, &pushed, weight);
        let manifest = &mut snapshot.manifest;
        let base: Generation = manifest.generation;
        manifest.generation = generation;
        manifest.pushed = Some(Lineage { generation, base, ..lineage });
        manifest.created_ms = now_ms();
        manifest.train_seconds = started.elapsed().as_secs_f64();
        if let Some(measured) = worth.measured {
            manifest.quality.insert("pushed_ndcg@10".to_owned(), measured.with);
            manifest.quality.insert("pushed_ndcg@10_without".to_owned(), measured.without);
        }
        let manifest = self.models().publish(snapshot, role)?;
        tracing::info!(
            generation,
            ?role,
            seconds = manifest.train_seconds,
            "pushed model published"
        );
        Ok(manifest)
    }

    /// What a pushed model is put beside.
    fn base(&self) -> Result<Arc<Snapshot>> {
        let none =
            || Error::NotReady("there is no model yet to put another beside: train first".into());
        self.models().active().ok_or_else(none)
    }
}

/// Puts a pushed model into a snapshot with these weights; those of sessions, for which they
/// were not measured, are modest. Lists made ahead go: they know nothing of it.
pub(super) fn put(snapshot: &mut Snapshot, pushed: &Arc<Pushed>, weight: impl Fn(Source) -> f32) {
    let manifest = &mut snapshot.manifest;
    manifest.settings.blend = manifest.settings.blend.with_pushed(pushed, &weight);
    if let Some(sessions) = &mut manifest.session_settings {
        sessions.blend = sessions.blend.with_pushed(pushed, |source| weight(source).min(UNTRIED));
    }
    snapshot.parts.pushed = pushed.clone();
    snapshot.parts.prepared = Arc::default();
}
