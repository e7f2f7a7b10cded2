//! The store's users as a whole: segments, tiers, cohorts, trade, and how right forecasts are.

use std::ops::RangeInclusive;

use super::Insight;
use crate::domain::order::OrderBook;
use crate::domain::{DAY_MS, Error, Result, Violation};
use crate::engine::population::objecting;
use crate::insight::ValueModels;
use crate::insight::cohorts::{Cohort, UsersByPeriod, active, cohorts, note_orders};
use crate::insight::period::Period;
use crate::insight::rfm::{Figures, Quintiles};
use crate::insight::trade::{PeriodFigures, by_period};
use crate::insight::value::models::sampled;
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
    ///
    /// # Errors
    /// [`Error::Overloaded`] while what compares users is made for the first time.
    pub fn overview(&self) -> Result<Overview> {
        let live = &self.state.live;
        let population = self.state.populations.get(live)?;
        let settings = self.state.in_force.insight();
        let segments = settings.rfm();
        let as_of_ms = live.newest_ms();
        let objecting = objecting(live);

        let mut by_segment = groups(segments.iter().map(|segment| segment.name.as_str()));
        let mut by_level: Vec<Vec<Group>> = settings
            .tier_programs
            .iter()
            .map(|program| groups(program.levels.iter().map(|level| level.name.as_str())))
            .collect();
        live.orders.each(|user, book| {
            let figures = Figures::of(book, as_of_ms).filter(|_| !objecting.contains(user));
            let Some(figures) = figures else { return };
            let segment = population.quintiles.scores(&figures).segment(&segments);
            add(&mut by_segment, segment, &figures);
            for (program, levels) in settings.tier_programs.iter().zip(&mut by_level) {
                add(levels, program.standing(book, as_of_ms).level, &figures);
            }
        });

        let names = settings.tier_programs.iter().map(|program| program.name.clone());
        let value = &population.value;
        Ok(Overview {
            as_of_ms,
            quintiles: population.quintiles,
            segments: by_segment,
            tiers: names.zip(by_level).collect(),
            horizon_days: value.horizon_days,
            tried: value.tried.clone(),
            methods: (value.purchases_by, value.again_by),
        })
    }

    /// The newest `max` cohorts, each by its period.
    pub fn cohorts(&self, came: Came, period: Period, max: usize) -> Vec<Cohort> {
        let live = &self.state.live;
        let objecting = objecting(live);
        let users = match came {
            Came::Active => {
                let days = live.activity.read().days().clone();
                active(&days, period)
            }
            Came::Ordered => {
                let zone = live.activity.read().zone().clone();
                let mut users = UsersByPeriod::new();
                live.orders.each(|user, book| note_orders(&mut users, (user, book), &zone, period));
                users
            }
        };
        let counted = users.into_iter().map(|(period, users)| (period, users - &objecting));
        cohorts(&counted.collect(), max)
    }

    /// Activity and trade of the days between two moments, the whole periods of both included. Sales
    /// are those of all users.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the end is not after the start.
    pub fn trade(&self, period: Period, from_ms: i64, until_ms: i64) -> Result<Vec<PeriodFigures>> {
        if until_ms <= from_ms {
            return Err(Violation::new("end_time", "must be after start_time").into());
        }
        let live = &self.state.live;
        let objecting = objecting(live);
        let (zone, of_store) = {
            let activity = live.activity.read();
            (activity.zone().clone(), activity.days().clone())
        };
        let number = |time_ms| period.of_day(day_of(&zone, time_ms));
        let periods: RangeInclusive<i32> = number(from_ms)..=number(until_ms - 1);
        Ok(by_period(&of_store, period, periods, &objecting))
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
        if end_ms > (newest_ms / DAY_MS + 1) * DAY_MS {
            let message = format!("must leave {days} days until the newest event of the store");
            return Err(Violation::new("cut_time", message).into());
        }
        let objecting = objecting(live);
        let mut books: Vec<OrderBook> = Vec::new();
        live.orders.each(|user, book| {
            if !objecting.contains(user) {
                books.push(book.clone());
            }
        });
        let books = sampled(books.iter());
        let since_ms = books.iter().filter_map(|book| book.first_ms()).min().unwrap_or(cut_ms);
        // Up to the day before the cut: what is bought on its day comes after it.
        let models = ValueModels::fit(&books, since_ms, cut_ms - 1);
        models.backtest(&books, end_ms - 1).ok_or_else(|| {
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
