//! Items by facet: a bitmap for each category, brand, tag and attribute, and the prices. A
//! [`Condition`] is answered by set operations on these.

use std::borrow::Cow;
use std::collections::HashMap;

use ahash::AHashMap;
use roaring::RoaringBitmap;

use super::filter::Condition;
use crate::domain::topk::{Scored, keep_top};
use crate::domain::{Item, ItemIdx, limits};

/// Maximum number of items that are compared, those of the rarest facets first: common facets carry
/// little information and cost much.
const LOOKED_AT: u64 = 10_000;

/// The facets of all items.
#[derive(Debug, Default)]
pub struct Facets {
    categories: Members,
    brands: Members,
    tags: Members,
    attributes: HashMap<String, Members>,
    /// Price by item; NaN without one.
    prices: Vec<f64>,
}

/// Items by one facet.
#[derive(Debug, Default)]
struct Members(HashMap<String, RoaringBitmap>);

impl Members {
    fn add(&mut self, word: &str, item: ItemIdx) {
        match self.0.get_mut(word) {
            Some(members) => drop(members.insert(item)),
            None => drop(self.0.insert(word.to_owned(), RoaringBitmap::from_iter([item]))),
        }
    }

    fn remove(&mut self, word: &str, item: ItemIdx) {
        let Some(members) = self.0.get_mut(word) else { return };
        members.remove(item);
        if members.is_empty() {
            self.0.remove(word);
        }
    }

    fn of(&self, word: &str) -> Cow<'_, RoaringBitmap> {
        self.0.get(word).map_or_else(Cow::default, Cow::Borrowed)
    }
}

impl Facets {
    /// Adds an item.
    pub fn add(&mut self, idx: ItemIdx, item: &Item) {
        paths(item).for_each(|path| self.categories.add(path, idx));
        item.tags.iter().for_each(|tag| self.tags.add(tag, idx));
        if !item.brand.is_empty() {
            self.brands.add(&item.brand, idx);
        }

        for (name, value) in words(item) {
            self.attributes.entry(name.to_owned()).or_default().add(value, idx);
        }

        let at = idx as usize;
        if at >= self.prices.len() {
            self.prices.resize(at + 1, f64::NAN);
        }
        self.prices[at] = item.price.unwrap_or(f64::NAN);
    }

    /// Removes an item, given the entry with which it was added.
    pub fn remove(&mut self, idx: ItemIdx, item: &Item) {
        paths(item).for_each(|path| self.categories.remove(path, idx));
        item.tags.iter().for_each(|tag| self.tags.remove(tag, idx));
        self.brands.remove(&item.brand, idx);

        for (name, value) in words(item) {
            let Some(values) = self.attributes.get_mut(name) else { continue };
            values.remove(value, idx);
            if values.0.is_empty() {
                self.attributes.remove(name);
            }
        }

        if let Some(price) = self.prices.get_mut(idx as usize) {
            *price = f64::NAN;
        }
    }

    /// Items with similar facets, best first, at most `k`: each shared facet counts ln(1 + items /
    /// its items), as a share of the sum over all facets of the item. The rarest facets are looked
    /// at, up to `LOOKED_AT` items.
    pub fn alike(&self, idx: ItemIdx, item: &Item, items: usize, k: usize) -> Vec<Scored> {
        let mut shared: AHashMap<ItemIdx, f32> = AHashMap::new();
        let mut all = 0.0;
        let mut rarest: Vec<&RoaringBitmap> = self.members_of(item).collect();
        rarest.sort_by_key(|members| members.len());

        let mut looked_at = 0;
        for members in rarest {
            let telling = (1.0 + items as f32 / members.len() as f32).ln();
            all += telling;
            looked_at += members.len();
            if looked_at <= LOOKED_AT {
                members.iter().for_each(|other| *shared.entry(other).or_default() += telling);
            }
        }

        shared.remove(&idx);
        let share = |(idx, sum): (ItemIdx, f32)| Scored { idx, score: sum / all };
        let mut alike: Vec<Scored> = shared.into_iter().map(share).collect();
        keep_top(&mut alike, k);
        alike
    }

    /// The items of every facet of an item.
    fn members_of<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = &'a RoaringBitmap> {
        let categories = paths(item).filter_map(|path| self.categories.0.get(path));
        let tags = item.tags.iter().filter_map(|tag| self.tags.0.get(tag));
        let attributes =
            words(item).filter_map(|(name, value)| self.attributes.get(name)?.0.get(value));
        categories.chain(self.brands.0.get(&item.brand)).chain(tags).chain(attributes)
    }

    /// Items of an item's own categories.
    pub fn of_categories(&self, item: &Item) -> RoaringBitmap {
        let own = item.categories.iter().map(|path| self.categories.of(path.trim_matches('/')));
        own.fold(RoaringBitmap::new(), |all, members| all | &*members)
    }

    /// Those of the first `items` items for which the condition holds.
    pub fn matching(&self, condition: &Condition, items: usize) -> Cow<'_, RoaringBitmap> {
        match condition {
            Condition::Category(path) => self.categories.of(path.trim_matches('/')),
            Condition::Brand(brand) => self.brands.of(brand),
            Condition::Tag(tag) => self.tags.of(tag),
            Condition::Attribute(name, value) => {
                self.attributes.get(name).map_or_else(Cow::default, |values| values.of(value))
            }
            Condition::Price(min, max) => {
                let priced = (0u32..).zip(&self.prices);
                let within = priced.filter(|(_, price)| (min..=max).contains(price));
                Cow::Owned(within.map(|(idx, _)| idx).collect())
            }
            Condition::All(parts) => {
                let mut all = everything(items);
                parts.iter().for_each(|part| all &= &*self.matching(part, items));
                Cow::Owned(all)
            }
            Condition::Any(parts) => {
                let mut any = RoaringBitmap::new();
                parts.iter().for_each(|part| any |= &*self.matching(part, items));
                Cow::Owned(any)
            }
            Condition::Not(part) => Cow::Owned(everything(items) - &*self.matching(part, items)),
        }
    }
}

fn everything(items: usize) -> RoaringBitmap {
    let mut all = RoaringBitmap::new();
    all.insert_range(0..items as u32);
    all
}

/// Attributes that can be filtered by: long values such as descriptions are not indexed.
fn words(item: &Item) -> impl Iterator<Item = (&str, &str)> {
    let all = item.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    all.filter(|(_, value)| value.len() <= limits::MAX_ID_BYTES)
}

/// The categories of an item: each path and all its prefixes.
fn paths(item: &Item) -> impl Iterator<Item = &str> {
    item.categories.iter().flat_map(|path| {
        let path = path.trim_matches('/');
        path.match_indices('/').map(|(at, _)| &path[..at]).chain([path])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lamp() -> Item {
        Item {
            categories: vec!["home/lighting".into()],
            brand: "Lumen".into(),
            price: Some(20.0),
            tags: vec!["new".into()],
            attributes: [("colour".to_owned(), "red".to_owned())].into(),
            ..Item::default()
        }
    }

    #[test]
    fn conditions_are_combined() {
        let mut facets = Facets::default();
        facets.add(0, &lamp());
        facets.add(2, &Item { brand: String::new(), price: None, ..lamp() });
        facets.add(3, &Item { tags: vec![], price: Some(30.0), ..lamp() });
        let of = |condition: &Condition| facets.matching(condition, 5).iter().collect::<Vec<_>>();
        let brand = Condition::Brand("Lumen".into());
        let new = Condition::Tag("new".into());
        let red = Condition::Attribute("colour".into(), "red".into());
        assert_eq!(of(&brand), [0, 3]);
        assert_eq!(of(&red), [0, 2, 3]);
        assert_eq!(of(&Condition::Attribute("size".into(), "red".into())), [0u32; 0]);
        assert_eq!(of(&Condition::Price(20.0, 29.9)), [0]);
        assert_eq!(of(&Condition::All(vec![brand.clone(), new.clone()])), [0]);
        assert_eq!(of(&Condition::Any(vec![brand.clone(), new.clone()])), [0, 2, 3]);
        assert_eq!(of(&Condition::Not(Box::new(brand))), [1, 2, 4]);
        assert_eq!(of(&Condition::All(vec![])), [0, 1, 2, 3, 4]);
        assert_eq!(of(&Condition::Any(vec![])), [0u32; 0]);
    }

    #[test]
    fn items_are_alike_by_what_few_share() {
        let mut facets = Facets::default();
        let of = |category: &str, brand: &str| Item {
            categories: vec![category.into()],
            brand: brand.into(),
            ..Item::default()
        };

        let items = [("home/lamps", "A"), ("home/lamps", "A"), ("home/lamps", "B")];
        for (idx, (category, brand)) in items.into_iter().chain([("home/beds", "C")]).enumerate() {
            facets.add(idx as ItemIdx, &of(category, brand));
        }

        let alike = facets.alike(0, &of("home/lamps", "A"), 4, 9);
        assert_eq!(alike.iter().map(|s| s.idx).collect::<Vec<_>>(), [1, 2, 3]);
        assert!((alike[0].score - 1.0).abs() < 1e-6 && alike[2].score > 0.0, "{alike:?}");
        assert_eq!(facets.alike(0, &of("home/lamps", "A"), 4, 1).len(), 1);
        assert!(facets.alike(9, &Item::default(), 4, 9).is_empty());
        let lamps: Vec<u32> = facets.of_categories(&of("home/lamps", "Z")).iter().collect();
        assert_eq!(lamps, [0, 1, 2]);
    }

    #[test]
    fn what_is_taken_out_leaves_nothing() {
        let mut facets = Facets::default();
        facets.add(1, &lamp());
        facets.remove(1, &lamp());
        let Facets { categories, brands, tags, attributes, prices } = facets;
        assert!(categories.0.is_empty() && brands.0.is_empty() && tags.0.is_empty());
        assert!(attributes.is_empty() && prices.iter().all(|price| price.is_nan()));
    }
}
