//! The hot path: resolves external ids, takes one snapshot, runs the pure funnel, and translates the
//! list back to external ids. Prepared lists, quick lists and lookups are made on the calling thread,
//! other lists that must be blended on the request threads. Read locks are held for short; no request
//! waits for a training or a disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::explain;
use super::exposures::Exposures;
use super::fatigue::Fatigue;
use super::quick::QuickLists;
use super::request::{Answer, RecommendRequest, Repeat, ScoredItem};
use super::shadow::{self, ShadowComparer};
use super::slot;
use super::steered::steered;
use crate::domain::history::{Past, all_bought};
use crate::domain::{Error, Generation, ItemIdx, Result, UserIdx, now_ms};
use crate::engine::options::RecommendOptions;
use crate::engine::state::State;
use crate::engine::stats::{Made, Stats};
use crate::engine::threads::Threads;
use crate::engine::threads::requests::RequestThreads;
use crate::engine::write::Writer;
use crate::experiment::{alias_hash, session_hash};
use crate::live::Filter;
use crate::model::{Ranking, Snapshot};
use crate::recommend::{
    self, Basis, List, Origin, Query, Recommended, RepeatPolicy, Scratch, Shelf, related,
};
use crate::rules::{Asked, CompiledRules};

/// Answers requests for lists from one store.
#[derive(Debug)]
pub struct Recommender {
    pub(super) state: Arc<State>,
    /// Whether bought items may come back where a request does not say.
    pub(super) repeat: RepeatPolicy,
    pub(super) fatigue: Fatigue,
    /// Working memory that requests reuse.
    scratch: Mutex<Vec<Scratch>>,
    threads: Arc<RequestThreads>,
    quick: QuickLists,
    exposures: Exposures,
    pub(super) shadow: ShadowComparer,
}

impl Recommender {
    pub(in crate::engine) fn new(
        state: Arc<State>,
        writer: Writer,
        options: &RecommendOptions,
        threads: &Threads,
    ) -> Result<Self> {
        let exposures = Exposures::start(state.clone(), writer, options.exposures)?;
        let repeat = options.repeat_policy;
        let fatigue = Fatigue { after: options.fatigue_after, factor: options.fatigue_factor };
        let scratch = Mutex::default();
        let shadow = ShadowComparer::new(threads.background.clone());
        let threads = threads.requests.clone();
        let quick = QuickLists::default();
        Ok(Self { state, repeat, fatigue, scratch, threads, quick, exposures, shadow })
    }

    /// Answers a live request as [`Recommender::recommend`] does: by a prepared list at once where
    /// one holds, by a quick one likewise, otherwise on the request threads. Compares the answer with
    /// the shadow's where there is one.
    ///
    /// # Errors
    /// As [`Recommender::recommend`].
    pub async fn serve(self: &Arc<Self>, mut request: RecommendRequest) -> Result<Answer> {
        let limit = request.limit;
        let slot = request.slot.filter(|_| request.shown_before.is_empty());
        let slot = slot.filter(|_| !self.is_steered(&request));
        request.limit = limit.max(slot.map_or(0, |slot| slot.candidates));
        let request = Arc::new(request);
        let mut answer = match self.prepared(&request) {
            Some(answer) => answer,
            None if self.quick.hold(&request) => {
                self.quick.timed(&request, || self.recommend(&request))?
            }
            None => self.on_request_thread(&request).await?,
        };
        if let Some(slot) = slot {
            slot::draw(&mut answer.entries, &slot, limit, slot::roll());
        }
        if let Some(record) = &request.record {
            record.answered_by(answer.generation);
        }
        self.expose(&answer, &request);

        if let Some(unseen) = self.state.models.shadow(shadow::draw(&answer)) {
            let recommender = self.clone();
            // Its list is shown to no one, and is no part of the request's record.
            let request = RecommendRequest { record: None, ..RecommendRequest::clone(&request) };
            self.shadow.compare(unseen, &answer, move |snapshot| {
                let user = recommender.user(&request);
                recommender.answer_from(snapshot, user, &request, now_ms(), None)
            });
        }
        Ok(answer)
    }

    /// A personalised list as of now. Before the first model: popular items by live counts.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the first event; [`Error::OtherShard`] for a user whose lists another server
    /// makes.
    pub fn recommend(&self, request: &RecommendRequest) -> Result<Answer> {
        self.recommend_at(request, now_ms())
    }

    /// A personalised list as of `now_ms`, in milliseconds since 1970.
    ///
    /// # Errors
    /// As [`Recommender::recommend`].
    pub fn recommend_at(&self, request: &RecommendRequest, now_ms: i64) -> Result<Answer> {
        self.state.check_shard(&request.user_id)?;
        let pinned = request.generation.and_then(|of| self.state.pinned.get(of));
        let answer = match pinned.or_else(|| self.state.models.of_user(&request.user_id)) {
            Some(snapshot) => {
                let stats = Some(&self.state.stats);
                self.answer_from(&snapshot, self.user(request), request, now_ms, stats)
            }
            None => self.live_popular(request, now_ms)?,
        };
        self.state.stats.note_list(answer.made);
        Ok(answer)
    }

    /// A list for a user who is known by their idx, not counted.
    ///
    /// # Errors
    /// As [`Recommender::recommend`].
    pub(in crate::engine) fn dry_list(
        &self,
        user: UserIdx,
        request: &RecommendRequest,
    ) -> Result<Answer> {
        let snapshot = self.state.models.active();
        match snapshot {
            Some(snapshot) => Ok(self.answer_from(&snapshot, Some(user), request, now_ms(), None)),
            None => self.live_popular(request, now_ms()),
        }
    }

    /// Notes that an answer is shown to the user of a request, who may be anonymous.
    pub(super) fn expose(&self, answer: &Answer, request: &RecommendRequest) {
        if request.is_part {
            return;
        }
        let steered = &answer.steered;
        for (target, shown) in &steered.targets {
            target.note(answer.entries.len(), *shown, steered.own);
        }
        let named = self.user(request);
        let session = match (request.user_id.as_str(), request.session_id.as_str()) {
            ("", "") => 0,
            ("", session) => session_hash(session),
            // A user whom the store does not know yet; without a lease it may know and not ask them.
            (id, _) if named.is_none() && self.state.lease.holds() => {
                alias_hash(&self.state.pseudonyms.of(id))
            }
            _ => 0,
        };
        self.exposures.note(answer, self.consenting(named), session, request);
    }

    /// [`Recommender::recommend`] on the request threads.
    pub(super) async fn on_request_thread(
        self: &Arc<Self>,
        request: &Arc<RecommendRequest>,
    ) -> Result<Answer> {
        let recommender = self.clone();
        let request = request.clone();
        let work = move || {
            request.end("wait");
            recommender.quick.timed(&request, || recommender.recommend(&request))
        };
        self.threads.run(work).await?
    }

    /// The answer from a prepared list, where one holds.
    fn prepared(&self, request: &RecommendRequest) -> Option<Answer> {
        let snapshot = self.state.models.of_user(&request.user_id)?;
        let user = self.consenting(self.user(request))?;
        let asks_more = request.explain || request.variety.is_some() || request.objective.is_some();
        let asks_other = request.weights.is_some() || request.generation.is_some();
        if asks_more || asks_other || request.strategy.is_some() || !request.session.is_empty() {
            return None;
        }

        // Most misses are users with newer events: found out before anything else is looked up.
        let held = self.held(&snapshot, user)?;

        let inputs = self.inputs(Some(user), request, now_ms());
        let follow = |stage, passed| request.end_funnel_stage(stage, passed);
        let rules = self.rules(request);
        let made = held.active.as_ref().map(|active| &active.list);
        let (list, steered) =
            self.with_request_shelf(request, Some(user), &rules, now_ms(), |shelf, scratch| {
                let query = Query { made, ..self.query(request, (&inputs, None), shelf, &follow) };
                let list = recommend::prepared_list(&snapshot, &query, scratch)?;
                let steered = steered(&shelf, &list.items, list.steered.as_ref());
                Some((list, steered))
            })?;
        let answer = Answer { steered, ..self.answer_of(&snapshot, request, list, &rules) };
        self.state.stats.note_list(answer.made);
        Some(answer)
    }

    /// A personalised list from a snapshot, for a user who has been looked up; `stats` counts the
    /// candidates of one that is shown.
    pub(super) fn answer_from(
        &self,
        snapshot: &Snapshot,
        user: Option<UserIdx>,
        request: &RecommendRequest,
        now_ms: i64,
        stats: Option<&Stats>,
    ) -> Answer {
        let inputs = self.inputs(user, request, now_ms);
        request.end("look up");

        let follow = |stage, passed| request.end_funnel_stage(stage, passed);
        let rules = self.rules(request);
        let outcomes = request.objective.map(|_| self.state.live.outcomes.read());
        let (list, steered) =
            self.with_request_shelf(request, user, &rules, now_ms, |shelf, scratch| {
                let query = self.query(request, (&inputs, outcomes.as_deref()), shelf, &follow);
                let list = recommend::recommend(snapshot, &query, scratch);
                if let Some(stats) = stats.filter(|_| list.origin == Origin::Blended) {
                    stats.note_candidates(scratch.proposed());
                }
                let steered = steered(&shelf, &list.items, list.steered.as_ref());
                (list, steered)
            });
        Answer { steered, ..self.answer_of(snapshot, request, list, &rules) }
    }

    /// Whether rules move the items of a request's list: nothing is drawn by chance then.
    fn is_steered(&self, request: &RecommendRequest) -> bool {
        let rules = self.rules(request);
        if rules.rules().is_empty() {
            return false;
        }
        let user = self.user(request);
        let attributes = &self.attributes(user, &request.attributes);
        let segments = &self.segments(user, rules.segments());
        let (placement, page_category) = (&*request.placement, &*request.page_category);
        rules.active(&Asked { placement, attributes, page_category, segments }).moves()
    }

    /// The rules for a request: those in force, unless it tries others.
    pub(super) fn rules(&self, request: &RecommendRequest) -> Arc<CompiledRules> {
        request.rules.clone().unwrap_or_else(|| self.state.in_force.rules())
    }

    fn answer_of(
        &self,
        snapshot: &Snapshot,
        request: &RecommendRequest,
        list: List,
        rules: &CompiledRules,
    ) -> Answer {
        let manifest = &snapshot.manifest;
        let repeat = Repeat::resolve(request.repeat, self.repeat, Some(manifest));
        let mut answer = self.answer(manifest.generation, &list.items, list.basis);
        let made = made(&list);
        for (entry, propensity) in answer.entries.iter_mut().zip(list.propensities) {
            entry.propensity = propensity;
        }
        let reasons = list.items.iter().zip(list.reasons);
        for (entry, (item, reasons)) in answer.entries.iter_mut().zip(reasons) {
            let explanation = explain::explanation(&self.state.live, item, reasons, rules);
            entry.explanation = Some(Box::new(explanation));
        }
        Answer { made, reduced: list.reduced, cohort: list.cohort, repeat, ..answer }
    }

    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.state.models.active().ok_or_else(not_ready)
    }

    /// Popular items by live counts, for a store without a model.
    pub(super) fn live_popular(&self, request: &RecommendRequest, now_ms: i64) -> Result<Answer> {
        let live = &self.state.live;
        if live.events() == 0 && live.items.read().is_empty() {
            let message = if self.state.lease.is_follower() {
                "nothing of the store is copied from the primary yet"
            } else {
                "the store has no event and no item yet; import a log or a catalogue, or write events first"
            };
            return Err(Error::NotReady(message.to_owned()));
        }

        let ranking = Ranking::new(live.buyers().into_iter().map(|n| n as f32));
        let repeat = Repeat::resolve(request.repeat, self.repeat, None);
        let bought = match repeat.policy {
            RepeatPolicy::Allow => Vec::new(),
            _ => self.bought(self.user(request)),
        };
        let rules = self.rules(request);
        let (items, steered) = self.with_request_shelf(
            request,
            self.user(request),
            &rules,
            now_ms,
            |shelf, scratch| {
                let excluded = [shelf.excluded, &bought].concat();
                let shelf = Shelf { excluded: &excluded, ..shelf };
                let items =
                    related::from_rankings([&ranking], request.limit, &shelf, &mut scratch.mask);
                let steered = steered(&shelf, &items, None);
                (items, steered)
            },
        );
        Ok(Answer { repeat, steered, ..self.answer(0, &items, Basis::Popular) })
    }

    /// The request's user, if it names one that the store knows; none on a follower whose lease has ended, which
    /// cannot know who was erased, or objected, since.
    pub(super) fn user(&self, request: &RecommendRequest) -> Option<UserIdx> {
        let is_known = |id: &&String| !id.is_empty() && self.state.lease.holds();
        let id = Some(&request.user_id).filter(is_known);
        id.and_then(|id| self.state.user_idx(id))
    }

    /// The user, if they consent to the use of their events.
    pub(super) fn consenting(&self, user: Option<UserIdx>) -> Option<UserIdx> {
        user.filter(|&user| self.state.live.profiles.read().consents(user))
    }

    pub(super) fn past(&self, user: Option<UserIdx>) -> Past {
        user.map(|user| self.state.live.past(user)).unwrap_or_default()
    }

    /// The items that a user bought and has not returned.
    pub(super) fn bought(&self, user: Option<UserIdx>) -> Vec<ItemIdx> {
        let past = self.past(self.consenting(user));
        let mut bought = Vec::new();
        all_bought(&past.events, &past.bought, &mut bought);
        bought.iter().filter(|bought| bought.stands()).map(|bought| bought.item).collect()
    }

    pub(super) fn known_items(&self, ids: &[String]) -> Vec<ItemIdx> {
        let names = self.state.live.items.read();
        ids.iter().filter_map(|id| names.get(id)).collect()
    }

    /// Calls `ask` with the shelf that a request and the rules leave, and working memory from the pool.
    pub(super) fn with_request_shelf<T>(
        &self,
        request: &RecommendRequest,
        user: Option<UserIdx>,
        rules: &CompiledRules,
        now_ms: i64,
        ask: impl FnOnce(Shelf<'_>, &mut Scratch) -> T,
    ) -> T {
        let mut excluded = self.known_items(&request.exclude);
        excluded.extend(&request.shown_before);
        let only = request.candidates.as_ref().map(|candidates| self.known_items(candidates));
        let hidden = self.hidden(user);
        let attributes = if rules.asks_for_attributes() {
            self.attributes(user, &request.attributes)
        } else {
            BTreeMap::new()
        };

        let placement = request.placement.as_str();
        let page_category = request.page_category.as_str();
        let (attributes, segments) = (&attributes, &self.segments(user, rules.segments()));
        let active = rules.active(&Asked { placement, attributes, page_category, segments });
        let rules = Some(&active).filter(|active| !active.is_empty());
        self.with_shelf(&request.filter, |shelf, scratch| {
            let only = only.as_deref();
            let (excluded, hidden) = (&excluded[..], &hidden[..]);
            let shown_before = request.shown_before.len();
            ask(Shelf { excluded, hidden, only, shown_before, rules, now_ms, ..shelf }, scratch)
        })
    }

    /// Calls `ask` with the shelf as of now, and working memory from the pool.
    pub(super) fn with_shelf<T>(
        &self,
        filter: &Filter,
        ask: impl FnOnce(Shelf<'_>, &mut Scratch) -> T,
    ) -> T {
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        let items = self.state.live.items.read().len();
        let catalogue = self.state.live.catalogue.read();

        let result = ask(Shelf::of(&catalogue, items, filter, now_ms()), &mut scratch);
        drop(catalogue);
        self.scratch.lock().push(scratch);
        result
    }

    pub(super) fn answer(
        &self,
        generation: Generation,
        items: &[Recommended],
        basis: Basis,
    ) -> Answer {
        let names = self.state.live.items.read();
        let scored = |r: &Recommended| ScoredItem {
            item_id: names.id(r.item).to_owned(),
            idx: Some(r.item),
            score: r.score,
            source: r.source,
            propensity: 1.0,
            explanation: None,
        };
        let stale = !self.state.lease.holds();
        Answer { stale, ..Answer::new(generation, items.iter().map(scored).collect(), basis) }
    }
}

/// How a list was made.
fn made(list: &List) -> Made {
    match list.origin {
        Origin::Prepared => Made::Prepared,
        Origin::Blended if list.reduced => Made::Reduced,
        Origin::Blended => Made::Blended,
        Origin::Single => Made::Single,
        Origin::Cold => Made::Cold,
    }
}

pub(super) fn not_ready() -> Error {
    Error::NotReady("no model is published yet; train one, or wait for training".to_owned())
}
