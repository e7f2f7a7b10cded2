//! The learned second stage: gradient-boosted trees in flat arrays. Empty where the blend is
//! better without.

use multiversion::multiversion;
use serde::{Deserialize, Serialize};

use super::Source;

/// Rows that are compared at once: they fill the registers and hide the latency of loads.
const LANES: usize = 32;
/// Maximum number of leaves of a tree: one bit for each.
const LEAVES: usize = 32;

/// Sources whose scores and ranks are the first features: the first of `Source::BLENDED`. Stored trees count on
/// this number.
pub const SOURCES: usize = 8;

/// Later sources whose scores and ranks are the last features; of others, trees know what the blend says.
pub const LATER_SOURCES: [Source; 3] = [Source::Content, Source::GraphFilter, Source::Sequence];

/// Number of features of a candidate: score and rank of each source, score and rank in the blend,
/// eleven of the pair, eleven of the item, nine of the user, four of how recent it is, score and rank of each
/// later source. Stored trees count on their order: append new ones.
pub const FEATURES: usize = 2 * SOURCES + 2 + 11 + 11 + 9 + 4 + 2 * LATER_SOURCES.len();

/// A candidate's features.
pub type Features = [f32; FEATURES];

/// The second stage, ready for requests: QuickScorer (Lucchese et al., SIGIR 2015), with rows side by
/// side. Of each tree every split is compared, in no order, without a branch: one that sends a row to
/// the right takes the leaves on its left away. The first leaf that is left is the row's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(into = "Trees", try_from = "Trees")]
pub struct SecondStage {
    trees: Trees,
    /// The splits of all trees.
    splits: Vec<Split>,
    /// Tree t has `splits[ends[t - 1]..ends[t]]`.
    ends: Vec<u32>,
    /// The outputs of each tree's leaves, from left to right.
    outputs: Vec<[f32; LEAVES]>,
}

/// A node with children.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Split {
    /// The feature that is compared.
    feature: u32,
    threshold: f32,
    /// The leaves that are left where the feature is not smaller.
    kept: u32,
}

impl SecondStage {
    /// Lays out trees that fit together.
    pub fn new(trees: Trees) -> Self {
        let nodes = trees.feature.len();
        let leaves = trees.leaves();
        let mut stage = Self::default();
        let ends = trees.roots.iter().skip(1).map(|&root| root as usize).chain([nodes]);

        for (&root, end) in trees.roots.iter().zip(ends) {
            let root = root as usize;
            // Parents come before their children: each hands its first leaf on.
            let mut first = vec![0; end - root];
            let mut outputs = [0.0; LEAVES];
            for node in root..end {
                let [left, right] = [trees.left[node], trees.right[node]].map(|n| n as usize);
                let (from, value) = (first[node - root], trees.value[node]);
                if left == node {
                    outputs[from] = value;
                    continue;
                }

                let of_left = leaves[left] as usize;
                first[left - root] = from;
                first[right - root] = from + of_left;
                let kept = !(((1u64 << of_left) - 1) << from) as u32;
                stage.splits.push(Split { feature: trees.feature[node], threshold: value, kept });
            }
            stage.ends.push(stage.splits.len() as u32);
            stage.outputs.push(outputs);
        }
        Self { trees, ..stage }
    }

    /// The trees as they are stored.
    pub fn trees(&self) -> &Trees {
        &self.trees
    }

    /// Whether there are no trees.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The summed output of all trees for each row of features.
    pub fn scores<const N: usize>(&self, rows: &[[f32; N]]) -> Vec<f32> {
        let mut scores = Vec::with_capacity(rows.len());
        let mut columns = [[0.0; LANES]; N];
        for rows in rows.chunks(LANES) {
            for (lane, row) in rows.iter().enumerate() {
                columns.iter_mut().zip(row).for_each(|(column, value)| column[lane] = *value);
            }
            let mut sums = [0.0; LANES];
            dispatched_add(self, &columns, &mut sums);
            scores.extend_from_slice(&sums[..rows.len()]);
        }
        scores
    }
}

/// Adds the outputs of all trees, one after the other.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn dispatched_add(stage: &SecondStage, columns: &[[f32; LANES]], sums: &mut [f32; LANES]) {
    let mut start = 0;
    for (&end, outputs) in stage.ends.iter().zip(&stage.outputs) {
        let mut leaves = [u32::MAX; LANES];
        for split in &stage.splits[start..end as usize] {
            let column = columns[split.feature as usize];
            // All bits for a row that goes to the left. An array of its own is what the compiler keeps
            // in registers.
            leaves = std::array::from_fn(|lane| {
                let is_smaller = u32::from(column[lane] < split.threshold);
                leaves[lane] & (is_smaller.wrapping_neg() | split.kept)
            });
        }
        for (sum, leaves) in sums.iter_mut().zip(&leaves) {
            *sum += outputs[leaves.trailing_zeros() as usize % LEAVES];
        }
        start = end as usize;
    }
}

impl From<SecondStage> for Trees {
    fn from(stage: SecondStage) -> Self {
        stage.trees
    }
}

impl TryFrom<Trees> for SecondStage {
    type Error = &'static str;

    fn try_from(trees: Trees) -> Result<Self, Self::Error> {
        let fit = trees.is_consistent(FEATURES);
        if fit { Ok(Self::new(trees)) } else { Err("the trees do not fit together") }
    }
}

/// Trees as they are stored, in flat arrays, node by node.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Trees {
    /// The root of each tree.
    pub roots: Vec<u32>,
    /// Steps from each root to its farthest leaf.
    pub depths: Vec<u32>,
    /// Feature that each node compares.
    pub feature: Vec<u32>,
    /// The threshold; of a leaf, the tree's output.
    pub value: Vec<f32>,
    /// Next node where the feature is smaller; otherwise [`Trees::right`]. A leaf is its own child.
    pub left: Vec<u32>,
    /// Next node where the feature is not smaller.
    pub right: Vec<u32>,
}

impl Trees {
    /// Adds a tree, its nodes as in [`Trees`] but numbered from 0, the root.
    pub fn push(&mut self, nodes: impl IntoIterator<Item = (u32, f32, u32, u32)>) {
        let root = self.feature.len() as u32;
        for (feature, value, left, right) in nodes {
            self.feature.push(feature);
            self.value.push(value);
            self.left.push(root + left);
            self.right.push(root + right);
        }
        self.roots.push(root);
        self.depths.push(self.depths_from(root as usize).first().copied().unwrap_or(0));
    }

    /// Steps from each node to its farthest leaf, from node `first` on; children come after
    /// their parents.
    fn depths_from(&self, first: usize) -> Vec<u32> {
        let mut depths = vec![0; self.feature.len() - first];
        for node in (0..depths.len()).rev() {
            let children = [self.left[first + node], self.right[first + node]];
            let below = children.map(|child| child as usize - first).into_iter();
            let deepest = below.filter(|&child| child > node).map(|child| depths[child] + 1).max();
            depths[node] = deepest.unwrap_or(0);
        }
        depths
    }

    /// Number of leaves at and below each node; children come after their parents.
    fn leaves(&self) -> Vec<u32> {
        let mut leaves = vec![1u32; self.feature.len()];
        for node in (0..leaves.len()).rev().filter(|&node| self.left[node] as usize != node) {
            let [left, right] = [self.left[node], self.right[node]].map(|n| leaves[n as usize]);
            leaves[node] = left.saturating_add(right);
        }
        leaves
    }

    /// Whether the nodes of each tree stand together, every path from its root ends at a leaf within the
    /// stored depth, each node is on one path, there are not too many leaves, and only the first
    /// `features` are compared; checked for trees from disk.
    pub fn is_consistent(&self, features: usize) -> bool {
        let nodes = self.feature.len();
        let lengths = [self.value.len(), self.left.len(), self.right.len()];
        let are_ascending = self.roots.is_sorted_by(|a, b| a < b);
        let begins = self.roots.first().map_or(nodes == 0, |&root| root == 0);
        if lengths != [nodes; 3] || self.roots.len() != self.depths.len() {
            return false;
        }
        if !begins || !are_ascending || self.roots.last().is_some_and(|&r| r as usize >= nodes) {
            return false;
        }

        let mut parents = vec![0u32; nodes];
        let ends = self.roots.iter().skip(1).map(|&root| root as usize).chain([nodes]);
        for (&root, end) in self.roots.iter().zip(ends) {
            parents[root as usize] += 1;
            for n in root as usize..end {
                let [left, right] = [self.left[n], self.right[n]].map(|child| child as usize);
                let is_leaf = left == n && right == n;
                let is_inner = left > n && right > n && left < end && right < end;
                if !(is_leaf || is_inner) || self.feature[n] as usize >= features {
                    return false;
                }
                if is_inner {
                    parents[left] += 1;
                    parents[right] += 1;
                }
            }
        }
        if parents.iter().any(|&parents| parents != 1) {
            return false;
        }

        let (depths, leaves) = (self.depths_from(0), self.leaves());
        self.roots.iter().zip(&self.depths).all(|(&root, depth)| {
            depths[root as usize] == *depth && leaves[root as usize] <= LEAVES as u32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stump() -> Trees {
        let mut stage = Trees::default();
        stage.push([(1, 0.5, 1, 2), (0, -1.0, 1, 1), (0, 2.0, 2, 2)]);
        stage.push([(0, 0.25, 0, 0)]);
        stage
    }

    #[test]
    fn trees_add_up() {
        let stage = SecondStage::new(stump());
        assert_eq!(stage.scores(&[[9.0, 0.4], [9.0, 0.5]]), [-0.75, 2.25]);
        let many: Vec<[f32; 2]> = (0..19).map(|n| [0.0, n as f32 / 10.0]).collect();
        let expected = |n| if n < 5 { -0.75 } else { 2.25 };
        assert_eq!(stage.scores(&many), (0..19).map(expected).collect::<Vec<f32>>());
        assert_eq!(SecondStage::default().scores(&[[0.0; 2]]), [0.0]);
    }

    #[test]
    fn every_leaf_is_found_as_by_going_down() {
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        let mut trees = Trees::default();
        for _ in 0..20 {
            // Any leaf is split in turn; children come after all nodes before.
            let mut nodes = vec![(0, next(100) as f32, 0, 0)];
            for _ in 0..next(LEAVES as u64) {
                let leaves = (0..nodes.len()).filter(|&n| nodes[n].2 as usize == n);
                let leaves: Vec<usize> = leaves.collect();
                let split = leaves[next(leaves.len() as u64) as usize];
                let first = nodes.len() as u32;
                nodes.extend([0, 1].map(|n| (0, next(100) as f32, first + n, first + n)));
                nodes[split] = (next(3) as u32, next(10) as f32, first, first + 1);
            }
            trees.push(nodes);
        }
        assert!(trees.is_consistent(3));

        let rows: Vec<[f32; 3]> = (0..53).map(|_| [0, 1, 2].map(|_| next(10) as f32)).collect();
        let down = |row: &[f32; 3]| -> f32 {
            let leaf = |&root: &u32| {
                let mut at = root as usize;
                while trees.left[at] as usize != at {
                    let is_smaller = row[trees.feature[at] as usize] < trees.value[at];
                    at = if is_smaller { trees.left[at] } else { trees.right[at] } as usize;
                }
                trees.value[at]
            };
            trees.roots.iter().map(leaf).sum()
        };
        let expected: Vec<f32> = rows.iter().map(down).collect();
        assert_eq!(SecondStage::new(trees.clone()).scores(&rows), expected);
    }

    #[test]
    fn damage_is_noticed() {
        assert!(stump().is_consistent(2));
        assert!(!stump().is_consistent(1));
        assert!(!Trees { left: vec![0; 4], ..stump() }.is_consistent(2), "a circle");
        assert!(!Trees { depths: vec![0, 0], ..stump() }.is_consistent(2));
        let mut meeting = Trees::default();
        let inner = [(0, 0.5, 1, 2), (0, 0.5, 2, 3)];
        meeting.push(inner.into_iter().chain([(0, 1.0, 2, 2), (0, 2.0, 3, 3)]));
        assert!(!meeting.is_consistent(2), "two paths meet");
        assert!(!Trees { right: vec![2; 3], ..stump() }.is_consistent(2));
        assert!(!Trees { roots: vec![0, 4], ..stump() }.is_consistent(2));
    }
}
