//! `qianmian history`

use clap::Args;
use serde::Serialize;

use super::{Failure, check_readable, output};
use crate::config::Config;
use crate::domain::EventKind;
use crate::engine::pseudonyms::Pseudonyms;
use crate::store::{Entry, Record, StoreFolder, replay_beside};

/// Print every event of a user, oldest first; a server may have the data folder open
#[derive(Debug, Args)]
#[command(after_help = "Example, for the answer to a user who asks what is stored:\n  \
                  qianmian history 17850 --json --data DIR\n  qianmian users get 17850 --json --data DIR")]
pub struct History {
    /// The user
    user: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An event as it is printed.
#[derive(Debug, Serialize)]
struct Line {
    offset: u64,
    time: String,
    event: &'static str,
    item_id: String,
    quantity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dwell_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hide_scope: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    hide_reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    review: String,
    basket_id: String,
    session_id: String,
    event_id: String,
    recommendation_id: String,
    channel: String,
}

impl History {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        check_readable(config)?;
        let folder = StoreFolder::beside(&config.data, &config.store)?;
        let pseudonyms = Pseudonyms::new(config.privacy.pseudonym_key.reveal(), &config.store);
        folder.check_key(pseudonyms.fingerprint().as_deref())?;
        let name = pseudonyms.of(&self.user).into_owned();

        let lines = events(&folder, &name)?;
        let lines = lines.ok_or_else(|| format!("user {:?} is not known", self.user))?;
        if self.json {
            return output::json(&lines);
        }

        let rows = lines.iter().map(|line| {
            let price = line.price.map(|price| price.to_string()).unwrap_or_default();
            let offset = line.offset.to_string();
            let quantity = line.quantity.to_string();
            let event = line.event.to_owned();
            let basket = line.basket_id.clone();
            vec![offset, line.time.clone(), event, line.item_id.clone(), quantity, price, basket]
        });
        let header = ["offset", "time", "event", "item", "quantity", "price", "basket"];
        println!("{}", output::table(&header, &["offset", "quantity", "price"], rows.collect()));
        println!("\n{} events", lines.len());
        Ok(())
    }
}

/// The events of a user under their name in the store; none where it does not know them.
fn events(folder: &StoreFolder, name: &str) -> Result<Option<Vec<Line>>, Failure> {
    let mut items = Vec::new();
    let (mut users, mut user) = (0, None);
    let mut lines = Vec::new();

    replay_beside(&folder.log(), folder.is_proven(), &mut |entry| match entry {
        Entry::User(id) => {
            // An id that was erased and came back has a new idx.
            if id == name {
                user = Some(users);
                lines.clear();
            }
            users += 1;
        }
        Entry::Item(id) => items.push(id.to_owned()),
        Entry::Record(_, Record::Erased(idx, _)) if user == Some(idx) => {
            user = None;
            lines.clear();
        }
        Entry::Record(offset, Record::Event(event)) if user == Some(event.user) => {
            lines.push(Line {
                offset,
                time: output::moment(Some(event.time_ms.div_euclid(1_000))),
                event: event.kind.name(),
                item_id: items.get(event.item as usize).cloned().unwrap_or_default(),
                quantity: event.quantity,
                price: event.price,
                rating: event.rating,
                dwell_ms: event.dwell_ms,
                hide_scope: (event.kind == EventKind::Hide).then(|| event.scope.name()),
                hide_reason: event.reason.to_owned(),
                review: event.review.to_owned(),
                basket_id: event.basket_id.to_owned(),
                session_id: event.session_id.to_owned(),
                event_id: event.event_id.to_owned(),
                recommendation_id: event.recommendation_id.to_owned(),
                channel: event.channel.to_owned(),
            });
        }
        Entry::Record(..) => {}
    })?;
    Ok(user.map(|_| lines))
}
