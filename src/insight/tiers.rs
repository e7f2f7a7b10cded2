//! Tiers of users by what they spend or how often they order, in a window of time or ever.
//!
//! A user reaches a level when the figure is at least its threshold, and keeps it until the figure falls
//! below `keep` of the threshold. Both follow from the user's orders alone: nothing is stored.

use serde::{Deserialize, Serialize};

use crate::domain::order::{Order, OrderBook};
use crate::domain::quote::quoted;
use crate::domain::{DAY_MS, Violation, limits};

/// Maximum number of programs of a store, and of levels of one.
pub const MAX_PROGRAMS: usize = 20;
/// See [`MAX_PROGRAMS`].
pub const MAX_LEVELS: usize = 20;
/// Longest window in days.
const MAX_WINDOW_DAYS: u32 = 3_660;
/// Share of a threshold by which sums of decimal prices can be wrong.
const ROUNDING: f64 = 1e-9;

/// A program of tiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierProgram {
    /// Its name.
    pub name: String,
    /// What counts.
    pub measure: Measure,
    /// The days until now in which it counts; none: ever.
    pub window_days: Option<u32>,
    /// The share of a threshold below which its level is lost: greater than 0, at most 1.
    pub keep: f64,
    /// The levels, lowest first.
    pub levels: Vec<Level>,
}

/// What a program counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The spend, refunds taken back, in the store's currency.
    Spend,
    /// The number of orders.
    Orders,
}

/// A level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Its name.
    pub name: String,
    /// The figure that reaches it; greater than 0.
    pub at_least: f64,
}

/// Where a user stands in a program.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The level by its place; none below the lowest.
    pub level: Option<usize>,
    /// The figure now.
    pub figure: f64,
    /// What is missing to the next level; none at the highest.
    pub missing: Option<f64>,
    /// When the level is lost without another order, in milliseconds since 1970; none where it is not.
    pub until_ms: Option<i64>,
}

impl TierProgram {
    /// Checks the program.
    ///
    /// # Errors
    /// The field that breaks its limit.
    fn check(&self) -> Result<(), Violation> {
        limits::name("name", &self.name)?;
        if let Some(days) = self.window_days {
            let days = f64::from(days);
            limits::number("window_days", days, 1.0, f64::from(MAX_WINDOW_DAYS))?;
        }
        if !(self.keep > 0.0 && self.keep <= 1.0) {
            let message = format!("must be greater than 0, at most 1, was {}", self.keep);
            return Err(Violation::new("keep", message));
        }

        limits::count("levels", self.levels.len(), 1, MAX_LEVELS)?;
        let mut before = 0.0;
        for (at, level) in self.levels.iter().enumerate() {
            limits::name(&format!("levels[{at}].name"), &level.name)?;
            if self.levels[..at].iter().any(|other| other.name == level.name) {
                let message = format!("must name no level twice, names {}", quoted(&level.name));
                return Err(Violation::new(format!("levels[{at}].name"), message));
            }
            let field = format!("levels[{at}].at_least");
            if !(level.at_least > 0.0 && level.at_least <= limits::MAX_PRICE) {
                let message =
                    format!("must be greater than 0, at most 1e12, was {}", level.at_least);
                return Err(Violation::new(field, message));
            }
            if level.at_least <= before {
                let message = format!(
                    "must be greater than {before}, that of the level before, was {}",
                    level.at_least
                );
                return Err(Violation::new(field, message));
            }
            before = level.at_least;
        }
        Ok(())
    }

    /// Where a user stands.
    pub fn standing(&self, book: &OrderBook, now_ms: i64) -> Standing {
        let mut ladder = Ladder { program: self, level: 0, figure: 0.0 };
        let Some(window_days) = self.window_days else {
            if let Some(left) = book.left() {
                ladder.add(match self.measure {
                    Measure::Spend => left.spend,
                    Measure::Orders => f64::from(left.count),
                });
            }
            book.entries().iter().for_each(|order| ladder.add(self.measured(order)));
            return ladder.standing(None);
        };

        // Every order counts from its time on, until the window has passed over it.
        let window_ms = i64::from(window_days) * DAY_MS;
        let entries = book.entries();
        let mut ended = entries.iter().peekable();
        for order in entries {
            while let Some(old) = ended.next_if(|old| old.time_ms() + window_ms <= order.time_ms())
            {
                ladder.add(-self.measured(old));
            }
            ladder.add(self.measured(order));
        }
        while let Some(old) = ended.next_if(|old| old.time_ms() + window_ms <= now_ms) {
            ladder.add(-self.measured(old));
        }

        let now = ladder.clone();
        let until_ms = ended.find_map(|old| {
            ladder.add(-self.measured(old));
            (ladder.level < now.level).then_some(old.time_ms() + window_ms)
        });
        now.standing(until_ms)
    }

    fn measured(&self, order: &Order) -> f64 {
        match self.measure {
            Measure::Spend => order.spend(),
            Measure::Orders => f64::from(u8::from(order.stands())),
        }
    }
}

/// A user on their way through the levels.
#[derive(Debug, Clone)]
struct Ladder<'a> {
    program: &'a TierProgram,
    /// Number of levels reached.
    level: usize,
    figure: f64,
}

impl Ladder<'_> {
    fn add(&mut self, figure: f64) {
        self.figure += figure;
        let levels = &self.program.levels;
        let reaches = |threshold: f64| self.figure >= threshold * (1.0 - ROUNDING);
        while levels.get(self.level).is_some_and(|next| reaches(next.at_least)) {
            self.level += 1;
        }
        while self.level > 0 && !reaches(levels[self.level - 1].at_least * self.program.keep) {
            self.level -= 1;
        }
    }

    fn standing(&self, until_ms: Option<i64>) -> Standing {
        let next = self.program.levels.get(self.level);
        let figure = self.figure.max(0.0);
        Standing {
            level: self.level.checked_sub(1),
            figure,
            missing: next.map(|next| (next.at_least - figure).max(0.0)),
            until_ms,
        }
    }
}

/// Checks the programs of a store.
///
/// # Errors
/// The field that breaks its limit.
pub fn check(programs: &[TierProgram]) -> Result<(), Violation> {
    limits::count("tier_programs", programs.len(), 0, MAX_PROGRAMS)?;
    for (at, program) in programs.iter().enumerate() {
        let within = format!("tier_programs[{at}]");
        program.check().map_err(|violation| violation.within(&within))?;
        if programs[..at].iter().any(|before| before.name == program.name) {
            let message = format!("must name no program twice, names {}", quoted(&program.name));
            return Err(Violation::new(format!("{within}.name"), message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::{Paid, Trade};

    fn program(
        measure: Measure,
        window_days: Option<u32>,
        keep: f64,
        at_least: &[f64],
    ) -> TierProgram {
        let names = ["silver", "gold", "diamond"];
        let levels = names.iter().zip(at_least);
        let levels = levels.map(|(name, &at_least)| Level { name: (*name).into(), at_least });
        TierProgram { name: "club".into(), measure, window_days, keep, levels: levels.collect() }
    }

    fn book(trades: &[(i64, f64)]) -> OrderBook {
        let mut book = OrderBook::default();
        for (basket, (day, spend)) in (1u32..).zip(trades) {
            let (time_ms, units) = (day * DAY_MS, spend.signum());
            book.note(Trade {
                time_ms,
                order: Some((basket, 0)),
                units,
                paid: Paid::Exact(*spend),
            });
        }
        book
    }

    #[test]
    fn thresholds_are_reached_to_the_cent_and_refunds_take_back() {
        let spend = program(Measure::Spend, None, 1.0, &[1_000.0, 5_000.0, 10_000.0]);
        let tenths: Vec<(i64, f64)> = (0..10).map(|day| (day, 100.1 - 0.1)).collect();
        let standing = spend.standing(&book(&tenths), 99 * DAY_MS);
        assert_eq!((standing.level, standing.missing), (Some(0), Some(4_000.0)));
        let refunded = [tenths.as_slice(), &[(11, -0.01)]].concat();
        let standing = spend.standing(&book(&refunded), 99 * DAY_MS);
        assert_eq!(standing.level, None);
        assert!((standing.missing.unwrap() - 0.01).abs() < 1e-9);
        let rich = spend.standing(&book(&[(1, 20_000.0)]), 99 * DAY_MS);
        assert_eq!((rich.level, rich.missing, rich.until_ms), (Some(2), None, None));

        let orders = program(Measure::Orders, None, 1.0, &[5.0, 10.0, 20.0]);
        let standing = orders.standing(&book(&tenths), 99 * DAY_MS);
        assert_eq!(
            (standing.level, standing.figure, standing.missing),
            (Some(1), 10.0, Some(10.0))
        );
    }

    #[test]
    fn a_window_ends_a_level_and_hysteresis_holds_it_longer() {
        let orders = book(&[(0, 600.0), (30, 500.0), (60, 300.0)]);
        let strict = program(Measure::Spend, Some(100), 1.0, &[1_000.0]);
        let at = |program: &TierProgram, day: i64| program.standing(&orders, day * DAY_MS);
        assert_eq!(
            (at(&strict, 99).level, at(&strict, 99).until_ms),
            (Some(0), Some(100 * DAY_MS))
        );
        assert_eq!((at(&strict, 100).level, at(&strict, 100).missing), (None, Some(200.0)));

        let kind = program(Measure::Spend, Some(100), 0.7, &[1_000.0]);
        assert_eq!((at(&kind, 100).level, at(&kind, 100).until_ms), (Some(0), Some(130 * DAY_MS)));
        assert_eq!((at(&kind, 100).figure, at(&kind, 130).level), (800.0, None));
        // 800 would not have reached it.
        let late = book(&[(30, 500.0), (60, 300.0)]);
        assert_eq!(kind.standing(&late, 100 * DAY_MS).level, None);
    }

    #[test]
    fn disorder_and_windows_of_no_length_are_refused() {
        let field = |program: TierProgram| check(&[program]).unwrap_err().field;
        let good = program(Measure::Spend, Some(365), 0.8, &[1_000.0, 5_000.0]);
        assert_eq!(check(std::slice::from_ref(&good)), Ok(()));
        let disordered = program(Measure::Spend, None, 1.0, &[5_000.0, 1_000.0]);
        assert_eq!(field(disordered), "tier_programs[0].levels[1].at_least");
        let no_window = TierProgram { window_days: Some(0), ..good.clone() };
        assert_eq!(field(no_window), "tier_programs[0].window_days");
        assert_eq!(field(TierProgram { keep: 0.0, ..good.clone() }), "tier_programs[0].keep");
        assert_eq!(field(TierProgram { keep: f64::NAN, ..good.clone() }), "tier_programs[0].keep");
        let twice = check(&[good.clone(), good]).unwrap_err();
        assert_eq!(twice.field, "tier_programs[1].name");
    }
}
