//! User CF's part of a snapshot: the user-item matrix in both directions. Neighbours are searched
//! at request time by the inverted lists, so that a user whom the snapshot has never seen is
//! served like any other.

use crate::matrix::Csr;

/// The user-item matrix in both directions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserCf {
    /// Users × items, faded weights.
    pub by_user: Csr,
    /// Items × users: the newest users of each item, faded weights over the length of the user's
    /// item-normalised row.
    pub newest_by_item: Csr,
    /// 1 / number of users of each item, all users counted; 0 for none.
    pub item_norm: Vec<f32>,
}
