//! The number of events by day: gaps, and a week that lacks half of its events.

use std::collections::BTreeMap;

use super::examined::day;
use super::finding::{Finding, Kind};
use crate::domain::DAY_MS;

/// Open days in a row without events that make a gap: holidays have fewer.
const GAP_DAYS: usize = 4;
/// Events that the days of a gap would have had.
const GAP_EVENTS: f64 = 50.0;
/// Share of a day's usual events below which it counts as empty.
const EMPTY: f64 = 0.05;
/// Events of the week before from which on the last week is compared with it.
const ENOUGH: u64 = 100;
/// Share of the week before that the last week must have.
const HALF: f64 = 0.5;
/// Days after the newest event for which a log counts as running.
const RUNNING_DAYS: i64 = 30;
/// Events ahead of the clock by which data is broken, as a share of the last week's.
const AHEAD: f64 = 0.01;

/// Events by day.
#[derive(Debug, Default)]
pub(super) struct Volume(BTreeMap<i64, u64>);

impl Volume {
    pub(super) fn note(&mut self, time_ms: i64) {
        *self.0.entry(time_ms.div_euclid(DAY_MS)).or_default() += 1;
    }

    /// Runs of days on which the shop is usually open and had next to nothing.
    /// Only days within `bounds`, in milliseconds since 1970, are looked at: a date that stands alone
    /// says nothing about the days between.
    pub(super) fn gaps(&self, bounds: (i64, i64)) -> Vec<Finding> {
        let within = bounds.0.div_euclid(DAY_MS)
            ..=bounds.1.div_euclid(DAY_MS).max(bounds.0.div_euclid(DAY_MS));
        let mut days = self.0.range(within).map(|(day, _)| *day);
        let Some(first) = days.next() else { return Vec::new() };
        let last = days.next_back().unwrap_or(first);
        let usual = self.usual_by_weekday(first, last);
        let busiest = usual.iter().copied().fold(0.0, f64::max);

        let mut found = Vec::new();
        let mut run: Vec<i64> = Vec::new();
        for at in first..=last + 1 {
            let events = self.0.get(&at).copied().unwrap_or(0) as f64;
            let is_closed = usual[weekday(at)] == 0.0 || is_turn_of_the_year(at);
            // A few events on a closed day do not end a gap.
            let expected = if is_closed { busiest } else { usual[weekday(at)] };
            let is_empty = at <= last && events <= EMPTY * expected;
            if is_empty {
                run.push(at);
                continue;
            }

            let is_open = |at: &&i64| usual[weekday(**at)] > 0.0 && !is_turn_of_the_year(**at);
            let open: Vec<&i64> = run.iter().filter(is_open).collect();
            let expected: f64 = open.iter().map(|at| usual[weekday(**at)]).sum();
            if open.len() >= GAP_DAYS && expected >= GAP_EVENTS {
                found.push(gap(&run, expected));
            }
            run.clear();
        }
        found
    }

    /// The median of each weekday's events, from the days that had any; 0 for a weekday that mostly
    /// has none.
    fn usual_by_weekday(&self, first: i64, last: i64) -> [f64; 7] {
        std::array::from_fn(|of| {
            let days = (first..=last).filter(|&at| weekday(at) == of);
            let mut events: Vec<u64> =
                days.map(|at| self.0.get(&at).copied().unwrap_or(0)).collect();
            let open = events.iter().filter(|&&n| n > 0).count();
            if 2 * open <= events.len() {
                return 0.0;
            }
            events.retain(|&n| n > 0);
            events.sort_unstable();
            events[events.len() / 2] as f64
        })
    }

    /// The last week beside the week before, as of the newest event, or of now while the log runs.
    pub(super) fn pulse(&self, now_ms: i64) -> Pulse {
        let newest = self.0.last_key_value().map_or(0, |(at, _)| *at * DAY_MS + DAY_MS - 1);
        let mut pulse = Pulse::new(newest, now_ms);
        for (at, events) in &self.0 {
            pulse.note_many(at * DAY_MS, *events);
        }
        pulse
    }
}

fn weekday(day: i64) -> usize {
    day.rem_euclid(7) as usize
}

/// Whether a day lies between 20 December and 7 January, when shops close.
fn is_turn_of_the_year(number: i64) -> bool {
    let date = day(number);
    let date = &date[date.len().saturating_sub(5)..];
    date >= "12-20" || date <= "01-07"
}

fn gap(run: &[i64], expected: f64) -> Finding {
    let (first, last) = (run[0], run[run.len() - 1]);
    Finding {
        kind: Kind::Gap,
        what: format!(
            "from {} to {} there is next to nothing, where some {expected:.0} events are usual",
            day(first),
            day(last)
        ),
        events: expected as u64,
        example: format!("{} has none", day(first)),
        effect: "what sold then is unknown: trends and habits have a hole",
        mend: "import what is missing; rows that are there already add nothing".to_owned(),
    }
}

/// The last week of a log beside the week before: whether it may be trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The end of the last week, in milliseconds since 1970.
    as_of_ms: i64,
    now_ms: i64,
    /// Events of the last seven days.
    pub last_week: u64,
    /// Events of the seven days before.
    pub week_before: u64,
    /// Events after now.
    pub ahead: u64,
}

impl Pulse {
    /// Counts of 0 for a log whose newest event has this time: its weeks end now while it runs, and
    /// with that event where it has ended long ago.
    pub fn new(newest_ms: i64, now_ms: i64) -> Self {
        let runs = now_ms - newest_ms < RUNNING_DAYS * DAY_MS;
        let as_of_ms = if runs { now_ms } else { newest_ms };
        Self { as_of_ms, now_ms, last_week: 0, week_before: 0, ahead: 0 }
    }

    /// Counts an event.
    pub fn note(&mut self, time_ms: i64) {
        self.note_many(time_ms, 1);
    }

    fn note_many(&mut self, time_ms: i64, events: u64) {
        if time_ms > self.now_ms {
            self.ahead += events;
            return;
        }
        match (self.as_of_ms - time_ms).div_euclid(7 * DAY_MS) {
            0 => self.last_week += events,
            1 => self.week_before += events,
            _ => {}
        }
    }

    /// Whether the last week has less than half of the week before, which shops have at the turn of
    /// the year only.
    fn is_low(&self) -> bool {
        let has_less = (self.last_week as f64) < HALF * self.week_before as f64;
        let week = (0..7).map(|days| self.as_of_ms.div_euclid(DAY_MS) - days);
        self.week_before >= ENOUGH && has_less && !week.into_iter().any(is_turn_of_the_year)
    }

    /// Why a training would rest on broken data; none where it would not.
    pub fn complaint(&self) -> Option<String> {
        let Self { last_week, week_before, ahead, .. } = self;
        if *ahead as f64 > AHEAD * (*last_week).max(1) as f64 {
            return Some(format!(
                "{ahead} events are dated after now, of {last_week} of the last seven days"
            ));
        }
        self.is_low().then(|| {
            format!("the last seven days have {last_week} events, the seven before {week_before}")
        })
    }

    /// The finding of a week that lacks half of its events.
    pub(super) fn finding(&self) -> Option<Finding> {
        if !self.is_low() {
            return None;
        }
        Some(Finding {
            kind: Kind::MissingVolume,
            what: format!(
                "the last seven days have {} events, the seven before {}",
                self.last_week, self.week_before
            ),
            events: self.week_before - self.last_week,
            example: format!("the week until {}", day(self.as_of_ms.div_euclid(DAY_MS))),
            effect: "what is popular now is read from the half that came",
            mend:
                "look at what sends the events; train.doctor = \"hold\" keeps the model meanwhile"
                    .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log with a number of events on each day from Monday 2024-03-04 on.
    fn volume(days: impl IntoIterator<Item = u64>) -> Volume {
        let monday = 19_786;
        let events = days.into_iter().enumerate().filter(|(_, events)| *events > 0);
        Volume(events.map(|(at, events)| (monday + at as i64, events)).collect())
    }

    fn gaps(volume: Volume) -> Vec<Finding> {
        volume.gaps((0, i64::MAX))
    }

    #[test]
    fn a_gap_is_more_than_a_closed_weekday_or_holidays() {
        let open = |at: usize| if at % 7 == 5 { 0 } else { 100 };
        assert!(gaps(volume((0..100).map(open))).is_empty());
        let without = |from: usize, days: usize| {
            volume((0..100).map(|at| if (from..from + days).contains(&at) { 2 } else { open(at) }))
        };
        // Friday to Monday, with a closed Saturday: a long weekend.
        assert!(gaps(without(32, 4)).is_empty());
        let gaps = gaps(without(30, 6));
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert!(gaps[0].what.starts_with("from 2024-04-03 to 2024-04-08"), "{}", gaps[0].what);
    }

    #[test]
    fn the_turn_of_the_year_is_no_gap() {
        assert!(["2024-12-24", "2025-01-03"].iter().all(|date| {
            let date: jiff::civil::Date = date.parse().unwrap();
            let ms = date.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond();
            is_turn_of_the_year(ms / DAY_MS)
        }));
        assert!(!is_turn_of_the_year(19_786));
    }

    #[test]
    fn half_a_week_and_events_after_now_are_complained_of() {
        // 2024-06-03.
        let now_ms = 19_877 * DAY_MS;
        let pulse = |last: u64, before: u64, ahead: u64| {
            let mut pulse = Pulse::new(now_ms, now_ms);
            pulse.note_many(now_ms - DAY_MS, last);
            pulse.note_many(now_ms - 8 * DAY_MS, before);
            pulse.note_many(now_ms + DAY_MS, ahead);
            pulse
        };
        assert_eq!(pulse(500, 1_000, 0).complaint(), None);
        let said = pulse(499, 1_000, 0).complaint().unwrap();
        assert_eq!(said, "the last seven days have 499 events, the seven before 1000");
        assert!(pulse(1_000, 1_000, 11).complaint().unwrap().contains("11 events are dated after"));
        assert_eq!(pulse(1_000, 1_000, 10).complaint(), None);
        assert_eq!(pulse(0, 99, 0).complaint(), None, "too few to say");
        assert_eq!(Pulse::new(now_ms - 40 * DAY_MS, now_ms).as_of_ms, now_ms - 40 * DAY_MS);
    }
}
