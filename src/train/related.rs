//! What every model has of its items beside the sources: similar items, items bought together, and how
//! they are bought again. All at the same time, since much of each is done by one thread.

use super::{TrainingData, cooccurrence, habits};
use crate::domain::progress::{Cancelled, Control};
use crate::matrix::{Csr, Interactions, baskets};
use crate::model::Habits;

/// The tables and statistics.
#[derive(Debug)]
pub struct Related {
    /// See [`cooccurrence::similar`].
    pub similar: Csr,
    /// See [`cooccurrence::together`].
    pub together: Csr,
    /// See [`habits::train`].
    pub habits: Habits,
}

/// Trains all three on the matrix with ones and the events of `data`.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn train(
    data: &TrainingData<'_>,
    matrix: &Interactions,
    control: &Control<'_>,
) -> Result<Related, Cancelled> {
    let similar = || cooccurrence::similar(matrix, data.before(|parts| &parts.similar), control);
    let together = || {
        let before = data.before(|parts| &parts.together);
        cooccurrence::together(&baskets(data.events()), before, control)
    };
    let ((similar, together), habits) =
        rayon::join(|| rayon::join(similar, together), || habits::train(data.events()));
    Ok(Related { similar: similar?, together: together?, habits })
}
