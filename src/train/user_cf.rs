//! User CF's inverted lists. Rows are item-normalised (x_ui / √n_i) before the cosine; each item's
//! list of users is cut to its newest, since a search would otherwise cost Σ n_i over a user's
//! items.

use rayon::prelude::*;

use crate::matrix::{Csr, Interactions};
use crate::model::UserCf;
use crate::model::settings::UserCfSettings;

/// Builds the lists.
pub fn train(matrix: &Interactions, settings: &UserCfSettings) -> UserCf {
    let item_norm: Vec<f32> = matrix
        .by_user
        .column_degrees()
        .iter()
        .map(|&n| if n == 0 { 0.0 } else { 1.0 / n as f32 })
        .collect();

    let user_norm: Vec<f32> = (0..matrix.by_user.rows())
        .map(|user| {
            let cells = matrix.by_user.pairs(user);
            let squares: f32 = cells.map(|(i, x)| x * x * item_norm[i as usize]).sum();
            if squares > 0.0 { 1.0 / squares.sqrt() } else { 0.0 }
        })
        .collect();

    UserCf {
        by_user: matrix.by_user.clone(),
        newest_by_item: newest(matrix, &user_norm, settings.users_per_item),
        item_norm,
    }
}

/// The transpose, each user's weights over the length of their row, each row cut to the
/// users whose event with the item is newest.
fn newest(matrix: &Interactions, user_norm: &[f32], keep: usize) -> Csr {
    // A matrix with times instead of values, so that both transposes align.
    let seconds = matrix.last_seconds.iter().map(|&s| f32::from_bits(s)).collect();
    let times = matrix.by_user.with_values(seconds).transpose();

    let rows: Vec<Vec<(u32, f32)>> = (0..matrix.by_item.rows())
        .into_par_iter()
        .map(|item| {
            let cells = matrix.by_item.pairs(item).zip(times.row(item).1);
            let mut cells: Vec<_> = cells.map(|(cell, time)| (time.to_bits(), cell)).collect();
            if cells.len() > keep {
                cells.select_nth_unstable_by_key(keep, |&(time, (user, _))| {
                    (std::cmp::Reverse(time), user)
                });
                cells.truncate(keep);
                cells.sort_unstable_by_key(|&(_, (user, _))| user);
            }
            let scaled = |(_, (user, x)): (u32, (u32, f32))| (user, x * user_norm[user as usize]);
            cells.into_iter().map(scaled).collect()
        })
        .collect();
    Csr::from_rows(matrix.by_item.width, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_the_newest_users() {
        let by_user = Csr::from_rows(1, (0..4).map(|u| vec![(0, 1.0 + u as f32)]).collect());
        let matrix = Interactions {
            by_item: by_user.transpose(),
            last_seconds: vec![30, 10, 40, 30],
            by_user,
        };
        let settings = UserCfSettings { users_per_item: 2, ..Default::default() };
        let model = train(&matrix, &settings);
        // Rows have the lengths x · √¼: each weight becomes 2.
        assert_eq!(model.newest_by_item.row(0), (&[0, 2][..], &[2.0, 2.0][..]));
        assert_eq!(model.item_norm, [0.25]);
    }
}
