//! Users that no person could be, users that buy for others, and words that stand for no user.

use ahash::AHashMap;

use super::examined::{Examined, Sighting};
use super::finding::{Finding, Kind};
use crate::domain::EventKind;
use crate::import::fields::is_no_id;

/// Events within one hour that no person makes: one every four seconds.
const BOT_EVENTS: u32 = 900;
/// Events that a bot or a reseller has at least, and how many times those of the 99th percentile.
const ENOUGH: u64 = 500;
const TIMES: f64 = 10.0;
/// Share of all events that one placeholder has at least.
const PLACEHOLDER: f64 = 0.001;
/// Users that a finding names.
const NAMED: usize = 20;
const HOUR_MS: i64 = 3_600_000;
/// Words for users that are not known, beside those for an empty cell.
const UNKNOWN: [&str; 8] =
    ["guest", "anonymous", "anon", "unknown", "default", "test", "visitor", "n/a"];

/// What is noted about users.
#[derive(Debug, Default)]
pub(super) struct Users(AHashMap<String, User>);

#[derive(Debug)]
struct User {
    looks: u64,
    purchases: u64,
    /// Units of its purchases.
    units: f64,
    /// The hour of the latest event, and the events within it.
    hour: i64,
    in_hour: u32,
    most_in_hour: u32,
    first: Sighting,
}

impl User {
    fn at(event: &Examined<'_>) -> Self {
        let first = Sighting::of(event);
        Self { looks: 0, purchases: 0, units: 0.0, hour: 0, in_hour: 0, most_in_hour: 0, first }
    }
}

impl Users {
    pub(super) fn note(&mut self, event: &Examined<'_>) {
        if !self.0.contains_key(event.user) {
            self.0.insert(event.user.to_owned(), User::at(event));
        }
        let Some(user) = self.0.get_mut(event.user) else { return };
        match event.kind {
            EventKind::Purchase => {
                user.purchases += 1;
                user.units += event.quantity;
            }
            EventKind::View | EventKind::Click | EventKind::AddToCart | EventKind::Favorite => {
                user.looks += 1;
            }
            EventKind::Refund | EventKind::Rating | EventKind::Impression | EventKind::Hide => {
                return;
            }
        }

        let hour = event.time_ms.div_euclid(HOUR_MS);
        user.in_hour = if hour == user.hour { user.in_hour + 1 } else { 1 };
        user.hour = hour;
        user.most_in_hour = user.most_in_hour.max(user.in_hour);
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let looks = limit(self.0.values().map(|user| user.looks));
        let purchases = limit(self.0.values().map(|user| user.purchases));
        let units = 2 * limit(self.0.values().map(|user| user.units as u64));
        let is_bot = |user: &User| user.most_in_hour >= BOT_EVENTS || user.looks > looks;
        let is_reseller = |user: &User| user.purchases > purchases || user.units as u64 > units;
        let is_placeholder =
            |id: &str| is_no_id(id) || UNKNOWN.iter().any(|word| id.eq_ignore_ascii_case(word));
        let all: u64 = self.0.values().map(|user| user.looks + user.purchases).sum();
        let many = (PLACEHOLDER * all as f64) as u64;

        let of = |picked: &dyn Fn(&str, &User) -> bool| {
            let mut users: Vec<(&str, &User)> =
                self.0.iter().map(|(id, user)| (id.as_str(), user)).collect();
            users.retain(|(id, user)| picked(id, user));
            users.sort_by_key(|(id, user)| (std::cmp::Reverse(user.looks + user.purchases), *id));
            users
        };
        let placeholders = of(&|id, user| is_placeholder(id) && user.looks + user.purchases > many);
        let bots = of(&|id, user| !is_placeholder(id) && is_bot(user));
        let resellers = of(&|id, user| !is_placeholder(id) && !is_bot(user) && is_reseller(user));

        let kinds = [
            (
                Kind::Bot,
                bots,
                "do more than a person can",
                "items that a program reads look popular, and alike",
            ),
            (
                Kind::Reseller,
                resellers,
                "buy ten times as often, or twenty times as much, as the largest hundredth of all users",
                "what they buy for others is taken for taste, and joins unrelated items",
            ),
            (
                Kind::Placeholder,
                placeholders,
                "are words for an unknown user",
                "the events of many people become the taste of one",
            ),
        ];
        kinds
            .into_iter()
            .filter_map(|(kind, users, what, effect)| finding(kind, &users, what, effect))
            .collect()
    }
}

/// The number above which a user stands out.
fn limit(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.filter(|&n| n > 0).collect();
    numbers.sort_unstable();
    let percentile = numbers.get(numbers.len() * 99 / 100).copied().unwrap_or(0);
    ((TIMES * percentile as f64) as u64).max(ENOUGH)
}

fn finding(
    kind: Kind,
    users: &[(&str, &User)],
    what: &str,
    effect: &'static str,
) -> Option<Finding> {
    let (_, first) = users.first()?;
    let ids: Vec<&str> = users.iter().map(|(id, _)| *id).take(NAMED).collect();
    let more = users.len().saturating_sub(ids.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let ids = ids.join(",");
    let mend = match kind {
        Kind::Placeholder => format!("read it as an empty cell with --absent {ids}"),
        _ => format!("leave them out with --exclude-users {ids}"),
    };
    Some(Finding {
        kind,
        what: format!("{} users {what}: {ids}{more}", users.len()),
        events: users.iter().map(|(_, user)| user.looks + user.purchases).sum(),
        example: first.first.shown(),
        effect,
        mend,
    })
}
