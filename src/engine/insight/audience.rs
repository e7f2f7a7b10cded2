//! Whom to send an item, a category or an offer.

use std::cmp::Reverse;
use std::ops::Range;

use parking_lot::MutexGuard;
use roaring::RoaringBitmap;

use super::Insight;
use super::facts::Facts;
use crate::domain::{
    DAY_MS, Error, EventKind, HistoryEvent, ItemIdx, Result, UserIdx, Violation, now_ms,
};
use crate::engine::state::State;
use crate::insight::Membership;
use crate::insight::audience::{Evidence, Target};
use crate::insight::portrait::mean;
use crate::rules::Select;

/// What an audience is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct AudienceRequest {
    /// What is to be sent; none: users are not compared, and come in the order in which the store first saw
    /// them.
    pub offer: Option<Offer>,
    /// Saved segments, one of which a user is in; empty: all users.
    pub segments: Vec<String>,
    /// Saved segments that a user is in none of.
    pub except_segments: Vec<String>,
    /// Users to whom the shop sent something within this many days are left out; 0: none.
    pub not_contacted_days: u32,
    /// The coming days in which orders count.
    pub days: u32,
    /// Maximum number of users.
    pub max_users: usize,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The items.
    pub items: Select,
    /// The share of their price that is given away: 0 to less than 1.
    pub discount: f64,
}

/// A user of an audience.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The user, by their name in the store.
    pub user_id: String,
    /// What the orders with the offer are expected to bring, in the store's currency; 0 where it has no price.
    pub gain: f64,
    /// Expected number of orders with one of the items.
    pub purchases: f64,
    /// Number of the user's orders with one of the items so far.
    pub own_purchases: u32,
    /// The user's interest as a multiple of the mean.
    pub affinity: f64,
}

/// A user with the evidence of their history.
struct Candidate {
    user: UserIdx,
    evidence: Evidence,
}

impl Insight {
    /// The users to whom an offer is worth most, best first. Only users who consent to the use of their events.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown segment, and where no item is meant; [`Error::Overloaded`] while
    /// another audience, or what compares users, is being made.
    pub fn audience(&self, request: &AudienceRequest) -> Result<Vec<Member>> {
        let settings = self.state.in_force.insight();
        let given =
            [("segments", &request.segments), ("except_segments", &request.except_segments)];
        for (field, names) in given {
            for (at, name) in names.iter().enumerate() {
                settings.check_segment(&format!("{field}[{at}]"), name)?;
            }
        }
        let _making = self.make()?;

        let (facts, users) = (self.facts()?, self.all_users());
        let Some(offer) = &request.offer else {
            let members = users.filter(|&user| is_asked(&facts, user, request));
            let members = members.take(request.max_users).map(|user| Member {
                user_id: self.state.live.users.read().id(user).to_owned(),
                gain: 0.0,
                purchases: 0.0,
                own_purchases: 0,
                affinity: 0.0,
            });
            return Ok(members.collect());
        };
        let near = Near::of(&self.state, offer)?;
        self.best(&facts, &near, users, request)
    }

    /// The saved segments with the number of users in each, in the order of the settings.
    ///
    /// # Errors
    /// [`Error::Overloaded`] while an audience, or what compares users, is being made.
    pub fn segment_sizes(&self) -> Result<Vec<(String, u64)>> {
        let _making = self.make()?;
        let facts = self.facts()?;
        let segments = &facts.settings.segments;
        let mut sizes: Vec<(String, u64)> =
            segments.iter().map(|segment| (segment.name.clone(), 0)).collect();
        for user in self.all_users().filter(|&user| is_there(&facts, user)) {
            let facts_of_user = facts.of(user);
            let membership = Membership::new(segments, &facts_of_user);
            for (name, users) in &mut sizes {
                *users += u64::from(membership.is_in(name));
            }
        }
        Ok(sizes)
    }

    fn make(&self) -> Result<MutexGuard<'_, ()>> {
        let message = "another audience is being made; try again in some seconds";
        self.audience.try_lock().ok_or_else(|| Error::Overloaded(message.into()))
    }

    fn facts(&self) -> Result<Facts<'_>> {
        let population = self.state.populations.get(&self.state.live)?;
        Ok(Facts::with(&self.state, population))
    }

    fn all_users(&self) -> Range<UserIdx> {
        0..self.state.live.users.read().len() as UserIdx
    }

    /// The users of whom most is expected.
    fn best(
        &self,
        facts: &Facts<'_>,
        near: &Near,
        users: Range<UserIdx>,
        request: &AudienceRequest,
    ) -> Result<Vec<Member>> {
        let live = &self.state.live;
        let consenting = users.filter(|&user| live.profiles.read().consents(user));
        let candidates: Vec<Candidate> = consenting
            .filter_map(|user| {
                let evidence = live.history(user, |history| near.evidence(history, facts.as_of_ms));
                evidence.map(|evidence| Candidate { user, evidence })
            })
            .collect();
        let target = Target::of(candidates.iter().map(|candidate| &candidate.evidence));
        let first_orders = first_orders(facts, &candidates, request.days);

        let mut expected: Vec<(f64, &Candidate)> = candidates
            .iter()
            .filter(|candidate| is_asked(facts, candidate.user, request))
            .map(|candidate| (target.chance(&candidate.evidence), candidate))
            .filter(|(chance, _)| *chance > 0.0)
            .map(|(chance, candidate)| {
                let orders = orders(facts, candidate.user, request.days).unwrap_or(first_orders);
                (orders * chance, candidate)
            })
            .collect();
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.user.cmp(&b.1.user)));
        expected.truncate(request.max_users);

        // One name at a time: no write waits for a million of them.
        let member = |(purchases, candidate): (f64, &Candidate)| Member {
            user_id: live.users.read().id(candidate.user).to_owned(),
            gain: purchases * near.price,
            purchases,
            own_purchases: candidate.evidence.with_target,
            affinity: target.affinity(&candidate.evidence),
        };
        Ok(expected.into_iter().map(member).collect())
    }
}

/// Whether a user may be in an audience.
fn is_asked(facts: &Facts<'_>, user: UserIdx, request: &AudienceRequest) -> bool {
    let profiles = facts.live.profiles.read();
    let rested_ms = i64::from(request.not_contacted_days) * DAY_MS;
    let is_rested = profiles
        .contacted_ms(user)
        .is_none_or(|contacted_ms| rested_ms == 0 || now_ms() - contacted_ms >= rested_ms);
    drop(profiles);
    if !is_rested || !is_there(facts, user) {
        return false;
    }

    let facts_of_user = facts.of(user);
    let membership = Membership::new(&facts.settings.segments, &facts_of_user);
    let is_in_one = |names: &[String]| names.iter().any(|name| membership.is_in(name));
    (request.segments.is_empty() || is_in_one(&request.segments))
        && !is_in_one(&request.except_segments)
}

/// Whether a user is no alias, was not erased, and consents to the use of their events.
fn is_there(facts: &Facts<'_>, user: UserIdx) -> bool {
    if facts.live.links.read().is_alias(user) {
        return false;
    }
    let consents = facts.live.profiles.read().consents(user);
    consents && !facts.live.users.read().id(user).is_empty()
}

/// Expected number of orders of a user; none before the first.
fn orders(facts: &Facts<'_>, user: UserIdx, days: u32) -> Option<f64> {
    let book = facts.live.orders.read().of(user).filter(|book| book.count() > 0).cloned()?;
    facts.population()?.value.purchases(&book, facts.as_of_ms, days)
}

/// Expected number of orders of a user before their first: the share of those without one who ordered in as
/// many days until now.
fn first_orders(facts: &Facts<'_>, candidates: &[Candidate], days: u32) -> f64 {
    let since_ms = facts.as_of_ms - i64::from(days) * DAY_MS;
    let first_ms = |user| facts.live.orders.read().of(user).and_then(|book| book.first_ms());
    let mut began = 0.0;
    let mut waiting = 0.0;
    for candidate in candidates {
        match first_ms(candidate.user) {
            None => waiting += 1.0,
            Some(first_ms) if first_ms > since_ms => began += 1.0,
            Some(_) => {}
        }
    }
    if waiting > 0.0 { began / (began + waiting) } else { 0.0 }
}

/// How near items are to an offer.
struct Near {
    /// The items of the offer.
    items: RoaringBitmap,
    /// By item: 1 for those of the offer, otherwise how much the same users buy both.
    weights: Vec<f32>,
    /// What is paid for one item of the offer; 0 where that is not known.
    price: f64,
}

impl Near {
    fn of(state: &State, offer: &Offer) -> Result<Self> {
        let items = offer.items.items(&state.live, now_ms());
        if items.is_empty() {
            let message = "means no item of the store";
            return Err(Violation::new("offer", message).into());
        }
        let mut weights = vec![0.0; state.live.items.read().len()];
        if let Some(snapshot) = state.models.active() {
            let similar = &snapshot.parts.similar;
            for item in items.iter().filter(|&item| (item as usize) < similar.rows()) {
                for (other, score) in similar.pairs(item as usize) {
                    let weight: &mut f32 = &mut weights[other as usize];
                    *weight = weight.max(score);
                }
            }
        }
        for item in &items {
            weights[item as usize] = 1.0;
        }

        let catalogue = state.live.catalogue.read();
        let prices: Vec<f64> = items.iter().filter_map(|item| catalogue.get(item)?.price).collect();
        let mean = prices.iter().sum::<f64>() / prices.len().max(1) as f64;
        Ok(Self { items, weights, price: mean * (1.0 - offer.discount) })
    }

    fn weight(&self, item: ItemIdx) -> f32 {
        self.weights.get(item as usize).copied().unwrap_or(0.0)
    }

    /// What a history says of the offer; none where it says nothing of anything.
    fn evidence(&self, history: &[HistoryEvent], now_ms: i64) -> Option<Evidence> {
        if history.is_empty() {
            return None;
        }
        let bought = history.iter().filter(|event| event.kind == EventKind::Purchase);
        let mut orders: Vec<((u32, i64), Reverse<bool>)> = bought
            .map(|event| (event.together(), Reverse(self.items.contains(event.item))))
            .collect();
        // The first of each order is one of the offer, if it has one.
        orders.sort_unstable();
        orders.dedup_by_key(|line| line.0);
        let with_target = orders.iter().filter(|(_, Reverse(is_of))| *is_of).count();
        let interest = mean(history, now_ms, |item| Some(f64::from(self.weight(item))));
        Some(Evidence {
            orders: orders.len() as u32,
            with_target: with_target as u32,
            interest: interest as f32,
        })
    }
}
