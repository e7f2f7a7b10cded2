//! Tables for people, JSON for programs.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::Failure;
use crate::domain::quote::printable;

/// A plain table; columns named in `right` are right-aligned. Control characters are replaced:
/// titles and ids come from outside.
pub fn table(header: &[&str], right: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());

    for (i, name) in header.iter().enumerate() {
        if right.contains(name)
            && let Some(column) = table.column_mut(i)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }

    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell))));
    table
}

/// Prints a value as JSON.
///
/// # Errors
/// Where it cannot be written.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A protocol constant in lower case, without its prefix.
pub fn name(constant: &str, prefix: &str) -> String {
    constant.strip_prefix(prefix).unwrap_or(constant).to_ascii_lowercase()
}

/// A time, to the second; empty where there is none.
pub fn moment(seconds: Option<i64>) -> String {
    let time = seconds.map(|seconds| jiff::Timestamp::new(seconds, 0).unwrap_or_default());
    time.map_or_else(String::new, |time| time.to_string())
}
