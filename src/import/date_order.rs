//! Determines whether dates such as `1/2/2023` have the day first: one order for a whole file,
//! proven by its own rows.

use std::path::Path;
use std::sync::Arc;

use super::time_format::DateOrder;
use super::{Column, Dialect, ImportError, Row, open, timestamp};

/// Rows at the start of a file among which such a date must occur for the whole file to be read
/// ahead.
const LOOKED_AT: u64 = 100_000;

/// The dialect with the order of day and month that the file's rows prove. Reads the file ahead,
/// where it has such dates and the order is not given.
///
/// # Errors
/// Where it cannot be opened, or lacks one of the `required` columns.
pub fn proven(path: &Path, dialect: &Dialect, required: &[Column]) -> Result<Dialect, ImportError> {
    let mut dialect = dialect.clone();
    // Standard input can be read only once.
    let read_twice = path.metadata().map_or(true, |file| file.is_file());

    if !read_twice {
        if dialect.times.order() == Some(DateOrder::Unproven) {
            dialect.times = dialect.times.ordered(DateOrder::Unseen);
        }
        return Ok(dialect);
    }

    let mut reader = open(path, &dialect, required, Arc::default())?;
    if dialect.times.order() != Some(DateOrder::Unproven) {
        return Ok(dialect);
    }

    let mut day_first = false;
    let mut month_first = false;
    let mut met = false;
    let mut row = Row::default();
    let mut rows = 0;
    let mut unseen = false;

    // Where the file breaks off, the import reports it.
    while let Ok(Some(_)) = reader.next(&mut row) {
        for text in Column::TIMES.into_iter().filter_map(|column| row.get(column)) {
            let evidence = timestamp::evidence(text);
            met |= evidence.is_some();
            day_first |= evidence == Some(DateOrder::DayFirst);
            month_first |= evidence == Some(DateOrder::MonthFirst);
        }
        rows += 1;
        unseen = rows == LOOKED_AT && !met;
        if unseen || day_first && month_first {
            break;
        }
    }

    let order = match (day_first, month_first) {
        (true, true) => DateOrder::Contradicted,
        (true, false) => DateOrder::DayFirst,
        (false, true) => DateOrder::MonthFirst,
        (false, false) if unseen => DateOrder::Unseen,
        (false, false) => DateOrder::Unproven,
    };

    dialect.times = dialect.times.ordered(order);
    Ok(dialect)
}
