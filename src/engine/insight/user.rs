//! One user's portrait, orders, value and tiers.

use std::collections::HashMap;
use std::sync::Arc;

use super::Insight;
use super::facts::{Facts, UserFacts};
use crate::domain::history::standing;
use crate::domain::order::OrderBook;
use crate::domain::{DAY_MS, Error, HistoryEvent, ItemIdx, Result, UserIdx};
use crate::engine::directory::{Directory, not_found};
use crate::engine::page::Page;
use crate::engine::population::Population;
use crate::engine::state::State;
use crate::insight::gaps::days_by_item;
use crate::insight::portrait::Known;
use crate::insight::tiers::{Standing, TierProgram};
use crate::insight::value::{Forecast, Method};
use crate::insight::{Membership, Portrait};
use crate::live::Catalogue;

pub use super::facts::Rfm;

/// Maximum number of items that are due, and of next categories.
const MOST: usize = 5;
/// Number of items of a list that next categories are counted in.
const NEXT_ITEMS: usize = 20;

/// What the store knows of a user.
#[derive(Debug, Clone)]
pub struct UserInsight {
    /// The user, by their name in the store.
    pub user_id: String,
    /// The newest event of the store, in milliseconds since 1970: all figures are as of then.
    pub as_of_ms: i64,
    /// What the history shows.
    pub portrait: Portrait,
    /// Names of the portrait's items, in its order.
    pub usual_items: Vec<String>,
    /// What the user ordered; none before the first order.
    pub orders: Option<OrderFigures>,
    /// Recency, frequency and monetary value; none before the first order.
    pub rfm: Option<Rfm>,
    /// Where the user stands in each program.
    pub tiers: Vec<UserTier>,
    /// What the user will buy; none before the first order.
    pub forecast: Option<Forecast>,
    /// The method of the expected purchases, and that of the chances to buy again.
    pub methods: (Method, Method),
    /// When the user orders next, in milliseconds since 1970; none where no user ordered twice.
    pub next_order_ms: Option<i64>,
    /// What is due again, the soonest first.
    pub due: Vec<DueItem>,
    /// Categories of the user's list.
    pub next_categories: Vec<NextCategory>,
    /// The saved segments that the user is in.
    pub segments: Vec<String>,
}

/// What a user ordered, of all times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OrderFigures {
    /// Number of orders, returned ones not counted.
    pub count: u32,
    /// The first, in milliseconds since 1970.
    pub first_ms: i64,
    /// The last.
    pub last_ms: i64,
    /// Spend, refunds taken back, in the store's currency.
    pub spend: f64,
    /// What was paid back, in the store's currency.
    pub refunded: f64,
    /// Spend by order.
    pub mean_spend: f64,
    /// Items by order, of the newest 1,000.
    pub mean_units: f64,
}

/// A user's place in a program.
#[derive(Debug, Clone, PartialEq)]
pub struct UserTier {
    /// The program.
    pub program: String,
    /// The level; empty below the lowest.
    pub level: String,
    /// The level above it; empty at the highest.
    pub next_level: String,
    /// The figures.
    pub standing: Standing,
}

/// An item that a user buys again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct DueItem {
    /// The item.
    pub item_id: String,
    /// Number of days on which the user bought it.
    pub purchases: u32,
    /// The last of them, in milliseconds since 1970.
    pub last_ms: i64,
    /// The usual days between two purchases.
    pub usual_days: f64,
    /// When it is due, in milliseconds since 1970.
    pub due_ms: i64,
}

/// A category that a user may turn to next.
#[derive(Debug, Clone, PartialEq)]
pub struct NextCategory {
    /// The category.
    pub name: String,
    /// Number of the first 20 items of the user's list that are in it.
    pub items: u32,
    /// Whether no item of the user's history is in it.
    pub is_new: bool,
}

impl Insight {
    /// What the store knows of a user.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a user that the store does not know; [`Error::NotReady`] where they do not
    /// consent to the use of their events.
    pub fn user(&self, id: &str) -> Result<UserInsight> {
        let user = self.state.user_idx(id).ok_or_else(|| not_found("user", id))?;
        if !self.state.live.profiles.read().consents(user) {
            let message = "the user does not consent to the use of their events".to_owned();
            return Err(Error::NotReady(message));
        }
        let view = self.view()?;
        let found = view.user(user).ok_or_else(|| not_found("user", id))?;
        Ok(UserInsight { user_id: Directory::new(&self.state).own_id(id), ..found })
    }

    /// A page of the users who consent from idx `from` on, in idx order, by their names in the store; and
    /// where the next page begins, if there is one.
    ///
    /// # Errors
    /// [`Error::Overloaded`] while what compares users is made for the first time.
    pub fn users(&self, from: usize, page: Page) -> Result<(Vec<UserInsight>, Option<usize>)> {
        let view = self.view()?;
        let users = self.state.live.users.read().len();
        let listed = page.of(from, users, |at| {
            if !self.state.live.profiles.read().consents(at) {
                return None;
            }
            let user = view.user(at)?;
            let bytes = size_of::<UserInsight>() + 40 * MOST;
            Some((user, bytes))
        });
        Ok(listed)
    }

    fn view(&self) -> Result<View<'_>> {
        let population = self.state.populations.get(&self.state.live)?;
        let facts = Facts::with(&self.state, population.clone());
        Ok(View { state: &self.state, population, facts })
    }
}

/// What every user's insight is read from.
struct View<'a> {
    state: &'a State,
    population: Arc<Population>,
    facts: Facts<'a>,
}

impl View<'_> {
    /// What the store knows of a user; none where they have no name, or it is an alias.
    fn user(&self, user: UserIdx) -> Option<UserInsight> {
        let live = &self.state.live;
        let user_id = live.users.read().id(user).to_owned();
        if user_id.is_empty() || live.links.read().is_alias(user) {
            return None;
        }
        let facts = self.facts.of(user);
        let history = facts.history();

        let portrait = self.portrait(user, history);
        let names = live.items.read();
        let usual_items = portrait.usual_items.iter().map(|usual| names.id(usual.item).to_owned());
        let usual_items = usual_items.collect();
        drop(names);
        Some(UserInsight {
            user_id,
            as_of_ms: self.facts.as_of_ms,
            portrait,
            usual_items,
            orders: facts.book().and_then(order_figures),
            rfm: facts.rfm().cloned(),
            tiers: self.tiers(&facts),
            forecast: facts.forecast(),
            methods: (self.population.value.purchases_by, self.population.value.again_by),
            next_order_ms: facts.next_order().map(ms),
            due: self.due(history),
            next_categories: self.next_categories(user, history),
            segments: Membership::new(&self.facts.settings.segments, &facts).names(),
        })
    }

    fn portrait(&self, user: UserIdx, history: &[HistoryEvent]) -> Portrait {
        let live = &self.state.live;
        let decided = live.profiles.read().preferences(user).cloned();
        let zone = live.activity.read().zone().clone();
        let (catalogue, channels) = (live.catalogue.read(), live.channels.read());
        let decided = decided.as_ref();
        let known = Known { catalogue: &catalogue, channels: &channels, zone: &zone, decided };
        Portrait::of(history, known, self.facts.as_of_ms)
    }

    fn tiers(&self, facts: &UserFacts<'_>) -> Vec<UserTier> {
        let none = OrderBook::default();
        let book = facts.book().unwrap_or(&none);
        let tier = |program: &TierProgram| {
            let standing = program.standing(book, self.facts.as_of_ms);
            let next = standing.level.map_or(0, |level| level + 1);
            let name = |at: Option<usize>| {
                at.and_then(|at| program.levels.get(at)).map_or("", |level| level.name.as_str())
            };
            UserTier {
                program: program.name.clone(),
                level: name(standing.level).to_owned(),
                next_level: name(Some(next)).to_owned(),
                standing,
            }
        };
        self.facts.settings.tier_programs.iter().map(tier).collect()
    }

    /// The items that the user bought on two days or more.
    fn due(&self, history: &[HistoryEvent]) -> Vec<DueItem> {
        let gaps = &self.population.gaps;
        let kept = standing(history);
        let mut due: Vec<(i64, ItemIdx, Vec<i64>)> = days_by_item(history)
            .into_iter()
            .filter(|(item, days)| days.len() > 1 && kept.binary_search(item).is_ok())
            .filter_map(|(item, days)| {
                let due = gaps.next_of_item(item, &days, self.facts.today())?;
                Some((ms(due), item, days))
            })
            .collect();
        due.sort_unstable_by_key(|(due_ms, item, _)| (*due_ms, *item));
        due.truncate(MOST);

        let names = self.state.live.items.read();
        let due = due.into_iter().map(|(due_ms, item, days)| DueItem {
            item_id: names.id(item).to_owned(),
            purchases: days.len() as u32,
            last_ms: days.last().map_or(0, |day| day * DAY_MS),
            usual_days: gaps.usual_days(item, &days).unwrap_or(0.0),
            due_ms,
        });
        due.collect()
    }

    /// The categories of the user's prepared list, if one holds.
    fn next_categories(&self, user: UserIdx, history: &[HistoryEvent]) -> Vec<NextCategory> {
        let Some(snapshot) = self.state.models.active() else { return Vec::new() };
        let active = self.state.active_lists.as_ref().and_then(|lists| lists.of(user));
        let of_snapshot = snapshot.parts.prepared.list(user, history);
        let list =
            of_snapshot.or_else(|| active.as_ref().and_then(|active| active.list.list(history)));
        let Some(list) = list else { return Vec::new() };

        let catalogue = self.state.live.catalogue.read();
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let profiles = self.state.live.profiles.read();
        let decided = profiles.preferences(user);
        let names = self.state.live.items.read();
        let is_believed = |item: ItemIdx| {
            decided.is_none_or(|of| !of.ignores(names.id(item), catalogue.get(item)))
        };
        let items = list.iter().filter(|(item, _, source)| source.is_some() && is_believed(*item));
        let items = items.take(NEXT_ITEMS);
        for category in items.flat_map(|(item, _, _)| categories(&catalogue, item)) {
            *counts.entry(category).or_default() += 1;
        }
        let mut counts: Vec<(&str, u32)> = counts.into_iter().collect();
        counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let known = |name: &str| {
            history.iter().any(|event| categories(&catalogue, event.item).iter().any(|c| c == name))
        };
        let next = counts.into_iter().take(MOST).map(|(name, items)| NextCategory {
            name: name.to_owned(),
            items,
            is_new: !known(name),
        });
        next.collect()
    }
}

fn categories(catalogue: &Catalogue, item: ItemIdx) -> &[String] {
    catalogue.get(item).map_or(&[], |item| &item.categories)
}

/// A moment in days since 1970 in milliseconds.
fn ms(days: f64) -> i64 {
    (days * DAY_MS as f64) as i64
}

fn order_figures(book: &OrderBook) -> Option<OrderFigures> {
    let count = book.count();
    let kept = book.standing().count().max(1) as f64;
    Some(OrderFigures {
        count,
        first_ms: book.first_ms()?,
        last_ms: book.last_ms()?,
        spend: book.spend(),
        refunded: book.refunded(),
        mean_spend: book.spend() / f64::from(count.max(1)),
        mean_units: book.standing().map(|order| f64::from(order.units())).sum::<f64>() / kept,
    })
}
