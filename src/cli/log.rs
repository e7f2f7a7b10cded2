//! `qianmian log`

use std::collections::VecDeque;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Failure, check_readable, output};
use crate::config::Config;
use crate::domain::EventKind;
use crate::domain::quote::printable;
use crate::store::{Entry, Record, StoreFolder, replay_beside};

/// Print the newest records of the log, or its figures; a server may have the data folder open
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  qianmian log tail -n 20 --data DIR\n  qianmian log stats --data DIR"
)]
pub struct Log {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The newest records, oldest first
    Tail {
        /// Number of records
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        records: u32,
        /// Print a JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Records and events by kind, users, items, times and files
    Stats {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl Log {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        check_readable(config)?;
        let folder = StoreFolder::beside(&config.data, &config.store)?;
        match self.what {
            What::Tail { records, json } => tail(&folder, records as usize, json),
            What::Stats { json } => stats(&folder, json),
        }
    }
}

/// A record as it is printed.
struct Line {
    offset: u64,
    what: &'static str,
    user: Option<u32>,
    item: Option<u32>,
    time_ms: Option<i64>,
    more: String,
}

impl Line {
    fn of(offset: u64, record: &Record<'_>) -> Self {
        let (user, item) = record.names();
        let line = Self { offset, what: "", user, item, time_ms: None, more: String::new() };

        match record {
            Record::Event(event) => Self {
                what: event.kind.name(),
                time_ms: Some(event.time_ms),
                more: event.basket_id.to_owned(),
                ..line
            },
            Record::Item(..) => Self { what: "item", ..line },
            Record::ItemAvailable(_, available) => {
                Self { what: "availability", more: available.to_string(), ..line }
            }
            Record::ItemDeleted(_) => Self { what: "item deleted", ..line },
            Record::User(..) => Self { what: "user", ..line },
            Record::Linked(..) => Self { what: "link", ..line },
            Record::Unlinked(_) => Self { what: "unlink", ..line },
            Record::Contacted(..) => Self { what: "contact", ..line },
            Record::Preferences(..) => Self { what: "user decision", ..line },
            Record::Erased(_, time_ms) => {
                Self { what: "user erased", time_ms: Some(*time_ms), ..line }
            }
            Record::Imported(_) => Self { what: "import", ..line },
            Record::Gone => Self { what: "gone", ..line },
            Record::Exposure(exposure) => Self {
                what: "exposure",
                time_ms: Some(exposure.time_ms),
                item: None,
                more: format!("{}, {} items", exposure.placement, exposure.items.len()),
                ..line
            },
            Record::TakenIn(position) => Self {
                what: "taken in",
                more: format!("{} {} up to {}", position.topic, position.partition, position.next),
                ..line
            },
            Record::Decision(decision) => Self {
                what: "decision",
                time_ms: Some(decision.time_ms),
                more: format!("{} {}", decision.kind, decision.version),
                ..line
            },
        }
    }
}

fn tail(folder: &StoreFolder, records: usize, json: bool) -> Result<(), Failure> {
    let (mut users, mut items) = (Vec::new(), Vec::new());
    let mut lines: VecDeque<Line> = VecDeque::new();
    replay_beside(&folder.log(), folder.is_proven(), &mut |entry| match entry {
        Entry::User(id) => users.push(id.to_owned()),
        Entry::Item(id) => items.push(id.to_owned()),
        Entry::Record(offset, record) => {
            if lines.len() == records {
                lines.pop_front();
            }
            lines.push_back(Line::of(offset, &record));
        }
    })?;

    let id = |ids: &[String], idx: Option<u32>| {
        idx.and_then(|idx| ids.get(idx as usize).cloned()).unwrap_or_default()
    };
    if json {
        for line in &lines {
            let (user, item) = (id(&users, line.user), id(&items, line.item));
            let Line { offset, what, time_ms, more, .. } = line;
            let object = json!({"offset": offset, "what": what, "user": user, "item": item, "time_ms": time_ms, "more": more});
            println!("{object}");
        }
        return Ok(());
    }

    let rows = lines.iter().map(|line| {
        let time = line.time_ms.map(|ms| output::moment(Some(ms.div_euclid(1_000))));
        vec![
            line.offset.to_string(),
            time.unwrap_or_default(),
            line.what.to_owned(),
            id(&users, line.user),
            id(&items, line.item),
            line.more.clone(),
        ]
    });
    let header = ["offset", "time", "what", "user", "item", "more"];
    println!("{}", output::table(&header, &["offset"], rows.collect()));
    Ok(())
}

fn stats(folder: &StoreFolder, json: bool) -> Result<(), Failure> {
    let mut kinds = [0_u64; EventKind::ALL.len()];
    let (mut users, mut items, mut erased) = (0_u64, 0_u64, 0_u64);
    let (mut records, mut first_ms, mut last_ms) = (0_u64, i64::MAX, i64::MIN);
    replay_beside(&folder.log(), folder.is_proven(), &mut |entry| match entry {
        Entry::User("") => erased += 1,
        Entry::User(_) => users += 1,
        Entry::Item(_) => items += 1,
        Entry::Record(_, record) => {
            records += 1;
            if let Record::Event(event) = record {
                kinds[event.kind as usize] += 1;
                first_ms = first_ms.min(event.time_ms);
                last_ms = last_ms.max(event.time_ms);
            }
        }
    })?;

    let (bytes, segments) = folder.log_size();
    let events: u64 = kinds.iter().sum();
    let time = |ms: i64| (events > 0).then(|| output::moment(Some(ms.div_euclid(1_000))));
    let (first, last) = (time(first_ms), time(last_ms));
    let named = EventKind::ALL.iter().zip(kinds).filter(|(_, n)| *n > 0);
    if json {
        let kinds: serde_json::Map<_, _> =
            named.map(|(kind, n)| (kind.name().to_owned(), n.into())).collect();
        return output::json(&json!({
            "records": records, "events": events, "kinds": kinds, "users": users, "items": items,
            "erased_users": erased, "first": first, "last": last, "bytes": bytes,
            "segments": segments,
        }));
    }

    let mut rows = vec![("records", records), ("events", events)];
    rows.extend(named.map(|(kind, n)| (kind.name(), n)));
    rows.extend([("users", users), ("erased users", erased), ("items", items)]);
    rows.extend([("files", segments as u64), ("bytes", bytes)]);
    let rows = rows.into_iter().map(|(what, n)| vec![what.to_owned(), n.to_string()]).collect();
    println!("{}", output::table(&["log", "count"], &["count"], rows));
    if let (Some(first), Some(last)) = (first, last) {
        println!("\ntimes from {} to {}", printable(&first), printable(&last));
    }
    Ok(())
}
