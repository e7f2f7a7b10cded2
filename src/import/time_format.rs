//! The format of a file's times, where it is given: `--time-format` and `--time-zone`.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// The format of times. By default all spellings of [`super::timestamp`]; times without a zone are
/// UTC.
#[derive(Debug, Clone)]
pub struct TimeFormat {
    pub(super) form: Form,
    /// The zone of times without one.
    pub(super) zone: TimeZone,
}

/// The form of a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Any spelling; dates as `1/2/2023` in this order.
    Any(DateOrder),
    /// A number.
    Number(Unit),
    /// A `strftime` pattern.
    Pattern(String),
}

/// The meaning of the first number of dates such as `1/2/2023`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// Unknown: only unambiguous dates are read.
    Unproven,
    /// The day.
    DayFirst,
    /// The month.
    MonthFirst,
    /// Rows of the file prove both orders: none is read.
    Contradicted,
    /// The file was not read ahead, as no such date occurs at its start: none is read.
    Unseen,
}

/// Maximum rounding error of a float of seconds, in milliseconds.
const FLOAT_ERROR: f64 = 1e-3;

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// Microseconds since 1970.
    Microseconds,
    /// Nanoseconds since 1970.
    Nanoseconds,
    /// Days since 1899-12-30, as spreadsheets count.
    ExcelDays,
}

/// Days from 1899-12-30, the epoch of spreadsheets, to 1970-01-01.
const EXCEL_DAYS: f64 = 25_569.0;

impl Default for TimeFormat {
    fn default() -> Self {
        Self { form: Form::Any(DateOrder::Unproven), zone: TimeZone::UTC }
    }
}

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = match text {
            "auto" => Form::Any(DateOrder::Unproven),
            "day-first" => Form::Any(DateOrder::DayFirst),
            "month-first" => Form::Any(DateOrder::MonthFirst),
            "unix" => Form::Number(Unit::Seconds),
            "unix-ms" => Form::Number(Unit::Milliseconds),
            "unix-us" => Form::Number(Unit::Microseconds),
            "unix-ns" => Form::Number(Unit::Nanoseconds),
            "excel" => Form::Number(Unit::ExcelDays),
            pattern if pattern.contains('%') => Form::Pattern(pattern.to_owned()),
            _ => {
                return Err(format!(
                    "{text:?} is no format; there are auto, day-first, month-first, unix, unix-ms, \
                     unix-us, unix-ns, excel, and patterns such as %d.%m.%Y %H:%M"
                ));
            }
        };
        Ok(Self { form, zone: TimeZone::UTC })
    }
}

impl TimeFormat {
    /// Sets the zone, by its name in the IANA database, of times without one.
    ///
    /// # Errors
    /// Where there is no such zone.
    pub fn in_zone(self, name: &str) -> Result<Self, String> {
        let zone = TimeZone::get(name);
        let zone = zone.map_err(|_| format!("no time zone {name:?}; a name is Asia/Shanghai"))?;
        Ok(Self { zone, ..self })
    }

    /// The order of day and month, where the format leaves it open.
    pub fn order(&self) -> Option<DateOrder> {
        match self.form {
            Form::Any(order) => Some(order),
            _ => None,
        }
    }

    /// Sets a proven order of day and month.
    pub fn ordered(self, order: DateOrder) -> Self {
        Self { form: Form::Any(order), ..self }
    }

    /// A time without a zone as milliseconds since 1970.
    pub(super) fn at(&self, civil: DateTime) -> Option<i64> {
        in_zone(civil, &self.zone)
    }

    /// A local time, in milliseconds since 1970 as local clocks count them.
    pub(super) fn local(&self, ms: i64) -> Option<i64> {
        let shown = Timestamp::from_millisecond(ms).ok()?;
        self.at(TimeZone::UTC.to_datetime(shown))
    }

    /// A number of units as milliseconds since 1970; none where it is out of range.
    pub(super) fn counted(&self, number: f64, unit: Unit) -> Option<i64> {
        let ms = match unit {
            // Fractions of a millisecond are truncated, as in times that are text.
            Unit::Seconds => (number * 1e3 + FLOAT_ERROR).floor(),
            Unit::Milliseconds => number.floor(),
            Unit::Microseconds => (number / 1e3).floor(),
            Unit::Nanoseconds => (number / 1e6).floor(),
            Unit::ExcelDays => ((number - EXCEL_DAYS) * 86_400_000.0).round(),
        };

        // Exact in a float, and far beyond any time.
        let ms = Some(ms).filter(|ms| ms.abs() < 9e15)? as i64;
        match unit {
            // A spreadsheet shows local time.
            Unit::ExcelDays => self.local(ms),
            _ => Some(ms),
        }
    }

    /// Reads a time by a `strftime` pattern.
    pub(super) fn by_pattern(&self, pattern: &str, text: &str) -> Option<i64> {
        let parts = BrokenDownTime::parse(pattern, text).ok()?;
        if let Ok(zoned) = parts.to_zoned() {
            return Some(zoned.timestamp().as_millisecond());
        }
        if let Ok(timestamp) = parts.to_timestamp() {
            return Some(timestamp.as_millisecond());
        }
        let date = parts.to_date().ok()?;
        let civil = parts.to_datetime().unwrap_or_else(|_| date.into());
        self.at(civil)
    }
}

/// A local time of a zone as milliseconds since 1970; in a skipped or repeated hour, by RFC 5545.
pub(super) fn in_zone(civil: DateTime, zone: &TimeZone) -> Option<i64> {
    let zoned = zone.to_ambiguous_timestamp(civil).compatible();
    Some(zoned.ok()?.as_millisecond())
}

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Its spelling is unknown.
    NoTime,
    /// It is a number that gives no plausible time.
    Implausible,
    /// The day or the month may come first.
    DayOrMonth,
    /// The same, and other rows of the file prove both orders.
    Contradicted,
}
