//! Dates: after now, before any shop, far from all others, all the same.

use std::collections::{BTreeMap, BTreeSet};

use super::examined::{Examined, Sighting, day, day_and_time};
use super::finding::{Finding, Kind};
use crate::domain::DAY_MS;

/// Latest and earliest events that are kept.
const KEPT: usize = 200;
/// Days between a few events and all others from which on they stand alone: at the end, where they
/// date the others, and at the beginning.
const ALONE_DAYS: i64 = 30;
const ALONE_BEFORE_DAYS: i64 = 180;
/// The largest share of events that can stand alone.
const FEW: f64 = 0.001;
/// The first day that is plausible: 1990-01-01. Online shops are younger.
const FIRST_MS: i64 = 631_152_000_000;
/// Share of the events that one moment may have, and the number from which on that is looked at.
const MOMENT: f64 = 0.1;
const ENOUGH: u64 = 200;
/// Share of events at the beginning of a day from which on a log has days alone.
const DAYS_ALONE: f64 = 0.9;
/// Moments that are followed at a time (Misra and Gries 1982: every moment with more than a
/// thirty-third of the events is among them).
const MOMENTS: usize = 32;

/// What is noted about the times of a log.
#[derive(Debug, Default)]
pub(super) struct Times {
    events: u64,
    /// Events at the beginning of a day: a log with days alone has no others.
    midnights: u64,
    future: Tally,
    impossible: Tally,
    /// The latest and the earliest events, by time and line.
    latest: BTreeSet<Sighting>,
    earliest: BTreeSet<Sighting>,
    moments: BTreeMap<i64, (u64, Sighting)>,
}

/// A few events that stand alone: one of them, and the next of the others.
struct Lone {
    events: u64,
    days: i64,
    one: Sighting,
    next: Sighting,
}

/// A number of events, and the first.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) example: String,
}

impl Tally {
    pub(super) fn note(&mut self, event: &Examined<'_>) {
        if self.events == 0 {
            self.example = event.shown();
        }
        self.events += 1;
    }
}

impl Times {
    pub(super) fn note(&mut self, event: &Examined<'_>, now_ms: i64) {
        self.events += 1;
        let time_ms = event.time_ms;
        self.midnights += u64::from(time_ms % DAY_MS == 0);
        if time_ms > now_ms {
            return self.future.note(event);
        }
        if time_ms < FIRST_MS {
            return self.impossible.note(event);
        }

        let seen = Sighting::of(event);
        if self.latest.len() < KEPT || self.latest.first().is_some_and(|first| seen > *first) {
            self.latest.insert(seen);
            if self.latest.len() > KEPT {
                self.latest.pop_first();
            }
        }
        if self.earliest.len() < KEPT || self.earliest.last().is_some_and(|last| seen < *last) {
            self.earliest.insert(seen);
            if self.earliest.len() > KEPT {
                self.earliest.pop_last();
            }
        }
        self.note_moment(event);
    }

    fn note_moment(&mut self, event: &Examined<'_>) {
        if let Some((count, _)) = self.moments.get_mut(&event.time_ms) {
            *count += 1;
        } else if self.moments.len() < MOMENTS {
            self.moments.insert(event.time_ms, (1, Sighting::of(event)));
        } else {
            self.moments.retain(|_, (count, _)| {
                *count -= 1;
                *count > 0
            });
        }
    }

    pub(super) fn findings(&self, now_ms: i64) -> Vec<Finding> {
        let mut found = Vec::new();
        let Tally { events, example } = &self.future;
        if *events > 0 {
            found.push(Finding {
                kind: Kind::Future,
                what: format!("{events} events are dated after now, {}", day_and_time(now_ms)),
                events: *events,
                example: example.clone(),
                effect: "they count as of now and stay the newest of their users until then",
                mend:
                    "correct the clock or the time zone (--time-zone) that wrote them; leave them \
                       out with --until"
                        .to_owned(),
            });
        }

        let Tally { events, example } = &self.impossible;
        if *events > 0 {
            found.push(Finding {
                kind: Kind::ImpossibleDate,
                what: format!("{events} events are dated before 1990"),
                events: *events,
                example: example.clone(),
                effect: "they have faded to nothing; their users look as if they had come long ago",
                mend: "name the unit of the times (--time-format), or leave them out with \
                       --since 1990-01-01"
                    .to_owned(),
            });
        }
        found.extend(self.lone_end());
        found.extend(self.lone_beginning());
        found.extend(self.one_moment());
        found
    }

    /// The times of all events but those that stand alone or are impossible.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let first = self.earliest.first().map_or(0, |first| first.time_ms);
        let last = self.latest.last().map_or(0, |last| last.time_ms);
        let begins = self.lone(self.earliest.iter(), ALONE_BEFORE_DAYS);
        let ends = self.lone(self.latest.iter().rev(), ALONE_DAYS);
        (
            begins.map_or(first, |lone| lone.next.time_ms),
            ends.map_or(last, |lone| lone.next.time_ms),
        )
    }

    /// A few events at the beginning of `ordered` that are at least `days` from all others.
    fn lone<'s>(&self, ordered: impl Iterator<Item = &'s Sighting>, days: i64) -> Option<Lone> {
        let ordered: Vec<&Sighting> = ordered.take(self.few() + 1).collect();
        let pairs = ordered.windows(2).enumerate();
        let apart = |pair: &[&Sighting]| (pair[0].time_ms - pair[1].time_ms).abs() / DAY_MS;
        let wide = pairs.filter(|(_, pair)| apart(pair) >= days).max_by_key(|(at, _)| *at);
        wide.map(|(at, pair)| Lone {
            events: at as u64 + 1,
            days: apart(pair),
            one: *pair[0],
            next: *pair[1],
        })
    }

    /// A few events long after all others.
    fn lone_end(&self) -> Option<Finding> {
        let Lone { events, days, one, next } = self.lone(self.latest.iter().rev(), ALONE_DAYS)?;
        Some(Finding {
            kind: Kind::DatesEverything,
            what: format!("{events} events come {days} days after all others"),
            events,
            example: one.shown(),
            effect: "ages are counted from the newest event: by these, all others look old",
            mend: format!(
                "leave them out with --until {}",
                day(next.time_ms.div_euclid(DAY_MS) + 1)
            ),
        })
    }

    /// A few events long before all others.
    fn lone_beginning(&self) -> Option<Finding> {
        let Lone { events, days, one, next } =
            self.lone(self.earliest.iter(), ALONE_BEFORE_DAYS)?;
        Some(Finding {
            kind: Kind::ImpossibleDate,
            what: format!("{events} events come {days} days before all others"),
            events,
            example: one.shown(),
            effect: "the default date of some system, written for no date: their users look old",
            mend: format!("leave them out with --since {}", day(next.time_ms.div_euclid(DAY_MS))),
        })
    }

    /// The number of events that can stand alone.
    fn few(&self) -> usize {
        // Of a log of a few events any may stand alone.
        if self.events < ENOUGH {
            return 0;
        }
        ((self.events as f64 * FEW) as usize).clamp(3, KEPT - 1)
    }

    fn one_moment(&self) -> Option<Finding> {
        let (time_ms, (count, seen)) = self.moments.iter().max_by_key(|(_, (count, _))| count)?;
        let has_days_alone = self.midnights as f64 > DAYS_ALONE * self.events as f64;
        let is_much = *count as f64 >= MOMENT * self.events as f64;
        if self.events < ENOUGH || has_days_alone || !is_much {
            return None;
        }
        Some(Finding {
            kind: Kind::OneMoment,
            what: format!("at least {count} events have one time, {}", day_and_time(*time_ms)),
            events: *count,
            example: seen.shown(),
            effect: "the order and the age of these events is lost: sessions and fading know nothing",
            mend:
                "map the column with the time of the event, not of its export (--map timestamp=…)"
                    .to_owned(),
        })
    }
}
