//! Whether dates such as `1/2/2023` name the day first: one reading for a whole file, which its own
//! rows prove.

use std::path::Path;
use std::sync::Arc;

use super::time_format::DateOrder;
use super::{Column, Dialect, ImportError, Row, open, timestamp};

/// Rows at the beginning of a file among which such dates must show for it to be read through.
const LOOKED_AT: u64 = 100_000;

/// The dialect with the order of day and month that the file's rows prove. Reads the file once,
/// where it has such dates and the order is not given.
///
/// # Errors
/// Where it cannot be opened, or lacks one of the `required` columns.
pub fn proven(path: &Path, dialect: &Dialect, required: &[Column]) -> Result<Dialect, ImportError> {
    let mut dialect = dialect.clone();
    // What is read once cannot be read through before.
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

    // Where the file breaks off, the import will say so.
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
