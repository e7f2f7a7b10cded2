//! A pushed model: embeddings, neighbours, scores of items. It takes part in the blend with the
//! server's own parts, and outlives its trainings.

use crate::domain::UserIdx;
use crate::matrix::Csr;
use crate::model::{Embeddings, Ranking, Source};

/// The parts of a pushed model; missing ones are empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pushed {
    /// Item vectors and the graph over them.
    pub embeddings: Embeddings,
    /// User vectors of the same dimensions.
    pub user_vectors: UserVectors,
    /// Items × items: similarities, best first.
    pub items: Csr,
    /// Users × users: similarities, best first.
    pub users: Csr,
    /// Scores of items.
    pub priors: Ranking,
    /// It may have been trained on events up to then, in milliseconds since 1970.
    pub trained_until_ms: i64,
}

/// Vectors of some users.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UserVectors {
    /// The users, ascending.
    pub users: Vec<UserIdx>,
    /// Their vectors, in the same order.
    pub values: Vec<f32>,
}

impl UserVectors {
    /// A user's vector, of `dimensions` values.
    pub fn of(&self, user: UserIdx, dimensions: usize) -> Option<&[f32]> {
        let at = self.users.binary_search(&user).ok()?;
        self.values.get(at * dimensions..(at + 1) * dimensions)
    }
}

impl Pushed {
    /// The candidate sources that it has parts for.
    pub fn sources(&self) -> Vec<Source> {
        Source::PUSHED.into_iter().filter(|&source| self.has(source)).collect()
    }

    /// Whether it has no part.
    pub fn is_empty(&self) -> bool {
        self.sources().is_empty()
    }

    fn has(&self, source: Source) -> bool {
        match source {
            Source::PushedEmbedding => self.embeddings.items() > 0,
            Source::PushedItems => self.items.entries() > 0,
            Source::PushedUsers => self.users.entries() > 0,
            Source::PushedPrior => !self.priors.items.is_empty(),
            _ => false,
        }
    }

    /// Whether it has data on a user, whatever they did.
    pub fn knows(&self, user: UserIdx) -> bool {
        self.users.degree(user as usize) > 0 || self.user_vectors.users.binary_search(&user).is_ok()
    }

    /// The users that it contains, some of them more than once.
    pub fn users_named(&self) -> impl Iterator<Item = UserIdx> + '_ {
        let rows = (0..self.users.rows()).filter(|&row| self.users.degree(row) > 0);
        let neighbours = self.users.columns.iter().copied();
        self.user_vectors.users.iter().copied().chain(neighbours).chain(rows.map(|r| r as UserIdx))
    }

    /// The model without the users for whom `gone` holds.
    pub fn without_users(&self, gone: impl Fn(UserIdx) -> bool) -> Self {
        let dimensions = self.embeddings.dimensions;
        let mut user_vectors = UserVectors::default();
        for &user in self.user_vectors.users.iter().filter(|&&user| !gone(user)) {
            user_vectors.users.push(user);
            let vector = self.user_vectors.of(user, dimensions);
            user_vectors.values.extend_from_slice(vector.unwrap_or(&[]));
        }

        let mut users = Csr::new(self.users.width);
        for row in 0..self.users.rows() {
            let kept = !gone(row as UserIdx);
            users.push_row(self.users.pairs(row).filter(|&(user, _)| kept && !gone(user)));
        }
        Self { user_vectors, users, ..self.clone() }
    }

    /// Whether the arrays fit together; the embeddings are checked apart.
    pub fn is_consistent(&self) -> bool {
        let users = &self.user_vectors.users;
        users.is_sorted_by(|a, b| a < b)
            && self.user_vectors.values.len() == users.len() * self.embeddings.dimensions
            && self.items.is_consistent()
            && self.users.is_consistent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erased_users_leave_nothing() {
        let user_vectors =
            UserVectors { users: vec![1, 4, 6], values: vec![1., 1., 4., 4., 6., 6.] };
        let embeddings = Embeddings { dimensions: 2, ..Embeddings::default() };
        let rows = vec![vec![(1, 0.5), (2, 0.25)], vec![(2, 0.5)], vec![(0, 0.5)]];
        let users = Csr::from_rows(3, rows);
        let pushed = Pushed { embeddings, user_vectors, users, ..Pushed::default() };
        assert!(pushed.is_consistent());
        let left = pushed.without_users(|user| user == 4 || user == 1);
        assert!(left.is_consistent());
        assert_eq!(
            (left.user_vectors.of(4, 2), left.user_vectors.of(6, 2)),
            (None, Some(&[6., 6.][..]))
        );
        assert_eq!(left.users, Csr::from_rows(3, vec![vec![(2, 0.25)], vec![], vec![(0, 0.5)]]));
    }
}
