//! Items between the protocol and the domain.

use super::{convert, pb};
use crate::domain::quote::quoted;
use crate::domain::{Item, Offer, Validity, Violation};

/// Whether an item is available, as a request says; yes where it says nothing.
///
/// # Errors
/// For a number that means nothing.
pub fn available(availability: i32) -> Result<bool, Violation> {
    match pb::Availability::try_from(availability) {
        Ok(pb::Availability::Unspecified | pb::Availability::Available) => Ok(true),
        Ok(pb::Availability::Unavailable) => Ok(false),
        Err(_) => {
            let message = format!("must be 0, 1 or 2, was {availability}");
            Err(Violation::new("availability", message))
        }
    }
}

/// An item and its id.
///
/// # Errors
/// The field that breaks a limit.
pub fn item(given: pb::Item) -> Result<(String, Item), Violation> {
    let item = Item {
        title: given.title,
        categories: given.categories,
        brand: given.brand,
        price: given.price,
        tags: given.tags,
        available: available(given.availability)?,
        attributes: given.attributes.into_iter().collect(),
        validity: Validity {
            from_ms: moment("valid_from", given.valid_from)?,
            until_ms: moment("valid_until", given.valid_until)?,
        },
        description: given.description,
        group_id: given.group_id,
        margin: given.margin,
        embeddings: given.embeddings.into_iter().map(|(name, e)| (name, e.values.into())).collect(),
        offers: given.offers.into_iter().map(offer).collect::<Result<_, _>>()?,
    };

    item.validate()?;
    Ok((given.item_id, item))
}

fn offer((context, given): (String, pb::Offer)) -> Result<(String, Offer), Violation> {
    let field = format!("offers[{}]", quoted(&context));
    let available = available(given.availability).map_err(|v| v.within(&field))?;
    Ok((context, Offer { available, price: given.price }))
}

fn moment(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<i64>, Violation> {
    time.map(|time| convert::milliseconds(field, &time)).transpose()
}

fn availability(available: bool) -> pb::Availability {
    if available { pb::Availability::Available } else { pb::Availability::Unavailable }
}

/// An item for an answer.
pub fn item_proto(item_id: String, item: Item) -> pb::Item {
    let offer = |offer: Offer| pb::Offer {
        availability: availability(offer.available).into(),
        price: offer.price,
    };

    pb::Item {
        item_id,
        title: item.title,
        categories: item.categories,
        brand: item.brand,
        price: item.price,
        tags: item.tags,
        availability: availability(item.available).into(),
        attributes: item.attributes.into_iter().collect(),
        valid_from: item.validity.from_ms.map(convert::timestamp),
        valid_until: item.validity.until_ms.map(convert::timestamp),
        description: item.description,
        group_id: item.group_id,
        margin: item.margin,
        embeddings: item
            .embeddings
            .into_iter()
            .map(|(name, values)| (name, pb::Embedding { values: values.to_vec() }))
            .collect(),
        offers: item.offers.into_iter().map(|(context, of)| (context, offer(of))).collect(),
    }
}
