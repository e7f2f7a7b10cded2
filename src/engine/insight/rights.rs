//! What a user may ask of the store: what it believes of them and why, and everything that it holds.

use serde_json::{Value, json};

use super::Insight;
use crate::domain::{Preferences, Result, Tag, UserIdx};
use crate::engine::directory::{Directory, not_found};
use crate::insight::portrait::Leaning;
use crate::live::Live;
use crate::store::{Entry, Exposure, Record, StoredEvent};

/// What is believed of a user, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTag {
    /// Its kind and name.
    pub tag: String,
    /// Why, in English.
    pub reason: String,
}

impl Insight {
    /// What a user decided of their data.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] for a user that the store does not know.
    pub fn preferences(&self, id: &str) -> Result<Preferences> {
        let user = self.state.user_idx(id).ok_or_else(|| not_found("user", id))?;
        let profiles = self.state.live.profiles.read();
        Ok(profiles.preferences(user).cloned().unwrap_or_default())
    }

    /// What the portrait of a user believes.
    ///
    /// # Errors
    /// As [`Insight::user`].
    pub fn tags(&self, id: &str) -> Result<Vec<UserTag>> {
        let user = self.user(id)?;
        let portrait = &user.portrait;
        let tag = |tag: String, reason: String| UserTag { tag, reason };
        let leaning = |kind: &str, of: &Leaning| {
            let Leaning { name, share, purchases, others, .. } = of;
            let share = 100.0 * share;
            let reason =
                format!("{purchases} purchases and {others} other events, {share:.0} % of all");
            tag(format!("{kind}{name}"), reason)
        };
        let mut tags: Vec<UserTag> =
            portrait.categories.iter().map(|of| leaning(Tag::CATEGORY, of)).collect();
        tags.extend(portrait.brands.iter().map(|of| leaning(Tag::BRAND, of)));
        for (name, events) in &portrait.channels {
            tags.push(tag(format!("{}{name}", Tag::CHANNEL), format!("{events} events")));
        }

        for (item, usual) in user.usual_items.iter().zip(&portrait.usual_items) {
            let reason = format!("in {} of {} orders", usual.orders, portrait.orders);
            tags.push(tag(format!("{}{item}", Tag::ITEM), reason));
        }
        if let Some(band) = &portrait.price_band {
            let reason =
                format!("{:.2} to {:.2}, from {} prices", band.low, band.high, band.prices);
            tags.push(tag(Tag::PRICES.to_owned(), reason));
        }
        if portrait.hours.iter().any(|events| *events > 0) {
            let reason = format!("hours and weekdays of {} events", portrait.events);
            tags.push(tag(Tag::TIMES.to_owned(), reason));
        }
        Ok(tags)
    }

    /// Everything that the log and live state hold about a user, but for their portrait. Reads the whole log.
    ///
    /// # Errors
    /// [`crate::domain::Error::NotFound`] for a user that the store does not know;
    /// [`crate::domain::Error::Storage`] where the log cannot be read.
    pub fn user_data(&self, id: &str) -> Result<Value> {
        let live = &self.state.live;
        let user = self.state.user_idx(id).ok_or_else(|| not_found("user", id))?;
        let mut held = Held { user, ..Held::default() };
        self.state.replay(&mut |entry| held.note(live, &entry))?;

        let profiles = live.profiles.read();
        let profile = profiles.get(user).cloned().unwrap_or_default();
        let decided = profiles.preferences(user).cloned().unwrap_or_default();
        drop(profiles);
        Ok(json!({
            "aliasIds": Directory::new(&self.state).aliases(id),
            "contacts": held.contacts,
            "userId": id,
            "profile": {"attributes": profile.attributes, "consent": profile.consent},
            "decisions": {
                "personalised": decided.personalised,
                "eventsRecorded": decided.recorded,
                "deletedTags": decided.removed_tags,
            },
            "events": held.events,
            "lists": held.lists,
        }))
    }
}

/// What the log holds about one user.
#[derive(Default)]
struct Held {
    user: UserIdx,
    /// Names of items so far.
    items: Vec<String>,
    events: Vec<Value>,
    lists: Vec<Value>,
    /// When the shop sent the user something.
    contacts: Vec<String>,
}

impl Held {
    fn note(&mut self, live: &Live, entry: &Entry<'_>) {
        let is_of = |user: UserIdx| live.resolved(user) == self.user;
        match entry {
            Entry::Item(name) => self.items.push((*name).to_owned()),
            Entry::Record(_, Record::Event(event)) if is_of(event.user) => {
                self.events.push(self.event(event));
            }
            Entry::Record(_, Record::Exposure(list)) if list.user.is_some_and(is_of) => {
                self.lists.push(self.list(list));
            }
            Entry::Record(_, Record::Contacted(user, time_ms)) if is_of(*user) => {
                self.contacts.push(moment(*time_ms));
            }
            _ => {}
        }
    }

    fn item(&self, idx: u32) -> &str {
        self.items.get(idx as usize).map_or("", String::as_str)
    }

    fn event(&self, event: &StoredEvent<'_>) -> Value {
        json!({
            "kind": event.kind.name(),
            "itemId": self.item(event.item),
            "time": moment(event.time_ms),
            "quantity": event.quantity,
            "price": event.price,
            "rating": event.rating,
            "dwellMs": event.dwell_ms,
            "eventId": event.event_id,
            "basketId": event.basket_id,
            "sessionId": event.session_id,
            "recommendationId": event.recommendation_id,
            "channel": event.channel,
            "hideScope": event.scope.name(),
            "hideReason": event.reason,
            "review": event.review,
            "sentiment": event.sentiment,
        })
    }

    fn list(&self, list: &Exposure<'_>) -> Value {
        let items: Vec<&str> = list.items.iter().map(|item| self.item(*item)).collect();
        json!({
            "recommendationId": uuid::Uuid::from_u128(list.recommendation_id).to_string(),
            "time": moment(list.time_ms),
            "placement": list.placement,
            "variant": list.variant,
            "generation": list.generation,
            "itemIds": items,
            "sources": list.sources,
            "propensities": list.propensities,
        })
    }
}

fn moment(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).unwrap_or_default().to_string()
}
