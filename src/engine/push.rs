//! Takes in a model that was trained elsewhere: through the gate, and beside the parts that
//! the server trained into the registry.

use std::io::{Read, Seek};
use std::sync::Arc;
use std::time::Instant;

use super::beside::Beside;
use super::gate::Gate;
use super::uploads::Incoming;
use super::{Engine, Write, training};
use crate::domain::progress::Control;
use crate::domain::{Error, Offset, Result, Verdict, Violation, limits, now_ms};
use crate::matrix::UserEvents;
use crate::model::push_facts::Facts;
use crate::model::push_reader::PushReader;
use crate::model::{Lineage, Manifest, Pushed, Role};
use crate::tune::pushed::{Worth, judge};

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
        limits::optional_id("header.pushed_by", &request.pushed_by)?;
        limits::text("header.note", &request.note, MAX_NOTE_BYTES)?;
        self.state.base()?;
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
        if let Some(published) = self.published_just_now(&request.id, sha256, request.role)? {
            return Ok(published);
        }
        let (upload, sha256) = incoming.finish(bytes, sha256)?;
        let _one_at_a_time = self.checking.lock();
        if self.is_closing() {
            return Err(Error::Training("the store is shutting down".to_owned()));
        }
        let mut file = PushReader::open(upload.into_file(), bytes)?;
        let facts = file.facts()?;
        let (active, pushed_ms) = (self.state.base()?, now_ms());
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
        let (pushed, events, worth) = self
            .background
            .install(|| self.examine(&mut gate, &mut file, &facts, pushed_ms, request.force))?;
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
        let quality = worth.measured.into_iter().flat_map(|measured| {
            [("pushed_ndcg@10", measured.with), ("pushed_ndcg@10_before", measured.before)]
        });
        let beside = Beside {
            pushed,
            blend: worth.blend,
            lineage,
            quality: quality.map(|(name, value)| (name.to_owned(), value)).collect(),
            seconds: started.elapsed().as_secs_f64(),
        };
        // A model on disk must not know more than the log on disk.
        self.committer.submit_blocking(Write::Flush)?.wait()?;
        let control = Control::new(&|_| {}, &self.stopping);
        let ahead = Some((&events, &control));
        let publish = || self.state.publish_beside(beside, request.role, ahead);
        self.background.install(publish)
    }

    /// Takes a file through the gate; the model, the log that it was judged by, and what it is
    /// worth.
    fn examine<R: Read + Seek>(
        &self,
        gate: &mut Gate<'_>,
        file: &mut PushReader<R>,
        facts: &Facts,
        pushed_ms: i64,
        force: bool,
    ) -> Result<(Arc<Pushed>, UserEvents, Worth)> {
        let control = Control::new(&|_| {}, &self.stopping);
        let started = Instant::now();
        let step = |what: &str| {
            tracing::debug!(seconds = started.elapsed().as_secs_f64(), "push: {what}");
        };
        let mut pushed = gate.read(file, facts, pushed_ms)?;
        step("is read");
        gate.index(&mut pushed, &control)?;
        step("is indexed");
        let pushed = Arc::new(pushed);
        let events = training::read_log(&self.state, self.live().offset())?;
        let repeat = self.options.recommend.repeat_policy;
        let worth = judge(&events, gate.active, &pushed, repeat, &control);
        let worth = worth.map_err(|e| Error::Training(e.to_string()))?;
        step("is judged");
        gate.quality(&worth, force)?;
        Ok((pushed, events, worth))
    }

    /// The generation that a push of this name and file became within the time in which it
    /// can be taken up again, if it has the role that is asked for.
    fn published_just_now(&self, id: &str, sha256: &str, role: Role) -> Result<Option<Manifest>> {
        let since = now_ms() - (self.options.push.resume_minutes * 60_000) as i64;
        let published = self.models().list()?.into_iter().find(|manifest| {
            let it = |l: &Lineage| {
                l.generation == manifest.generation
                    && l.push_id == id
                    && l.sha256.eq_ignore_ascii_case(sha256)
                    && l.pushed_ms >= since
            };
            manifest.pushed.as_ref().is_some_and(it)
                && self.models().role(manifest.generation) == role
        });
        Ok(published)
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
}
