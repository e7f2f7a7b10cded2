//! What all imports share.

use crate::domain::{Error, Result};
use crate::engine::state::State;
use crate::engine::write::Writer;
use crate::import::{Reader, Refusal, Row};

/// Events, items or users of a chunk.
pub(super) const CHUNK: usize = 8_192;

/// Receives every row that is refused, and every field that is dropped from one.
pub type OnRefusal<'a> = &'a mut dyn FnMut(&Row, &Refusal);

/// The store that is imported into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'e> {
    pub(super) state: &'e State,
    pub(super) writer: &'e Writer,
}

impl Context<'_> {
    /// Reads the next row; a row that cannot be read is refused.
    ///
    /// # Errors
    /// [`Error::Import`] where the file breaks off, [`Error::ShuttingDown`] where the store
    /// closes.
    pub(super) fn next_row(
        self,
        reader: &mut dyn Reader,
        row: &mut Row,
    ) -> Result<Option<std::result::Result<(), Refusal>>> {
        if self.state.closing.has_begun() {
            return Err(Error::ShuttingDown);
        }
        reader.next(row).map_err(|broken| Error::Import(broken.into()))
    }
}
