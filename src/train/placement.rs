//! Places items without behaviour among the embeddings, by what they are: a ridge regression from
//! their features to the vectors of items with behaviour,
//! min_W ‖C W − Y‖² + λ ‖W‖², solved by conjugate gradients (Hestenes and Stiefel 1952), all
//! dimensions at once.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use super::content::normalised;
use crate::content::{Corpus, FieldWeights};
use crate::domain::ItemIdx;
use crate::domain::kernels::{add, dot};
use crate::domain::progress::{Cancelled, Control};
use crate::matrix::Csr;
use crate::model::Embeddings;

/// Steps of conjugate gradients.
const STEPS: usize = 12;
/// Regularisation, for rows of length 1.
const LAMBDA: f32 = 0.3;
/// How far a placed vector is moved, as a share of its length.
const SCATTER: f32 = 0.3;
/// Minimum number of placed items to learn from.
const MIN_ITEMS: usize = 50;

/// Gives a vector to every item that has a document and none; they are as long as the shortest tenth
/// of the others, so that nothing unknown is surer than what is known.
///
/// # Errors
/// [`Cancelled`] when cancelled.
pub fn place(
    embeddings: &mut Embeddings,
    corpus: &Corpus,
    weights: &FieldWeights,
    seed: u64,
    control: &Control<'_>,
) -> Result<(), Cancelled> {
    let items = embeddings.items();
    let has_document = |item: ItemIdx| corpus.document(item).is_some();
    let (known, new): (Vec<ItemIdx>, Vec<ItemIdx>) = (0..items as ItemIdx)
        .filter(|&item| has_document(item))
        .partition(|&item| embeddings.has(item));
    if known.len() < MIN_ITEMS || new.is_empty() {
        return Ok(());
    }

    let all = normalised(corpus, items, weights);
    let of = |items: &[ItemIdx]| {
        let mut rows = Csr::new(all.width);
        items.iter().for_each(|&item| rows.push_row(all.pairs(item as usize)));
        rows
    };
    let rows = of(&known);
    let length = |item: ItemIdx| dot(embeddings.vector(item), embeddings.vector(item)).sqrt();
    let mut lengths: Vec<f32> = known.iter().map(|&item| length(item)).collect();
    let targets: Vec<f32> = known
        .iter()
        .zip(&lengths)
        .flat_map(|(&item, length)| embeddings.vector(item).iter().map(move |x| x / length))
        .collect();
    let solution = solve(&rows, &targets, embeddings.dimensions, control)?;

    lengths.sort_unstable_by(f32::total_cmp);
    let shortest = lengths[lengths.len() / 10];
    let dimensions = embeddings.dimensions;
    for (row, &item) in new.iter().enumerate() {
        let mut vector = vec![0.0; dimensions];
        for (feature, value) in of(&new[row..=row]).pairs(0) {
            add(&mut vector, value, &solution[feature as usize * dimensions..][..dimensions]);
        }
        let norm = dot(&vector, &vector).sqrt();
        scatter(&mut vector, norm, seed ^ u64::from(item));
        let norm = dot(&vector, &vector).sqrt();
        if norm > 0.0 {
            let start = item as usize * dimensions;
            let place = &mut embeddings.vectors[start..start + dimensions];
            place.iter_mut().zip(&vector).for_each(|(to, x)| *to = x / norm * shortest);
            embeddings.fold_in[item as usize] = 1.0;
        }
    }
    embeddings.placed = new;
    Ok(())
}

/// Moves a vector a little, to where only its item lies: of many vectors that coincide, a graph
/// reaches few.
fn scatter(vector: &mut [f32], length: f32, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let each = SCATTER * length / (vector.len() as f32).sqrt();
    vector.iter_mut().for_each(|x| *x += each * rng.random_range(-1.0..=1.0f32));
}

/// The features × dimensions of the regression.
fn solve(
    rows: &Csr,
    targets: &[f32],
    dimensions: usize,
    control: &Control<'_>,
) -> Result<Vec<f32>, Cancelled> {
    let by_feature = rows.transpose();
    let apply = |x: &[f32]| {
        let mut product = multiply(&by_feature, &multiply(rows, x, dimensions), dimensions);
        add(&mut product, LAMBDA, x);
        product
    };

    let mut residual = multiply(&by_feature, targets, dimensions);
    let mut direction = residual.clone();
    let mut solution = vec![0.0; residual.len()];
    let mut before = columns_dot(&residual, &residual, dimensions);
    for _ in 0..STEPS {
        control.check()?;
        let product = apply(&direction);
        let along = columns_dot(&direction, &product, dimensions);
        let steps = ratios(&before, &along);
        add_columns(&mut solution, &steps, &direction);
        let back: Vec<f32> = steps.iter().map(|step| -step).collect();
        add_columns(&mut residual, &back, &product);

        let after = columns_dot(&residual, &residual, dimensions);
        let keep = ratios(&after, &before);
        for (direction, residual) in
            direction.chunks_exact_mut(dimensions).zip(residual.chunks_exact(dimensions))
        {
            for ((d, r), keep) in direction.iter_mut().zip(residual).zip(&keep) {
                *d = keep * *d + r;
            }
        }
        before = after;
    }
    Ok(solution)
}

/// The product of a sparse matrix and a dense one, row by row.
fn multiply(sparse: &Csr, dense: &[f32], dimensions: usize) -> Vec<f32> {
    let mut product = vec![0.0; sparse.rows() * dimensions];
    product.par_chunks_exact_mut(dimensions).enumerate().for_each(|(row, sums)| {
        for (column, value) in sparse.pairs(row) {
            add(sums, value, &dense[column as usize * dimensions..][..dimensions]);
        }
    });
    product
}

/// The inner products of the columns of two matrices.
fn columns_dot(one: &[f32], other: &[f32], dimensions: usize) -> Vec<f32> {
    let mut sums = vec![0.0f64; dimensions];
    for (a, b) in one.chunks_exact(dimensions).zip(other.chunks_exact(dimensions)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// Ratios, 0 where there is nothing left to divide.
fn ratios(above: &[f32], below: &[f32]) -> Vec<f32> {
    let ratio = |(a, b): (&f32, &f32)| if *b > f32::MIN_POSITIVE { a / b } else { 0.0 };
    above.iter().zip(below).map(ratio).collect()
}

/// Adds the columns of a matrix, each times its factor.
fn add_columns(sums: &mut [f32], factors: &[f32], matrix: &[f32]) {
    let dimensions = factors.len();
    for (sums, row) in sums.chunks_exact_mut(dimensions).zip(matrix.chunks_exact(dimensions)) {
        for ((sum, factor), x) in sums.iter_mut().zip(factors).zip(row) {
            *sum += factor * x;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::content::{Document, Words};
    use crate::domain::Item;

    #[test]
    fn a_new_item_lies_where_its_like_lie() {
        let words = Words::default();
        let mut corpus = Corpus::default();
        let mut embeddings = Embeddings { dimensions: 2, ..Embeddings::default() };
        let count = 101;
        for idx in 0..count {
            let title = if idx % 2 == 0 { "green tea" } else { "red mug" };
            let item = Item { title: format!("{title} {idx}"), ..Item::default() };
            corpus.insert(idx, Document::of(&item, &words));
            let vector = if idx % 2 == 0 { [0.5, 0.1] } else { [-0.1, 0.4] };
            // The last has no behaviour: a tea.
            let is_new = idx == count - 1;
            embeddings.vectors.extend(if is_new { [0.0; 2] } else { vector });
            embeddings.fold_in.push(if is_new { 0.0 } else { 1.0 });
        }

        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let weights = FieldWeights::default();
        place(&mut embeddings, &corpus, &weights, 1, &control).unwrap();
        assert_eq!(embeddings.placed, [count - 1]);
        let placed = embeddings.vector(count - 1);
        let cosine = dot(placed, &[0.5, 0.1]) / dot(placed, placed).sqrt() / 0.26f32.sqrt();
        assert!(embeddings.has(count - 1) && cosine > 0.9, "{placed:?}");
        assert!((dot(placed, placed).sqrt() - 0.17f32.sqrt()).abs() < 1e-5);
        embeddings.remove_placed();
        assert!(!embeddings.has(count - 1) && embeddings.vector(count - 1) == [0.0, 0.0]);
    }
}
