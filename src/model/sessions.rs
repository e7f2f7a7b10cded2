//! Past sessions, and for each item the newest that contain it: the session source's part of a
//! snapshot.

use crate::matrix::Csr;

/// Past sessions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sessions {
    /// Sessions × items with ones, oldest session first.
    pub items: Csr,
    /// Items × sessions with ones: the newest sessions of each item, newest first.
    pub newest: Csr,
    /// ln(sessions / sessions with the item); 0 for an item that is in none.
    pub idf: Vec<f32>,
}
