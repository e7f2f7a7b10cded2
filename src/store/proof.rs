//! What a log must contain, known before it is read.

use std::path::{Path, PathBuf};

use super::StoreError;
use super::ledger::{self, Ledger};
use super::mark::{self, Acknowledged};
use super::options::Opening;

/// What a log must contain.
#[derive(Debug)]
pub(super) struct Proof {
    /// The listed files.
    pub(super) listed: Ledger,
    /// Up to where it is on disk.
    pub(super) acknowledged: Acknowledged,
}

impl Proof {
    /// Nothing is known, but a whole block proves those before it.
    fn nothing() -> Self {
        let acknowledged = Acknowledged { offset: 0, ordered: true };
        Self { listed: Ledger::default(), acknowledged }
    }

    /// The proof of the log in `folder`, whose listed files all exist then. None for a log of an
    /// earlier version, nor where loss is accepted.
    pub(super) fn of(folder: &Path, opening: Opening) -> Result<Self, StoreError> {
        if !opening.proven {
            return Ok(Self::nothing());
        }

        let missing = |path: PathBuf| StoreError::lost(&path, "every log of this version has it");
        let listed = Ledger::read(folder)
            .and_then(|ledger| ledger.ok_or_else(|| missing(ledger::path(folder))));
        let marked = mark::read(folder);

        if opening.accept_loss {
            return match listed {
                Ok(mut listed) => {
                    listed.go_on_without(folder)?;
                    Ok(Self { listed, ..Self::nothing() })
                }
                Err(StoreError::Lost { .. }) => Ok(Self::nothing()),
                Err(error) => Err(error),
            };
        }

        let acknowledged = marked?.ok_or_else(|| missing(mark::path(folder)))?;
        let listed = listed?;
        listed.check(folder)?;
        Ok(Self { listed, acknowledged })
    }
}
