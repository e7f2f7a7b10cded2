//! When a rule holds: for which lists and users, and in which times.

use std::collections::BTreeMap;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

use crate::domain::{Violation, limits};

/// Maximum number of placements, values, hours and dates of a rule.
pub const MAX_VALUES: usize = 64;

/// The condition of a rule: all of these hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The placements; empty: all.
    pub placements: Vec<String>,
    /// Attributes of the user: one of the values of each.
    pub user_attributes: BTreeMap<String, Vec<String>>,
    /// Categories of the page, in or below one of which it is; empty: all.
    pub page_categories: Vec<String>,
    /// Saved segments, one of which the user is in; empty: all users.
    pub segments: Vec<String>,
    /// The times; by default always.
    pub schedule: Schedule,
}

/// The times in which a rule holds, in the store's time zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Its start, in milliseconds since 1970; none: no start.
    pub start_ms: Option<i64>,
    /// Its end, exclusive; none: no end.
    pub end_ms: Option<i64>,
    /// Hours of the week, one of which it is; empty: all.
    pub weekly: Vec<Hours>,
    /// Days of which it is one, festivals for instance; empty: all.
    pub dates: Vec<Dates>,
}

/// Hours of some days of the week.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// The days; empty: every day.
    pub days: Vec<Day>,
    /// The first minute.
    pub start: Time,
    /// The end, exclusive; where it is not after the start, on the next day.
    pub end: Time,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// All days, Monday first.
    pub const ALL: [Day; 7] =
        [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri, Day::Sat, Day::Sun];

    /// Its name: "mon".
    pub fn name(self) -> &'static str {
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][self as usize]
    }

    /// The day of this name.
    ///
    /// # Errors
    /// A sentence with the names.
    pub fn named(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|day| day.name() == name);
        found.ok_or_else(|| "must be mon, tue, wed, thu, fri, sat or sun".to_owned())
    }

    fn is(self, day: Weekday) -> bool {
        day.to_monday_zero_offset() as usize == self as usize
    }
}

/// A span of days, the first and the last included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dates {
    /// Its name, a festival's for instance; may be empty.
    #[serde(default)]
    pub name: String,
    /// The first day.
    pub first: Date,
    /// The last day.
    pub last: Date,
}

impl When {
    /// Checks every limit.
    ///
    /// # Errors
    /// The first field that breaks its limit.
    pub(super) fn validate(&self) -> Result<(), Violation> {
        limits::count("placements", self.placements.len(), 0, MAX_VALUES)?;
        limits::count("page_categories", self.page_categories.len(), 0, MAX_VALUES)?;
        for (at, category) in self.page_categories.iter().enumerate() {
            limits::id(&format!("page_categories[{at}]"), category)?;
        }
        limits::count("user_attributes", self.user_attributes.len(), 0, limits::MAX_TAGS)?;
        for (at, (name, values)) in self.user_attributes.iter().enumerate() {
            limits::id(&format!("user_attributes[{at}].name"), name)?;
            limits::count(&format!("user_attributes[{at}].values"), values.len(), 1, MAX_VALUES)?;
            for (of, value) in values.iter().enumerate() {
                limits::id(&format!("user_attributes[{at}].values[{of}]"), value)?;
            }
        }
        limits::count("segments", self.segments.len(), 0, MAX_VALUES)?;
        self.schedule.validate().map_err(|violation| violation.within("schedule"))
    }

    /// Whether it asks something of the user or of the page.
    pub fn asks(&self) -> bool {
        !self.user_attributes.is_empty()
            || !self.page_categories.is_empty()
            || !self.segments.is_empty()
    }
}

impl Schedule {
    fn validate(&self) -> Result<(), Violation> {
        for (field, time) in [("start_time", self.start_ms), ("end_time", self.end_ms)] {
            let Some(time_ms) = time else { continue };
            if !(0..=limits::MAX_VALID_MS).contains(&time_ms) {
                return Err(Violation::new(field, "must be between 1970 and the year 9999"));
            }
        }
        if let (Some(start), Some(end)) = (self.start_ms, self.end_ms)
            && start >= end
        {
            return Err(Violation::new("end_time", "must be after the start: it can never match"));
        }
        limits::count("weekly", self.weekly.len(), 0, MAX_VALUES)?;
        limits::count("dates", self.dates.len(), 0, MAX_VALUES)?;
        for (at, dates) in self.dates.iter().enumerate() {
            limits::line(&format!("dates[{at}].name"), &dates.name, limits::MAX_ID_BYTES)?;
            if dates.first > dates.last {
                let message = "must not be before the first day: it can never match";
                return Err(Violation::new(format!("dates[{at}].last"), message));
            }
        }
        Ok(())
    }

    /// Whether it holds at a time.
    pub fn holds(&self, now_ms: i64, zone: &TimeZone) -> bool {
        let has_begun = self.start_ms.is_none_or(|start| start <= now_ms);
        let runs = self.end_ms.is_none_or(|end| now_ms < end);
        if !has_begun || !runs {
            return false;
        }
        if self.weekly.is_empty() && self.dates.is_empty() {
            return true;
        }

        let Ok(now) = Timestamp::from_millisecond(now_ms) else { return false };
        let now = now.to_zoned(zone.clone());
        let today = now.date();
        let in_hours = self.weekly.is_empty() || self.weekly.iter().any(|hours| hours.hold(&now));
        let in_dates = self.dates.is_empty()
            || self.dates.iter().any(|dates| (dates.first..=dates.last).contains(&today));
        in_hours && in_dates
    }

    /// When it holds next, in milliseconds since 1970; none where it holds at `now_ms`, or never again.
    /// Looks at its start, at the first of its days, and at the hours of the two weeks that follow each;
    /// where clocks change, it may be an hour late.
    pub fn next(&self, now_ms: i64, zone: &TimeZone) -> Option<i64> {
        if self.holds(now_ms, zone) {
            return None;
        }
        let time = |ms| Timestamp::from_millisecond(ms).ok().map(|at| at.to_zoned(zone.clone()));
        let now = time(now_ms)?;
        let today = now.date();
        let to_come = self.dates.iter().filter(|dates| dates.last >= today);
        let days = to_come.filter_map(|dates| dates.first.to_zoned(zone.clone()).ok());
        let start = self.start_ms.and_then(time);
        let bases: Vec<Zoned> = [Some(now), start].into_iter().flatten().chain(days).collect();

        let mut next = None;
        let mut look_at = |time: &Zoned| {
            let ms = time.timestamp().as_millisecond();
            let is_earlier = ms > now_ms && next.is_none_or(|next| ms < next);
            if is_earlier && self.holds(ms, zone) {
                next = Some(ms);
            }
        };
        bases.iter().for_each(&mut look_at);
        // Two weeks: the hours of one day may be lost where clocks change.
        for (base, days) in bases.iter().flat_map(|base| (0..15).map(move |days| (base, days))) {
            let Ok(day) = base.date().checked_add(days.days()) else { continue };
            for hours in self.weekly.iter().filter(|hours| hours.are_of(day.weekday())) {
                if let Ok(time) = day.to_datetime(hours.start).to_zoned(zone.clone()) {
                    look_at(&time);
                }
            }
        }
        next
    }

    /// Whether it holds at no time from `now_ms` on.
    pub(super) fn never_holds(&self, now_ms: i64, zone: &TimeZone) -> bool {
        !self.holds(now_ms, zone) && self.next(now_ms, zone).is_none()
    }
}

impl Hours {
    fn are_of(&self, day: Weekday) -> bool {
        self.days.is_empty() || self.days.iter().any(|own| own.is(day))
    }

    fn hold(&self, now: &Zoned) -> bool {
        let time = now.time();
        let today = now.weekday();
        if self.start < self.end {
            return self.are_of(today) && (self.start..self.end).contains(&time);
        }
        // Over midnight: of today's evening, or of yesterday's.
        (self.are_of(today) && time >= self.start)
            || (self.are_of(today.previous()) && time < self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(schedule: &Schedule, time: &str) -> bool {
        let now_ms = time.parse::<Timestamp>().unwrap().as_millisecond();
        schedule.holds(now_ms, &TimeZone::get("Asia/Shanghai").unwrap())
    }

    #[test]
    fn hours_are_those_of_the_stores_zone() {
        // A Friday evening in Shanghai is eight hours earlier in UTC.
        let hours = Hours {
            days: vec![Day::Fri],
            start: jiff::civil::time(17, 0, 0, 0),
            end: jiff::civil::time(2, 0, 0, 0),
        };
        let schedule = Schedule { weekly: vec![hours], ..Schedule::default() };
        assert!(!holds(&schedule, "2026-11-27T08:59:59Z"));
        assert!(holds(&schedule, "2026-11-27T09:00:00Z"));
        assert!(holds(&schedule, "2026-11-27T17:59:00Z"), "Saturday, 01:59");
        assert!(!holds(&schedule, "2026-11-27T18:00:00Z"), "Saturday, 02:00");
        assert!(!holds(&schedule, "2026-11-28T09:00:00Z"), "Saturday evening");
    }

    #[test]
    fn a_rule_begins_with_its_first_hour_in_its_days() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        let ms = |time: &str| time.parse::<Timestamp>().unwrap().as_millisecond();
        let friday = Hours {
            days: vec![Day::Fri],
            start: jiff::civil::time(17, 0, 0, 0),
            end: jiff::civil::time(20, 0, 0, 0),
        };
        let date = jiff::civil::date;
        let days = Dates { name: String::new(), first: date(2027, 2, 1), last: date(2027, 2, 28) };
        let weekly = Schedule { weekly: vec![friday], ..Schedule::default() };
        let both = Schedule { dates: vec![days.clone()], ..weekly.clone() };

        let next = |of: &Schedule, now: &str| of.next(ms(now), &shanghai);
        let now = "2026-11-27T09:30:00Z";
        assert_eq!(next(&weekly, now), None, "it holds");
        assert_eq!(next(&weekly, "2026-11-27T12:00:00Z"), Some(ms("2026-12-04T09:00:00Z")));
        assert_eq!(next(&both, now), Some(ms("2027-02-05T09:00:00Z")));
        let span = Schedule { start_ms: Some(ms(now) + 5), ..Schedule::default() };
        assert_eq!(next(&span, now), Some(ms(now) + 5));
        let past = Schedule { end_ms: Some(ms(now)), ..both };
        assert_eq!(next(&past, now), None);
        // The clocks of Paris pass over these hours on the last Sunday of March.
        let early = Hours {
            days: vec![Day::Sun],
            start: jiff::civil::time(2, 15, 0, 0),
            end: jiff::civil::time(2, 45, 0, 0),
        };
        let early = Schedule { weekly: vec![early], ..Schedule::default() };
        let paris = TimeZone::get("Europe/Paris").unwrap();
        let found = early.next(ms("2027-03-27T12:00:00Z"), &paris);
        assert_eq!(found, Some(ms("2027-04-04T00:15:00Z")));
        let only = Schedule { dates: vec![days], ..Schedule::default() };
        assert_eq!(next(&only, now), Some(ms("2027-01-31T16:00:00Z")));
    }

    #[test]
    fn festivals_are_whole_days() {
        let date = jiff::civil::date;
        let dates =
            Dates { name: "new year".into(), first: date(2027, 2, 6), last: date(2027, 2, 7) };
        let schedule = Schedule { dates: vec![dates], ..Schedule::default() };
        assert!(holds(&schedule, "2027-02-05T16:00:00Z"));
        assert!(holds(&schedule, "2027-02-07T15:59:59Z"));
        assert!(!holds(&schedule, "2027-02-05T15:59:59Z"));
        assert!(!holds(&schedule, "2027-02-07T16:00:00Z"));

        let day_after = "2027-02-08T00:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        assert!(schedule.never_holds(day_after, &TimeZone::UTC));
        let monday = Hours {
            days: vec![Day::Mon],
            start: jiff::civil::time(9, 0, 0, 0),
            end: jiff::civil::time(10, 0, 0, 0),
        };
        let never = Schedule { weekly: vec![monday], ..schedule };
        assert!(never.never_holds(0, &TimeZone::UTC), "a Saturday and a Sunday");
        let span = Schedule { start_ms: Some(10), end_ms: Some(20), ..Schedule::default() };
        assert!(span.holds(10, &TimeZone::UTC) && !span.holds(20, &TimeZone::UTC));
        assert!(span.never_holds(20, &TimeZone::UTC) && !span.never_holds(19, &TimeZone::UTC));
        let never = Schedule { start_ms: Some(20), end_ms: Some(20), ..Schedule::default() };
        assert!(never.validate().unwrap_err().message.contains("never match"));
    }
}
