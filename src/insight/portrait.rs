//! A user's portrait: what their history and orders show, each trait with its evidence.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use crate::domain::history::standing;
use crate::domain::{DAY_MS, EventKind, HistoryEvent, ItemIdx, Preferences, Tag};
use crate::live::activity::local_ms;
use crate::live::{Catalogue, Channels};
use crate::matrix::weight::{Weighting, kind_weight};

/// Maximum number of categories, brands, channels and items of a portrait.
const MOST: usize = 5;
/// Days after which an event counts half.
const HALF_LIFE_DAYS: f64 = 90.0;

/// What a user turns to, with the evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaning {
    /// The category or brand.
    pub name: String,
    /// Its share of all of the user's events with one, newer and stronger ones counting more: 0 to 1.
    pub share: f64,
    /// Number of purchases.
    pub purchases: u32,
    /// Number of other events.
    pub others: u32,
    /// The newest of them, in milliseconds since 1970.
    pub last_ms: i64,
}

/// What a user pays for one item, in the store's currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PriceBand {
    /// A quarter of the prices is lower.
    pub low: f64,
    /// Half of them is lower.
    pub median: f64,
    /// A quarter of them is higher.
    pub high: f64,
    /// Number of prices.
    pub prices: u32,
    /// Whether they were paid; otherwise they are those of items that the user turned to.
    pub were_paid: bool,
}

/// An item that a user often buys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsualItem {
    /// The item.
    pub item: ItemIdx,
    /// Number of the user's orders with it.
    pub orders: u32,
}

/// What a user's history shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Portrait {
    /// Number of events that it is read from.
    pub events: u32,
    /// The first of them, in milliseconds since 1970.
    pub first_ms: Option<i64>,
    /// The last of them.
    pub last_ms: Option<i64>,
    /// Categories, the strongest first.
    pub categories: Vec<Leaning>,
    /// Brands, the strongest first.
    pub brands: Vec<Leaning>,
    /// What the user pays.
    pub price_band: Option<PriceBand>,
    /// Events by hour of the day, in the store's time zone.
    pub hours: [u32; 24],
    /// Events by day of the week, Monday first.
    pub weekdays: [u32; 7],
    /// Channels with their number of events, the most used first.
    pub channels: Vec<(String, u32)>,
    /// Items in at least two orders, the most frequent first.
    pub usual_items: Vec<UsualItem>,
    /// Number of orders that `usual_items` are of.
    pub orders: u32,
}

/// The items, the channels, and the time zone.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The items.
    pub catalogue: &'a Catalogue,
    /// Names of channels.
    pub channels: &'a Channels,
    /// The store's time zone.
    pub zone: &'a TimeZone,
    /// What the user decided.
    pub decided: Option<&'a Preferences>,
}

impl Known<'_> {
    fn believes(&self, kind: &str, name: &str) -> bool {
        self.decided.is_none_or(|decided| !decided.has_removed(kind, name))
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    weight: f64,
    purchases: u32,
    others: u32,
    last_ms: i64,
}

impl Evidence {
    fn add(&mut self, other: &Self) {
        self.weight += other.weight;
        self.purchases += other.purchases;
        self.others += other.others;
        self.last_ms = self.last_ms.max(other.last_ms);
    }
}

impl Portrait {
    /// The portrait of a history as of `now_ms`.
    pub fn of(history: &[HistoryEvent], known: Known<'_>, now_ms: i64) -> Self {
        let by_item = by_item(history, now_ms);
        let mut categories: HashMap<&str, Evidence> = HashMap::new();
        let mut brands: HashMap<&str, Evidence> = HashMap::new();
        for (item, evidence) in &by_item {
            let Some(item) = known.catalogue.get(*item) else { continue };
            for category in &item.categories {
                categories.entry(category).or_default().add(evidence);
            }
            if !item.brand.is_empty() {
                brands.entry(&item.brand).or_default().add(evidence);
            }
        }

        let believes_times = known.believes(Tag::TIMES, "");
        let (hours, weekdays) = times(if believes_times { history } else { &[] }, known.zone);
        let (usual_items, orders) = usual_items(history);
        Self {
            events: history.len() as u32,
            first_ms: history.first().map(|event| event.time_ms),
            last_ms: history.last().map(|event| event.time_ms),
            categories: strongest(categories),
            brands: strongest(brands),
            price_band: price_band(history, known.catalogue)
                .filter(|_| known.believes(Tag::PRICES, "")),
            hours,
            weekdays,
            channels: channels(history, &known),
            usual_items,
            orders,
        }
    }
}

/// The mean of `value` over a user's events with items that have one; newer and stronger events count more. 0
/// without such events.
pub fn mean(history: &[HistoryEvent], now_ms: i64, value: impl Fn(ItemIdx) -> Option<f64>) -> f64 {
    let (mut sum, mut all) = (0.0, 0.0);
    for (item, evidence) in by_item(history, now_ms) {
        let Some(value) = value(item) else { continue };
        all += evidence.weight;
        sum += evidence.weight * value;
    }
    if all > 0.0 { sum / all } else { 0.0 }
}

fn by_item(history: &[HistoryEvent], now_ms: i64) -> Vec<(ItemIdx, Evidence)> {
    let weighting = Weighting { half_life_days: HALF_LIFE_DAYS, ..Weighting::default() };
    let mut items: HashMap<ItemIdx, Evidence> = HashMap::new();
    for event in history.iter().filter(|event| kind_weight(event.kind) > 0.0) {
        let is_purchase = event.kind == EventKind::Purchase;
        let weight = kind_weight(event.kind) * weighting.fade(event.time_ms, now_ms);
        items.entry(event.item).or_default().add(&Evidence {
            weight: f64::from(weight),
            purchases: u32::from(is_purchase),
            others: u32::from(!is_purchase),
            last_ms: event.time_ms,
        });
    }
    let mut items: Vec<(ItemIdx, Evidence)> = items.into_iter().collect();
    // Sums of floating-point numbers depend on their order.
    items.sort_unstable_by_key(|item| item.0);
    items
}

fn strongest(names: HashMap<&str, Evidence>) -> Vec<Leaning> {
    let mut names: Vec<(&str, Evidence)> = names.into_iter().collect();
    names.sort_unstable_by(|a, b| b.1.weight.total_cmp(&a.1.weight).then(a.0.cmp(b.0)));
    let all: f64 = names.iter().map(|(_, evidence)| evidence.weight).sum();
    let leaning = |(name, evidence): (&str, Evidence)| Leaning {
        name: name.to_owned(),
        share: evidence.weight / all,
        purchases: evidence.purchases,
        others: evidence.others,
        last_ms: evidence.last_ms,
    };
    names.into_iter().take(MOST).map(leaning).collect()
}

fn price_band(history: &[HistoryEvent], catalogue: &Catalogue) -> Option<PriceBand> {
    let bought = history.iter().filter(|event| event.kind == EventKind::Purchase);
    let mut prices: Vec<f64> =
        bought.filter_map(|event| event.price.ln()).map(|ln| f64::from(ln).exp()).collect();
    let were_paid = !prices.is_empty();
    if !were_paid {
        let turned_to = history.iter().filter(|event| kind_weight(event.kind) > 0.0);
        prices = turned_to.filter_map(|event| catalogue.get(event.item)?.price).collect();
    }

    prices.sort_unstable_by(f64::total_cmp);
    let quarter = |n: usize| prices.get(prices.len().saturating_sub(1) * n / 4).copied();
    Some(PriceBand {
        low: quarter(1)?,
        median: quarter(2)?,
        high: quarter(3)?,
        prices: prices.len() as u32,
        were_paid,
    })
}

fn times(history: &[HistoryEvent], zone: &TimeZone) -> ([u32; 24], [u32; 7]) {
    let (mut hours, mut weekdays) = ([0; 24], [0; 7]);
    for event in history {
        let local_ms = local_ms(zone, event.time_ms);
        hours[(local_ms.rem_euclid(DAY_MS) / 3_600_000) as usize] += 1;
        // 1970-01-01 was a Thursday.
        weekdays[(local_ms.div_euclid(DAY_MS) + 3).rem_euclid(7) as usize] += 1;
    }
    (hours, weekdays)
}

fn channels(history: &[HistoryEvent], known: &Known<'_>) -> Vec<(String, u32)> {
    let mut counts = [0u32; 256];
    history.iter().for_each(|event| counts[usize::from(event.channel)] += 1);
    let used = (0..=u8::MAX).zip(counts).filter(|(_, count)| *count > 0);
    let mut used: Vec<(String, u32)> = used
        .filter_map(|(number, count)| Some((known.channels.name(number)?.to_owned(), count)))
        .filter(|(name, _)| known.believes(Tag::CHANNEL, name))
        .collect();
    used.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    used.truncate(MOST);
    used
}

fn usual_items(history: &[HistoryEvent]) -> (Vec<UsualItem>, u32) {
    let bought = history.iter().filter(|event| event.kind == EventKind::Purchase);
    let mut lines: Vec<(ItemIdx, (u32, i64))> =
        bought.map(|event| (event.item, event.together())).collect();
    lines.sort_unstable();
    lines.dedup();

    let mut orders: Vec<(u32, i64)> = lines.iter().map(|line| line.1).collect();
    orders.sort_unstable();
    orders.dedup();
    let groups = lines.chunk_by(|a, b| a.0 == b.0);
    let kept = standing(history);
    let mut items: Vec<UsualItem> = groups
        .filter(|group| kept.binary_search(&group[0].0).is_ok())
        .map(|group| UsualItem { item: group[0].0, orders: group.len() as u32 })
        .filter(|usual| usual.orders > 1)
        .collect();
    items.sort_by(|a, b| b.orders.cmp(&a.orders).then(a.item.cmp(&b.item)));
    items.truncate(MOST);
    (items, orders.len() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Item, Price};

    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (idx, category, brand, price) in [
            (0, "tea/green", "Longjing", 12.0),
            (1, "tea/black", "Keemun", 30.0),
            (2, "cups", "", 8.0),
        ] {
            let item = Item {
                categories: vec![category.into()],
                brand: brand.into(),
                price: Some(price),
                ..Item::default()
            };
            catalogue.upsert(idx, &item, None);
        }
        catalogue
    }

    fn event(kind: EventKind, item: u32, hour: i64, basket: u32) -> HistoryEvent {
        let price = Price::new((kind == EventKind::Purchase).then_some(10.0));
        HistoryEvent {
            basket,
            price,
            channel: 1,
            ..HistoryEvent::new(kind, item, hour * 3_600_000)
        }
    }

    #[test]
    fn traits_have_their_evidence() {
        let (catalogue, mut channels) = (catalogue(), Channels::default());
        channels.intern("app");
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let known =
            Known { catalogue: &catalogue, channels: &channels, zone: &zone, decided: None };
        let history = [
            event(EventKind::View, 1, 2, 0),
            event(EventKind::Purchase, 0, 24, 1),
            event(EventKind::Purchase, 2, 24, 1),
            event(EventKind::Purchase, 0, 48, 2),
            event(EventKind::Refund, 2, 50, 0),
        ];
        let portrait = Portrait::of(&history, known, 50 * 3_600_000);
        let green = &portrait.categories[0];
        assert_eq!((green.name.as_str(), green.purchases, green.others), ("tea/green", 2, 0));
        assert!((green.share - 2.0 / 3.2).abs() < 0.01, "{}", green.share);
        assert_eq!(
            portrait.brands.iter().map(|b| b.name.as_str()).collect::<Vec<_>>(),
            ["Longjing", "Keemun"]
        );
        assert_eq!((portrait.hours[8], portrait.hours[10], portrait.weekdays[3]), (3, 2, 1));
        assert_eq!(portrait.channels, [("app".to_owned(), 5)]);
        assert_eq!(
            (portrait.usual_items.as_slice(), portrait.orders),
            (&[UsualItem { item: 0, orders: 2 }][..], 2)
        );
        let band = portrait.price_band.unwrap();
        assert!(
            band.were_paid && band.prices == 3 && (band.median - 10.0).abs() < 0.01,
            "{band:?}"
        );
    }

    #[test]
    fn a_user_without_purchases_has_the_prices_they_turned_to() {
        let (catalogue, channels) = (catalogue(), Channels::default());
        let known = Known {
            catalogue: &catalogue,
            channels: &channels,
            zone: &TimeZone::UTC,
            decided: None,
        };
        let history = [event(EventKind::View, 0, 1, 0), event(EventKind::View, 1, 2, 0)];
        let portrait = Portrait::of(&history, known, 0);
        let band = portrait.price_band.unwrap();
        assert_eq!((band.low, band.median, band.high, band.were_paid), (12.0, 12.0, 12.0, false));
        let none = Portrait::of(&[], known, 0);
        assert_eq!((none.price_band, none.categories.len(), none.first_ms), (None, 0, None));
    }
}
