//! Data on items in the rows of a log: titles, categories, brands and prices for the catalogue,
//! and purchase patterns, which reveal fees.

use std::collections::HashMap;

use ahash::AHashMap;

use crate::domain::{EventKind, Item, limits};
use crate::import::convert::EventRow;
use crate::import::notice::{self, Met};
use crate::import::{Column, Refusal, fields};

/// Data on items, by id.
#[derive(Debug, Default)]
pub(super) struct Described {
    items: AHashMap<String, OfItem>,
    baskets: u64,
    /// The user and the basket of the previous row; lines of a basket are consecutive.
    last: (String, String),
}

/// Data on one item.
#[derive(Debug, Default)]
struct OfItem {
    titles: HashMap<String, u32>,
    category: Option<String>,
    brand: Option<String>,
    price: Option<(i64, f64)>,
    prices: Spread,
    purchases: u32,
    looks: u32,
}

/// Mean and spread of prices, by Welford's method
/// (<https://en.wikipedia.org/wiki/Algorithms_for_calculating_variance>).
#[derive(Debug, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let from_mean = value - self.mean;
        self.mean += from_mean / self.count;
        self.squares += from_mean * (value - self.mean);
    }

    /// The standard deviation as a share of the mean; 0 where the mean is 0.
    fn relative(&self) -> f64 {
        if self.mean > 0.0 { (self.squares / self.count).sqrt() / self.mean } else { 0.0 }
    }
}

impl Described {
    /// Adds a row's data on its item.
    pub(super) fn note(&mut self, row: &EventRow<'_>) {
        let event = &row.event;
        if self.last.0 != event.user_id || self.last.1 != event.basket_id {
            self.baskets += 1;
            self.last.0.clone_from(&event.user_id);
            self.last.1.clone_from(&event.basket_id);
        }

        match self.items.get_mut(&event.item_id) {
            Some(item) => item.note(row),
            None => {
                let mut item = OfItem::default();
                item.note(row);
                self.items.insert(event.item_id.clone(), item);
            }
        }
    }

    /// Hints on items that look like fees.
    pub(super) fn notices(&self) -> Vec<String> {
        let met: Vec<Met<'_>> = self.items.iter().map(|(id, item)| item.met(id)).collect();
        notice::of_items(&met, self.baskets)
    }

    /// The items with data, and the fields that were dropped.
    pub(super) fn into_items(self) -> impl Iterator<Item = (String, Item, Vec<Refusal>)> {
        let said = self.items.into_iter().filter(|(_, item)| item.says_something());
        said.map(|(id, item)| {
            let (item, dropped) = item.into_item();
            (id, item, dropped)
        })
    }
}

impl OfItem {
    fn note(&mut self, row: &EventRow<'_>) {
        let event = &row.event;
        match event.kind {
            EventKind::Purchase => self.purchases += 1,
            EventKind::View | EventKind::Click | EventKind::AddToCart | EventKind::Favorite => {
                self.looks += 1;
            }
            EventKind::Refund | EventKind::Rating | EventKind::Impression | EventKind::Hide => {}
        }

        if let Some(title) = row.title {
            match self.titles.get_mut(title) {
                Some(count) => *count += 1,
                None => drop(self.titles.insert(title.to_owned(), 1)),
            }
        }

        event.price.into_iter().for_each(|price| self.prices.add(price));
        if let Some(price) = event.price
            && self.price.is_none_or(|(time_ms, _)| event.time_ms >= time_ms)
        {
            self.price = Some((event.time_ms, price));
        }
        if let Some(category) = row.category
            && self.category.as_deref() != Some(category)
        {
            self.category = Some(category.to_owned());
        }

        if !row.brand.is_empty() && self.brand.as_ref() != Some(&row.brand) {
            self.brand = Some(row.brand.clone());
        }
    }

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
            is_priced: self.prices.mean > 0.0,
            price_spread: self.prices.relative(),
        }
    }

    /// The most frequent title; ties go to the first in order, for repeatability.
    fn title(&self) -> Option<&str> {
        let max = self.titles.iter().max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
        max.map(|(title, _)| title.as_str())
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
