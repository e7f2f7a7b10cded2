//! Days, weeks and months of a store.

use jiff::ToSpan;
use jiff::civil::{Date, date};

/// A length of time by which users are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A week, from Monday on.
    Week,
    /// A month of the calendar.
    Month,
}

impl Period {
    /// The number of the period of a day; both counted from 1970-01-01.
    pub fn of_day(self, day: i32) -> i32 {
        match self {
            Period::Day => day,
            // 1970-01-01 was a Thursday.
            Period::Week => (day + 3).div_euclid(7),
            Period::Month => {
                let date = civil(day);
                i32::from(date.year() - 1970) * 12 + i32::from(date.month()) - 1
            }
        }
    }

    /// The first day of a period.
    pub fn first_day(self, number: i32) -> Date {
        match self {
            Period::Day => civil(number),
            Period::Week => civil(number * 7 - 3),
            Period::Month => {
                let year = 1970 + number.div_euclid(12);
                Date::new(year as i16, number.rem_euclid(12) as i8 + 1, 1).unwrap_or_default()
            }
        }
    }
}

fn civil(day: i32) -> Date {
    date(1970, 1, 1).saturating_add(i64::from(day).days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_on_their_first_day() {
        // 2024-02-29, a Thursday.
        let day = 19_782;
        let first = |period: Period| period.first_day(period.of_day(day)).to_string();
        assert_eq!(first(Period::Day), "2024-02-29");
        assert_eq!(first(Period::Week), "2024-02-26");
        assert_eq!(first(Period::Month), "2024-02-01");
        assert_eq!(Period::Week.of_day(day) + 1, Period::Week.of_day(day + 4));
        assert_eq!(Period::Month.of_day(day) + 1, Period::Month.of_day(day + 1));
        assert_eq!(Period::Month.first_day(-1).to_string(), "1969-12-01");
    }
}
