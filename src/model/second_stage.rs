//! The learned second stage: gradient-boosted trees in flat arrays. Empty where the blend is
//! better without.

/// Rows that descend a tree side by side, so that their memory latencies overlap.
const ABREAST: usize = 8;

/// Sources whose scores and ranks are features: the first of `Source::BLENDED`. Stored trees
/// count on this number; of later sources, trees know what the blend says.
pub const SOURCES: usize = 8;

/// Number of features of a candidate: score and rank of each source, score and rank in the blend,
/// eleven of the pair, eleven of the item, nine of the user.
pub const FEATURES: usize = 2 * SOURCES + 2 + 11 + 11 + 9;

/// A candidate's features.
pub type Features = [f32; FEATURES];

/// Trees in flat arrays, node by node. A leaf is its own child: every row takes as many steps as
/// the tree is deep, without a test for the end.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SecondStage {
    /// The root of each tree.
    pub roots: Vec<u32>,
    /// Steps from each root to its farthest leaf.
    pub depths: Vec<u32>,
    /// Feature that each node compares.
    pub feature: Vec<u32>,
    /// The threshold; of a leaf, the tree's output.
    pub value: Vec<f32>,
    /// Next node where the feature is smaller; otherwise [`SecondStage::right`].
    pub left: Vec<u32>,
    /// Next node where the feature is not smaller.
    pub right: Vec<u32>,
}

impl SecondStage {
    /// Whether there are no trees.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Adds a tree, its nodes as in [`SecondStage`] but numbered from 0, the root.
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

    /// The summed output of all trees for each row of features. Tree by tree, so that one tree
    /// stays in the cache for all rows.
    pub fn scores<R: AsRef<[f32]>>(&self, rows: &[R]) -> Vec<f32> {
        let mut scores = vec![0.0; rows.len()];
        for (&root, &depth) in self.roots.iter().zip(&self.depths) {
            for (rows, scores) in rows.chunks(ABREAST).zip(scores.chunks_mut(ABREAST)) {
                let mut at = [root as usize; ABREAST];
                for _ in 0..depth {
                    for (node, row) in at.iter_mut().zip(rows) {
                        *node = self.step(*node, row.as_ref());
                    }
                }
                at.iter().zip(scores).for_each(|(&leaf, score)| *score += self.value[leaf]);
            }
        }
        scores
    }

    #[inline(always)]
    fn step(&self, node: usize, features: &[f32]) -> usize {
        let left = self.left[node];
        let right = self.right[node];
        // Loads both, so that the compiler selects without a branch to mispredict.
        let smaller = features[self.feature[node] as usize] < self.value[node];
        (if smaller { left } else { right }) as usize
    }

    /// Whether every path ends at a leaf within the stored depth, and compares only the first
    /// `features`; checked for trees from disk.
    pub fn is_consistent(&self, features: usize) -> bool {
        let nodes = self.feature.len();
        let same =
            [self.value.len(), self.left.len(), self.right.len()].iter().all(|&n| n == nodes);
        let consistent = |n: usize| {
            let left = self.left[n] as usize;
            let right = self.right[n] as usize;
            let leaf = left == n && right == n;
            let inner = left > n && right > n;
            (leaf || inner)
                && left < nodes
                && right < nodes
                && (self.feature[n] as usize) < features
        };

        if !same || self.roots.len() != self.depths.len() || !(0..nodes).all(consistent) {
            return false;
        }

        let depths = self.depths_from(0);
        let mut trees = self.roots.iter().zip(&self.depths);
        trees.all(|(&root, depth)| depths.get(root as usize) == Some(depth))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stump() -> SecondStage {
        let mut stage = SecondStage::default();
        stage.push([(1, 0.5, 1, 2), (0, -1.0, 1, 1), (0, 2.0, 2, 2)]);
        stage.push([(0, 0.25, 0, 0)]);
        stage
    }

    #[test]
    fn trees_add_up() {
        assert_eq!(stump().scores(&[[9.0, 0.4], [9.0, 0.5]]), [-0.75, 2.25]);
        let many: Vec<[f32; 2]> = (0..19).map(|n| [0.0, n as f32 / 10.0]).collect();
        let expected = |n| if n < 5 { -0.75 } else { 2.25 };
        assert_eq!(stump().scores(&many), (0..19).map(expected).collect::<Vec<f32>>());
        assert_eq!(SecondStage::default().scores(&[[0.0; 2]]), [0.0]);
    }

    #[test]
    fn damage_is_noticed() {
        assert!(stump().is_consistent(2));
        assert!(!stump().is_consistent(1));
        assert!(!SecondStage { left: vec![0; 4], ..stump() }.is_consistent(2), "a circle");
        assert!(!SecondStage { depths: vec![0, 0], ..stump() }.is_consistent(2));
        assert!(!SecondStage { right: vec![2; 3], ..stump() }.is_consistent(2));
        assert!(!SecondStage { roots: vec![0, 4], ..stump() }.is_consistent(2));
    }
}
