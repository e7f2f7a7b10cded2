//! The user-item matrix with its transpose, and the basket-item matrix.

use rayon::prelude::*;

use super::{Csr, UserEvents, Weighting};
use crate::domain::{EventKind, HistoryEvent, ItemIdx};

/// The user-item matrix, in both directions.
#[derive(Debug, Clone)]
pub struct Interactions {
    /// Users × items; within a row, items ascend.
    pub by_user: Csr,
    /// Items × users; within a row, users ascend.
    pub by_item: Csr,
    /// Seconds since 1970 of each cell's newest event, in `by_user`'s order.
    pub last_seconds: Vec<u32>,
}

impl Interactions {
    /// Builds the matrix as of `now_ms`.
    pub fn new(events: &UserEvents, weighting: &Weighting, now_ms: i64) -> Self {
        let rows: Vec<Vec<(u32, f32, u32)>> = (0..events.users())
            .into_par_iter()
            .map_init(Vec::new, |cells, user| {
                weighting.cells(events.of(user), now_ms, cells);
                cells.iter().map(|c| (c.item, c.weight, (c.last_ms / 1_000) as u32)).collect()
            })
            .collect();

        let entries = rows.iter().map(Vec::len).sum();
        let mut by_user = Csr::with_capacity(events.items(), entries);
        let mut last_seconds = Vec::with_capacity(entries);
        for row in rows {
            last_seconds.extend(row.iter().map(|cell| cell.2));
            by_user.push_row(row.into_iter().map(|cell| (cell.0, cell.1)));
        }

        let by_item = by_user.transpose();
        Self { by_user, by_item, last_seconds }
    }

    /// The same cells with every weight 1.
    pub fn binary(&self) -> (Csr, Csr) {
        let ones = |m: &Csr| m.with_values(vec![1.0; m.entries()]);
        (ones(&self.by_user), ones(&self.by_item))
    }

    /// The matrix without the cells of items that fewer than `users` users have.
    pub fn of_items_with(&self, users: usize) -> Self {
        let kept = |item: u32| self.by_item.degree(item as usize) >= users;
        let mut by_user = Csr::with_capacity(self.by_user.width, self.by_user.entries());
        let mut last_seconds = Vec::with_capacity(self.by_user.entries());
        for user in 0..self.by_user.rows() {
            let from = self.by_user.starts[user] as usize;
            let times = self.last_seconds[from..].iter().zip(self.by_user.row(user).0);
            last_seconds.extend(times.filter(|(_, item)| kept(**item)).map(|(seconds, _)| seconds));
            by_user.push_row(self.by_user.pairs(user).filter(|&(item, _)| kept(item)));
        }
        Self { by_item: by_user.transpose(), by_user, last_seconds }
    }

    /// Number of users with at least one cell.
    pub fn active_users(&self) -> usize {
        (0..self.by_user.rows()).filter(|&u| self.by_user.degree(u) > 0).count()
    }

    /// Number of items with at least one cell.
    pub fn active_items(&self) -> usize {
        (0..self.by_item.rows()).filter(|&i| self.by_item.degree(i) > 0).count()
    }
}

/// The basket-item matrix of ones: a row for every basket of at least two items. Without basket
/// ids, the purchases of a user within a day are a basket.
pub fn baskets(events: &UserEvents) -> Csr {
    let rows: Vec<Vec<Vec<ItemIdx>>> =
        (0..events.users()).into_par_iter().map(|user| user_baskets(events.of(user))).collect();
    let mut matrix = Csr::new(events.items());
    for basket in rows.into_iter().flatten() {
        matrix.push_row(basket.into_iter().map(|item| (item, 1.0)));
    }
    matrix
}

fn user_baskets(events: &[HistoryEvent]) -> Vec<Vec<ItemIdx>> {
    let mut purchases: Vec<_> = events
        .iter()
        .filter(|e| e.kind == EventKind::Purchase)
        .map(|e| (e.together(), e.item))
        .collect();

    purchases.sort_unstable();
    purchases.dedup();
    purchases
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|basket| basket.len() > 1)
        .map(|basket| basket.iter().map(|p| p.1).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DAY_MS;

    fn purchase(item: ItemIdx, basket: u32, day: i64) -> HistoryEvent {
        HistoryEvent { basket, ..HistoryEvent::new(EventKind::Purchase, item, day * DAY_MS) }
    }

    #[test]
    fn baskets_go_by_id_or_by_day_and_need_two_items() {
        let log = vec![
            (0, purchase(0, 5, 0)),
            (0, purchase(1, 5, 3)),
            (0, purchase(1, 5, 3)),
            (0, purchase(2, 6, 3)),
            (1, purchase(3, 0, 1)),
            (1, purchase(2, 0, 1)),
            (1, purchase(1, 0, 2)),
        ];

        let matrix = baskets(&UserEvents::new(2, 4, log));
        assert_eq!(matrix.rows(), 2);
        assert_eq!(matrix.row(0).0, [0, 1]);
        assert_eq!(matrix.row(1).0, [2, 3]);
    }

    #[test]
    fn both_directions_hold_the_same_cells() {
        let log = vec![(0, purchase(1, 0, 0)), (2, purchase(1, 0, 10)), (2, purchase(0, 0, 5))];
        let events = UserEvents::new(3, 2, log);
        let weighting = Weighting { half_life_days: 10.0, counts: 0.0 };
        let matrix = Interactions::new(&events, &weighting, 10 * DAY_MS);
        assert_eq!(matrix.by_item.row(1), (&[0, 2][..], &[0.5, 1.0][..]));
        assert_eq!(matrix.by_user.transpose(), matrix.by_item);
        assert_eq!(matrix.last_seconds, [0, 5 * 86_400, 10 * 86_400]);
        assert_eq!((matrix.active_users(), matrix.active_items()), (2, 2));
        let of_two = matrix.of_items_with(2);
        assert_eq!(of_two.by_item.row(1), matrix.by_item.row(1));
        assert_eq!((of_two.active_users(), of_two.active_items()), (2, 1));
        assert_eq!(of_two.last_seconds, [0, 10 * 86_400]);
    }
}
