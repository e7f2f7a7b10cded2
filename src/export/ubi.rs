//! What was shown and what users did, in the fields of User Behavior Insights (UBI) 1.3 of OpenSearch, so that
//! its dashboards read them: `ubi_queries.ndjson`, a line for every list, and `ubi_events.ndjson`, one for
//! every event. A list stands for a query: its id is `query_id`, the user `client_id`, its placement
//! `user_query`.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{BufWriter, Write};

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ExportError;
use super::reading::Reading;
use crate::domain::ItemIdx;
use crate::store::{Entry, Exposure, Record, StoredEvent, replay};

/// Lists whose items' positions are known to later events: the newest.
const LISTS: usize = 1_000_000;
/// The name of the application, and of the field with the ids of items.
const APPLICATION: &str = "qianmian";
const OBJECT_ID_FIELD: &str = "item_id";

/// Number of lines written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WrittenUbi {
    /// Lists.
    pub queries: u64,
    /// Events.
    pub events: u64,
}

/// Items of lists by the lists' ids.
#[derive(Default)]
struct Shown {
    lists: HashMap<u128, Vec<ItemIdx>>,
    order: VecDeque<u128>,
}

impl Shown {
    fn note(&mut self, shown: &Exposure<'_>) {
        if self.order.len() == LISTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.lists.remove(&oldest);
        }
        self.order.push_back(shown.recommendation_id);
        self.lists.insert(shown.recommendation_id, shown.items.clone());
    }

    /// The position of an item in a list, from 1.
    fn position(&self, list: &str, item: ItemIdx) -> Option<usize> {
        let id = Uuid::parse_str(list).ok()?.as_u128();
        Some(1 + self.lists.get(&id)?.iter().position(|&shown| shown == item)?)
    }
}

impl Reading {
    /// Writes lists and events. A list of a user who withdrew their consent names no one.
    ///
    /// # Errors
    /// See [`ExportError`].
    pub fn ubi(&self, queries: File, events: File) -> Result<WrittenUbi, ExportError> {
        let mut queries = BufWriter::new(queries);
        let mut events = BufWriter::new(events);
        let mut shown = Shown::default();
        let mut written = WrittenUbi::default();
        let mut failed = Ok(());

        let end = self.live.offset();
        replay(&self.folder.log(), end, &mut |entry| {
            if failed.is_err() {
                return;
            }
            let line = |file: &mut BufWriter<File>, value: Value| writeln!(file, "{value}");
            match entry {
                Entry::Record(offset, Record::Exposure(list)) if offset < end => {
                    shown.note(&list);
                    written.queries += 1;
                    failed = line(&mut queries, self.query(&list));
                }
                Entry::Record(offset, Record::Event(event)) if offset < end => {
                    let event = StoredEvent { user: self.live.resolved(event.user), ..event };
                    if self.is_exported(&event) {
                        written.events += 1;
                        failed = line(&mut events, self.event(&event, &shown));
                    }
                }
                _ => {}
            }
        })?;
        let flushed = failed.and_then(|()| queries.flush()).and_then(|()| events.flush());
        flushed.map_err(|error| ExportError::Write(error.to_string()))?;
        Ok(written)
    }

    fn query(&self, list: &Exposure<'_>) -> Value {
        let users = self.live.users.read();
        let items = self.live.items.read();
        let user = list.user.map(|user| self.live.resolved(user));
        let consenting = user.filter(|&user| self.live.profiles.read().consents(user));
        let client = consenting.map_or("", |user| users.id(user));
        let hits: Vec<&str> = list.items.iter().map(|&item| items.id(item)).collect();
        json!({
            "application": APPLICATION,
            "query_id": Uuid::from_u128(list.recommendation_id).to_string(),
            "client_id": client,
            "timestamp": moment(list.time_ms),
            "user_query": list.placement,
            "object_id_field": OBJECT_ID_FIELD,
            "query_response_hit_ids": hits,
            "query_attributes": {
                "placement": list.placement,
                "variant": list.variant,
                "generation": list.generation,
            },
        })
    }

    fn event(&self, event: &StoredEvent<'_>, shown: &Shown) -> Value {
        let users = self.live.users.read();
        let items = self.live.items.read();
        let mut attributes = json!({
            "object": { "object_id": items.id(event.item), "object_id_field": OBJECT_ID_FIELD },
        });

        if let Some(position) = shown.position(event.recommendation_id, event.item) {
            attributes["position"] = json!({ "ordinal": position });
        }
        for (name, value) in [
            ("price", event.price),
            ("quantity", Some(event.quantity)),
            ("dwell_ms", event.dwell_ms.map(f64::from)),
        ] {
            if let Some(value) = value {
                attributes[name] = json!(value);
            }
        }
        if !event.session_id.is_empty() {
            attributes["session_id"] = json!(event.session_id);
        }

        json!({
            "application": APPLICATION,
            "action_name": event.kind.name(),
            "query_id": event.recommendation_id,
            "client_id": users.id(event.user),
            "timestamp": moment(event.time_ms),
            "event_attributes": attributes,
        })
    }
}

/// A time as RFC 3339 has it.
fn moment(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).unwrap_or_default().to_string()
}
