//! The measurements of a store: every list that was shown and every outcome, folded into online metrics and
//! the units of experiments. They are rebuilt from the log at start.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::attribution::{Attribution, CARTED, CLICKED, Outcome, SEEN, Touch};
use super::definition::{CANARY, ExperimentSet, ExperimentState, FORCED};
use super::interleaving::Team;
use super::metrics::{Metrics, RowKey};
use super::units::{Before, Deed, UnitId, Units};
use crate::domain::{EventKind, Generation, ItemIdx, UserIdx};
use crate::store::{Exposure, StoredEvent};

/// Maximum number of purchases that wait for a refund.
const MAX_PURCHASES: usize = 1_000_000;
/// Seed of the hashes of users' names, which are no sessions' ids.
const ALIAS: u64 = 1;
/// Maximum number of experiments whose units are kept.
const MAX_EXPERIMENTS: usize = 400;

/// How outcomes are attributed.
#[derive(Debug, Clone, Copy)]
pub struct AttributionOptions {
    /// How long after a list an outcome without an answer's id can belong to it, in milliseconds.
    pub window_ms: i64,
    /// Maximum number of lists that outcomes can be attributed to.
    pub lists: usize,
}

/// What a list's outcomes are counted by.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ListKey {
    row: RowKey,
    /// The experiment whose list it is, with the unit that saw it.
    unit: Option<(String, UnitId)>,
}

/// The measurements.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measurements {
    lists: Attribution<ListKey>,
    metrics: Metrics,
    experiments: BTreeMap<String, Units>,
    /// Attributed purchases by user and item, for their refunds: the last.
    purchases: HashMap<(UserIdx, ItemIdx), Bought, ahash::RandomState>,
    /// The same in their order, each with its number.
    order: VecDeque<((UserIdx, ItemIdx), u64)>,
    bought: u64,
    /// The canary, with the active model that it is compared with.
    canary: Option<Canary>,
}

/// A canary, its share of users, and the active model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// Its generation.
    pub generation: Generation,
    /// Its share of users.
    pub share: f64,
    /// The generation of the active model.
    pub active: Generation,
}

/// An attributed purchase.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Bought {
    row: RowKey,
    /// Its number, in the order of purchases.
    number: u64,
    /// Its revenue that was not given back.
    left: f64,
}

impl Measurements {
    /// Measurements without a list.
    pub fn new(options: AttributionOptions) -> Self {
        Self {
            lists: Attribution::new(options.window_ms, options.lists),
            metrics: Metrics::default(),
            experiments: BTreeMap::new(),
            purchases: HashMap::default(),
            order: VecDeque::new(),
            bought: 0,
            canary: None,
        }
    }

    /// The online metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The units of an experiment; none where no one saw a list of it.
    pub fn units(&self, experiment: &str) -> Option<&Units> {
        self.experiments.get(experiment)
    }

    /// Whether an event can matter: before the first list, only one that names an answer does.
    pub fn concerns(&self, event: &StoredEvent<'_>) -> bool {
        let something_was_shown =
            !self.lists.is_empty() || !self.experiments.is_empty() || !self.purchases.is_empty();
        something_was_shown || !event.recommendation_id.is_empty()
    }

    /// Compares a canary with the active model from now on; none: no longer.
    pub fn watch_canary(&mut self, canary: Option<Canary>) {
        if self.canary != canary {
            self.canary = canary;
            self.experiments.remove(CANARY);
        }
    }

    /// Follows the experiments in force: what ended counts no further, what was deleted is forgotten.
    pub fn follow(&mut self, set: &ExperimentSet) {
        for name in &set.deleted {
            self.experiments.remove(name);
        }
        for experiment in &set.experiments {
            if let ExperimentState::Stopped { until_ms, .. } = experiment.state
                && let Some(units) = self.experiments.get_mut(&experiment.name)
            {
                units.end(until_ms);
            }
        }
    }

    /// Notes a list that was shown. `before` says what a user did before; `alias` is the hash of a user's
    /// name, under which they were shown lists before the store knew them.
    pub fn note_list(
        &mut self,
        exposure: &Exposure<'_>,
        alias: impl Fn(UserIdx) -> u64,
        before: impl Fn(UserIdx) -> Before,
    ) {
        let Exposure { time_ms, generation, placement, variant, items, .. } = exposure;
        let row = self.metrics.key(*time_ms, placement, variant, *generation);
        let unit = exposure.user.map(UnitId::User);
        let unit = unit.or((exposure.session != 0).then_some(UnitId::Session(exposure.session)));
        self.note_canary(exposure, &before);

        let mut key = ListKey { row, unit: None };
        if let Some((experiment, variant)) = variant.split_once('/')
            && !variant.ends_with(FORCED)
            && let Some(unit) = unit
            && let Some(units) = self.units_of(experiment)
        {
            if let Some(user) = exposure.user {
                units.rename(UnitId::Session(alias(user)), UnitId::User(user));
            }
            let before = || exposure.user.map(&before).unwrap_or_default();
            units.note_list(unit, variant, items.len(), *time_ms, before);
            key.unit = Some((experiment.to_owned(), unit));
        }

        self.metrics.row(row).lists += 1;
        for (source, shown) in counted(&exposure.sources) {
            self.metrics.row(row.of_source(source)).shown += shown;
        }
        self.metrics.note_items(row, items);
        self.lists.note(exposure, key);
    }

    /// Counts what an alias was shown and did for the user that it is.
    pub fn link(&mut self, alias: UserIdx, user: UserIdx) {
        for units in self.experiments.values_mut() {
            units.rename(UnitId::User(alias), UnitId::User(user));
        }
    }

    fn note_canary(&mut self, exposure: &Exposure<'_>, before: &impl Fn(UserIdx) -> Before) {
        // Experiments, and placements with a model of their own, are not the canary's.
        let Some(canary) = self.canary.filter(|_| exposure.variant.is_empty()) else { return };
        let variant = match exposure.generation {
            generation if generation == canary.generation => "canary",
            generation if generation == canary.active => "active",
            _ => return,
        };
        if let Some(user) = exposure.user
            && let Some(units) = self.units_of(CANARY)
        {
            let (shown, time_ms) = (exposure.items.len(), exposure.time_ms);
            units.note_list(UnitId::User(user), variant, shown, time_ms, || before(user));
        }
    }

    fn units_of(&mut self, experiment: &str) -> Option<&mut Units> {
        if !self.experiments.contains_key(experiment) {
            if self.experiments.len() >= MAX_EXPERIMENTS {
                return None;
            }
            self.experiments.insert(experiment.to_owned(), Units::default());
        }
        self.experiments.get_mut(experiment)
    }

    /// Notes an event. `alias` is as of [`Measurements::note_list`]; `price` is the item's in the catalogue,
    /// for events that name none.
    pub fn note_event(
        &mut self,
        event: &StoredEvent<'_>,
        alias: impl Fn() -> u64,
        price: impl FnOnce() -> Option<f64>,
    ) {
        let (user, item) = (event.user, event.item);
        let revenue = match event.kind {
            EventKind::Purchase | EventKind::Refund => {
                event.price.or_else(price).unwrap_or(0.0) * event.quantity
            }
            _ => 0.0,
        };
        self.note_deeds(event, revenue, alias);
        if event.kind == EventKind::Refund {
            self.note_refund((user, item), revenue);
            return;
        }

        let named = Some(event.recommendation_id).filter(|id| !id.is_empty());
        let id = named.map(|id| Uuid::parse_str(id).map_or(0, |id| id.as_u128()));
        let outcome = Outcome { recommendation_id: id, user, item, time_ms: event.time_ms };
        let touches = self.lists.touches(&outcome);
        let Some(last) = touches.first() else {
            if named.is_some() {
                let row = self.metrics.key(event.time_ms, "", "", 0);
                self.metrics.row(row).unattributed += 1;
            }
            return;
        };
        let is_first = |lists: &mut Attribution<ListKey>, what| lists.is_first(last, what);

        match event.kind {
            EventKind::Impression if is_first(&mut self.lists, SEEN) => {
                self.counts(last, |counts| counts.impressions += 1);
            }
            EventKind::Click if is_first(&mut self.lists, CLICKED) => {
                self.counts(last, |counts| counts.clicks += 1);
                self.credit(last, Deed::Click, event.time_ms);
            }
            EventKind::AddToCart if is_first(&mut self.lists, CARTED) => {
                self.counts(last, |counts| counts.carts += 1);
            }
            EventKind::View => {
                if let Some(dwell_ms) = event.dwell_ms {
                    self.counts(last, |counts| {
                        counts.timed_views += 1;
                        counts.dwell_ms += u64::from(dwell_ms);
                    });
                }
            }
            EventKind::Purchase => self.note_purchase(&touches, event, revenue),
            _ => {}
        }
    }

    /// Counts what a user does for every experiment whose lists they have seen, whatever led to it.
    fn note_deeds(&mut self, event: &StoredEvent<'_>, revenue: f64, alias: impl Fn() -> u64) {
        let deed = match event.kind {
            EventKind::Purchase => Deed::Purchase(revenue),
            EventKind::Refund => Deed::Refund(revenue),
            _ => return,
        };
        if self.experiments.is_empty() {
            return;
        }

        let session = Some(event.session_id).filter(|id| !id.is_empty()).map(session_hash);
        let (user, alias) = (UnitId::User(event.user), UnitId::Session(alias()));
        for units in self.experiments.values_mut() {
            units.rename(alias, user);
            // One unit for one event: the user, as where variants are assigned.
            if !units.note_deed(user, deed, event.time_ms)
                && let Some(session) = session
            {
                units.note_deed(UnitId::Session(session), deed, event.time_ms);
            }
        }
    }

    /// Takes a refund back from the last attributed purchase, at most as much as it brought.
    fn note_refund(&mut self, bought: (UserIdx, ItemIdx), revenue: f64) {
        let Some(purchase) = self.purchases.get_mut(&bought) else { return };
        let refunded = revenue.min(purchase.left);
        purchase.left -= refunded;
        let Bought { row, left, .. } = *purchase;
        if left <= 0.0 {
            self.purchases.remove(&bought);
        }
        let counts = self.metrics.row(row);
        counts.refunds += 1;
        counts.refunded += refunded;
    }

    fn note_purchase(&mut self, touches: &[Touch], event: &StoredEvent<'_>, revenue: f64) {
        for touch in touches {
            self.counts(touch, |counts| {
                counts.shared_purchases += touch.share;
                counts.shared_revenue += touch.share * revenue;
            });
        }

        let Some(last) = touches.first() else { return };
        self.credit(last, Deed::Purchase(revenue), event.time_ms);
        let row = self.counts(last, |counts| {
            counts.purchases += 1;
            counts.revenue += revenue;
        });
        let Some(row) = row else { return };
        self.bought += 1;
        let (bought, number) = ((event.user, event.item), self.bought);
        self.purchases.insert(bought, Bought { row, number, left: revenue });
        self.order.push_back((bought, number));
        if self.order.len() > MAX_PURCHASES
            && let Some((oldest, number)) = self.order.pop_front()
            && self.purchases.get(&oldest).is_some_and(|of| of.number == number)
        {
            self.purchases.remove(&oldest);
        }
    }

    /// Counts in the row of a touch, which is returned.
    fn counts(
        &mut self,
        touch: &Touch,
        count: impl FnOnce(&mut super::metrics::Counts),
    ) -> Option<RowKey> {
        let list = self.lists.list(touch)?;
        let source = list.sources.get(touch.position).copied().unwrap_or(0);
        let row = list.key.row.of_source(source);
        count(self.metrics.row(row));
        Some(row)
    }

    /// Counts for the unit that saw a list of an experiment, and for the team that brought the item.
    fn credit(&mut self, touch: &Touch, deed: Deed, time_ms: i64) {
        let Some(list) = self.lists.list(touch) else { return };
        let Some((experiment, unit)) = &list.key.unit else { return };
        let Some(units) = self.experiments.get_mut(experiment) else { return };
        if deed == Deed::Click {
            units.note_deed(*unit, deed, time_ms);
        }
        if let Some(&team) = list.teams.get(touch.position) {
            units.note_preference(*unit, Team::numbered(team), deed);
        }
    }

    /// Forgets a user, who was known under an alias: what they were shown, and what they did. Sums over all
    /// users stay.
    pub fn erase(&mut self, user: UserIdx, alias: u64) {
        self.lists.erase(user);
        for units in self.experiments.values_mut() {
            units.erase(UnitId::User(user));
            units.erase(UnitId::Session(alias));
        }
        self.purchases.retain(|(of, _), _| *of != user);
        self.order.retain(|((of, _), _)| *of != user);
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let units: usize = self.experiments.values().map(Units::bytes).sum();
        let purchase = size_of::<((UserIdx, ItemIdx), (RowKey, u64))>() + 24;
        self.lists.bytes() + self.metrics.bytes() + units + self.order.len() * purchase
    }
}

/// The sources of a list, each with its number of items: most lists have few, and a row is looked up for each.
fn counted(sources: &[u8]) -> Vec<(u8, u64)> {
    let mut counted: Vec<(u8, u64)> = Vec::new();
    for &source in sources {
        match counted.iter_mut().find(|(known, _)| *known == source) {
            Some((_, shown)) => *shown += 1,
            None => counted.push((source, 1)),
        }
    }
    counted
}

/// The hash under which a session is recorded; never 0, which stands for none.
pub fn session_hash(id: &str) -> u64 {
    xxh3_64(id.as_bytes()).max(1)
}

/// The hash under which a user is recorded whom the store does not know yet, by their name in the store.
pub fn alias_hash(name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), ALIAS).max(1)
}
