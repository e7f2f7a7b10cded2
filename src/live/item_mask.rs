//! Which items may be offered.

use crate::domain::ItemIdx;

/// A set of items as a bitmap; items past its end are not in it.
#[derive(Debug, Default, Clone)]
pub struct ItemMask {
    words: Vec<u64>,
    len: usize,
}

impl ItemMask {
    /// Keeps only the items of `kept`.
    pub fn keep(&mut self, kept: &[ItemIdx]) {
        let allowed: Vec<ItemIdx> = kept.iter().copied().filter(|&idx| self.allows(idx)).collect();
        self.words.fill(0);
        allowed.into_iter().for_each(|idx| self.allow(idx));
    }

    /// Forbids every item.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Forbids the items of another mask.
    pub fn forbid_all(&mut self, other: &ItemMask) {
        let words = self.words.iter_mut().zip(&other.words);
        words.for_each(|(word, other)| *word &= !other);
    }

    /// Allows those items of `other` that `allowed` holds as well.
    pub fn allow_all(&mut self, other: &ItemMask, allowed: &ItemMask) {
        let both = other.words.iter().zip(&allowed.words);
        let words = self.words.iter_mut().zip(both);
        words.for_each(|(word, (other, allowed))| *word |= other & allowed);
    }

    /// Allows no item of the first `len`, and none beyond them.
    pub fn allow_none(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), 0);
        self.len = len;
    }

    /// Allows the first `len` items and no other.
    pub fn allow_first(&mut self, len: usize) {
        self.words.clear();
        self.words.resize(len.div_ceil(64), u64::MAX);
        self.len = len;
        if let Some(last) = self.words.last_mut()
            && !len.is_multiple_of(64)
        {
            *last = (1 << (len % 64)) - 1;
        }
    }

    /// Allows an item.
    pub fn allow(&mut self, idx: ItemIdx) {
        if (idx as usize) < self.len {
            self.words[idx as usize / 64] |= 1 << (idx % 64);
        }
    }

    /// Forbids an item.
    pub fn forbid(&mut self, idx: ItemIdx) {
        if (idx as usize) < self.len {
            self.words[idx as usize / 64] &= !(1 << (idx % 64));
        }
    }

    /// Whether an item may be offered.
    #[inline]
    pub fn allows(&self, idx: ItemIdx) -> bool {
        (idx as usize) < self.len && self.words[idx as usize / 64] >> (idx % 64) & 1 == 1
    }

    /// Number of items that may be offered.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The items that may be offered, descending.
    pub fn iter_back(&self) -> impl Iterator<Item = ItemIdx> + '_ {
        self.words.iter().enumerate().rev().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = 63 - rest.leading_zeros();
                    rest &= !(1 << bit);
                    at as u32 * 64 + bit
                })
            })
        })
    }

    /// The items that may be offered, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ItemIdx> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    at as u32 * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_end_where_they_end() {
        let mut mask = ItemMask::default();
        mask.allow_first(130);
        mask.forbid(64);
        mask.forbid(1_000);
        mask.allow(1_000);
        assert_eq!(mask.count(), 129);
        assert!(mask.allows(129) && !mask.allows(130) && !mask.allows(64));
    }
}
