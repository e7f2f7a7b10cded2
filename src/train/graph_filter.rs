//! The graph filter: low-pass filters on the graph of users and items, after GF-CF (Shen et al., CIKM
//! 2021) and ChebyCF (Kim et al., SIGIR 2025).
//!
//! With A = D_u^-½ X D_i^-½ the linear filter is AᵀA, and the ideal one V Vᵀ, V being the first right
//! singular vectors of A. Item weights are W = D_i^-β (V Vᵀ + linear · AᵀA) D_i^β, so that β says how
//! much popular items are favoured. Only pairs with a user in common are kept: on check-ins that is
//! better than all pairs, and it costs what item CF costs.

use super::TrainError;
use super::cooccurrence::{Product, power, weighted_degrees};
use super::svd::{Rank, right_vectors};
use crate::domain::progress::Control;
use crate::matrix::{Csr, Interactions};
use crate::model::settings::GraphFilterSettings;
use crate::model::vectors::graph::Vectors;
use crate::model::vectors::quantized::QuantizedVectors;

/// Maximum number of cells of a dense matrix of the SVD, of which it holds several at once: 512 MiB, 128
/// singular vectors of a million users.
const CELLS: usize = 1 << 27;

/// Trains the item weights: source items × target items, best first.
///
/// # Errors
/// [`TrainError::Cancelled`], or [`TrainError::Factorisation`].
pub fn train(
    matrix: &Interactions,
    settings: &GraphFilterSettings,
    seed: u64,
    control: &Control<'_>,
) -> Result<Csr, TrainError> {
    let GraphFilterSettings { power_iterations, linear, popularity, .. } = *settings;
    let rows = matrix.by_user.rows().max(matrix.by_item.rows());
    let dimensions = affordable(settings.dimensions, rows);
    let rank = Rank { dimensions, power_iterations, seed };
    let vectors = right_vectors(matrix, rank, control)?.into_raw_vec_and_offset().0;
    let vectors = Vectors { dimensions, values: &vectors };
    // Products are as many as pairs of items with a user in common, and reading is what they cost.
    let quantized = QuantizedVectors::new(vectors);

    let items = weighted_degrees(&matrix.by_item);
    let of_users: Vec<f32> =
        weighted_degrees(&matrix.by_user).iter().map(|&degree| power(degree, -1.0)).collect();
    let root: Vec<f32> = items.iter().map(|&degree| power(degree, -0.5)).collect();
    let before: Vec<f32> = items.iter().map(|&degree| power(degree, -popularity)).collect();
    let after: Vec<f32> = items.iter().map(|&degree| power(degree, popularity)).collect();

    let (root, after) = (&root, &after);
    let weight = |i: usize| {
        let ideal = quantized.scorer(vectors.row(i as u32));
        let (linear, before) = (linear * root[i], before[i]);
        move |j: usize, common: f32| before * (ideal.of(j) + linear * common * root[j]) * after[j]
    };
    let product =
        Product { rows: &matrix.by_user, by_item: &matrix.by_item, row_weight: &of_users };
    Ok(product.best(weight, settings.neighbours, control)?)
}

/// The number of singular vectors that fit for matrices with that many rows, at least one.
pub fn affordable(dimensions: usize, rows: usize) -> usize {
    dimensions.min(CELLS / rows.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Users {0, 1}, {0, 1} and {1, 2}.
    fn trained(settings: GraphFilterSettings) -> Csr {
        let rows =
            vec![vec![(0, 1.0), (1, 1.0)], vec![(0, 1.0), (1, 1.0)], vec![(1, 1.0), (2, 1.0)]];
        let by_user = Csr::from_rows(3, rows);
        let matrix =
            Interactions { by_item: by_user.transpose(), last_seconds: vec![0; 6], by_user };
        let cancel = AtomicBool::new(false);
        train(&matrix, &settings, 1, &Control::new(&|_| {}, &cancel)).unwrap()
    }

    #[test]
    fn large_stores_get_fewer_vectors() {
        assert_eq!(affordable(512, 100_000), 512);
        assert_eq!(affordable(512, 1 << 20), 128);
        assert_eq!(affordable(512, usize::MAX), 1);
    }

    #[test]
    fn without_popularity_the_weights_are_those_of_both_filters() {
        // AᵀA = [[1/2, 1/√6, 0], [1/√6, 1/2, 1/√12], [0, 1/√12, 1/2]]: its first vector, of value 1, is
        // (√2, √3, 1) / √6.
        let first = [2.0f32, 3.0, 1.0].map(|degree| (degree / 6.0).sqrt());
        for (linear, popularity) in [(0.0, 0.0), (1.0, 0.0), (2.0, 0.5)] {
            let settings = GraphFilterSettings {
                dimensions: 1,
                linear,
                popularity,
                ..GraphFilterSettings::default()
            };
            let table = trained(settings);
            let expected = [(0, 1, 6f32), (1, 0, 6.0), (1, 2, 12.0), (2, 1, 12.0)];
            for (i, j, square) in expected {
                let symmetric = first[i] * first[j] + linear / square.sqrt();
                let degree = [2.0f32, 3.0, 1.0];
                let weight = symmetric * (degree[j] / degree[i]).powf(popularity);
                let found = table.pairs(i).find(|(item, _)| *item == j as u32).unwrap().1;
                assert!((found - weight).abs() < 1e-4, "{i} {j}: {found} {weight}");
            }
            assert_eq!(table.degree(0), 1, "items 0 and 2 have no user in common");
        }
    }
}
