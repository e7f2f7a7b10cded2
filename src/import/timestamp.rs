//! The spellings of time: epoch seconds (decimals too) or milliseconds,
//! RFC 3339, `2010-12-01 08:26[:00]`, `2010-12-01`, `12/1/2010 8:26` (month
//! first, as spreadsheets export it). Without a zone, times are UTC.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A number from here on counts milliseconds: as seconds it would be the year 5138.
const MILLISECONDS_FROM: f64 = 1e11;

/// Reads a time as milliseconds since 1970; none where it is no time.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let ms = if number.abs() >= MILLISECONDS_FROM { number } else { number * 1_000.0 };
        return ms.is_finite().then(|| ms.round() as i64);
    }
    if text.contains('/') {
        return month_first(text);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let civil = text.parse::<DateTime>().or_else(|_| text.parse::<Date>().map(DateTime::from));
    utc(civil.ok()?)
}

fn utc(civil: DateTime) -> Option<i64> {
    Some(TimeZone::UTC.to_timestamp(civil).ok()?.as_millisecond())
}

fn month_first(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(' ').unwrap_or((text, "0:00"));
    let mut date = date.split('/').map(str::parse::<i16>);
    let mut time = time.trim().split(':').map(str::parse::<i8>);
    let (month, day, year) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (hour, minute) = (time.next()?.ok()?, time.next()?.ok()?);
    let second = time.next().unwrap_or(Ok(0)).ok()?;
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    utc(DateTime::new(year, month, day, hour, minute, second, 0).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling() {
        let cases = [
            ("1291191960", 1_291_191_960_000),
            ("1291191960.5", 1_291_191_960_500),
            ("1291191960500", 1_291_191_960_500),
            ("2010-12-01T08:26:00Z", 1_291_191_960_000),
            ("2010-12-01T10:26:00+02:00", 1_291_191_960_000),
            ("2010-12-01 08:26:00", 1_291_191_960_000),
            ("2010-12-01 08:26", 1_291_191_960_000),
            ("2010-12-01", 1_291_161_600_000),
            ("12/1/2010 8:26", 1_291_191_960_000),
            (" 2010-12-01T08:26:00 ", 1_291_191_960_000),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Some(ms), "{text}");
        }
        for text in ["", "yesterday", "2010-13-01", "1/2/3/4 5", "NaN", "inf", "13/45/2010 8:26"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
