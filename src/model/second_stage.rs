//! The learned second stage's part of a snapshot: gradient-boosted trees in flat
//! arrays. Empty where the blend is better without.

use super::Source;

/// Marks a leaf in [`SecondStage::feature`].
pub const LEAF: u32 = u32::MAX;

/// Trees, one after the other, node by node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SecondStage {
    /// The root of each tree.
    pub roots: Vec<u32>,
    /// Feature that each node asks, or [`LEAF`].
    pub feature: Vec<u32>,
    /// What it is compared with; of a leaf, what the tree says.
    pub value: Vec<f32>,
    /// Next node where the feature is smaller; the one where it is not comes in
    /// [`SecondStage::right`].
    pub left: Vec<u32>,
    /// Next node where the feature is not smaller.
    pub right: Vec<u32>,
}

impl SecondStage {
    /// Number of features a row has: score and rank of each source, the blend and
    /// the rank in it, eleven of the pair, eleven of the item, nine of the shopper.
    pub const FEATURES: usize = 2 * Source::BLENDED.len() + 2 + 11 + 11 + 9;

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// What all trees say of each row of features, summed. Tree by tree, so that one tree
    /// stays at hand for all rows.
    pub fn scores<R: AsRef<[f32]>>(&self, rows: &[R]) -> Vec<f32> {
        let mut scores = vec![0.0; rows.len()];
        for &root in &self.roots {
            for (score, row) in scores.iter_mut().zip(rows) {
                *score += self.leaf(root as usize, row.as_ref());
            }
        }
        scores
    }

    fn leaf(&self, mut node: usize, features: &[f32]) -> f32 {
        while self.feature[node] != LEAF {
            let smaller = features[self.feature[node] as usize] < self.value[node];
            node = if smaller { self.left[node] } else { self.right[node] } as usize;
        }
        self.value[node]
    }

    /// Whether every path ends at a leaf and asks only the first `features`;
    /// asked of trees that come from disk. Children come after their parents.
    pub fn is_consistent(&self, features: usize) -> bool {
        let nodes = self.feature.len();
        let same =
            [self.value.len(), self.left.len(), self.right.len()].iter().all(|&n| n == nodes);
        same && self.roots.iter().all(|&root| (root as usize) < nodes)
            && (0..nodes).all(|n| {
                let after = |child: u32| (n + 1..nodes).contains(&(child as usize));
                self.feature[n] == LEAF
                    || ((self.feature[n] as usize) < features
                        && after(self.left[n])
                        && after(self.right[n]))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stump() -> SecondStage {
        SecondStage {
            roots: vec![0, 3],
            feature: vec![1, LEAF, LEAF, LEAF],
            value: vec![0.5, -1.0, 2.0, 0.25],
            left: vec![1, 0, 0, 0],
            right: vec![2, 0, 0, 0],
        }
    }

    #[test]
    fn trees_add_up() {
        assert_eq!(stump().scores(&[[9.0, 0.4], [9.0, 0.5]]), [-0.75, 2.25]);
        assert_eq!(SecondStage::default().scores(&[[0.0; 2]]), [0.0]);
    }

    #[test]
    fn damage_is_noticed() {
        assert!(stump().is_consistent(2));
        assert!(!stump().is_consistent(1));
        assert!(!SecondStage { left: vec![0; 4], ..stump() }.is_consistent(2), "a circle");
        assert!(!SecondStage { right: vec![2; 3], ..stump() }.is_consistent(2));
        assert!(!SecondStage { roots: vec![4], ..stump() }.is_consistent(2));
    }
}
