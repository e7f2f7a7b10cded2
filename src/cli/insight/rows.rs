//! Portraits as rows of a file.

use super::calls::Moment;
use crate::api::wire::pb;
use crate::export::portraits::PortraitRow;

/// The days of the forecast that a row has.
const DAYS: u32 = 90;

/// A portrait in plain columns.
pub(super) fn row(portrait: pb::Portrait) -> PortraitRow {
    let first = |names: &[pb::Leaning]| names.first().map_or(String::new(), |of| of.name.clone());
    let tiers: Vec<String> = portrait
        .tiers
        .iter()
        .filter(|tier| !tier.level.is_empty())
        .map(|tier| format!("{}:{}", tier.program, tier.level))
        .collect();
    let channel = portrait.channels.first().map_or(String::new(), |of| of.channel.clone());
    let ms = |time: &Option<Moment>| {
        time.as_ref().map(|time| time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000)
    };

    let (orders, rfm, band) = (&portrait.orders, &portrait.rfm, &portrait.price_band);
    let of_orders = |figure: fn(&pb::OrderSummary) -> f64| orders.as_ref().map(figure);
    let score = |score: fn(&pb::Rfm) -> u32| rfm.as_ref().map(score).map(f64::from);
    let price = |price: fn(&pb::PriceBand) -> f64| band.as_ref().map(price);
    let horizons = portrait.forecast.iter().flat_map(|forecast| &forecast.horizons);
    let horizon = horizons.clone().find(|horizon| horizon.days == DAYS);

    PortraitRow {
        texts: [
            portrait.user_id,
            rfm.as_ref().map_or(String::new(), |rfm| rfm.segment.clone()),
            first(&portrait.categories),
            first(&portrait.brands),
            channel,
            tiers.join(" "),
        ],

        times: [
            ms(&portrait.first_event_time),
            ms(&portrait.last_event_time),
            orders.as_ref().and_then(|orders| ms(&orders.first_time)),
            orders.as_ref().and_then(|orders| ms(&orders.last_time)),
            ms(&portrait.next_order_time),
        ],

        numbers: [
            of_orders(|orders| orders.count.into()),
            of_orders(|orders| orders.spend),
            of_orders(|orders| orders.refunded),
            of_orders(|orders| orders.mean_spend),
            of_orders(|orders| orders.mean_units),
            price(|band| band.low),
            price(|band| band.median),
            price(|band| band.high),
            score(|rfm| rfm.recency_score),
            score(|rfm| rfm.frequency_score),
            score(|rfm| rfm.monetary_score),
            portrait.forecast.as_ref().and_then(|forecast| forecast.alive),
            horizon.map(|horizon| horizon.churn_risk),
            horizon.map(|horizon| horizon.purchases),
            horizon.map(|horizon| horizon.spend),
        ],
    }
}
