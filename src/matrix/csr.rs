//! A sparse matrix in compressed rows (CSR).

use std::ops::Range;

use rayon::prelude::*;

/// Entries from which on several threads transpose a matrix.
const LARGE: usize = 100_000;
/// Entries of a row, columns or values, in one cache line.
const LINE: usize = 16;

/// A sparse matrix of f32 values, row by row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Csr {
    /// Row r holds the entries `starts[r]..starts[r + 1]`; rows + 1 values.
    pub starts: Vec<u64>,
    /// Column of each entry.
    pub columns: Vec<u32>,
    /// Value of each entry.
    pub values: Vec<f32>,
    /// Number of columns.
    pub width: usize,
}

impl Csr {
    /// A matrix of `width` columns without rows, to be filled by [`Csr::push_row`].
    pub fn new(width: usize) -> Self {
        Self { starts: vec![0], columns: Vec::new(), values: Vec::new(), width }
    }

    /// The same with room for that many entries.
    pub fn with_capacity(width: usize, entries: usize) -> Self {
        let columns = Vec::with_capacity(entries);
        let values = Vec::with_capacity(entries);
        Self { starts: vec![0], columns, values, width }
    }

    /// The same entries with other values.
    pub fn with_values(&self, values: Vec<f32>) -> Self {
        debug_assert_eq!(values.len(), self.entries());
        let starts = self.starts.clone();
        Self { starts, columns: self.columns.clone(), values, width: self.width }
    }

    /// Adds a row at the end.
    pub fn push_row(&mut self, entries: impl IntoIterator<Item = (u32, f32)>) {
        for (column, value) in entries {
            debug_assert!((column as usize) < self.width);
            self.columns.push(column);
            self.values.push(value);
        }
        self.starts.push(self.columns.len() as u64);
    }

    /// A matrix from whole rows.
    pub fn from_rows(width: usize, rows: Vec<Vec<(u32, f32)>>) -> Self {
        let mut matrix = Csr::with_capacity(width, rows.iter().map(Vec::len).sum());
        rows.into_iter().for_each(|row| matrix.push_row(row));
        matrix
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.columns.len()
    }

    /// Number of entries of a row; 0 for a row past the end.
    pub fn degree(&self, row: usize) -> usize {
        self.row(row).0.len()
    }

    /// Columns and values of a row; empty for a row past the end, since ids may be newer than the
    /// matrix.
    #[inline]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        if row >= self.rows() {
            return (&[], &[]);
        }
        let range = self.starts[row] as usize..self.starts[row + 1] as usize;
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Entries of a row as pairs.
    #[inline]
    pub fn pairs(&self, row: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let (columns, values) = self.row(row);
        columns.iter().copied().zip(values.iter().copied())
    }

    /// Prefetches rows that lie far apart in memory: their latencies overlap instead of adding up.
    pub fn fetch(&self, rows: impl Iterator<Item = u32> + Clone) {
        // The row bounds come first: reading them is the first latency.
        let starts = rows.clone().map(|row| self.starts.get(row as usize).copied().unwrap_or(0));
        let starts = starts.fold(0, |all, start| all ^ start);
        let lines = rows.map(|row| {
            let (columns, values) = self.row(row as usize);
            let columns = columns.iter().step_by(LINE).chain(columns.last()).copied();
            let values = values.iter().step_by(LINE).chain(values.last()).map(|v| v.to_bits());
            columns.chain(values).fold(0, |all, read| all ^ read)
        });
        // The read is only for the cache; black_box keeps the compiler from removing it.
        std::hint::black_box((starts, lines.fold(0, |all, read| all ^ read)));
    }

    /// The transpose; within a row, columns ascend. Threads share the columns, each with as many entries.
    pub fn transpose(&self) -> Csr {
        let mut starts = vec![0u64; self.width + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }

        for i in 0..self.width {
            starts[i + 1] += starts[i];
        }

        let mut columns = vec![0; self.entries()];
        let mut values = vec![0.0; self.entries()];
        let mut shares = Vec::new();
        let mut rest = (&mut columns[..], &mut values[..]);
        for range in self.column_ranges(&starts) {
            let entries = (starts[range.end] - starts[range.start]) as usize;
            let (of_range, after) = rest.0.split_at_mut(entries);
            let (values_of_range, values_after) = rest.1.split_at_mut(entries);
            rest = (after, values_after);
            shares.push((range, of_range, values_of_range));
        }
        shares.into_par_iter().for_each(|(range, columns, values)| {
            self.transpose_into(&starts[range.start..range.end], range.start, columns, values);
        });
        Csr { starts, columns, values, width: self.rows() }
    }

    /// Cuts the columns into ranges with about as many entries each, one for a thread; `starts` are those
    /// of the transpose.
    fn column_ranges(&self, starts: &[u64]) -> Vec<Range<usize>> {
        let is_large = self.entries() >= LARGE;
        let threads = if is_large { rayon::current_num_threads() } else { 1 };
        let share = (self.entries() as u64).div_ceil(threads as u64);
        let mut first = 0;
        let ranges = (1..=threads as u64).map(|thread| {
            let until = if thread == threads as u64 {
                self.width
            } else {
                starts.partition_point(|start| *start < thread * share).clamp(first, self.width)
            };
            std::mem::replace(&mut first, until)..until
        });
        ranges.collect()
    }

    /// Writes the rows of the transpose for the columns from `first` on, which begin at `starts`.
    fn transpose_into(
        &self,
        starts: &[u64],
        first: usize,
        columns: &mut [u32],
        values: &mut [f32],
    ) {
        let Some(&offset) = starts.first() else { return };
        let mut next: Vec<usize> = starts.iter().map(|start| (start - offset) as usize).collect();
        for row in 0..self.rows() {
            for (column, value) in self.pairs(row) {
                let Some(at) = (column as usize).checked_sub(first).and_then(|c| next.get_mut(c))
                else {
                    continue;
                };
                columns[*at] = row as u32;
                values[*at] = value;
                *at += 1;
            }
        }
    }

    /// Scales every row to a sum of 1; a row without positive values stays as it is.
    pub fn scale_rows(&mut self) {
        for row in 0..self.rows() {
            let range = self.starts[row] as usize..self.starts[row + 1] as usize;
            let sum: f32 = self.values[range.clone()].iter().sum();
            if sum > 0.0 {
                self.values[range].iter_mut().for_each(|value| *value /= sum);
            }
        }
    }

    /// Number of entries in each column.
    pub fn column_degrees(&self) -> Vec<u32> {
        let mut degrees = vec![0; self.width];
        for &column in &self.columns {
            degrees[column as usize] += 1;
        }
        degrees
    }

    /// Whether the arrays fit together; checked for matrices from disk.
    pub fn is_consistent(&self) -> bool {
        if self.starts.is_empty() {
            return self.columns.is_empty() && self.values.is_empty();
        }
        self.starts.first() == Some(&0)
            && self.starts.last() == Some(&(self.columns.len() as u64))
            && self.starts.is_sorted()
            && self.columns.len() == self.values.len()
            && self.columns.iter().all(|&c| (c as usize) < self.width)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn transposing_twice_sorts_and_changes_nothing_else(
            rows in prop::collection::vec(prop::collection::btree_map(0u32..7, -9i8..9, 0..7), 0..8)
        ) {
            let rows: Vec<Vec<(u32, f32)>> = rows
                .into_iter()
                .map(|r| r.into_iter().map(|(c, v)| (c, f32::from(v))).collect())
                .collect();
            let matrix = Csr::from_rows(7, rows.clone());
            prop_assert!(matrix.is_consistent());

            let transposed = matrix.transpose();
            for (u, row) in rows.iter().enumerate() {
                for &(c, v) in row {
                    prop_assert!(transposed.pairs(c as usize).any(|p| p == (u as u32, v)));
                }
            }
            prop_assert_eq!(transposed.transpose(), matrix);
        }
    }

    #[test]
    fn threads_that_share_the_columns_transpose_as_one_does() {
        // Most entries are in one column, and some columns have none.
        let rows = 2 * LARGE / 3;
        let row = |n: usize| vec![(0, n as f32), (1 + (n % 5) as u32, 1.0), (9, 2.0)];
        let matrix = Csr::from_rows(12, (0..rows).map(row).collect());
        assert!(matrix.entries() >= LARGE);
        for threads in [1, 3, 7] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let transposed = pool.install(|| matrix.transpose());
            assert_eq!(transposed.row(0).1[rows - 1], (rows - 1) as f32);
            assert_eq!([transposed.degree(7), transposed.degree(9)], [0, rows]);
            assert_eq!(pool.install(|| transposed.transpose()), matrix);
        }
    }

    #[test]
    fn a_row_past_the_end_is_empty() {
        assert_eq!(Csr::new(3).row(5), (&[][..], &[][..]));
        assert_eq!(Csr::default().rows(), 0);
    }
}
