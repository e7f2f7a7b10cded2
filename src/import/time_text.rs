//! Times as text, parsed from left to right: a date, a time of day, a zone.

use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use super::time_format::{DateOrder, Unread};

/// A date as written.
pub(super) enum Written {
    Date(Date),
    /// Two numbers of which one is the day, and the year.
    Numbers {
        first: i8,
        second: i8,
        year: Year,
    },
}

/// A year as written.
#[derive(Clone, Copy)]
pub(super) enum Year {
    Whole(i16),
    /// Without the century.
    Short(i16),
}

impl Written {
    /// The date, with its numbers in this order.
    pub(super) fn in_order(self, order: DateOrder) -> Result<Date, Unread> {
        let (first, second, year) = match self {
            Written::Date(date) => return Ok(date),
            Written::Numbers { first, second, year } => (first, second, year),
        };

        // Which of three two-digit numbers is the year, only a given order can say.
        let year = match (year, order) {
            (_, DateOrder::Unseen) => return Err(Unread::DayOrMonth),
            (Year::Whole(year), _) => year,
            (Year::Short(_), DateOrder::Unproven | DateOrder::Contradicted) => {
                return Err(Unread::DayOrMonth);
            }
            // The century by POSIX.
            (Year::Short(year @ 69..), _) => 1900 + year,
            (Year::Short(year), _) => 2000 + year,
        };

        let day_first = match order {
            DateOrder::DayFirst => true,
            DateOrder::MonthFirst => false,
            DateOrder::Unseen => return Err(Unread::DayOrMonth),
            DateOrder::Contradicted => return Err(Unread::Contradicted),
            DateOrder::Unproven if first > 12 => true,
            DateOrder::Unproven if second > 12 || first == second => false,
            DateOrder::Unproven => return Err(Unread::DayOrMonth),
        };

        let (day, month) = if day_first { (first, second) } else { (second, first) };
        Date::new(year, month, day).map_err(|_| Unread::NoTime)
    }
}

/// Parses a text from its start.
pub(super) struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// A date; the rest is left.
    pub(super) fn date(&mut self) -> Option<Written> {
        self.weekday();
        let whole = self.rest;
        if let Some(word) = self.word() {
            let month = month(word)?;
            self.separators(". -/");
            let day = self.number(2)?.0;
            self.separators(". ,-/");
            let year = self.number(4).filter(|year| year.1 == 4)?.0;
            return Date::new(year, month, day as i8).ok().map(Written::Date);
        }

        let (first, digits) = self.number(8)?;
        if digits == 8 {
            let date = &whole[..8];
            let at = |from: usize, to: usize| date[from..to].parse().ok();
            return Date::new(date[..4].parse().ok()?, at(4, 6)?, at(6, 8)?)
                .ok()
                .map(Written::Date);
        }

        let separator = self.separators("-/. ,");
        if separator.is_empty() {
            return None;
        }

        let named = self.word().map(|word| month(word).ok_or(()));
        let second = match named {
            Some(month) => month.ok()?,
            None => i8::try_from(self.number(2)?.0).ok()?,
        };

        // A day and a month's name may be separated by blanks, numbers may not.
        let same = self.separators("-/. ,");
        if named.is_none() && (separator != same || separator.contains([' ', ','])) {
            return None;
        }
        if digits == 4 {
            let day = self.number(2)?.0;
            return Date::new(first, second, day as i8).ok().map(Written::Date);
        }

        let (year, year_digits) = self.number(4)?;
        let first = i8::try_from(first).ok().filter(|_| digits <= 2)?;
        match (named, year_digits) {
            (Some(_), 4) => Date::new(year, second, first).ok().map(Written::Date),
            (None, 4) => Some(Written::Numbers { first, second, year: Year::Whole(year) }),
            (None, 2) => Some(Written::Numbers { first, second, year: Year::Short(year) }),
            _ => None,
        }
    }

    /// Skips a weekday before the date.
    fn weekday(&mut self) {
        let before = self.rest;
        if self.word().is_some_and(is_weekday) {
            self.separators(". ,");
        } else {
            self.rest = before;
        }
    }

    /// The time of day; midnight at the end of the text.
    pub(super) fn time(&mut self) -> Option<Time> {
        self.rest = self.rest.strip_prefix('T').unwrap_or(self.rest);
        self.separators(" ,");

        let before = self.meridiem();
        if !self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            // A sign after a date alone is not an offset.
            let ends = !self.rest.starts_with(['+', '-']);
            return (before.is_none() && ends).then_some(Time::midnight());
        }

        let hour = self.number(2)?.0;
        let parted = self.rest.strip_prefix(':');
        self.rest = parted.unwrap_or(self.rest);
        let minute = if parted.is_some() { self.number(2)?.0 } else { 0 };

        let mut second = 0;
        let mut nanosecond = 0;
        if let Some(rest) = self.rest.strip_prefix(':') {
            self.rest = rest;
            second = self.number(2)?.0;
            if let Some(rest) = self.rest.strip_prefix(['.', ',']) {
                self.rest = rest;
                nanosecond = self.fraction()?;
            }
        }

        let meridiem = before.or_else(|| self.meridiem());
        if parted.is_none() && meridiem.is_none() {
            return None;
        }

        let hour = match meridiem {
            None => hour,
            Some(true) if !(1..=12).contains(&hour) => return None,
            Some(false) if hour > 12 => return None,
            Some(afternoon) => hour % 12 + if afternoon { 12 } else { 0 },
        };
        Time::new(hour as i8, minute as i8, second as i8, nanosecond).ok()
    }

    /// The zone, if there is one, up to the end of the text.
    pub(super) fn zone(&mut self) -> Option<Option<TimeZone>> {
        let rest = self.rest.trim();
        let (rest, bracketed) = match rest.split_once('[') {
            Some((rest, name)) => (rest.trim(), Some(name.strip_suffix(']')?)),
            None => (rest, None),
        };
        if rest.is_empty() {
            let named = bracketed.map(TimeZone::get);
            return named.map_or(Some(None), |zone| zone.ok().map(Some));
        }

        let utc = ["UTC", "GMT", "Z"].into_iter().find_map(|name| rest.strip_prefix(name));
        let offset = utc.unwrap_or(rest).trim();
        if utc.is_some() && offset.is_empty() {
            return Some(Some(TimeZone::UTC));
        }
        if offset.starts_with(['+', '-']) {
            return offset_zone(offset).map(Some);
        }

        // Summer times, which the database knows by place only.
        let summer =
            [("CEST", "+02"), ("EEST", "+03"), ("WEST", "+01"), ("EDT", "-04"), ("PDT", "-07")];
        let winter = [("PST", "-08")];

        let named = summer.into_iter().chain(winter).find(|(name, _)| *name == rest);
        match named {
            Some((_, offset)) => offset_zone(offset).map(Some),
            None => TimeZone::get(rest).ok().map(Some),
        }
    }

    /// A number of at most `max` digits, and the number of its digits.
    fn number(&mut self, max: usize) -> Option<(i16, usize)> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > max {
            return None;
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        // Eight digits are parsed again by the caller.
        Some((number[..digits.min(4)].parse().ok()?, digits))
    }

    /// Digits of a fraction of a second, in nanoseconds.
    fn fraction(&mut self) -> Option<i32> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let nine = format!("{fraction:0<9}");
        (digits > 0).then(|| nine[..9].parse().ok()).flatten()
    }

    /// A word of ASCII letters.
    fn word(&mut self) -> Option<&'a str> {
        let letters = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = self.rest.split_at(letters);
        if letters == 0 || word == "T" {
            return None;
        }
        self.rest = rest;
        Some(word)
    }

    /// Whether it is the afternoon, where AM or PM is next.
    fn meridiem(&mut self) -> Option<bool> {
        let rest = self.rest.trim_start();
        let (word, rest) = rest.split_at_checked(2)?;
        let afternoon = match word.to_ascii_uppercase().as_str() {
            "AM" => false,
            "PM" => true,
            _ => return None,
        };

        if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }

        self.rest = rest.trim_start();
        Some(afternoon)
    }

    /// Skips any of these characters.
    fn separators(&mut self, of: &str) -> &'a str {
        let rest = self.rest.trim_start_matches(|c| of.contains(c));
        let (separators, _) = self.rest.split_at(self.rest.len() - rest.len());
        self.rest = rest;
        separators
    }
}

/// `+08:00`, `+0800` or `+8`.
fn offset_zone(text: &str) -> Option<TimeZone> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = match text[1..].split_once(':') {
        Some((hours, minutes)) if hours.len() == 2 && minutes.len() == 2 => {
            hours.to_owned() + minutes
        }
        Some(_) => return None,
        None => text[1..].to_owned(),
    };

    if !matches!(digits.len(), 1 | 2 | 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }

    let (hours, minutes) =
        digits.split_at(if digits.len() > 2 { digits.len() - 2 } else { digits.len() });
    let hours: i32 = hours.parse().ok()?;
    let minutes: i32 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    let offset = Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()?;
    (minutes < 60).then(|| TimeZone::fixed(offset))
}

/// A month by its English name or an abbreviation.
fn month(word: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];

    let word = word.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| word.len() >= 3 && month.starts_with(word.as_str()));
    at.map(|at| at as i8 + 1).or((word == "sept").then_some(9))
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let word = word.to_ascii_lowercase();
    word.len() >= 3 && DAYS.iter().any(|day| day.starts_with(word.as_str()))
}
