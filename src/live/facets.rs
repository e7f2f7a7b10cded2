//! Items by facet: a bitmap for each category, brand, tag and attribute, and the prices. A
//! [`Condition`] is answered by set operations on these.

use std::borrow::Cow;
use std::collections::HashMap;

use roaring::RoaringBitmap;

use super::filter::Condition;
use crate::domain::{HideScope, Item, ItemIdx, limits};

/// The facets of all items.
#[derive(Debug, Default)]
pub struct Facets {
    categories: Members,
    brands: Members,
    tags: Members,
    groups: Members,
    attributes: HashMap<String, Members>,
    /// Items by context where their offers say so.
    offers: HashMap<String, Offers>,
    /// Price by item; NaN without one.
    prices: Vec<f64>,
}

/// The offers of one context.
#[derive(Debug, Default)]
struct Offers {
    unavailable: RoaringBitmap,
    prices: HashMap<ItemIdx, f64>,
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
        item.category_paths().for_each(|path| self.categories.add(path, idx));
        item.tags.iter().for_each(|tag| self.tags.add(tag, idx));
        if !item.brand.is_empty() {
            self.brands.add(&item.brand, idx);
        }
        if !item.group_id.is_empty() {
            self.groups.add(&item.group_id, idx);
        }

        for (name, value) in words(item) {
            self.attributes.entry(name.to_owned()).or_default().add(value, idx);
        }

        for (context, offer) in &item.offers {
            let offers = self.offers.entry(context.clone()).or_default();
            if !offer.available {
                offers.unavailable.insert(idx);
            }
            offers.prices.extend(offer.price.map(|price| (idx, price)));
        }

        let at = idx as usize;
        if at >= self.prices.len() {
            self.prices.resize(at + 1, f64::NAN);
        }
        self.prices[at] = item.price.unwrap_or(f64::NAN);
    }

    /// Removes an item, given the entry with which it was added.
    pub fn remove(&mut self, idx: ItemIdx, item: &Item) {
        item.category_paths().for_each(|path| self.categories.remove(path, idx));
        item.tags.iter().for_each(|tag| self.tags.remove(tag, idx));
        self.brands.remove(&item.brand, idx);
        self.groups.remove(&item.group_id, idx);

        for (name, value) in words(item) {
            let Some(values) = self.attributes.get_mut(name) else { continue };
            values.remove(value, idx);
            if values.0.is_empty() {
                self.attributes.remove(name);
            }
        }

        for context in item.offers.keys() {
            let Some(offers) = self.offers.get_mut(context) else { continue };
            offers.unavailable.remove(idx);
            offers.prices.remove(&idx);
            if offers.unavailable.is_empty() && offers.prices.is_empty() {
                self.offers.remove(context);
            }
        }

        if let Some(price) = self.prices.get_mut(idx as usize) {
            *price = f64::NAN;
        }
    }

    /// Items that are not available in a context.
    pub fn unavailable_in(&self, context: &str) -> impl Iterator<Item = ItemIdx> {
        self.offers.get(context).into_iter().flat_map(|offers| &offers.unavailable)
    }

    /// What goes with an item: those of its group, or of its first category.
    pub fn with(&self, item: &Item, scope: HideScope) -> Cow<'_, RoaringBitmap> {
        match scope {
            HideScope::Item => Cow::default(),
            HideScope::Group => self.groups.of(&item.group_id),
            HideScope::Category => {
                let first = item.categories.first().map_or("", String::as_str);
                self.categories.of(first.trim_matches('/'))
            }
        }
    }

    /// Items of an item's own categories.
    pub fn of_categories(&self, item: &Item) -> RoaringBitmap {
        let own = item.categories.iter().map(|path| self.categories.of(path.trim_matches('/')));
        own.fold(RoaringBitmap::new(), |all, members| all | &*members)
    }

    /// Those of the first `items` items for which the condition holds, at the prices of a context.
    pub fn matching(
        &self,
        condition: &Condition,
        items: usize,
        context: &str,
    ) -> Cow<'_, RoaringBitmap> {
        let matching = |part: &Condition| self.matching(part, items, context);

        match condition {
            Condition::Category(path) => self.categories.of(path.trim_matches('/')),
            Condition::Brand(brand) => self.brands.of(brand),
            Condition::Tag(tag) => self.tags.of(tag),
            Condition::Attribute(name, value) => {
                self.attributes.get(name).map_or_else(Cow::default, |values| values.of(value))
            }
            Condition::Price(min, max) => {
                let there = self.offers.get(context).map(|offers| &offers.prices);
                let of_offer = |idx: &ItemIdx| there.and_then(|prices| prices.get(idx));
                let priced = (0u32..).zip(&self.prices);
                let priced = priced.map(|(idx, price)| (idx, of_offer(&idx).unwrap_or(price)));
                let within = priced.filter(|(_, price)| (min..=max).contains(price));
                Cow::Owned(within.map(|(idx, _)| idx).collect())
            }
            Condition::All(parts) => {
                let mut all = everything(items);
                parts.iter().for_each(|part| all &= &*matching(part));
                Cow::Owned(all)
            }
            Condition::Any(parts) => {
                let mut any = RoaringBitmap::new();
                parts.iter().for_each(|part| any |= &*matching(part));
                Cow::Owned(any)
            }
            Condition::Not(part) => Cow::Owned(everything(items) - &*matching(part)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Offer;

    fn lamp() -> Item {
        Item {
            categories: vec!["home/lighting".into()],
            brand: "Lumen".into(),
            price: Some(20.0),
            tags: vec!["new".into()],
            attributes: [("colour".to_owned(), "red".to_owned())].into(),
            offers: [("SE".to_owned(), Offer { available: false, price: Some(25.0) })].into(),
            ..Item::default()
        }
    }

    #[test]
    fn conditions_are_combined() {
        let mut facets = Facets::default();
        facets.add(0, &lamp());
        facets.add(2, &Item { brand: String::new(), price: None, ..lamp() });
        facets.add(3, &Item { tags: vec![], price: Some(30.0), ..lamp() });
        let of =
            |condition: &Condition| facets.matching(condition, 5, "").iter().collect::<Vec<_>>();
        let brand = Condition::Brand("Lumen".into());
        let new = Condition::Tag("new".into());
        let red = Condition::Attribute("colour".into(), "red".into());
        assert_eq!(of(&brand), [0, 3]);
        assert_eq!(of(&red), [0, 2, 3]);
        assert_eq!(of(&Condition::Attribute("size".into(), "red".into())), [0u32; 0]);
        assert_eq!(of(&Condition::Price(20.0, 29.9)), [0]);
        // In a context its price is that of its offer.
        let dear = Condition::Price(24.0, 26.0);
        assert_eq!(of(&dear), [0u32; 0]);
        assert_eq!(facets.matching(&dear, 5, "SE").iter().collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(facets.unavailable_in("SE").collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(facets.unavailable_in("DK").count(), 0);
        assert_eq!(of(&Condition::All(vec![brand.clone(), new.clone()])), [0]);
        assert_eq!(of(&Condition::Any(vec![brand.clone(), new.clone()])), [0, 2, 3]);
        assert_eq!(of(&Condition::Not(Box::new(brand))), [1, 2, 4]);
        assert_eq!(of(&Condition::All(vec![])), [0, 1, 2, 3, 4]);
        assert_eq!(of(&Condition::Any(vec![])), [0u32; 0]);
    }

    #[test]
    fn what_is_taken_out_leaves_nothing() {
        let mut facets = Facets::default();
        facets.add(1, &lamp());
        facets.remove(1, &lamp());
        let Facets { categories, brands, tags, groups, attributes, offers, prices } = facets;
        assert!(offers.is_empty());
        assert!(categories.0.is_empty() && brands.0.is_empty() && tags.0.is_empty());
        assert!(
            groups.0.is_empty()
                && attributes.is_empty()
                && prices.iter().all(|price| price.is_nan())
        );
    }
}
