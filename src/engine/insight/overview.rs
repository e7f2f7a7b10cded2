//! The store's users as a whole: segments, tiers, cohorts, trade, and how right forecasts are.

use std::ops::RangeInclusive;

use super::Insight;
use super::population::objecting;
use crate::domain::order::OrderBook;
use crate::domain::{DAY_MS, Error, Result, UserIdx, Violation};
use crate::insight::ValueModels;
use crate::insight::cohorts::{Cohort, active, cohorts, ordered};
use crate::insight::period::Period;
use crate::insight::rfm::{Figures, Quintiles};
use crate::insight::trade::{PeriodFigures, by_period};
use crate::insight::value::{Backtest, Method, Tried};
use crate::live::activity::day_of;

/// Buyers of one kind, and what they did ever.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// Its name; empty: those outside of every other.
    pub name: String,
    /// Number of buyers.
    pub buyers: u64,
    /// Number of their orders.
    pub orders: u64,
    /// Their spend, in the store's currency.
    pub spend: f64,
}

/// The buyers of a store by kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The newest event, in milliseconds since 1970.
    pub as_of_ms: i64,
    /// The boundaries of scores.
    pub quintiles: Quintiles,
    /// The segments, in their order, and those outside.
    pub segments: Vec<Group>,
    /// The levels of every program, lowest first, after those below.
    pub tiers: Vec<(String, Vec<Group>)>,
    /// Length of the time that was held out to compare methods, in days.
    pub horizon_days: u32,
    /// The methods on held-out time.
    pub tried: Vec<Tried>,
    /// The method of expected purchases, and that of chances to buy again.
    pub methods: (Method, Method),
}

/// Who counts as coming again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Users with a behaviour.
    Active,
    /// Users with an order.
    Ordered,
}

impl Insight {
    /// The buyers by segment and tier, and the methods that answer.
    pub fn overview(&self) -> Overview {
        let live = &self.state.live;
        let population = self.populations.get(live);
        let settings = self.state.in_force.insight();
        let segments = settings.segments();
        let as_of_ms = live.newest_ms();
        let objecting = objecting(live);

        let mut by_segment = groups(segments.iter().map(|segment| segment.name.as_str()));
        let mut by_level: Vec<Vec<Group>> = settings
            .tier_programs
            .iter()
            .map(|program| groups(program.levels.iter().map(|level| level.name.as_str())))
            .collect();
        let orders = live.orders.read();
        for (_, book) in orders.all().filter(|(user, _)| !objecting.contains(*user)) {
            let Some(figures) = Figures::of(book, as_of_ms) else { continue };
            let segment = population.quintiles.scores(&figures).segment(&segments);
            add(&mut by_segment, segment, &figures);
            for (program, levels) in settings.tier_programs.iter().zip(&mut by_level) {
                add(levels, program.standing(book, as_of_ms).level, &figures);
            }
        }

        let names = settings.tier_programs.iter().map(|program| program.name.clone());
        let value = &population.value;
        Overview {
            as_of_ms,
            quintiles: population.quintiles,
            segments: by_segment,
            tiers: names.zip(by_level).collect(),
            horizon_days: value.horizon_days,
            tried: value.tried.clone(),
            methods: (value.purchases_by, value.again_by),
        }
    }

    /// The newest `max` cohorts, each by its period.
    pub fn cohorts(&self, came: Came, period: Period, max: usize) -> Vec<Cohort> {
        let live = &self.state.live;
        let objecting = objecting(live);
        let users = match came {
            Came::Active => active(&live.activity.read(), period),
            Came::Ordered => {
                let zone = live.activity.read().zone().clone();
                let orders = live.orders.read();
                ordered(orders.all(), &zone, period)
            }
        };
        let counted = users.into_iter().map(|(period, users)| (period, users - &objecting));
        cohorts(&counted.collect(), max)
    }

    /// Activity and trade between two moments, by period.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the end is not after the start, or the range has too many periods.
    pub fn trade(&self, period: Period, from_ms: i64, until_ms: i64) -> Result<Vec<PeriodFigures>> {
        if until_ms <= from_ms {
            return Err(Violation::new("end_time", "must be after start_time").into());
        }
        let live = &self.state.live;
        let objecting = objecting(live);
        let activity = live.activity.read();
        let zone = activity.zone();
        let days: RangeInclusive<i32> = day_of(zone, from_ms)..=day_of(zone, until_ms - 1);
        Ok(by_period(&activity, period, days, &objecting))
    }

    /// How right forecasts made at a moment would have been in the days after it.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the log does not hold the days; [`Error::NotReady`] where too few users
    /// bought before.
    pub fn backtest(&self, cut_ms: i64, days: u32) -> Result<Backtest> {
        let live = &self.state.live;
        let end_ms = cut_ms + i64::from(days) * DAY_MS;
        let newest_ms = live.newest_ms();
        if end_ms > newest_ms + DAY_MS {
            let message = format!("must leave {days} days until the newest event of the store");
            return Err(Violation::new("cut_time", message).into());
        }
        let objecting = objecting(live);
        let books: Vec<OrderBook> = {
            let orders = live.orders.read();
            let counts = |(user, _): &(UserIdx, &OrderBook)| !objecting.contains(*user);
            orders.all().filter(counts).map(|(_, book)| book.clone()).collect()
        };
        let books: Vec<&OrderBook> = books.iter().collect();
        let since_ms = books.iter().filter_map(|book| book.first_ms()).min().unwrap_or(cut_ms);
        let models = ValueModels::fit(&books, since_ms, cut_ms);
        models.backtest(&books, end_ms).ok_or_else(|| {
            Error::NotReady("too few users bought before the cut, or none bought after it".into())
        })
    }
}

/// An empty group for each name, after one for what is outside of all.
fn groups<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Group> {
    let group = |name: &str| Group { name: name.to_owned(), ..Group::default() };
    std::iter::once("").chain(names).map(group).collect()
}

fn add(groups: &mut [Group], at: Option<usize>, figures: &Figures) {
    if let Some(group) = groups.get_mut(at.map_or(0, |at| at + 1)) {
        group.buyers += 1;
        group.orders += u64::from(figures.frequency);
        group.spend += figures.monetary;
    }
}
