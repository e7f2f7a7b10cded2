//! What is read of one user, each part once and only where it is asked for.

use std::cell::OnceCell;
use std::sync::Arc;

use crate::domain::order::OrderBook;
use crate::domain::{DAY_MS, HistoryEvent, ItemIdx, Tag, UserIdx};
use crate::engine::population::{Population, Populations};
use crate::engine::state::State;
use crate::insight::gaps::days_of;
use crate::insight::portrait::mean;
use crate::insight::rfm::{Figures, Scores};
use crate::insight::segment::{Figure, Traits};
use crate::insight::value::Forecast;
use crate::insight::value::models::Horizon;
use crate::insight::{InsightSettings, Membership};
use crate::live::{Catalogue, Live};

/// The place of 90 days among the horizons of a forecast.
const QUARTER: usize = 1;

/// A user's place among the buyers.
#[derive(Debug, Clone, PartialEq)]
pub struct Rfm {
    /// The figures.
    pub figures: Figures,
    /// The scores.
    pub scores: Scores,
    /// The segment; empty where none holds them.
    pub segment: String,
}

/// What every user's facts are read from.
#[derive(Debug)]
pub(in crate::engine) struct Facts<'a> {
    pub(super) live: &'a Live,
    pub(super) settings: Arc<InsightSettings>,
    populations: &'a Populations,
    /// What compares users, once it is asked for; none until it is made for the first time.
    population: OnceCell<Option<Arc<Population>>>,
    /// The newest event of the store, in milliseconds since 1970.
    pub(super) as_of_ms: i64,
}

impl<'a> Facts<'a> {
    /// Facts of the users of a store, as far as they are there: waits for nothing.
    pub(in crate::engine) fn at_hand(state: &'a State) -> Self {
        Self {
            live: &state.live,
            settings: state.in_force.insight(),
            populations: &state.populations,
            population: OnceCell::new(),
            as_of_ms: state.live.newest_ms(),
        }
    }

    /// Facts with what compares users.
    pub(super) fn with(state: &'a State, population: Arc<Population>) -> Self {
        Self { population: OnceCell::from(Some(population)), ..Self::at_hand(state) }
    }

    /// What compares users; none until it is made for the first time.
    pub(super) fn population(&self) -> Option<&Population> {
        self.population.get_or_init(|| self.populations.at_hand()).as_deref()
    }

    /// The facts of a user.
    pub(super) fn of(&'a self, user: UserIdx) -> UserFacts<'a> {
        UserFacts {
            of: self,
            user,
            history: OnceCell::new(),
            book: OnceCell::new(),
            rfm: OnceCell::new(),
            forecast: OnceCell::new(),
        }
    }

    /// Those of `names` that are saved segments with the user in them; none for a user who does not consent
    /// to the use of their events.
    pub(in crate::engine) fn segments_of(&self, user: UserIdx, names: &[String]) -> Vec<String> {
        if names.is_empty() || !self.live.profiles.read().consents(user) {
            return Vec::new();
        }
        let facts = self.of(user);
        let membership = Membership::new(&self.settings.segments, &facts);
        names.iter().filter(|name| membership.is_in(name)).cloned().collect()
    }

    /// The newest event in days since 1970.
    pub(super) fn today(&self) -> f64 {
        self.as_of_ms as f64 / DAY_MS as f64
    }
}

/// What is read of a user.
#[derive(Debug)]
pub(super) struct UserFacts<'a> {
    of: &'a Facts<'a>,
    user: UserIdx,
    history: OnceCell<Vec<HistoryEvent>>,
    book: OnceCell<Option<OrderBook>>,
    rfm: OnceCell<Option<Rfm>>,
    forecast: OnceCell<Option<Forecast>>,
}

impl UserFacts<'_> {
    /// The events that say something of the user, oldest first.
    pub(super) fn history(&self) -> &[HistoryEvent] {
        let read = || self.of.live.history(self.user, <[HistoryEvent]>::to_vec);
        self.history.get_or_init(read)
    }

    /// The orders; none before the first.
    pub(super) fn book(&self) -> Option<&OrderBook> {
        let read = || self.of.live.orders.read().of(self.user).cloned();
        let book = self.book.get_or_init(|| read().filter(|book| book.count() > 0));
        book.as_ref()
    }

    /// Recency, frequency and monetary value; none before the first order.
    pub(super) fn rfm(&self) -> Option<&Rfm> {
        self.rfm.get_or_init(|| self.read_rfm()).as_ref()
    }

    fn read_rfm(&self) -> Option<Rfm> {
        let figures = Figures::of(self.book()?, self.of.as_of_ms)?;
        let scores = self.of.population()?.quintiles.scores(&figures);
        let segments = self.of.settings.rfm();
        let segment = scores.segment(&segments);
        let segment = segment.map_or(String::new(), |at| segments[at].name.clone());
        Some(Rfm { figures, scores, segment })
    }

    /// What the user will buy; none before the first order.
    pub(super) fn forecast(&self) -> Option<Forecast> {
        let read = || {
            let population = self.of.population()?;
            population.value.forecast(self.book()?, self.of.as_of_ms)
        };
        *self.forecast.get_or_init(read)
    }

    /// When the user orders next, in days since 1970; none where no user ordered twice.
    pub(super) fn next_order(&self) -> Option<f64> {
        let gaps = &self.of.population()?.gaps;
        gaps.next_order(&days_of(self.book()?), self.of.today())
    }

    fn share(&self, is_of: impl Fn(&Catalogue, ItemIdx) -> Option<bool>) -> f64 {
        let history = self.history();
        let catalogue = self.of.live.catalogue.read();
        mean(history, self.of.as_of_ms, |item| is_of(&catalogue, item).map(f64::from))
    }

    fn of_quarter(&self, figure: fn(&Horizon) -> f64) -> Option<f64> {
        self.forecast().map(|forecast| figure(&forecast.horizons[QUARTER]))
    }
}

impl Traits for UserFacts<'_> {
    fn has_attribute(&self, name: &str, values: &[String]) -> bool {
        let profiles = self.of.live.profiles.read();
        let value = profiles.get(self.user).and_then(|user| user.attributes.get(name));
        value.is_some_and(|value| values.contains(value))
    }

    fn is_in_rfm_segment(&self, name: &str) -> bool {
        self.rfm().is_some_and(|rfm| rfm.segment == name)
    }

    fn reaches(&self, program: &str, level: &str) -> bool {
        let program = self.of.settings.tier_programs.iter().find(|known| known.name == program);
        let Some((program, book)) = program.zip(self.book()) else { return false };
        let least = program.levels.iter().position(|known| known.name == level);
        let reached = program.standing(book, self.of.as_of_ms).level;
        least.is_some_and(|least| reached.is_some_and(|reached| reached >= least))
    }

    fn share_of_category(&self, name: &str) -> f64 {
        let name = name.trim_matches('/');
        self.share(|catalogue, item| {
            let item = catalogue.get(item).filter(|item| !item.categories.is_empty())?;
            Some(item.category_paths().any(|path| path == name))
        })
    }

    fn share_of_brand(&self, name: &str) -> f64 {
        self.share(|catalogue, item| {
            let brand = &catalogue.get(item).filter(|item| !item.brand.is_empty())?.brand;
            Some(brand == name)
        })
    }

    fn came_by(&self, channel: &str) -> bool {
        let profiles = self.of.live.profiles.read();
        let decided = profiles.preferences(self.user);
        if decided.is_some_and(|decided| decided.has_removed(Tag::CHANNEL, channel)) {
            return false;
        }
        drop(profiles);
        let number = self.of.live.channels.read().number(channel);
        number.is_some_and(|number| self.history().iter().any(|event| event.channel == number))
    }

    fn figure(&self, figure: Figure) -> Option<f64> {
        let days_since = |ms: i64| (self.of.as_of_ms - ms).max(0) as f64 / DAY_MS as f64;
        let book = self.book();
        match figure {
            Figure::Orders => Some(book.map_or(0.0, |book| f64::from(book.count()))),
            Figure::Spend => Some(book.map_or(0.0, OrderBook::spend)),
            Figure::MeanSpend => book.map(|book| book.spend() / f64::from(book.count())),
            Figure::DaysSinceFirstOrder => book?.first_ms().map(days_since),
            Figure::DaysSinceLastOrder => book?.last_ms().map(days_since),
            Figure::DaysSinceLastEvent => {
                self.history().iter().map(|event| event.time_ms).max().map(days_since)
            }
            Figure::DaysUntilNextOrder => self.next_order().map(|next| next - self.of.today()),
            Figure::ChurnRisk => self.of_quarter(|quarter| 1.0 - quarter.again),
            Figure::ExpectedPurchases => self.of_quarter(|quarter| quarter.purchases),
            Figure::ExpectedSpend => self.of_quarter(|quarter| quarter.spend),
        }
    }
}
