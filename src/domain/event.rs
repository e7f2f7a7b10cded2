//! An event: a fact of the log.

use serde::{Deserialize, Serialize};

use super::{Violation, limits};

/// What a user did with an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Viewed its page.
    View,
    /// Added it to the cart.
    AddToCart,
    /// Marked it as a favourite.
    Favorite,
    /// Bought it.
    Purchase,
    /// Returned it, which cancels a purchase.
    Refund,
    /// Rated it.
    Rating,
    /// Was shown it in a list.
    Impression,
    /// Clicked it in a list.
    Click,
    /// Does not want to see it.
    Hide,
}

/// What a user does not want to see: how far [`EventKind::Hide`] reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HideScope {
    /// The item alone.
    #[default]
    Item,
    /// Every item of its group.
    Group,
    /// Every item of its most specific category.
    Category,
}

impl HideScope {
    /// Every scope.
    pub const ALL: [HideScope; 3] = [HideScope::Item, HideScope::Group, HideScope::Category];

    /// Its name in import files.
    pub fn name(self) -> &'static str {
        match self {
            HideScope::Item => "item",
            HideScope::Group => "group",
            HideScope::Category => "category",
        }
    }
}

impl EventKind {
    /// Every kind, in the order of the protocol.
    pub const ALL: [EventKind; 9] = [
        EventKind::View,
        EventKind::AddToCart,
        EventKind::Favorite,
        EventKind::Purchase,
        EventKind::Refund,
        EventKind::Rating,
        EventKind::Impression,
        EventKind::Click,
        EventKind::Hide,
    ];

    /// Whether histories and trainings read it: what a user is shown, or hides, is no behaviour.
    pub fn is_behaviour(self) -> bool {
        !matches!(self, EventKind::Impression | EventKind::Hide)
    }

    /// The kind's name in logs and import files.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::View => "view",
            EventKind::AddToCart => "add_to_cart",
            EventKind::Favorite => "favorite",
            EventKind::Purchase => "purchase",
            EventKind::Refund => "refund",
            EventKind::Rating => "rating",
            EventKind::Impression => "impression",
            EventKind::Click => "click",
            EventKind::Hide => "hide",
        }
    }

    /// Parses a name as logs spell it, including common synonyms.
    pub fn parse(name: &str) -> Option<EventKind> {
        let name = name.trim().to_ascii_lowercase();
        Some(match name.as_str() {
            "view" | "pageview" | "page_view" | "pv" | "detail_page_view" => EventKind::View,
            "add_to_cart" | "addtocart" | "add-to-cart" | "cart" => EventKind::AddToCart,
            "favorite" | "favourite" | "fav" | "like" | "wishlist" => EventKind::Favorite,
            "purchase" | "buy" | "bought" | "order" | "transaction" | "sale" => EventKind::Purchase,
            "refund" | "return" | "cancel" => EventKind::Refund,
            "rating" | "rate" | "review" => EventKind::Rating,
            "impression" | "show" => EventKind::Impression,
            "click" => EventKind::Click,
            "hide" | "dislike" | "not_interested" => EventKind::Hide,
            _ => return None,
        })
    }
}

/// An event with external ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Client's id, which makes a retry harmless; may be empty.
    pub event_id: String,
    /// The kind.
    pub kind: EventKind,
    /// The user.
    pub user_id: String,
    /// The item.
    pub item_id: String,
    /// Milliseconds since 1970.
    pub time_ms: i64,
    /// Number of items; greater than 0.
    pub quantity: f64,
    /// Price of one, in the store's currency.
    pub price: Option<f64>,
    /// Basket, order or invoice; may be empty.
    pub basket_id: String,
    /// Visit; may be empty.
    pub session_id: String,
    /// The answer that led to the event; may be empty.
    pub recommendation_id: String,
    /// Channel; may be empty.
    pub channel: String,
    /// The rating given, for [`EventKind::Rating`].
    pub rating: Option<f64>,
    /// How long the page was looked at, in milliseconds, for [`EventKind::View`].
    pub dwell_ms: Option<u32>,
    /// How far it reaches, for [`EventKind::Hide`].
    pub scope: HideScope,
    /// Why, in the user's or the shop's words, for [`EventKind::Hide`]; may be empty.
    pub reason: String,
    /// The user's review, for [`EventKind::Rating`]; may be empty.
    pub review: String,
    /// What the review says by the shop's own model, -1 to 1, for [`EventKind::Rating`].
    pub sentiment: Option<f64>,
}

impl Event {
    /// An event with the required fields, quantity 1, and no other field.
    pub fn new(kind: EventKind, user_id: &str, item_id: &str, time_ms: i64) -> Self {
        Self {
            event_id: String::new(),
            kind,
            user_id: user_id.to_owned(),
            item_id: item_id.to_owned(),
            time_ms,
            quantity: 1.0,
            price: None,
            basket_id: String::new(),
            session_id: String::new(),
            recommendation_id: String::new(),
            channel: String::new(),
            rating: None,
            dwell_ms: None,
            scope: HideScope::Item,
            reason: String::new(),
            review: String::new(),
            sentiment: None,
        }
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.event_id,
            &self.user_id,
            &self.item_id,
            &self.basket_id,
            &self.session_id,
            &self.recommendation_id,
            &self.channel,
            &self.reason,
            &self.review,
        ];
        size_of::<Event>() + texts.iter().map(|text| text.len()).sum::<usize>()
    }

    /// Checks every limit; the violation names the field.
    pub fn validate(&self, now_ms: i64) -> Result<(), Violation> {
        limits::new_id("user_id", &self.user_id)?;
        limits::new_id("item_id", &self.item_id)?;
        limits::time("time", self.time_ms, now_ms)?;
        limits::number("quantity", self.quantity, f64::MIN_POSITIVE, limits::MAX_QUANTITY)
            .map_err(|_| {
                let message = format!(
                    "must be greater than 0, up to 1000000000, was {}",
                    limits::figure(self.quantity)
                );
                Violation::new("quantity", message)
            })?;

        if let Some(price) = self.price {
            limits::number("price", price, 0.0, limits::MAX_PRICE)?;
        }

        if self.rating.is_some_and(|r| !r.is_finite()) {
            return Err(Violation::new("rating", "must be a finite number"));
        }

        if self.kind != EventKind::Rating && (!self.review.is_empty() || self.sentiment.is_some()) {
            return Err(Violation::new("review", "is of events of the kind RATING only"));
        }
        limits::text("review.text", &self.review, limits::MAX_REVIEW_BYTES)?;
        if let Some(sentiment) = self.sentiment {
            limits::number("review.sentiment", sentiment, -1.0, 1.0)?;
        }
        if self.dwell_ms.is_some() && self.kind != EventKind::View {
            return Err(Violation::new("dwell_ms", "is of events of the kind VIEW only"));
        }

        for (field, value) in [
            ("hide.reason", &self.reason),
            ("event_id", &self.event_id),
            ("basket_id", &self.basket_id),
            ("session_id", &self.session_id),
            ("recommendation_id", &self.recommendation_id),
            ("channel", &self.channel),
        ] {
            limits::optional_id(field, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_from_its_name() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(kind.name()), Some(kind));
        }
        assert_eq!(EventKind::parse("teleport"), None);
    }

    #[test]
    fn limits_are_checked_field_by_field() {
        let good = Event::new(EventKind::Purchase, "u", "i", 0);
        assert_eq!(good.validate(0), Ok(()));
        let field = |event: Event| event.validate(0).unwrap_err().field;
        assert_eq!(field(Event { user_id: String::new(), ..good.clone() }), "user_id");
        assert_eq!(field(Event { item_id: "i".repeat(300), ..good.clone() }), "item_id");
        assert_eq!(field(Event { quantity: 0.0, ..good.clone() }), "quantity");
        assert_eq!(field(Event { quantity: f64::NAN, ..good.clone() }), "quantity");
        assert_eq!(field(Event { price: Some(-1.0), ..good.clone() }), "price");
        assert_eq!(field(Event { rating: Some(f64::INFINITY), ..good.clone() }), "rating");
        assert_eq!(field(Event { review: "good".into(), ..good.clone() }), "review");
        let rating = Event { kind: EventKind::Rating, ..good.clone() };
        let long = "x".repeat(limits::MAX_REVIEW_BYTES + 1);
        assert_eq!(field(Event { review: long, ..rating.clone() }), "review.text");
        assert_eq!(field(Event { sentiment: Some(1.5), ..rating }), "review.sentiment");
        assert_eq!(field(Event { channel: "c".repeat(257), ..good.clone() }), "channel");
        assert_eq!(field(Event { time_ms: i64::MAX, ..good }), "time");
    }
}
