//! Reads a file row by row, whatever its format.

use super::refusal::{Broken, Refusal};
use super::row::Row;

/// Reads a file row by row.
pub trait Reader {
    /// Reads the next row into `row`; none at the end. A refusal concerns this row alone: reading
    /// continues after it.
    ///
    /// # Errors
    /// [`Broken`] where the rest of the file cannot be read.
    fn next(&mut self, row: &mut Row) -> Result<Option<Result<(), Refusal>>, Broken>;

    /// The names of the file's columns; none where each row has its own.
    fn header(&self) -> &[String] {
        &[]
    }

    /// The columns of the header that are not read.
    fn unread(&self) -> Vec<&str> {
        Vec::new()
    }
}
