//! The read side: external ids in, one snapshot resolved, the pure funnel run
//! on the calling thread, external ids out. Takes read locks for short, and
//! waits for no training and no disk.

use std::sync::Arc;

use super::Engine;
use crate::domain::{Error, Generation, ItemIdx, Result, now_ms};
use crate::live::Filter;
use crate::model::{Ranking, Snapshot, Source, Window};
use crate::recommend::{self, Basis, Query, Recommended, RepeatPolicy, Scratch, Shelf, related};

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
    pub filter: Filter,
    /// Never offered; unknown ones are ignored.
    pub exclude: Vec<String>,
    /// One source alone; none: the blend.
    pub strategy: Option<Source>,
    /// None: the store's setting.
    pub repeat: Option<RepeatPolicy>,
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
        let live = self.live();
        let Some(snapshot) = self.models().active() else {
            return self.live_popular(&request.filter, &request.exclude, request.limit);
        };
        let session = self.known_items(&request.session);
        let excluded = self.known_items(&request.exclude);
        let user = Some(&request.user_id).filter(|id| !id.is_empty()).and_then(|id| live.user(id));
        let mut history = Vec::new();
        if let Some(user) = user {
            live.histories.read(user, &mut history);
        }
        let list = self.with_shelf(&request.filter, &excluded, |shelf, scratch| {
            let query = Query {
                user,
                history: &history,
                session: &session,
                now_ms,
                limit: request.limit,
                shelf,
                strategy: request.strategy,
                repeat: request.repeat.unwrap_or(self.options.recommend.repeat_policy),
            };
            recommend::recommend(&snapshot, &query, scratch)
        });
        Ok(self.answer(snapshot.manifest.generation, &list.items, list.basis))
    }

    /// Items like one item.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown item; [`Error::NotReady`] before the first model.
    pub fn similar_items(&self, id: &str, filter: &Filter, limit: usize) -> Result<Answer> {
        let item = self.live().item(id).ok_or_else(|| unknown("item", id))?;
        let snapshot = self.snapshot()?;
        let items = self.with_shelf(filter, &[], |shelf, scratch| {
            recommend::similar_items(&snapshot, item, limit, &shelf, scratch)
        });
        Ok(self.answer(snapshot.manifest.generation, &items, Basis::Session))
    }

    /// Shoppers like one shopper.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown user; [`Error::NotReady`] before the first model.
    pub fn similar_users(&self, id: &str, limit: usize) -> Result<Answer> {
        let user = self.live().user(id).ok_or_else(|| unknown("user", id))?;
        let snapshot = self.snapshot()?;
        let mut history = Vec::new();
        self.live().histories.read(user, &mut history);
        let found = self.with_shelf(&Filter::default(), &[], |shelf, scratch| {
            let query = Query {
                user: Some(user),
                history: &history,
                session: &[],
                now_ms: now_ms(),
                limit,
                shelf,
                strategy: None,
                repeat: RepeatPolicy::Allow,
            };
            recommend::similar_users(&snapshot, &query, scratch)
        });
        let names = self.live().users.read();
        let entries =
            found.iter().map(|s| (names.id(s.idx).to_owned(), s.score, Source::UserCf)).collect();
        Ok(stamped(snapshot.manifest.generation, entries, Basis::History))
    }

    /// What goes with a basket.
    ///
    /// # Errors
    /// [`Error::NotFound`] where no item of it is known; [`Error::NotReady`]
    /// before the first model.
    pub fn bought_together(&self, ids: &[String], filter: &Filter, limit: usize) -> Result<Answer> {
        let basket = self.known_items(ids);
        if basket.is_empty() {
            return Err(unknown("item", ids.first().map_or("", String::as_str)));
        }
        let snapshot = self.snapshot()?;
        let items = self.with_shelf(filter, &[], |shelf, scratch| {
            recommend::bought_together(&snapshot, &basket, limit, &shelf, scratch)
        });
        Ok(self.answer(snapshot.manifest.generation, &items, Basis::Session))
    }

    /// The most bought items of a window. Before the first model: by live counts.
    ///
    /// # Errors
    /// [`Error::NotReady`] before the first event.
    pub fn popular(&self, window: Window, filter: &Filter, limit: usize) -> Result<Answer> {
        let Some(snapshot) = self.models().active() else {
            return self.live_popular(filter, &[], limit);
        };
        let items = self.with_shelf(filter, &[], |shelf, scratch| {
            recommend::popular(&snapshot, window, limit, &shelf, scratch)
        });
        Ok(self.answer(snapshot.manifest.generation, &items, Basis::Popular))
    }

    fn snapshot(&self) -> Result<Arc<Snapshot>> {
        self.models().active().ok_or_else(|| {
            Error::NotReady("no model is published yet; train one, or wait for training".to_owned())
        })
    }

    fn live_popular(&self, filter: &Filter, exclude: &[String], limit: usize) -> Result<Answer> {
        if self.live().events() == 0 {
            return Err(Error::NotReady(
                "the store holds no event yet; import a log or write events first".to_owned(),
            ));
        }
        let ranking = Ranking::new(self.live().buyers().into_iter().map(|n| n as f32));
        let excluded = self.known_items(exclude);
        let items = self.with_shelf(filter, &excluded, |shelf, scratch| {
            related::from_rankings([&ranking], limit, &shelf, &mut scratch.mask)
        });
        Ok(self.answer(0, &items, Basis::Popular))
    }

    /// Runs `ask` with the shelf as it is now and memory from the pool.
    fn with_shelf<T>(
        &self,
        filter: &Filter,
        excluded: &[ItemIdx],
        ask: impl FnOnce(Shelf<'_>, &mut Scratch) -> T,
    ) -> T {
        let mut scratch = self.scratch.lock().pop().unwrap_or_default();
        let items = self.live().items.read().len();
        let catalogue = self.live().catalogue.read();
        let result = ask(Shelf { catalogue: &catalogue, items, filter, excluded }, &mut scratch);
        drop(catalogue);
        self.scratch.lock().push(scratch);
        result
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
    Answer { recommendation_id, generation, entries, basis }
}
