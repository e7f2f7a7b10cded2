//! What the rows of a log say of its items: titles, categories, brands and prices for the catalogue,
//! and how they are bought, by which fees are noticed.

use std::collections::HashMap;

use ahash::AHashMap;

use crate::domain::{EventKind, Item, limits};
use crate::import::convert::EventRow;
use crate::import::notice::{self, Met};
use crate::import::{Column, Refusal, fields};

/// Items by id.
#[derive(Debug, Default)]
pub(super) struct Described(AHashMap<String, OfItem>);

/// What the rows of a log say of an item.
#[derive(Debug, Default)]
struct OfItem {
    titles: HashMap<String, u32>,
    category: Option<String>,
    brand: Option<String>,
    price: Option<(i64, f64)>,
    purchases: u32,
    looks: u32,
}

impl Described {
    /// Remembers what a row says of its item.
    pub(super) fn note(&mut self, row: &EventRow<'_>) {
        let event = &row.event;
        if !self.0.contains_key(&event.item_id) {
            self.0.insert(event.item_id.clone(), OfItem::default());
        }
        let Some(item) = self.0.get_mut(&event.item_id) else { return };
        match event.kind {
            EventKind::Purchase => item.purchases += 1,
            EventKind::View | EventKind::Click | EventKind::AddToCart | EventKind::Favorite => {
                item.looks += 1;
            }
            EventKind::Refund | EventKind::Rating | EventKind::Impression => {}
        }
        if let Some(title) = row.title {
            match item.titles.get_mut(title) {
                Some(count) => *count += 1,
                None => drop(item.titles.insert(title.to_owned(), 1)),
            }
        }
        if let Some(price) = event.price
            && item.price.is_none_or(|(time_ms, _)| event.time_ms >= time_ms)
        {
            item.price = Some((event.time_ms, price));
        }
        if let Some(category) = row.category
            && item.category.as_deref() != Some(category)
        {
            item.category = Some(category.to_owned());
        }
        if !row.brand.is_empty() && item.brand.as_ref() != Some(&row.brand) {
            item.brand = Some(row.brand.clone());
        }
    }

    /// What looks as if it were no goods.
    pub(super) fn notices(&self) -> Vec<String> {
        let met: Vec<Met<'_>> = self.0.iter().map(|(id, item)| item.met(id)).collect();
        notice::of_items(&met)
    }

    /// The items of which something is said, and what of that was dropped.
    pub(super) fn into_items(self) -> impl Iterator<Item = (String, Item, Vec<Refusal>)> {
        let said = self.0.into_iter().filter(|(_, item)| item.says_something());
        said.map(|(id, item)| {
            let (item, dropped) = item.into_item();
            (id, item, dropped)
        })
    }
}

impl OfItem {
    fn says_something(&self) -> bool {
        let words = [&self.category, &self.brand].into_iter().any(Option::is_some);
        words || !self.titles.is_empty() || self.price.is_some()
    }

    fn met<'a>(&'a self, id: &'a str) -> Met<'a> {
        Met {
            id,
            title: self.title().unwrap_or_default(),
            purchases: self.purchases,
            looks: self.looks,
            is_priced: self.price.is_some_and(|(_, price)| price > 0.0),
        }
    }

    /// The title given most often; ties go to the alphabet, for repeatability.
    fn title(&self) -> Option<&str> {
        let most = self.titles.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
        most.map(|(title, _)| title.as_str())
    }

    fn into_item(self) -> (Item, Vec<Refusal>) {
        let category = self.category.as_deref().unwrap_or_default();
        let (categories, dropped) =
            fields::words(Column::Category, category, limits::MAX_CATEGORIES);
        let item = Item {
            title: self.title().unwrap_or_default().to_owned(),
            categories,
            brand: self.brand.unwrap_or_default(),
            price: self.price.map(|(_, price)| price),
            ..Item::default()
        };
        (item, dropped)
    }
}
