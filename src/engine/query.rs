//! The read side: external ids in, one snapshot resolved, the pure funnel run
//! on the calling thread, external ids out. Takes read locks for short, and
//! waits for no training and no disk.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Engine;
use crate::domain::history::{Past, all_bought, first_distinct};
use crate::domain::topk::Scored;
use crate::domain::{Error, Generation, HistoryEvent, ItemIdx, Result, UserIdx, now_ms};
use crate::live::{Filter, Trend};
use crate::model::{Manifest, Ranking, Snapshot, Source, Window};
use crate::recommend::{self, Basis, Query, Recommended, RepeatPolicy, Scratch, Shelf, related};

/// Newest items of a shopper that are asked what was taken with them since the training,
/// and events in which they are looked for.
const NEWEST: usize = 10;
const LOOKED_AT: usize = 50;
/// Similar users who may have gone since the training before an answer gets shorter.
const GONE: usize = 100;
/// Shoppers who must have taken two items before others are shown the one for the other.
const SHOWN_TO_OTHERS: u32 = 2;

/// Whether what a shopper bought could come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// Never [`RepeatPolicy::Auto`].
    pub policy: RepeatPolicy,
    /// What decided that.
    pub reason: RepeatReason,
}

/// What decides whether what a shopper bought may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatReason {
    /// The request.
    Request,
    /// The store's setting.
    Setting,
    /// The setting leaves it to the tuner, which ran.
    Tuned,
    /// The setting leaves it to the tuner, which did not run.
    Default,
}

/// Asks for a personalised list.
#[derive(Debug, Clone, Default)]
pub struct RecommendRequest {
    /// The shopper; empty: anonymous.
    pub user_id: String,
    /// Items of the running session, oldest first; unknown ones are ignored.
    pub session: Vec<String>,
    /// Length of the list.
    pub limit: usize,
    /// What may be offered.
    pub filter: Arc<Filter>,
    /// Never offered; unknown ones are ignored.
    pub exclude: Vec<String>,
    /// Only these may be offered; none: all that pass.
    pub candidates: Option<Vec<String>>,
    /// One source alone; none: the blend.
    pub strategy: Option<Source>,
    /// None: the store's setting.
    pub repeat: Option<RepeatPolicy>,
    /// Whether the caller will not wait for the best list.
    pub hurried: bool,
    /// What is known of the shopper now, before what the store knows of them.
    pub attributes: BTreeMap<String, String>,
}

/// An answer: where it came from, and a list of ids with scores and sources.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Names this answer in later events.
    pub recommendation_id: String,
    /// The generation that scored it; 0: live counts.
    pub generation: Generation,
    /// Ids, best first.
    pub entries: Vec<(String, f32, Source)>,
    /// What it was built on.
    pub basis: Basis,
    /// Whether what the shopper bought could come back, and what decided that.
    pub repeat: Repeat,
    /// Whether a better list would have taken too long.
    pub reduced: bool,
    /// With [`Basis::Attributes`]: the narrowest cohort that the list came from.
    pub cohort: String,
}

fn not_ready() -> Error {
    Error::NotReady("no model is published yet; train one, or wait for training".to_owned())
}

pub(super) fn unknown(kind: &'static str, id: &str) -> Error {
    Error::NotFound { kind, id: id.to_owned() }
}

impl Engine {
    /// A personalised list as of now. Before the first model: popular items by
    /// live counts.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the first event.
    pub fn recommend(&self, request: &RecommendRequest) -> Result<Answer> {
        self.recommend_at(request, now_ms())
    }

    /// The same as of `now_ms`.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn recommend_at(&self, request: &RecommendRequest, now_ms: i64) -> Result<Answer> {
        match self.models().of_user(&request.user_id) {
            Some(snapshot) => Ok(self.answer_from(&snapshot, request, now_ms)),
            None => self.live_popular(request, now_ms),
        }
    }

    /// A personalised list from a snapshot.
    pub(super) fn answer_from(
        &self,
        snapshot: &Snapshot,
        request: &RecommendRequest,
        now_ms: i64,
    ) -> Answer {
        let user = Some(&request.user_id).filter(|id| !id.is_empty());
        let user = user.and_then(|id| self.user_idx(id));
        self.answer_to(snapshot, user, request, now_ms)
    }

    /// The same for a shopper who has been looked up.
    pub(super) fn answer_to(
        &self,
        snapshot: &Snapshot,
        user: Option<UserIdx>,
        request: &RecommendRequest,
        now_ms: i64,
    ) -> Answer {
        let session = self.known_items(&request.session);
        // Who objects is nobody to what was trained elsewhere either.
        let consenting = user.filter(|&user| self.live().profiles.read().consents(user));
        let past = consenting.map(|user| self.live().histories.read(user)).unwrap_or_default();
        let Past { events: history, bought } = past;
        let fresh = self.live().beside(&newest(&history, &session), SHOWN_TO_OTHERS);
        let trends = match history.is_empty() {
            true => self.trends(user, &request.attributes, now_ms),
            false => Vec::new(),
        };
        let list = self.with_shelf_of(request, now_ms, |shelf, scratch| {
            let query = Query {
                user: consenting,
                history: &history,
                bought: &bought,
                session: &session,
                limit: request.limit,
                shelf,
                strategy: request.strategy,
                repeat: request.repeat.unwrap_or(self.options.recommend.repeat_policy),
                fresh: &fresh,
                trends: &trends,
                hurried: request.hurried,
            };
            recommend::recommend(snapshot, &query, scratch)
        });
        let answer = self.answer(snapshot.manifest.generation, &list.items, list.basis);
        let repeat = self.repeat(request, Some(&snapshot.manifest));
        Answer { reduced: list.reduced, cohort: list.cohort, repeat, ..answer }
    }

    /// Whether what the shopper bought may come back in an answer of a model, or of none.
    fn repeat(&self, request: &RecommendRequest, model: Option<&Manifest>) -> Repeat {
        let setting = self.options.recommend.repeat_policy;
        let tuned = model.is_some_and(|model| model.tuning.is_some());
        let reason = match (request.repeat, setting) {
            (Some(_), _) => RepeatReason::Request,
            (None, RepeatPolicy::Auto) if tuned => RepeatReason::Tuned,
            (None, RepeatPolicy::Auto) => RepeatReason::Default,
            (None, _) => RepeatReason::Setting,
        };
        let settings = model.map(|model| model.settings).unwrap_or_default();
        Repeat { policy: request.repeat.unwrap_or(setting).resolved(&settings), reason }
    }

    /// Orders the request's candidates, each once, whatever the shopper bought and
    /// whatever can be bought now; those that the store does not know come last.
    ///
    /// # Errors
    /// As [`Engine::recommend`].
    pub fn rank(
        &self,
        user_id: String,
        session: Vec<String>,
        items: Vec<String>,
    ) -> Result<Answer> {
        let filter = Arc::new(Filter { include_unavailable: true, ..Filter::default() });
        let request = RecommendRequest {
            user_id,
            session,
            limit: items.len(),
            filter,
            candidates: Some(items),
            repeat: Some(RepeatPolicy::Allow),
            ..RecommendRequest::default()
        };
        let mut answer = self.recommend(&request)?;
        let mut listed: HashSet<String> = answer.entries.iter().map(|e| e.0.clone()).collect();
        for item in request.candidates.into_iter().flatten() {
            if listed.insert(item.clone()) {
                answer.entries.push((item, 0.0, Source::Catalog));
            }
        }
        Ok(answer)
    }

    /// Items like one item. Before the first model: those alike in what the catalogue says.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown item; [`Error::NotReady`] before the first model, where
    /// the catalogue knows none that is alike.
    pub fn similar_items(&self, id: &str, filter: &Filter, limit: usize) -> Result<Answer> {
        let (item, _) = self.item(id)?;
        let Some(snapshot) = self.models().active() else {
            let items = self
                .with_shelf(filter, |shelf, scratch| related::alike(item, limit, &shelf, scratch));
            if items.is_empty() {
                return Err(not_ready());
            }
            return Ok(self.answer(0, &items, Basis::Session));
        };
        let fresh = self.live().beside(&[item], 1);
        let items = self.with_shelf(filter, |shelf, scratch| {
            recommend::similar_items(&snapshot, item, limit, &fresh, &shelf, scratch)
        });
        Ok(self.answer(snapshot.manifest.generation, &items, Basis::Session))
    }

    /// Shoppers like one shopper.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown user; [`Error::NotReady`] before the first model.
    pub fn similar_users(&self, id: &str, limit: usize) -> Result<Answer> {
        let user = self.user_idx(id).ok_or_else(|| unknown("user", id))?;
        let snapshot = self.snapshot()?;
        let consents = self.live().profiles.read().consents(user);
        let past = if consents { self.live().histories.read(user) } else { Past::default() };
        let found = self.with_shelf(&Filter::default(), |shelf, scratch| {
            let query = Query {
                user: Some(user),
                history: &past.events,
                bought: &past.bought,
                session: &[],
                // The model may know users who have been erased, or have objected, since.
                limit: limit + GONE,
                shelf,
                strategy: None,
                repeat: RepeatPolicy::Allow,
                fresh: &[],
                trends: &[],
                hurried: false,
            };
            recommend::similar_users(&snapshot, &query, scratch)
        });
        let names = self.live().users.read();
        let profiles = self.live().profiles.read();
        // The model may know users who have been erased, or have objected, since.
        let shown =
            found.iter().filter(|s| !names.id(s.idx).is_empty() && profiles.consents(s.idx));
        let entry = |s: &Scored| (names.id(s.idx).to_owned(), s.score, Source::UserCf);
        let entries = shown.take(limit).map(entry).collect();
        Ok(stamped(snapshot.manifest.generation, entries, Basis::History))
    }

    /// What goes with a basket.
    ///
    /// # Errors
    /// [`Error::NotFound`] where no item of it is known; [`Error::NotReady`]
    /// before the first model.
    pub fn bought_together(&self, ids: &[String], filter: &Filter, limit: usize) -> Result<Answer> {
        let mut basket = self.known_items(ids);
        let catalogue = self.live().catalogue.read();
        basket.retain(|&item| !catalogue.is_deleted(item));
        drop(catalogue);
        if basket.is_empty() {
            return Err(unknown("item", ids.first().map_or("", String::as_str)));
        }
        let snapshot = self.snapshot()?;
        let fresh = self.live().beside(&basket, 1);
        let items = self.with_shelf(filter, |shelf, scratch| {
            recommend::bought_together(&snapshot, &basket, limit, &fresh, &shelf, scratch)
        });
        Ok(self.answer(snapshot.manifest.generation, &items, Basis::Session))
    }

    /// The most bought items of a window. Before the first model: by live counts.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the first event.
    pub fn popular(&self, window: Window, filter: &Filter, limit: usize) -> Result<Answer> {
        let Some(snapshot) = self.models().active() else {
            let filter = Arc::new(filter.clone());
            let request = RecommendRequest { filter, limit, ..Default::default() };
            return self.live_popular(&request, now_ms());
        };
        let items = self.with_shelf(filter, |shelf, scratch| {
            recommend::popular(&snapshot, window, limit, &shelf, scratch)
        });
        Ok(self.answer(snapshot.manifest.generation, &items, Basis::Popular))
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.models().active().ok_or_else(not_ready)
    }

    fn live_popular(&self, request: &RecommendRequest, now_ms: i64) -> Result<Answer> {
        if self.live().events() == 0 && self.live().items.read().is_empty() {
            let message = "the store holds no event and no item yet; import a log or a catalogue, \
                           or write events first";
            return Err(Error::NotReady(message.to_owned()));
        }
        let ranking = Ranking::new(self.live().buyers().into_iter().map(|n| n as f32));
        let repeat = self.repeat(request, None);
        let bought = match repeat.policy {
            RepeatPolicy::Allow => Vec::new(),
            _ => self.bought(&request.user_id),
        };
        let items = self.with_shelf_of(request, now_ms, |shelf, scratch| {
            let excluded = [shelf.excluded, &bought].concat();
            let shelf = Shelf { excluded: &excluded, ..shelf };
            related::from_rankings([&ranking], request.limit, &shelf, &mut scratch.mask)
        });
        Ok(Answer { repeat, ..self.answer(0, &items, Basis::Popular) })
    }

    /// What a user bought and has not given back.
    fn bought(&self, user_id: &str) -> Vec<ItemIdx> {
        let user = Some(user_id).filter(|id| !id.is_empty()).and_then(|id| self.user_idx(id));
        let user = user.filter(|&user| self.live().profiles.read().consents(user));
        let past = user.map(|user| self.live().histories.read(user)).unwrap_or_default();
        let mut bought = Vec::new();
        all_bought(&past.events, &past.bought, &mut bought);
        bought.iter().filter(|bought| bought.stands()).map(|bought| bought.item).collect()
    }

    /// Runs `ask` with the shelf that a request leaves and memory from the pool.
    fn with_shelf_of<T>(
        &self,
        request: &RecommendRequest,
        now_ms: i64,
        ask: impl FnOnce(Shelf<'_>, &mut Scratch) -> T,
    ) -> T {
        let excluded = self.known_items(&request.exclude);
        let only = request.candidates.as_ref().map(|candidates| self.known_items(candidates));
        self.with_shelf(&request.filter, |shelf, scratch| {
            let only = only.as_deref();
            ask(Shelf { excluded: &excluded, only, now_ms, ..shelf }, scratch)
        })
    }

    /// Runs `ask` with the shelf as it is now and memory from the pool.
    fn with_shelf<T>(&self, filter: &Filter, ask: impl FnOnce(Shelf<'_>, &mut Scratch) -> T) -> T {
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        let items = self.live().items.read().len();
        let catalogue = self.live().catalogue.read();
        let now_ms = now_ms();
        let shelf =
            Shelf { catalogue: &catalogue, items, filter, excluded: &[], only: None, now_ms };
        let result = ask(shelf, &mut scratch);
        drop(catalogue);
        self.scratch.lock().push(scratch);
        result
    }

    /// What is taken now by those who are like a user, and by everyone.
    fn trends(
        &self,
        user: Option<UserIdx>,
        given: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> Vec<Trend> {
        let known = user.and_then(|user| self.live().profiles.read().get(user).cloned());
        let mut attributes = known.map_or_else(BTreeMap::new, |user| user.attributes);
        attributes.extend(given.clone());
        self.live().trends.read().of(&self.live().cohorts(&attributes), now_ms)
    }

    fn known_items(&self, ids: &[String]) -> Vec<ItemIdx> {
        let names = self.live().items.read();
        ids.iter().filter_map(|id| names.get(id)).collect()
    }

    fn answer(&self, generation: Generation, items: &[Recommended], basis: Basis) -> Answer {
        let names = self.live().items.read();
        let entries =
            items.iter().map(|r| (names.id(r.item).to_owned(), r.score, r.source)).collect();
        stamped(generation, entries, basis)
    }
}

fn stamped(generation: Generation, entries: Vec<(String, f32, Source)>, basis: Basis) -> Answer {
    let recommendation_id = uuid::Uuid::now_v7().to_string();
    let cohort = String::new();
    // What is no list of a shopper's is what it is whatever they bought.
    let repeat = Repeat { policy: RepeatPolicy::Allow, reason: RepeatReason::Default };
    Answer { recommendation_id, generation, entries, basis, repeat, reduced: false, cohort }
}

/// The items a shopper looked at or took last.
fn newest(history: &[HistoryEvent], session: &[ItemIdx]) -> Vec<ItemIdx> {
    let all = session.iter().rev().copied().chain(history.iter().rev().map(|e| e.item));
    first_distinct(all.take(LOOKED_AT), NEWEST)
}
