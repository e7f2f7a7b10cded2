//! A push from its first byte to the published model: upload, gate, judgement, assembly.

use std::io::{Read, Seek};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::assemble::{self, PushedModel};
use super::gate::Gate;
use super::uploads::{Incoming, Uploads};
use crate::domain::progress::Control;
use crate::domain::{Check, Error, Generation, Offset, Result, Verdict, Violation, limits, now_ms};
use crate::engine::behaviour;
use crate::engine::options::PushOptions;
use crate::engine::state::State;
use crate::engine::write::{Write, Writer};
use crate::matrix::UserEvents;
use crate::model::pushed::facts::Facts;
use crate::model::pushed::reader::PushReader;
use crate::model::{Lineage, Manifest, Pushed, Role};
use crate::recommend::RepeatPolicy;
use crate::tune::pushed::{Judgement, judge};

/// Maximum length of the note, in bytes.
const MAX_NOTE_BYTES: usize = 4_096;

/// The request that announces a push.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// Identifies the push, so that it can be resumed.
    pub id: String,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The author of the model.
    pub pushed_by: String,
    /// A comment.
    pub note: String,
    /// The role that the model gets.
    pub role: Role,
    /// Whether a model is accepted that lists are worse with.
    pub force: bool,
}

/// Takes in models that were trained elsewhere.
#[derive(Debug)]
pub struct Pushes {
    state: Arc<State>,
    writer: Writer,
    background: Arc<rayon::ThreadPool>,
    options: PushOptions,
    repeat: RepeatPolicy,
    uploads: Arc<Uploads>,
    /// Held while a pushed model is checked: one at a time.
    checking: Mutex<()>,
}

/// What the gate found of a file that passed.
struct Examined {
    pushed: Arc<Pushed>,
    /// The log that it was judged by.
    events: UserEvents,
    judgement: Judgement,
    checks: Vec<Check>,
}

impl Pushes {
    pub(in crate::engine) fn new(
        state: Arc<State>,
        writer: Writer,
        background: Arc<rayon::ThreadPool>,
        options: PushOptions,
        repeat: RepeatPolicy,
    ) -> Self {
        let uploads = Arc::new(Uploads::new(state.folder.snapshots(), &options));
        let checking = Mutex::default();
        Self { state, writer, background, options, repeat, uploads, checking }
    }

    /// Begins a push, or resumes one whose stream broke.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a size or a text beyond the limits, [`Error::NotReady`] before
    /// the first model, [`Error::Overloaded`] while too many pushes are under way.
    pub fn begin(&self, request: &PushRequest) -> Result<Incoming> {
        limits::optional_id("header.pushed_by", &request.pushed_by)?;
        limits::text("header.note", &request.note, MAX_NOTE_BYTES)?;
        assemble::base(&self.state)?;
        self.uploads.begin(&request.id, request.bytes)
    }

    /// Bytes received of a push under way.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a push that cannot be resumed.
    pub fn received(&self, id: &str) -> Result<u64> {
        let not_found = || Error::NotFound { kind: "push", id: id.to_owned() };
        self.uploads.received(id).ok_or_else(not_found)
    }

    /// Checks a complete upload and publishes the model; returns its manifest. Runs on the
    /// background threads, one push at a time; call it from a thread that may block.
    ///
    /// # Errors
    /// [`Error::Invalid`] where size, checksum or layout are wrong, [`Error::Refused`] with
    /// all checks where one fails; nothing is changed then.
    pub fn commit(
        &self,
        mut incoming: Incoming,
        request: &PushRequest,
        bytes: u64,
        sha256: &str,
    ) -> Result<Manifest> {
        let started = Instant::now();
        // A client that lost the answer commits again.
        if let Some(published) = self.published_recently(&request.id, sha256, request.role)? {
            return Ok(published);
        }

        let (upload, sha256) = incoming.finish(bytes, sha256)?;
        let _one_at_a_time = self.checking.lock();
        if self.state.closing.has_begun() {
            return Err(Error::ShuttingDown);
        }

        let mut file = PushReader::open(upload.into_file(), bytes)?;
        let facts = file.facts()?;
        let pushed_ms = now_ms();

        // Names in the file are looked up in a log of at least this length.
        let offset = self.state.live.offset();
        check_facts(&facts, offset, pushed_ms)?;

        let examine = || self.examine(&mut file, &facts, pushed_ms, request.force);
        let examined = self.background.install(examine)?;
        let lineage = Lineage {
            push_id: request.id.clone(),
            pushed_by: request.pushed_by.clone(),
            note: request.note.clone(),
            pushed_ms,
            trained_until_ms: examined.pushed.trained_until_ms,
            log_offset: facts.log_offset,
            known_offset: offset,
            contents: file.contents(),
            bytes,
            sha256,
            forced: examined.checks.iter().any(|check| check.verdict == Verdict::Overridden),
            ..Lineage::default()
        };
        self.publish(examined, lineage, request.role, started)
    }

    /// Gives a kept model a role; returns its manifest. A staged push that the server has
    /// trained past since is assembled anew, as another generation. May read from disk: call
    /// it from a thread that may block.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is not kept, [`Error::NotReady`] where no model would be
    /// active any more, [`Error::Storage`] where it cannot be read.
    pub fn assign(&self, generation: Generation, role: Role) -> Result<Manifest> {
        let models = &self.state.models;
        let manifest = models.find(generation)?;

        let is_outdated = models
            .active()
            .is_some_and(|active| active.manifest.erased_to() > manifest.erased_to());
        let serves = matches!(role, Role::Shadow(_) | Role::Canary(_) | Role::Active);
        let is_staged = manifest.is_pushed() && models.role(generation) == Role::Staged;
        if !(is_outdated && serves && is_staged) {
            return models.assign(generation, role);
        }

        self.background.install(|| {
            let control = Control::new(&|_| {}, self.state.closing.flag());
            let events = behaviour::read(&self.state, self.state.live.offset())?.events;
            assemble::renew(&self.state, generation, role, Some((&events, &control)))
        })
    }

    /// Passes a file through the gate.
    fn examine<R: Read + Seek>(
        &self,
        file: &mut PushReader<R>,
        facts: &Facts,
        pushed_ms: i64,
        force: bool,
    ) -> Result<Examined> {
        let active = assemble::base(&self.state)?;
        let control = Control::new(&|_| {}, self.state.closing.flag());
        let started = Instant::now();
        let log_step = |step: &str| {
            tracing::debug!(seconds = started.elapsed().as_secs_f64(), "push: {step}");
        };
        let mut gate = Gate {
            state: &self.state,
            options: &self.options,
            active: &active,
            checks: Vec::new(),
        };

        let mut pushed = gate.read(file, facts, pushed_ms)?;
        log_step("is read");

        gate.index(&mut pushed, &control)?;
        log_step("is indexed");

        let pushed = Arc::new(pushed);
        let events = behaviour::read(&self.state, self.state.live.offset())?.events;
        let corpus = Arc::new(self.state.live.corpus());
        let judgement = judge(&events, &corpus, &active, &pushed, self.repeat, &control);
        let judgement = judgement.map_err(|e| Error::Training(e.into()))?;
        log_step("is judged");

        gate.quality(&judgement, force)?;
        Ok(Examined { pushed, events, judgement, checks: gate.checks })
    }

    /// Publishes what passed the gate.
    fn publish(
        &self,
        examined: Examined,
        lineage: Lineage,
        role: Role,
        started: Instant,
    ) -> Result<Manifest> {
        let Examined { pushed, events, judgement, checks } = examined;
        let quality = judgement.measured.into_iter().flat_map(|measured| {
            [("pushed_ndcg@10", measured.with), ("pushed_ndcg@10_before", measured.before)]
        });
        let pushed = PushedModel {
            model: pushed,
            blend: judgement.blend,
            lineage: Lineage { checks, ..lineage },
            quality: quality.map(|(name, value)| (name.to_owned(), value)).collect(),
            seconds: started.elapsed().as_secs_f64(),
        };

        // A model on disk must not know more than the log on disk.
        self.writer.submit_blocking(Write::Flush)?.wait()?;
        let control = Control::new(&|_| {}, self.state.closing.flag());
        let publish = || {
            let ahead = Some((&events, &control));
            assemble::publish(&self.state, pushed, role, ahead)
        };
        self.background.install(publish)
    }

    /// The generation that a push with this id and file became within the time in which it
    /// can be resumed, if it has the requested role.
    fn published_recently(&self, id: &str, sha256: &str, role: Role) -> Result<Option<Manifest>> {
        let models = &self.state.models;
        let since = now_ms() - (self.options.resume_minutes * 60_000) as i64;
        let is_same = |manifest: &Manifest, lineage: &Lineage| {
            lineage.generation == manifest.generation
                && lineage.push_id == id
                && lineage.sha256.eq_ignore_ascii_case(sha256)
                && lineage.pushed_ms >= since
        };

        let published = models.list()?.into_iter().find(|manifest| {
            manifest.pushed.as_ref().is_some_and(|lineage| is_same(manifest, lineage))
                && models.role(manifest.generation) == role
        });
        Ok(published)
    }
}

fn check_facts(facts: &Facts, offset: Offset, now_ms: i64) -> Result<()> {
    if let Some(until_ms) = facts.trained_until_ms {
        limits::time("trained_until", until_ms, now_ms)?;
    }
    if let Some(given) = facts.log_offset.filter(|&given| given > offset) {
        let message = format!("must be at most {offset}, where the log ends, was {given}");
        return Err(Violation::new("log_offset", message).into());
    }
    Ok(())
}
