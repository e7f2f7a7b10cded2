//! Converts a row to an event, an item or a user, or refuses it with a reason.

use super::event_names::Named;
use super::fields::{Fields, breaks_a_limit};
use super::{Column, Dialect, Refusal, Row};
use crate::domain::quote::quoted;
use crate::domain::{
    Event, EventKind, HideScope, Item, ItemChange, ItemField, UserChange, Validity, Violation,
    limits,
};

/// A converted row, and the fields that were dropped.
#[derive(Debug)]
pub struct Converted<T> {
    /// The result.
    pub value: T,
    /// Optional fields that could not be read.
    pub dropped: Vec<Refusal>,
}

/// An event, and the row's data on its item.
#[derive(Debug)]
pub struct EventRow<'a> {
    /// The event.
    pub event: Event,
    /// The item's title, if the row has one.
    pub title: Option<&'a str>,
    /// The item's category, if the row has one.
    pub category: Option<&'a str>,
    /// The item's brand; empty without one.
    pub brand: String,
}

/// Why a row has no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoEvent {
    /// It cannot be read.
    Refused(Refusal),
    /// It is valid but left out, for this reason.
    Skipped(String),
}

impl From<Refusal> for NoEvent {
    fn from(refusal: Refusal) -> Self {
        NoEvent::Refused(refusal)
    }
}

/// Converts a row to an event. In a file without a column for events it is a purchase, or a refund
/// where the quantity is negative. A quantity that is absent or 0 counts as 1.
///
/// # Errors
/// The required column that cannot be read or breaks a limit; or the reason why the event is left
/// out.
pub fn event<'a>(
    row: &'a Row,
    dialect: &'a Dialect,
    now_ms: i64,
) -> Result<Converted<EventRow<'a>>, NoEvent> {
    let mut fields = Fields::new(row, dialect);
    let time_ms = fields.required_time(Column::Timestamp)?;
    let user = fields.required(Column::UserId)?;
    let item = fields.required(Column::ItemId)?;
    let named = kind(&fields, row, dialect)?;

    let max = limits::MAX_QUANTITY;
    let quantity = fields.number(Column::Quantity, -max, max);
    let signed = row.get(Column::Quantity).filter(|text| text.contains(['-', '−', '–', '－', '(']));
    if let (None, None, Some(text)) = (named, quantity, signed) {
        // Without its sign a return would count as a purchase.
        return Err(Refusal::new("quantity is below 0 and cannot be read", quoted(text)).into());
    }

    let kind = match (named, quantity) {
        (Some(kind), _) => kind,
        (None, Some(quantity)) if quantity < 0.0 => EventKind::Refund,
        (None, _) => EventKind::Purchase,
    };

    let mut event = Event::new(kind, user, item, time_ms);
    event.quantity = match quantity {
        None => 1.0,
        Some(quantity) if quantity > 0.0 || kind == EventKind::Refund && quantity < 0.0 => {
            quantity.abs()
        }
        Some(quantity) => {
            let reason = "quantity is 0, or below it without a refund";
            fields.drop(Refusal::new(reason, limits::figure(quantity)));
            1.0
        }
    };

    event.price = fields.number(Column::Price, 0.0, limits::MAX_PRICE);
    event.rating = fields.number(Column::Rating, f64::MIN, f64::MAX);
    event.basket_id = fields.id(Column::BasketId);
    event.session_id = fields.id(Column::SessionId);
    event.event_id = fields.id(Column::EventId);
    event.channel = fields.id(Column::Channel);
    event.recommendation_id = fields.id(Column::RecommendationId);
    if kind == EventKind::View {
        let dwell_ms = fields.number(Column::DwellMs, 0.0, u32::MAX.into());
        event.dwell_ms = dwell_ms.map(|ms| ms as u32);
    }
    if kind == EventKind::Hide {
        event.scope = hide_scope(&mut fields);
        event.reason = fields.id(Column::HideReason);
    }
    if kind == EventKind::Rating {
        let review = fields.text_within(Column::Review, limits::MAX_REVIEW_BYTES);
        event.review = review.map(str::to_owned).unwrap_or_default();
        event.sentiment = fields.number(Column::Sentiment, -1.0, 1.0);
    }
    event.validate(now_ms).map_err(breaks_a_limit)?;

    let title = fields.text_within(Column::Title, limits::MAX_TITLE_BYTES);
    let category = fields.text(Column::Category);
    let brand = fields.id(Column::Brand);
    let value = EventRow { event, title, category, brand };
    Ok(Converted { value, dropped: fields.into_dropped() })
}

/// How far an event that hides reaches; the item alone where the row does not say.
fn hide_scope(fields: &mut Fields<'_>) -> HideScope {
    let Some(name) = fields.text(Column::HideScope) else { return HideScope::Item };
    let named = HideScope::ALL.into_iter().find(|scope| scope.name() == name);
    named.unwrap_or_else(|| {
        fields.drop(Refusal::new("hide_scope is none of item, group, category", quoted(name)));
        HideScope::Item
    })
}

/// The kind in a row; none where its file has no column for it.
fn kind(fields: &Fields<'_>, row: &Row, dialect: &Dialect) -> Result<Option<EventKind>, NoEvent> {
    if !row.is_in_file(Column::Event) {
        return Ok(None);
    }

    let name = fields.required(Column::Event)?;
    match dialect.events.named(name) {
        Some(Named::Kind(kind)) => Ok(Some(kind)),
        Some(Named::Skipped) => Err(NoEvent::Skipped(format!("event {}", quoted(name)))),
        None => {
            let help = "name its kind: --event-map NAME=KIND, or *=skip";
            let refusal = Refusal::new("event is of an unknown kind", quoted(name));
            Err(refusal.with_help(help).into())
        }
    }
}

/// Converts a row to an item: its id, and the fields that the row sets. Fields without a column, or
/// without a readable value, keep their values.
///
/// # Errors
/// Where the id cannot be read or breaks a limit.
pub fn item(row: &Row, dialect: &Dialect) -> Result<Converted<(String, ItemChange)>, Refusal> {
    let mut fields = Fields::new(row, dialect);
    let id = fields.required(Column::ItemId)?;
    limits::new_id("item_id", id).map_err(breaks_a_limit)?;

    let available = fields.available()?;
    let item = Item {
        title: fields.text_within(Column::Title, limits::MAX_TITLE_BYTES).unwrap_or("").to_owned(),
        categories: fields.words(Column::Category, limits::MAX_CATEGORIES),
        brand: fields.id(Column::Brand),
        price: fields.number(Column::Price, 0.0, limits::MAX_PRICE),
        tags: fields.words(Column::Tags, limits::MAX_TAGS),
        available: available.unwrap_or(true),
        validity: validity(&mut fields),
        description: fields
            .text_within(Column::Description, limits::MAX_DESCRIPTION_BYTES)
            .unwrap_or("")
            .to_owned(),
        group_id: fields.id(Column::GroupId),
        margin: fields.number(Column::Margin, -limits::MAX_PRICE, limits::MAX_PRICE),
        ..Item::default()
    };

    let columns = [
        (Column::Title, ItemField::Title, !item.title.is_empty()),
        (Column::Category, ItemField::Categories, !item.categories.is_empty()),
        (Column::Brand, ItemField::Brand, !item.brand.is_empty()),
        (Column::Price, ItemField::Price, item.price.is_some()),
        (Column::Tags, ItemField::Tags, !item.tags.is_empty()),
        (Column::Available, ItemField::Available, available.is_some()),
        (Column::ValidFrom, ItemField::ValidFrom, item.validity.from_ms.is_some()),
        (Column::ValidUntil, ItemField::ValidUntil, item.validity.until_ms.is_some()),
        (Column::Description, ItemField::Description, !item.description.is_empty()),
        (Column::GroupId, ItemField::GroupId, !item.group_id.is_empty()),
        (Column::Margin, ItemField::Margin, item.margin.is_some()),
    ];

    let mut said = ItemChange::of(item);
    for (column, field, read) in columns {
        // An empty cell clears a field; an unreadable one keeps it. An empty stock does not mean
        // that the item is available.
        let cleared = column != Column::Available && row.has(column) && fields.is_empty(column);
        if read || cleared {
            said.add(field);
        }
    }

    for (name, value) in fields.attributes(item_attribute) {
        said.add_attribute(&name);
        said.item.attributes.extend(value.map(|value| (name, value)));
    }
    Ok(Converted { value: (id.to_owned(), said), dropped: fields.into_dropped() })
}

/// Start and end of the validity; neither where they contradict each other.
fn validity(fields: &mut Fields<'_>) -> Validity {
    let from_ms = fields.moment(Column::ValidFrom);
    let until_ms = fields.moment(Column::ValidUntil);
    let validity = Validity { from_ms, until_ms };
    match validity.validate() {
        Ok(()) => validity,
        Err(violation) => {
            fields.drop(breaks_a_limit(violation));
            Validity::default()
        }
    }
}

/// Converts a row to a user: their id, and the fields that the row sets; the others keep their
/// values.
///
/// # Errors
/// Where the id or the consent cannot be read or breaks a limit.
pub fn user(row: &Row, dialect: &Dialect) -> Result<Converted<(String, UserChange)>, Refusal> {
    let mut fields = Fields::new(row, dialect);
    let id = fields.required(Column::UserId)?;
    limits::new_id("user_id", id).map_err(breaks_a_limit)?;

    // Dropping an objection would allow the use of the user's events.
    let given = !fields.is_empty(Column::Consent);

    let consent = fields.flag(Column::Consent);
    if given && consent.is_none() {
        let detail = row.get(Column::Consent).map(quoted).unwrap_or_default();
        let refusal = Refusal::new("consent is neither true nor false", detail);
        return Err(refusal.with_help("use true or false, yes or no, 1 or 0"));
    }

    let attributes = fields.attributes(user_attribute).into_iter().collect();
    let change = UserChange { consent, attributes };
    Ok(Converted { value: (id.to_owned(), change), dropped: fields.into_dropped() })
}

fn item_attribute(name: &str, value: &str) -> Result<(), Violation> {
    let item = Item { attributes: [(name.to_owned(), value.to_owned())].into(), ..Item::default() };
    item.validate()
}

fn user_attribute(name: &str, value: &str) -> Result<(), Violation> {
    crate::domain::user::attributes(&[(name.to_owned(), value.to_owned())].into())
}

#[cfg(test)]
mod tests;
