//! The spellings of time. Numbers: epoch seconds, milliseconds, microseconds or nanoseconds, days
//! of a spreadsheet, or digits as `20230501`, `202305011000`, `20230501100000`; each only where it
//! comes to a time from 1990 to 2100. Text: RFC 3339 and 9557, RFC 2822, year first with `-`, `/` or
//! `.`, `1/2/2023` in an order that is proven or given, months by their English names, Chinese dates;
//! each with a time or not, of 24 or of 12 hours, and a zone or not.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};

use super::time_format::{DateOrder, Form, TimeFormat, Unit};

/// The least and the greatest number that is taken for a time unasked: 1990 and 2100.
const PLAUSIBLE_MS: std::ops::Range<i64> = 631_152_000_000..4_102_444_800_000;

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It has no spelling that is known.
    NoTime,
    /// It is a number that comes to no plausible time.
    Implausible,
    /// It may name the day first, or the month.
    DayOrMonth,
    /// The same, and other rows of its file prove both.
    Contradicted,
}

/// Reads a time as milliseconds since 1970.
///
/// # Errors
/// Why it is none.
pub fn parse(text: &str, format: &TimeFormat) -> Result<i64, Unread> {
    let text = text.trim();
    match &format.form {
        Form::Number(unit) => {
            let number = text.parse().ok().and_then(|number| format.counted(number, *unit));
            number.ok_or(Unread::NoTime)
        }
        Form::Pattern(pattern) => format.by_pattern(pattern, text).ok_or(Unread::NoTime),
        Form::Any(order) => any(text, *order, format),
    }
}

/// The order of day and month that a time such as `13/2/2023` proves; none where it has not this
/// form.
pub fn evidence(text: &str) -> Option<DateOrder> {
    let parsed = Cursor::new(&normalised(text)).date()?;
    let Written::Numbers { first, second, .. } = parsed else { return None };
    Some(match (first > 12, second > 12) {
        (true, false) => DateOrder::DayFirst,
        (false, true) => DateOrder::MonthFirst,
        _ => DateOrder::Unproven,
    })
}

fn any(text: &str, order: DateOrder, format: &TimeFormat) -> Result<i64, Unread> {
    if text.bytes().all(|b| b.is_ascii_digit() || b".+-eE".contains(&b))
        && let Ok(value) = text.parse::<f64>()
    {
        return number(text, value, format);
    }
    // What most files hold.
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    let text = normalised(text);
    let mut cursor = Cursor::new(&text);
    let date = cursor.date().ok_or(Unread::NoTime)?.in_order(order)?;
    let time = cursor.time().ok_or(Unread::NoTime)?;
    let zone = cursor.zone().ok_or(Unread::NoTime)?;
    let civil = DateTime::from_parts(date, time);
    let format = match zone {
        Some(zone) => &TimeFormat { zone, ..format.clone() },
        None => format,
    };
    format.at(civil).ok_or(Unread::NoTime)
}

/// A number, by what it can plausibly be.
fn number(text: &str, value: f64, format: &TimeFormat) -> Result<i64, Unread> {
    let plausible = |ms: &i64| PLAUSIBLE_MS.contains(ms);
    let units =
        [Unit::Seconds, Unit::Milliseconds, Unit::Microseconds, Unit::Nanoseconds, Unit::ExcelDays];
    if let Some(ms) = digits(text, format).filter(plausible) {
        return Ok(ms);
    }
    let read = units.into_iter().filter_map(|unit| format.counted(value, unit)).find(plausible);
    read.ok_or(Unread::Implausible)
}

/// Digits as `20230501`, with hour and minute, or with seconds too.
fn digits(text: &str, format: &TimeFormat) -> Option<i64> {
    let at = |from: usize, to: usize| text.get(from..to).map_or(Some(0), |part| part.parse().ok());
    if !matches!(text.len(), 8 | 12 | 14) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date = Date::new(text[..4].parse().ok()?, at(4, 6)?, at(6, 8)?).ok()?;
    let time = Time::new(at(8, 10)?, at(10, 12)?, at(12, 14)?, 0).ok()?;
    format.at(DateTime::from_parts(date, time))
}

/// A text with what dates in Chinese write between their numbers as other dates have it, and
/// without an explanation of the zone in parentheses.
fn normalised(text: &str) -> String {
    let text = text.trim();
    let text = text.split_once(" (").map_or(text, |(before, _)| before);
    if text.is_ascii() {
        return text.to_owned();
    }
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '年' | '月' => plain.push('-'),
            '日' | '号' | '\u{3000}' | '\u{a0}' | '\u{202f}' => plain.push(' '),
            '时' | '時' | '点' | '點' | '分' | '：' => plain.push(':'),
            '秒' => {}
            other => plain.push(other),
        }
    }
    let plain = plain.replace("上午", " AM ").replace("下午", " PM ");
    // "10时5分" ends with what parts hours and minutes, "10时" with it too.
    plain.trim_end_matches([':', ' ']).to_owned()
}

/// A date as it is written.
enum Written {
    Date(Date),
    /// Two numbers of which one is the day, and the year.
    Numbers {
        first: i8,
        second: i8,
        year: i16,
    },
}

impl Written {
    fn in_order(self, order: DateOrder) -> Result<Date, Unread> {
        let (first, second, year) = match self {
            Written::Date(date) => return Ok(date),
            Written::Numbers { first, second, year } => (first, second, year),
        };
        let day_first = match order {
            DateOrder::DayFirst => true,
            DateOrder::MonthFirst => false,
            DateOrder::Contradicted => return Err(Unread::Contradicted),
            DateOrder::Unproven if first > 12 => true,
            DateOrder::Unproven if second > 12 || first == second => false,
            DateOrder::Unproven => return Err(Unread::DayOrMonth),
        };
        let (day, month) = if day_first { (first, second) } else { (second, first) };
        Date::new(year, month, day).map_err(|_| Unread::NoTime)
    }
}

/// Reads a text from its beginning.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// A date; what follows it is left.
    fn date(&mut self) -> Option<Written> {
        let whole = self.rest;
        if let Some(word) = self.word() {
            let month = match month(word) {
                Some(month) => month,
                // A weekday before the date.
                None => {
                    is_weekday(word).then_some(())?;
                    self.separators(". ,");
                    return self.date();
                }
            };
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
        // A day and a month by its name may be parted by blanks, numbers not.
        let same = self.separators("-/. ,");
        if named.is_none() && (separator != same || separator.contains([' ', ','])) {
            return None;
        }
        if digits == 4 {
            let day = self.number(2)?.0;
            return Date::new(first, second, day as i8).ok().map(Written::Date);
        }
        let year = self.number(4).filter(|year| year.1 == 4)?.0;
        let first = i8::try_from(first).ok().filter(|_| digits <= 2)?;
        match named {
            Some(_) => Date::new(year, second, first).ok().map(Written::Date),
            None => Some(Written::Numbers { first, second, year }),
        }
    }

    /// The time of day; midnight where none is left.
    fn time(&mut self) -> Option<Time> {
        self.rest = self.rest.strip_prefix('T').unwrap_or(self.rest);
        self.separators(" ,");
        let before = self.meridiem();
        if !self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return before.is_none().then_some(Time::midnight());
        }
        let hour = self.number(2)?.0;
        let parted = self.rest.strip_prefix(':');
        self.rest = parted.unwrap_or(self.rest);
        let minute = if parted.is_some() { self.number(2)?.0 } else { 0 };
        let (mut second, mut nanosecond) = (0, 0);
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
            Some(_) if !(1..=12).contains(&hour) => return None,
            Some(afternoon) => hour % 12 + if afternoon { 12 } else { 0 },
        };
        Time::new(hour as i8, minute as i8, second as i8, nanosecond).ok()
    }

    /// The zone that is named, if one is, up to the end of the text.
    fn zone(&mut self) -> Option<Option<TimeZone>> {
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
        match offset.strip_prefix(['+', '-']) {
            Some(_) => offset_zone(offset).map(Some),
            None => TimeZone::get(rest).ok().map(Some),
        }
    }

    /// A number of at most `most` digits, and how many it has.
    fn number(&mut self, most: usize) -> Option<(i16, usize)> {
        let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || digits > most {
            return None;
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        // Eight digits are read again by the caller.
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

    /// All of these characters that are next.
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
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) =
        digits.split_at(if digits.len() > 2 { digits.len() - 2 } else { digits.len() });
    let hours: i32 = hours.parse().ok()?;
    let minutes: i32 = if minutes.is_empty() { 0 } else { minutes.parse().ok()? };
    let offset = Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()?;
    (minutes < 60).then(|| TimeZone::fixed(offset))
}

/// A month by its English name, or the first letters of it.
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

#[cfg(test)]
mod tests;
