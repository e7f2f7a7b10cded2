//! A row becomes an event or an item, or is refused with a reason.

use super::{Column, Refusal, Row, timestamp};
use crate::domain::quote::quoted;
use crate::domain::{Event, EventKind, Item};

/// An event from a row. Without an event column it is a purchase, whatever
/// its quantity or price: quantities that say nothing (absent, 0) count as one.
///
/// # Errors
/// Which column cannot be read, or breaks a limit.
pub fn event(row: &Row, now_ms: i64) -> Result<Event, Refusal> {
    let required = |column: Column| {
        row.get(column).ok_or_else(|| Refusal::new(format!("{} is empty", column.name()), ""))
    };
    let time = required(Column::Timestamp)?;
    let time_ms = timestamp::parse(time)
        .ok_or_else(|| Refusal::new("timestamp cannot be read", quoted(time)))?;
    let kind = match row.get(Column::Event) {
        None => EventKind::Purchase,
        Some(name) => EventKind::parse(name)
            .ok_or_else(|| Refusal::new("event is of no known kind", quoted(name)))?,
    };
    let mut event = Event::new(kind, required(Column::UserId)?, required(Column::ItemId)?, time_ms);
    let quantity = number(row, Column::Quantity)?.unwrap_or(1.0).abs();
    event.quantity = if quantity == 0.0 { 1.0 } else { quantity };
    event.price = number(row, Column::Price)?.filter(|price| *price >= 0.0);
    event.rating = number(row, Column::Rating)?;
    let text = |column| row.get(column).unwrap_or_default().to_owned();
    event.basket_id = text(Column::BasketId);
    event.session_id = text(Column::SessionId);
    event.event_id = text(Column::EventId);
    event
        .validate(now_ms)
        .map_err(|v| Refusal::new(format!("{} breaks a limit", v.field), v.message))?;
    Ok(event)
}

/// An item from a row: its id and what the row says of it.
///
/// # Errors
/// Which column cannot be read, or breaks a limit.
pub fn item(row: &Row) -> Result<(String, Item), Refusal> {
    let id = row.get(Column::ItemId).ok_or_else(|| Refusal::new("item_id is empty", ""))?;
    let limit = |v: crate::domain::Violation| {
        Refusal::new(format!("{} breaks a limit", v.field), v.message)
    };
    crate::domain::limits::new_id("item_id", id).map_err(limit)?;
    let text = |column| row.get(column).unwrap_or_default().to_owned();
    let available = match row.get(Column::Available).map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "1" | "yes" | "t" | "y") => true,
        Some("false" | "0" | "no" | "f" | "n") => false,
        Some(other) => return Err(Refusal::new("available is neither true nor false", other)),
    };
    let item = Item {
        title: text(Column::Title),
        categories: row.get(Column::Category).map(str::to_owned).into_iter().collect(),
        brand: text(Column::Brand),
        price: number(row, Column::Price)?.filter(|price| *price >= 0.0),
        available,
        ..Item::default()
    };
    item.validate().map_err(limit)?;
    Ok((id.to_owned(), item))
}

fn number(row: &Row, column: Column) -> Result<Option<f64>, Refusal> {
    let Some(text) = row.get(column) else { return Ok(None) };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(Refusal::new(format!("{} is no number", column.name()), quoted(text))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[(Column, &str)]) -> Row {
        let mut row = Row::default();
        let defaults =
            [(Column::UserId, "u"), (Column::ItemId, "i"), (Column::Timestamp, "2020-01-01")];
        defaults.iter().chain(values).for_each(|(column, value)| row.set(*column, value));
        row
    }

    #[test]
    fn a_row_without_an_event_column_is_a_purchase_whatever_its_quantity() {
        let event =
            event(&row(&[(Column::Quantity, "0"), (Column::Price, "-3")]), 1 << 60).unwrap();
        assert_eq!((event.kind, event.quantity, event.price), (EventKind::Purchase, 1.0, None));
    }

    #[test]
    fn refusals_name_the_column() {
        let reason = |values: &[(Column, &str)]| event(&row(values), 1 << 60).unwrap_err().reason;
        assert_eq!(reason(&[(Column::Timestamp, "soon")]), "timestamp cannot be read");
        assert_eq!(reason(&[(Column::UserId, " ")]), "user_id is empty");
        assert_eq!(reason(&[(Column::ItemId, &"x".repeat(300))]), "item_id breaks a limit");
        assert_eq!(reason(&[(Column::Event, "dance")]), "event is of no known kind");
        assert_eq!(reason(&[(Column::Quantity, "many")]), "quantity is no number");
    }

    #[test]
    fn items_take_what_the_row_says() {
        let values =
            [(Column::Title, "Tea"), (Column::Category, "drinks/hot"), (Column::Available, "no")];
        let (id, item) = item(&row(&values)).unwrap();
        assert_eq!((id.as_str(), item.title.as_str(), item.available), ("i", "Tea", false));
        assert_eq!(item.categories, ["drinks/hot"]);
    }
}
