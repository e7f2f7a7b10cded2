//! All checks over one log.

use std::collections::BTreeMap;

use super::examined::Examined;
use super::finding::{Finding, Kind};
use super::ids::Ids;
use super::orders::Orders;
use super::times::Times;
use super::users::Users;
use super::volume::Volume;
use crate::import::Refusal;

/// Examines a log, event by event.
#[derive(Debug)]
pub struct Examination {
    now_ms: i64,
    events: u64,
    times: Times,
    volume: Volume,
    users: Users,
    orders: Orders,
    ids: Ids,
    unreadable: Reasons,
    dropped: Reasons,
}

/// Numbers of rows by reason and what helps, each with an example.
type Reasons = BTreeMap<(String, &'static str), (u64, String)>;

fn note(reasons: &mut Reasons, line: u64, refusal: &Refusal) {
    let key = (refusal.reason.clone(), refusal.help);
    let example = || format!("line {line}: {}", refusal.detail);
    reasons.entry(key).or_insert_with(|| (0, example())).0 += 1;
}

/// Share of the rows that may be unreadable.
const NOISE: f64 = 0.001;

impl Examination {
    /// Begins an examination as of `now_ms`, in milliseconds since 1970.
    pub fn new(now_ms: i64) -> Self {
        Self {
            now_ms,
            events: 0,
            times: Times::default(),
            volume: Volume::default(),
            users: Users::default(),
            orders: Orders::default(),
            ids: Ids::default(),
            unreadable: Reasons::new(),
            dropped: Reasons::new(),
        }
    }

    /// Examines an event.
    pub fn event(&mut self, event: &Examined<'_>) {
        self.events += 1;
        self.times.note(event, self.now_ms);
        self.volume.note(event.time_ms);
        self.users.note(event);
        self.orders.note(event);
        self.ids.note(event);
    }

    /// Notes a row that cannot be read.
    pub fn refused(&mut self, line: u64, refusal: &Refusal) {
        note(&mut self.unreadable, line, refusal);
    }

    /// Notes a value that cannot be read, of a row that is taken without it.
    pub fn dropped(&mut self, line: u64, refusal: &Refusal) {
        note(&mut self.dropped, line, refusal);
    }

    /// Adds an item of the catalogue.
    pub fn catalogue_item(&mut self, id: &str) {
        self.ids.know(id);
    }

    /// The number of events examined.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// What was found, worst first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = self.times.findings(self.now_ms);
        // Dates that are wrong say nothing about the days around them.
        let dates = [Kind::Future, Kind::DatesEverything, Kind::ImpossibleDate];
        if !found.iter().any(|finding| dates.contains(&finding.kind)) {
            found.extend(self.volume.pulse(self.now_ms).finding());
        }
        found.extend(self.volume.gaps(self.times.bounds()));
        found.extend(self.users.findings());
        found.extend(self.orders.findings());
        found.extend(self.ids.findings());
        found.extend(self.unreadable());
        Finding::worst_first(found)
    }

    fn unreadable(&self) -> impl Iterator<Item = Finding> {
        let rows: u64 = self.unreadable.values().map(|(rows, _)| rows).sum();
        let all = (rows + self.events) as f64;
        let unreadable = self.unreadable.iter().map(|reason| (reason, "rows", "they are left out"));
        let effect = "the rows are taken without them";
        let dropped = self.dropped.iter().map(move |reason| (reason, "values", effect));
        let many = unreadable.chain(dropped);
        // A time that cannot be is a fault of a clock, however rare.
        let many = many.filter(move |(((reason, _), (rows, _)), ..)| {
            reason.contains("time") || *rows as f64 > NOISE * all
        });
        many.map(|(((reason, help), (rows, example)), what, effect)| Finding {
            kind: if reason.contains("time") { Kind::ImpossibleDate } else { Kind::Unreadable },
            what: format!("{rows} {what} cannot be read: {reason}"),
            events: *rows,
            example: example.clone(),
            effect,
            mend: match *help {
                "" => "correct them where they are written".to_owned(),
                help => help.to_owned(),
            },
        })
    }
}
