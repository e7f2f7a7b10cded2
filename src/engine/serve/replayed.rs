//! What another placement would have earned: the randomised slots of lists that were shown, weighed by the
//! probability with which the candidate shows the same item.
//!
//! The candidate ranks for the user as they were at that time, by the model that answered then, so that
//! no model knows what it is judged by; lists whose model is no longer kept are left out. The catalogue is
//! today's. Its slot is drawn from its own ranking as that of the placement is, without the items that
//! were shown above.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::query::Recommender;
use crate::domain::history::Past;
use crate::domain::{
    Error, EventKind, Generation, HistoryEvent, ItemIdx, Offset, Result, UserIdx, Violation,
};
use crate::experiment::off_policy::{Logged, OffPolicy};
use crate::live::{Filter, history_event};
use crate::model::Snapshot;
use crate::recommend::{self, Placement, Query, RandomSlot, Recommended, Scratch, Shelf, Shows};
use crate::rules::{Asked, CompiledRules};
use crate::store::{Entry, Exposure, Record};

/// Maximum number of slots that are replayed, the newest.
const MAX_SLOTS: usize = 50_000;
/// Slots that count as much as an item's own before its mean reward is trusted.
const PRIOR: f64 = 20.0;

/// What is asked.
#[derive(Debug, Clone)]
pub struct ReplayRequest {
    /// The placement whose lists were shown.
    pub placement: String,
    /// The placement that would have made them.
    pub candidate: String,
    /// The first moment, in milliseconds since 1970.
    pub from_ms: i64,
    /// The moment after the last.
    pub until_ms: i64,
    /// What counts.
    pub reward: Reward,
}

/// What a slot earns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reward {
    /// 1 for a click.
    Clicks,
    /// 1 for a purchase.
    Purchases,
    /// The revenue of purchases, in the store's currency.
    Revenue,
}

/// What a replay found.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed {
    /// The estimates by slot; none where the candidate would have shown nothing of what was shown.
    pub estimates: Option<OffPolicy>,
    /// Slots that were replayed.
    pub slots: usize,
    /// Slots left out, because the model is not kept, or was trained later.
    pub left_out: usize,
}

/// A slot that was shown.
#[derive(Debug)]
struct ShownSlot {
    offset: Offset,
    user: UserIdx,
    time_ms: i64,
    generation: Generation,
    id: u128,
    /// Items above the slot.
    above: Vec<ItemIdx>,
    item: ItemIdx,
    propensity: f64,
    reward: f64,
}

impl ShownSlot {
    /// The slot of an exposure: its one item that was drawn by chance.
    fn of(offset: Offset, shown: &Exposure<'_>) -> Option<Self> {
        // Of interleaved lists the probability is not that of the whole.
        if !shown.teams.is_empty() {
            return None;
        }
        let mut drawn = (0..shown.propensities.len()).filter(|&at| shown.propensities[at] < 1.0);
        let (position, None) = (drawn.next()?, drawn.next()) else { return None };
        Some(Self {
            offset,
            user: shown.user?,
            time_ms: shown.time_ms,
            generation: shown.generation,
            id: shown.recommendation_id,
            above: shown.items.get(..position)?.to_vec(),
            item: *shown.items.get(position)?,
            propensity: f64::from(shown.propensities[position]),
            reward: 0.0,
        })
    }
}

/// How the candidate ranks.
struct Candidate {
    /// The placement that was shown, whose rules hold.
    shown: String,
    placement: Placement,
    slot: RandomSlot,
    rules: Arc<CompiledRules>,
}

impl Recommender {
    /// Estimates what a candidate placement would have earned in the slots of another. Reads the log twice:
    /// call it from a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a placement that is unknown or shows no personalised list, and where no slot
    /// was shown; [`Error::Storage`] where the log cannot be read.
    pub fn replay(&self, asked: &ReplayRequest) -> Result<Replayed> {
        let candidate = self.candidate(asked)?;
        let mut slots = self.shown_slots(asked)?;
        if slots.is_empty() {
            let message = format!(
                "must have shown lists with a randomised slot in this time; give {} a slot",
                asked.placement
            );
            return Err(Violation::new("placement", message).into());
        }

        let histories = self.read_outcomes(&mut slots, asked.reward)?;
        let expected = expected_rewards(&slots);
        let mut models: BTreeMap<Generation, Option<Arc<Snapshot>>> = BTreeMap::new();
        let mut decisions = Vec::with_capacity(slots.len());
        let mut scratch = Scratch::default();
        for slot in &slots {
            let generation = candidate.placement.generation.unwrap_or(slot.generation);
            let model = match models.entry(generation) {
                Place::Occupied(known) => known.into_mut(),
                Place::Vacant(place) => place.insert(self.kept(generation)?),
            };
            // A model that was trained on the outcome of a slot cannot be judged by it.
            let Some(model) = model.as_ref().filter(|of| of.manifest.offset <= slot.offset) else {
                continue;
            };
            let history = histories.get(&slot.user).map_or(&[][..], Vec::as_slice);
            let probabilities = self.probabilities(&candidate, slot, history, model, &mut scratch);
            decisions.push(decision(slot, &probabilities, &expected));
            if self.state.closing.has_begun() {
                return Err(Error::ShuttingDown);
            }
        }
        Ok(Replayed {
            estimates: OffPolicy::new(&decisions),
            slots: decisions.len(),
            left_out: slots.len() - decisions.len(),
        })
    }

    fn candidate(&self, asked: &ReplayRequest) -> Result<Candidate> {
        let placements = self.state.in_force.placements();
        let named = |field: &str, name: &str| {
            let found = placements.get(name).filter(|of| of.shows == Shows::Personal);
            found.cloned().ok_or_else(|| {
                let message = "must be a placement of the store that shows a personalised list";
                Violation::new(field, message)
            })
        };
        let shown = named("placement", &asked.placement)?;
        let placement = named("candidate", &asked.candidate)?;
        let slot = placement.slot.or(shown.slot).ok_or_else(|| {
            Violation::new("placement", "must have a slot: without one nothing is shown by chance")
        })?;
        let rules = self.chosen_rules(placement.rules);
        let rules = rules.unwrap_or_else(|| self.state.in_force.rules());
        Ok(Candidate { shown: shown.name, placement, slot, rules })
    }

    /// A model, if it is kept.
    fn kept(&self, generation: Generation) -> Result<Option<Arc<Snapshot>>> {
        match self.state.models.load(generation) {
            Ok(model) => Ok(Some(model)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The slots of the placement's lists in that time, the newest.
    fn shown_slots(&self, asked: &ReplayRequest) -> Result<Vec<ShownSlot>> {
        let mut slots = VecDeque::new();
        self.state.replay(&mut |entry| {
            let Entry::Record(offset, Record::Exposure(shown)) = entry else { return };
            let within = (asked.from_ms..asked.until_ms).contains(&shown.time_ms);
            let user = shown.user.map(|user| self.state.live.resolved(user));
            let shown = Exposure { user, ..*shown };
            let consents = user.is_some() && self.consenting(user).is_some();
            if within && consents && shown.placement == asked.placement {
                slots.extend(ShownSlot::of(offset, &shown));
                if slots.len() > MAX_SLOTS {
                    slots.pop_front();
                }
            }
        })?;
        Ok(slots.into())
    }

    /// Adds what slots earned, and returns the events of their users.
    fn read_outcomes(
        &self,
        slots: &mut [ShownSlot],
        reward: Reward,
    ) -> Result<HashMap<UserIdx, Vec<(Offset, HistoryEvent)>>> {
        let users: HashSet<UserIdx> = slots.iter().map(|slot| slot.user).collect();
        let by_id: HashMap<u128, usize> =
            slots.iter().enumerate().map(|(at, slot)| (slot.id, at)).collect();
        let mut histories: HashMap<UserIdx, Vec<(Offset, HistoryEvent)>> = HashMap::new();
        self.state.replay(&mut |entry| {
            let Entry::Record(offset, Record::Event(event)) = entry else { return };
            let user = self.state.live.resolved(event.user);
            if users.contains(&user) && event.kind.is_behaviour() {
                let history = histories.entry(user).or_default();
                history.push((offset, history_event(&event)));
            }

            let id = Uuid::parse_str(event.recommendation_id).map(|id| id.as_u128());
            let Some(&at) = id.ok().and_then(|id| by_id.get(&id)) else { return };
            let slot = &mut slots[at];
            if slot.item != event.item {
                return;
            }
            match (reward, event.kind) {
                (Reward::Clicks, EventKind::Click) | (Reward::Purchases, EventKind::Purchase) => {
                    slot.reward = 1.0;
                }
                (Reward::Revenue, EventKind::Purchase) => {
                    slot.reward += event.price.unwrap_or(0.0) * event.quantity;
                }
                _ => {}
            }
        })?;
        Ok(histories)
    }

    /// The probabilities with which the candidate would have shown items in a slot.
    fn probabilities(
        &self,
        candidate: &Candidate,
        slot: &ShownSlot,
        history: &[(Offset, HistoryEvent)],
        model: &Snapshot,
        scratch: &mut Scratch,
    ) -> Vec<(ItemIdx, f64)> {
        let before = history.partition_point(|(offset, _)| *offset < slot.offset);
        let mut events: Vec<HistoryEvent> = history[..before].iter().map(|(_, e)| *e).collect();
        events.sort_by_key(|event| event.time_ms);
        let past = Past::of(&events, self.state.live.histories.limit());

        let Candidate { shown, placement, slot: drawn, rules } = candidate;
        let attributes = BTreeMap::new();
        // Segments of that time are not known: rules that ask for one are left out.
        let (attributes, page_category, segments) = (&attributes, "", &[][..]);
        let asked = Asked { placement: shown, attributes, page_category, segments };
        let active = rules.active(&asked);
        let filter = Filter { condition: placement.condition.clone(), ..Filter::default() };
        let weights = placement.blend();
        let catalogue = self.state.live.catalogue.read();
        let items = self.state.live.items.read().len();
        let shelf = Shelf {
            excluded: &slot.above,
            rules: Some(&active).filter(|active| !active.is_empty()),
            ..Shelf::of(&catalogue, items, &filter, slot.time_ms)
        };

        let query = Query {
            user: Some(slot.user),
            history: &past.events,
            bought: &past.bought,
            limit: drawn.candidates.saturating_sub(slot.above.len()).max(1),
            strategy: placement.strategy,
            weights: weights.as_ref(),
            repeat: placement.repeat.unwrap_or(self.repeat),
            variety: placement.variety.as_ref(),
            ..Query::on(shelf)
        };
        proportional(&recommend::recommend(model, &query, scratch).items)
    }
}

/// The items of a list, each with the probability of being drawn in proportion to its score.
fn proportional(items: &[Recommended]) -> Vec<(ItemIdx, f64)> {
    let all: f64 = items.iter().map(|item| f64::from(item.score).max(0.0)).sum();
    let of = |item: &Recommended| {
        let probability = if all > 0.0 { f64::from(item.score).max(0.0) / all } else { 0.0 };
        (item.item, probability)
    };
    items.iter().map(of).collect()
}

/// The mean reward of each item, with the mean of all as a prior.
fn expected_rewards(slots: &[ShownSlot]) -> (HashMap<ItemIdx, f64>, f64) {
    let mut sums: HashMap<ItemIdx, (f64, f64)> = HashMap::new();
    for slot in slots {
        let (sum, count) = sums.entry(slot.item).or_default();
        *sum += slot.reward;
        *count += 1.0;
    }
    let all: f64 = slots.iter().map(|slot| slot.reward).sum();
    let mean = all / slots.len().max(1) as f64;
    let shrunk = |(item, (sum, count)): (ItemIdx, (f64, f64))| {
        (item, (sum + PRIOR * mean) / (count + PRIOR))
    };
    (sums.into_iter().map(shrunk).collect(), mean)
}

fn decision(
    slot: &ShownSlot,
    probabilities: &[(ItemIdx, f64)],
    (expected, mean): &(HashMap<ItemIdx, f64>, f64),
) -> Logged {
    let of = |item: ItemIdx| expected.get(&item).copied().unwrap_or(*mean);
    let own = probabilities.iter().find(|(item, _)| *item == slot.item);
    Logged {
        reward: slot.reward,
        propensity: slot.propensity,
        probability: own.map_or(0.0, |(_, probability)| *probability),
        expected: of(slot.item),
        expected_of_candidate: probabilities.iter().map(|(item, p)| p * of(*item)).sum(),
    }
}
