//! What a list is made from, beside the snapshot: looked up once for each request.

use std::collections::BTreeMap;

use super::query::Recommender;
use super::request::RecommendRequest;
use crate::domain::history::{Past, first_distinct};
use crate::domain::topk::Scored;
use crate::domain::{Deadline, HistoryEvent, ItemIdx, UserIdx};
use crate::engine::insight::Facts;
use crate::live::{Hidden, Outcomes, Trend};
use crate::recommend::{FunnelStage, Query, Shelf, Watch, Worth};

/// Newest items of a user whose fresh neighbours are looked up, and the events in which they
/// are looked for.
const NEWEST_ITEMS: usize = 10;
const NEWEST_EVENTS: usize = 50;
/// Minimum number of users who took both items before one is offered for the other.
const MIN_SUPPORT: u32 = 2;

/// What a list is made from, beside the snapshot and the request.
pub(super) struct Inputs {
    /// The user, where they consent.
    user: Option<UserIdx>,
    past: Past,
    session: Vec<ItemIdx>,
    /// Items taken together with the newest ones since the training.
    fresh: Vec<Scored>,
    /// Of users without a history: what others take now.
    trends: Vec<Trend>,
    /// Items that the user is tired of, with the factors of their scores.
    tired_of: Vec<(ItemIdx, f32)>,
    /// Seed of what is drawn by chance.
    seed: u64,
}

impl Recommender {
    /// Looks up what a list is made from.
    pub(super) fn inputs(
        &self,
        user: Option<UserIdx>,
        request: &RecommendRequest,
        now_ms: i64,
    ) -> Inputs {
        let session = self.known_items(&request.session);
        // A user without consent is anonymous to pushed models too.
        let consenting = self.consenting(user);
        let past = self.past(consenting);
        let fresh = self.state.live.taken_with(&newest_items(&past.events, &session), MIN_SUPPORT);
        let trends = if past.events.is_empty() {
            self.trends(user, &request.attributes, now_ms)
        } else {
            Vec::new()
        };
        let seed = if request.variety.is_some() { rand::random() } else { 0 };
        let tired_of = self.fatigue.of(consenting, &self.state.live);
        Inputs { user: consenting, past, session, fresh, trends, tired_of, seed }
    }

    pub(super) fn query<'a>(
        &self,
        request: &'a RecommendRequest,
        (inputs, outcomes): (&'a Inputs, Option<&'a Outcomes>),
        shelf: Shelf<'a>,
        follow: &'a dyn Fn(FunnelStage, usize),
    ) -> Query<'a> {
        let is_followed = request.record.is_some();
        let worth = request.objective.zip(outcomes);

        Query {
            user: inputs.user,
            history: &inputs.past.events,
            bought: &inputs.past.bought,
            session: &inputs.session,
            limit: request.limit,
            strategy: request.strategy,
            weights: request.weights.as_ref(),
            repeat: request.repeat.unwrap_or(self.repeat),
            fresh: &inputs.fresh,
            trends: &inputs.trends,
            worth: worth.map(|(objective, outcomes)| Worth { objective, outcomes }),
            tired_of: &inputs.tired_of,
            variety: request.variety.as_ref(),
            seed: inputs.seed,
            explain: request.explain,
            hurried: request.deadline.is_some_and(Deadline::is_near),
            watch: if is_followed { Watch::by(follow) } else { Watch::default() },
            ..Query::on(shelf)
        }
    }

    /// What a user does not want to see: a wish, not a taste, which holds without consent too.
    pub(super) fn hidden(&self, user: Option<UserIdx>) -> Vec<Hidden> {
        let hidden = user.map(|user| self.state.live.hidden.read().of(user).to_vec());
        hidden.unwrap_or_default()
    }

    /// What users of the same cohorts take now, and what everyone takes.
    fn trends(
        &self,
        user: Option<UserIdx>,
        given: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> Vec<Trend> {
        let live = &self.state.live;
        live.trends.read().of(&live.cohorts(&self.attributes(user, given)), now_ms)
    }

    /// Those of some saved segments that a user is in.
    pub(super) fn segments(&self, user: Option<UserIdx>, names: &[String]) -> Vec<String> {
        let user = user.filter(|_| !names.is_empty());
        user.map_or(Vec::new(), |user| Facts::at_hand(&self.state).segments_of(user, names))
    }

    /// The attributes of a user: those given override those in the store.
    pub(super) fn attributes(
        &self,
        user: Option<UserIdx>,
        given: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let profiles = self.state.live.profiles.read();
        let known = user.and_then(|user| profiles.get(user));
        let mut attributes = known.map_or_else(BTreeMap::new, |user| user.attributes.clone());
        attributes.extend(given.clone());
        attributes
    }
}

/// The items that a user viewed or took last, newest first.
fn newest_items(history: &[HistoryEvent], session: &[ItemIdx]) -> Vec<ItemIdx> {
    let all = session.iter().rev().copied().chain(history.iter().rev().map(|e| e.item));
    first_distinct(all.take(NEWEST_EVENTS), NEWEST_ITEMS)
}
