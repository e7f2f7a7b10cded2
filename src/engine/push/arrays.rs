//! Reads the arrays of a pushed file into the store's idx, and counts their defects.

use std::collections::HashSet;
use std::io::{Read, Seek};

use crate::domain::Result;
use crate::matrix::Csr;
use crate::model::Ranking;
use crate::model::pushed::model::UserVectors;
use crate::model::pushed::reader::{PushError, PushReader};

/// Maximum length of vectors, and maximum score; the minimum length is its reciprocal. Sums beyond
/// are not finite.
const MAX_MAGNITUDE: f32 = 1e6;

/// The store's idx of the file's ids, in their order; none for an unknown id.
pub(super) type IdMapping = Vec<Option<u32>>;

/// Defects of arrays, summed over all of them.
#[derive(Default)]
pub(super) struct DefectCounts {
    pub(super) not_finite: usize,
    pub(super) zero: usize,
    pub(super) negative: usize,
    pub(super) out_of_range: usize,
    pub(super) duplicate: usize,
    /// Lengths and scores beyond [`MAX_MAGNITUDE`].
    pub(super) too_large: usize,
}

impl DefectCounts {
    /// Whether a score can be used; counts it as a defect otherwise.
    fn accepts(&mut self, score: f32) -> bool {
        let fault = match score {
            _ if !score.is_finite() => &mut self.not_finite,
            _ if score < 0.0 => &mut self.negative,
            _ if score > MAX_MAGNITUDE => &mut self.too_large,
            _ => return true,
        };
        *fault += 1;
        false
    }
}

/// The longest length over the median.
pub(super) fn norm_ratio(mut norms: Vec<f32>) -> Option<f64> {
    norms.sort_unstable_by(f32::total_cmp);
    let middle = *norms.get(norms.len() / 2)?;
    Some(f64::from(*norms.last()?) / f64::from(middle))
}

/// Rows of floats in the store's idx order, `count` of them; and their lengths.
pub(super) fn matrix<R: Read + Seek>(
    file: &mut PushReader<R>,
    name: &str,
    mapping: &IdMapping,
    count: usize,
    defects: &mut DefectCounts,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let Some(width) = file.columns(name) else { return Ok(Default::default()) };
    let mut vectors = vec![0.0; count * width];
    let mut norms = Vec::with_capacity(mapping.len());
    each_row(file, name, width, defects, |at, row, norm| {
        if let Some(place) = mapping[at] {
            vectors[place as usize * width..][..width].copy_from_slice(row);
        }
        norms.push(norm);
    })?;
    Ok((vectors, norms))
}

/// Passes the valid rows of a tensor, with their index and length.
fn each_row<R: Read + Seek>(
    file: &mut PushReader<R>,
    name: &str,
    width: usize,
    defects: &mut DefectCounts,
    mut take: impl FnMut(usize, &[f32], f32),
) -> Result<(), PushError> {
    let mut row = Vec::with_capacity(width);
    let mut at = 0;
    file.floats(name, |value| {
        row.push(value);
        if row.len() < width {
            return Ok(());
        }

        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32;
        if row.iter().any(|x| !x.is_finite()) {
            defects.not_finite += 1;
        } else if norm == 0.0 {
            defects.zero += 1;
        } else if !(1.0 / MAX_MAGNITUDE..=MAX_MAGNITUDE).contains(&norm) {
            defects.too_large += 1;
        } else {
            take(at, &row, norm);
        }

        row.clear();
        at += 1;
        Ok(())
    })
}

pub(super) fn user_vectors<R: Read + Seek>(
    file: &mut PushReader<R>,
    mapping: &IdMapping,
    defects: &mut DefectCounts,
) -> Result<UserVectors> {
    let Some(width) = file.columns("user_embeddings") else { return Ok(UserVectors::default()) };
    let mut found: Vec<(u32, usize)> = Vec::new();
    let mut values = Vec::with_capacity(mapping.len() * width);
    each_row(file, "user_embeddings", width, defects, |at, row, _| {
        if let Some(user) = mapping[at] {
            found.push((user, values.len()));
            values.extend_from_slice(row);
        }
    })?;

    found.sort_unstable();
    found.dedup_by_key(|(user, _)| *user);

    let mut sorted = UserVectors::default();
    for (user, start) in found {
        sorted.users.push(user);
        sorted.values.extend_from_slice(&values[start..start + width]);
    }
    Ok(sorted)
}

/// Neighbours of items or users, best first; a score of 0, or an index below 0, means none.
pub(super) fn neighbours<R: Read + Seek>(
    file: &mut PushReader<R>,
    name: &str,
    mapping: &IdMapping,
    count: usize,
    defects: &mut DefectCounts,
) -> Result<Csr> {
    let Some(width) = file.columns(name) else { return Ok(Csr::default()) };
    let mut targets: Vec<Option<u32>> = Vec::with_capacity(mapping.len() * width);
    file.integers(name, |place| {
        let target = usize::try_from(place).ok().map(|place| mapping.get(place));
        defects.out_of_range += usize::from(target == Some(None));
        targets.push(target.flatten().copied().flatten());
        Ok(())
    })?;

    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); count];
    let mut at = 0;
    file.floats(&format!("{name}.scores"), |score| {
        let own = mapping[at / width];
        let target = targets[at];
        at += 1;
        if defects.accepts(score)
            && let (Some(own), Some(target)) = (own, target)
            && own != target
            && score > 0.0
        {
            rows[own as usize].push((target, score));
        }
        Ok(())
    })?;

    for row in &mut rows {
        row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut listed = HashSet::with_capacity(row.len());
        row.retain(|(target, _)| listed.insert(*target));
    }
    Ok(Csr::from_rows(count, rows))
}

pub(super) fn priors<R: Read + Seek>(
    file: &mut PushReader<R>,
    mapping: &IdMapping,
    count: usize,
    defects: &mut DefectCounts,
) -> Result<Ranking> {
    if !file.has("item_priors") {
        return Ok(Ranking::default());
    }

    let mut scores = vec![0.0; count];
    let mut at = 0;
    file.floats("item_priors", |score| {
        let place = mapping[at];
        at += 1;
        if defects.accepts(score)
            && let Some(place) = place
        {
            scores[place as usize] = score;
        }
        Ok(())
    })?;
    Ok(Ranking::new(scores))
}
