//! Events from the protocol.

use super::{convert, pb};
use crate::domain::{Event, EventKind, HideScope, Violation};

/// An event that is valid at `now_ms`, which is its time where it names none.
///
/// # Errors
/// The field that breaks a limit.
pub fn event(given: pb::Event, now_ms: i64) -> Result<Event, Violation> {
    let has_hide = given.hide.is_some();
    let hide = given.hide.unwrap_or_default();
    let review = given.review.unwrap_or_default();
    let event = Event {
        kind: kind(given.kind)?,
        time_ms: match &given.time {
            Some(time) => convert::milliseconds("time", time)?,
            None => now_ms,
        },
        event_id: given.event_id,
        user_id: given.user_id,
        item_id: given.item_id,
        quantity: given.quantity.unwrap_or(1.0),
        price: given.price,
        basket_id: given.basket_id,
        session_id: given.session_id,
        recommendation_id: given.recommendation_id,
        channel: given.channel,
        rating: given.rating,
        dwell_ms: given.dwell_ms,
        scope: scope(hide.scope)?,
        reason: hide.reason,
        review: review.text,
        sentiment: review.sentiment,
    };

    if has_hide && event.kind != EventKind::Hide {
        return Err(Violation::new("hide", "is of events of the kind HIDE only"));
    }
    event.validate(now_ms)?;
    Ok(event)
}

fn kind(value: i32) -> Result<EventKind, Violation> {
    match pb::EventKind::try_from(value) {
        Ok(pb::EventKind::View) => Ok(EventKind::View),
        Ok(pb::EventKind::AddToCart) => Ok(EventKind::AddToCart),
        Ok(pb::EventKind::Favorite) => Ok(EventKind::Favorite),
        Ok(pb::EventKind::Purchase) => Ok(EventKind::Purchase),
        Ok(pb::EventKind::Refund) => Ok(EventKind::Refund),
        Ok(pb::EventKind::Rating) => Ok(EventKind::Rating),
        Ok(pb::EventKind::Impression) => Ok(EventKind::Impression),
        Ok(pb::EventKind::Click) => Ok(EventKind::Click),
        Ok(pb::EventKind::Hide) => Ok(EventKind::Hide),
        Ok(pb::EventKind::Unspecified) | Err(_) => {
            Err(Violation::new("kind", format!("must be 1 to 9, was {value}")))
        }
    }
}

fn scope(value: i32) -> Result<HideScope, Violation> {
    match pb::HideScope::try_from(value) {
        Ok(pb::HideScope::Unspecified | pb::HideScope::Item) => Ok(HideScope::Item),
        Ok(pb::HideScope::Group) => Ok(HideScope::Group),
        Ok(pb::HideScope::Category) => Ok(HideScope::Category),
        Err(_) => Err(Violation::new("hide.scope", format!("must be 0 to 3, was {value}"))),
    }
}
