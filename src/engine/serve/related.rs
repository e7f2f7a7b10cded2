//! Lists without a blend: similar items and users, items bought together, popular items.

use super::query::{Recommender, not_ready};
use super::request::{Answer, RecommendRequest, ScoredUser};
use super::steered::steered;
use crate::domain::{Generation, Result, now_ms};
use crate::engine::directory::{Directory, not_found};
use crate::live::Filter;
use crate::model::Window;
use crate::recommend::{self, Basis, Query, Recommended, RepeatPolicy, Scratch, Shelf, related};

/// Additional similar users to look up, as some may have been erased since the training.
const SPARE_USERS: usize = 100;

impl Recommender {
    /// Items similar to one item. Before the first model: items with similar attributes.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] for an unknown item; [`crate::domain::Error::NotReady`] before the first model,
    /// where no item has similar attributes.
    pub fn similar_items(&self, id: &str, request: &RecommendRequest) -> Result<Answer> {
        self.alike(id, request).inspect(|answer| self.expose(answer, request))
    }

    /// The same, noted as shown by no one yet.
    pub(super) fn alike(&self, id: &str, request: &RecommendRequest) -> Result<Answer> {
        let (item, _) = Directory::new(&self.state).item(id)?;
        let limit = request.limit;
        let Some(snapshot) = self.state.models.active() else {
            let alike = |shelf: Shelf<'_>, scratch: &mut Scratch| {
                related::alike(item, limit, &shelf, scratch)
            };
            let answer = self.listed(0, request, Basis::Session, alike);
            return if answer.entries.is_empty() { Err(not_ready()) } else { Ok(answer) };
        };

        let fresh = self.state.live.taken_with(&[item], 1);
        let generation = snapshot.manifest.generation;
        Ok(self.listed(generation, request, Basis::Session, |shelf, scratch| {
            recommend::similar_items(&snapshot, item, limit, &fresh, &shelf, scratch)
        }))
    }

    /// Users similar to one user.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] for an unknown user; [`crate::domain::Error::NotReady`] before the first model;
    /// [`crate::domain::Error::OtherShard`] for a user whose lists another server makes.
    pub fn similar_users(&self, id: &str, limit: usize) -> Result<Answer<ScoredUser>> {
        self.state.check_shard(id)?;
        let user = self.state.user_idx(id).ok_or_else(|| not_found("user", id))?;
        let snapshot = self.snapshot()?;
        let past = self.past(self.consenting(Some(user)));
        let found = self.with_shelf(&Filter::default(), |shelf, scratch| {
            let query = Query {
                user: Some(user),
                history: &past.events,
                bought: &past.bought,
                limit: limit + SPARE_USERS,
                repeat: RepeatPolicy::Allow,
                ..Query::on(shelf)
            };
            recommend::similar_users(&snapshot, &query, scratch)
        });

        // The model may know users who were erased or withdrew their consent since.
        let names = self.state.live.users.read();
        let links = self.state.live.links.read();
        let profiles = self.state.live.profiles.read();
        let entries = found
            .iter()
            .filter(|s| !names.id(s.idx).is_empty() && !links.is_alias(s.idx))
            .filter(|s| profiles.consents(s.idx))
            .take(limit)
            .map(|s| ScoredUser { user_id: names.id(s.idx).to_owned(), score: s.score })
            .collect();
        Ok(Answer::new(snapshot.manifest.generation, entries, Basis::History))
    }

    /// Items bought together with the items of a basket.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] where no item of the basket is known; [`crate::domain::Error::NotReady`] before
    /// the first model.
    pub fn bought_together(&self, ids: &[String], request: &RecommendRequest) -> Result<Answer> {
        let mut basket = self.known_items(ids);
        let catalogue = self.state.live.catalogue.read();
        basket.retain(|&item| !catalogue.is_deleted(item));
        drop(catalogue);
        if basket.is_empty() {
            return Err(not_found("item", ids.first().map_or("", String::as_str)));
        }

        let snapshot = self.snapshot()?;
        let fresh = self.state.live.taken_with(&basket, 1);
        let generation = snapshot.manifest.generation;
        let answer = self.listed(generation, request, Basis::Session, |shelf, scratch| {
            recommend::bought_together(&snapshot, &basket, request.limit, &fresh, &shelf, scratch)
        });
        self.expose(&answer, request);
        Ok(answer)
    }

    /// The most bought items of a window. Before the first model: by live counts.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotReady`] before the first event.
    pub fn popular(&self, window: Window, request: &RecommendRequest) -> Result<Answer> {
        let Some(snapshot) = self.state.models.active() else {
            let answer = self.live_popular(request, now_ms())?;
            self.expose(&answer, request);
            return Ok(answer);
        };
        let generation = snapshot.manifest.generation;
        let answer = self.listed(generation, request, Basis::Popular, |shelf, scratch| {
            recommend::popular(&snapshot, window, request.limit, &shelf, scratch)
        });
        self.expose(&answer, request);
        Ok(answer)
    }

    /// An answer with a list of the shelf that a request leaves.
    pub(super) fn listed(
        &self,
        generation: Generation,
        request: &RecommendRequest,
        basis: Basis,
        list: impl FnOnce(Shelf<'_>, &mut Scratch) -> Vec<Recommended>,
    ) -> Answer {
        let rules = self.rules(request);
        let (items, steered) = self.with_request_shelf(
            request,
            self.user(request),
            &rules,
            now_ms(),
            |shelf, scratch| {
                let items = list(shelf, scratch);
                let steered = steered(&shelf, &items, None);
                (items, steered)
            },
        );
        Answer { steered, ..self.answer(generation, &items, basis) }
    }
}
