//! Takes in a model that was trained elsewhere: through the gate, beside the parts that
//! the server trained, and into the registry.

use std::sync::Arc;
use std::time::Instant;

use super::gate::Gate;
use super::uploads::Incoming;
use super::{Engine, State, training};
use crate::domain::progress::Control;
use crate::domain::{
    Error, Generation, Offset, Result, UserIdx, Verdict, Violation, limits, now_ms,
};
use crate::model::push_facts::Facts;
use crate::model::push_reader::PushReader;
use crate::model::{Lineage, Manifest, Pushed, Role, Snapshot, Source};
use crate::tune::pushed::{UNTRIED, Worth, judge};

/// Longest words about a push, in bytes.
const MAX_NOTE_BYTES: usize = 4_096;
/// Names that are looked up at a time: writes wait meanwhile.
pub(super) const AT_ONCE: usize = 1_000;

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

    /// Bytes that came of a push under way.
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
        mut incoming: Incoming,
        request: &PushRequest,
        bytes: u64,
        sha256: &str,
    ) -> Result<Manifest> {
        let started = Instant::now();
        // A client that did not hear the answer comes again.
        if let Some(published) = self.published_just_now(&request.id, sha256) {
            return Ok(published);
        }
        let (upload, sha256) = incoming.finish(bytes, sha256)?;
        let _one_at_a_time = self.checking.lock();
        let control = Control::new(&|_| {}, &self.stopping);
        let stopped = |e: &dyn std::fmt::Display| Error::Training(e.to_string());
        control.check().map_err(|e| stopped(&e))?;
        let mut file = PushReader::open(upload.into_file(), bytes)?;
        let facts = file.facts()?;
        let (active, pushed_ms) = (self.base()?, now_ms());
        // What the file is read by: names of a log that is at least so long.
        let offset = self.live().offset();
        self.check_facts(&facts, offset, pushed_ms)?;
        let mut gate = Gate {
            state: &self.state,
            pseudonyms: &self.pseudonyms,
            options: &self.options.push,
            active: &active,
            checks: Vec::new(),
        };
        let (pushed, worth) = self.background.install(|| -> Result<(Arc<Pushed>, Worth)> {
            let step = |what: &str| {
                tracing::debug!(seconds = started.elapsed().as_secs_f64(), "push: {what}");
            };
            let mut pushed = gate.read(&mut file, &facts, pushed_ms)?;
            step("is read");
            gate.index(&mut pushed, &control)?;
            step("is indexed");
            let pushed = Arc::new(pushed);
            let events = training::read_log(&self.state, self.live().offset())?;
            step("the log is read");
            let repeat = self.options.recommend.repeat_policy;
            let worth = judge(&events, &active, &pushed, repeat, &control);
            let worth = worth.map_err(|e| stopped(&e))?;
            gate.quality(&worth, request.force)?;
            step("is judged");
            Ok((pushed, worth))
        })?;
        let checks = gate.checks;
        let lineage = Lineage {
            push_id: request.id.clone(),
            pushed_by: request.pushed_by.clone(),
            note: request.note.clone(),
            pushed_ms,
            trained_until_ms: pushed.trained_until_ms,
            log_offset: facts.log_offset,
            known_offset: offset,
            contents: file.contents(),
            bytes,
            sha256,
            forced: checks.iter().any(|check| check.verdict == Verdict::Overridden),
            checks,
            ..Lineage::default()
        };
        let manifest = self.publish_pushed(&pushed, &worth, lineage, request.role, started)?;
        drop(incoming);
        Ok(manifest)
    }

    /// The generation that a push of this name and file became within the time in which it
    /// can be taken up again, unless it has retired since.
    fn published_just_now(&self, id: &str, sha256: &str) -> Option<Manifest> {
        let since = now_ms() - (self.options.push.resume_minutes * 60_000) as i64;
        self.models().list().into_iter().find(|manifest| {
            let it = |l: &Lineage| {
                l.generation == manifest.generation
                    && l.push_id == id
                    && l.sha256.eq_ignore_ascii_case(sha256)
                    && l.pushed_ms >= since
            };
            manifest.pushed.as_ref().is_some_and(it)
                && self.models().role(manifest.generation) != Role::Retired
        })
    }

    fn check_facts(&self, facts: &Facts, offset: Offset, now_ms: i64) -> Result<()> {
        if let Some(until_ms) = facts.trained_until_ms {
            limits::time("trained_until", until_ms, now_ms)?;
        }
        if let Some(given) = facts.log_offset.filter(|&given| given > offset) {
            let message = format!("must be at most {offset}, where the log ends, was {given}");
            return Err(Violation::new("log_offset", message).into());
        }
        Ok(())
    }

    /// Puts a pushed model beside what the server trained last.
    fn publish_pushed(
        &self,
        pushed: &Arc<Pushed>,
        worth: &Worth,
        lineage: Lineage,
        role: Role,
        started: Instant,
    ) -> Result<Manifest> {
        let _assembling = self.state.assembling.lock();
        let base = self.base()?;
        let mut snapshot = Snapshot::clone(&base);
        let generation = self.models().next_generation();
        // Whoever was erased while it was checked.
        let pushed = without_gone(&self.state, pushed);
        put(&mut snapshot, &pushed, |source| worth.blend.weight(source));
        let manifest = &mut snapshot.manifest;
        let base: Generation = manifest.generation;
        manifest.generation = generation;
        manifest.pushed = Some(Lineage { generation, base, ..lineage });
        manifest.created_ms = now_ms();
        manifest.train_seconds = started.elapsed().as_secs_f64();
        if let Some(measured) = worth.measured {
            manifest.quality.insert("pushed_ndcg@10".to_owned(), measured.with);
            manifest.quality.insert("pushed_ndcg@10_before".to_owned(), measured.before);
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

/// A pushed model without the users who were erased, or who object to the use of what they
/// did.
pub(super) fn without_gone(state: &State, pushed: &Arc<Pushed>) -> Arc<Pushed> {
    let mut named: Vec<UserIdx> = pushed.users_named().collect();
    named.sort_unstable();
    named.dedup();
    let mut gone = state.live.profiles.read().objecting();
    for some in named.chunks(AT_ONCE) {
        // Writes wait while names are read.
        let names = state.live.users.read();
        gone.extend(some.iter().filter(|&&user| names.id(user).is_empty()));
    }
    match named.iter().any(|user| gone.contains(user)) {
        true => Arc::new(pushed.without_users(|user| gone.contains(&user))),
        false => pushed.clone(),
    }
}
