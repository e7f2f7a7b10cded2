//! The spellings of times. Numbers: epoch seconds, milliseconds, microseconds or nanoseconds,
//! spreadsheet days, or digits as `20230501`, `202305011000`, `20230501100000`; each only where it
//! gives a time from 1990 to 2100. Text: RFC 3339 and 9557, RFC 2822, year first with `-`, `/` or
//! `.`, `1/2/2023` in a proven or given order, English month names, Chinese dates; each with or
//! without a time, of 24 or of 12 hours, and with or without a zone.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};

use super::time_format::{DateOrder, Form, TimeFormat, Unit, Unread, in_zone};
use super::time_text::{Cursor, Written, Year};

/// The range in which a number is taken for a time: 1990 to 2100.
const PLAUSIBLE_MS: std::ops::Range<i64> = 631_152_000_000..4_102_444_800_000;

/// The first time that micro- and nanoseconds are taken for: before 2000 they were not written, and
/// counts of other systems (the ticks of .NET) would fall there.
const FINE_FROM_MS: i64 = 946_684_800_000;

/// Parses a time as milliseconds since 1970.
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

/// The order of day and month that a time such as `13/2/2023` proves; none for another form.
pub fn evidence(text: &str) -> Option<DateOrder> {
    let parsed = Cursor::new(&normalised(text)).date()?;
    let Written::Numbers { first, second, year: Year::Whole(year) } = parsed else { return None };
    // An order in which it is no date is disproven, which alone proves nothing.
    let day_first = Date::new(year, second, first).is_ok();
    let month_first = Date::new(year, first, second).is_ok();
    match (day_first, month_first) {
        (true, false) => Some(DateOrder::DayFirst),
        (false, true) => Some(DateOrder::MonthFirst),
        (true, true) => Some(DateOrder::Unproven),
        (false, false) => None,
    }
}

fn any(text: &str, order: DateOrder, format: &TimeFormat) -> Result<i64, Unread> {
    if text.bytes().all(|b| b.is_ascii_digit() || b".+-eE".contains(&b))
        && let Ok(value) = text.parse::<f64>()
    {
        return number(text, value, format);
    }

    // The most common form. The attempt has a cost, and fails where the year is not first.
    if text.as_bytes().get(4).is_some_and(|b| *b == b'-' || b.is_ascii_digit())
        && let Ok(timestamp) = text.parse::<Timestamp>()
    {
        return Ok(timestamp.as_millisecond());
    }
    let text = normalised(text);
    let mut cursor = Cursor::new(&text);
    let date = cursor.date().ok_or(Unread::NoTime)?.in_order(order)?;

    let time = cursor.time().ok_or(Unread::NoTime)?;
    let zone = cursor.zone().ok_or(Unread::NoTime)?;
    let civil = DateTime::from_parts(date, time);
    in_zone(civil, zone.as_ref().unwrap_or(&format.zone)).ok_or(Unread::NoTime)
}

/// A number, in the unit that gives a plausible time.
fn number(text: &str, value: f64, format: &TimeFormat) -> Result<i64, Unread> {
    if has_lost_digits(text) {
        return Err(Unread::Implausible);
    }

    let plausible = |ms: &i64| PLAUSIBLE_MS.contains(ms);
    let units = [
        (Unit::Seconds, PLAUSIBLE_MS.start),
        (Unit::Milliseconds, PLAUSIBLE_MS.start),
        (Unit::Microseconds, FINE_FROM_MS),
        (Unit::Nanoseconds, FINE_FROM_MS),
        (Unit::ExcelDays, PLAUSIBLE_MS.start),
    ];

    if let Some(ms) = digits(text, format).filter(plausible) {
        return Ok(ms);
    }

    let read = units.into_iter().find_map(|(unit, from_ms)| {
        format.counted(value, unit).filter(|ms| plausible(ms) && *ms >= from_ms)
    });
    read.ok_or(Unread::Implausible)
}

/// Whether a number has lost digits, as spreadsheets show long ones: `1.68294E+12`.
fn has_lost_digits(text: &str) -> bool {
    let Some((digits, exponent)) = text.split_once(['e', 'E']) else { return false };
    let written = digits.bytes().filter(u8::is_ascii_digit).count();
    // Spreadsheets show six digits; programs print all but trailing zeros.
    let shown = exponent.starts_with('+') || written <= 6;
    shown && exponent.parse::<i32>().map_or(true, |exponent| exponent >= written as i32)
}

/// Digits as `20230501`, with hour and minute, or with seconds too.
fn digits(text: &str, format: &TimeFormat) -> Option<i64> {
    // As a float column prints it.
    let text = text.strip_suffix(".0").unwrap_or(text);
    let at = |from: usize, to: usize| text.get(from..to).map_or(Some(0), |part| part.parse().ok());
    if !matches!(text.len(), 8 | 12 | 14) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date = Date::new(text[..4].parse().ok()?, at(4, 6)?, at(6, 8)?).ok()?;
    let time = Time::new(at(8, 10)?, at(10, 12)?, at(12, 14)?, 0).ok()?;
    format.at(DateTime::from_parts(date, time))
}

/// Replaces the separators of Chinese dates by those of other dates, and removes an explanation of
/// the zone in parentheses.
fn normalised(text: &str) -> Cow<'_, str> {
    let text = without_explanation(text.trim());
    if text.is_ascii() {
        return Cow::Borrowed(text);
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
    // "10时5分" ends with the separator of hours and minutes, and so does "10时".
    let plain = plain.trim_end();

    // "10时" is ten o'clock.
    let ends = if plain.ends_with(':') { "00" } else { "" };
    Cow::Owned(format!("{plain}{ends}"))
}

/// Removes an explanation of the offset at the end: `+0800 (China Standard Time)`.
fn without_explanation(text: &str) -> &str {
    let parted = text.strip_suffix(')').and_then(|text| text.rsplit_once(" ("));
    let Some((before, _)) = parted else { return text };
    let offset = before.rsplit(' ').next().unwrap_or_default();
    let signed = offset.strip_prefix("GMT").or(offset.strip_prefix("UTC")).unwrap_or(offset);
    let explained = signed.is_empty() || signed.starts_with(['+', '-']);
    if explained { before } else { text }
}

#[cfg(test)]
mod tests;
