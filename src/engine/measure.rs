//! Folds records into the measurements of lists.

use std::collections::BTreeMap;

use super::in_force::EXPERIMENTS;
use super::options::ExperimentOptions;
use crate::domain::{Error, EventKind, HistoryEvent, Result, UserIdx};
use crate::experiment::{Before, ExperimentSet, Measurements, alias_hash};
use crate::live::Live;
use crate::store::{Record, StoredEvent};

/// Users who are not measured, by their attributes: names and values.
#[derive(Debug, Default)]
pub(super) struct Unmeasured(Vec<(String, String)>);

impl Unmeasured {
    /// The users that the configuration leaves out.
    ///
    /// # Errors
    /// [`Error::Storage`] where an entry is no "name=value", which the configuration's check says before.
    pub(super) fn new(options: &ExperimentOptions) -> Result<Self> {
        options.excluded().map(Self).map_err(|what| Error::Storage(what.into()))
    }

    /// Whether a user is not measured, by their attributes or because they do not consent.
    fn holds(&self, live: &Live, user: UserIdx) -> bool {
        let profiles = live.profiles.read();
        let has = |attributes: &BTreeMap<String, String>| {
            self.0.iter().any(|(name, value)| attributes.get(name) == Some(value))
        };
        !profiles.consents(user) || profiles.get(user).is_some_and(|of| has(&of.attributes))
    }
}

/// Notes a record that is about to be applied to live state: of a user who is erased by it, the name is
/// still known.
pub(super) fn note(
    measurements: &mut Measurements,
    live: &Live,
    unmeasured: &Unmeasured,
    record: &Record<'_>,
) {
    let alias = |user: UserIdx| alias_hash(live.users.read().id(user));
    let resolved = |user: &UserIdx| live.resolved(*user);
    match record {
        Record::Event(event) if measurements.concerns(event) && is_outcome(event.kind) => {
            let event = StoredEvent { user: resolved(&event.user), ..*event };
            if !unmeasured.holds(live, event.user) {
                let price = || live.catalogue.read().get(event.item).and_then(|item| item.price);
                measurements.note_event(&event, || alias(event.user), price);
            }
        }
        Record::Linked(alias, user) => measurements.link(*alias, *user),
        Record::Exposure(shown) if !shown.user.is_some_and(|user| unmeasured.holds(live, user)) => {
            measurements.note_list(shown, alias, |user| before(live, user));
        }
        Record::Erased(user, _) => measurements.erase(*user, alias(*user)),
        Record::User(user, profile) if !profile.consent => {
            measurements.erase(resolved(user), alias(*user));
        }
        Record::Preferences(user, decided) if !decided.personalised => {
            measurements.erase(resolved(user), alias(*user));
        }

        Record::Decision(decision) if decision.kind == EXPERIMENTS => {
            // One that cannot be read was written by a newer server, and is not in force either.
            if let Ok(set) = serde_json::from_str::<ExperimentSet>(decision.body) {
                measurements.follow(&set);
            }
        }
        _ => {}
    }
}

fn is_outcome(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Favorite | EventKind::Rating | EventKind::Hide)
}

/// What a user bought so far, as far as their history is kept.
fn before(live: &Live, user: UserIdx) -> Before {
    live.histories.of(user, |history| {
        history.iter().fold(Before::default(), |before, event| {
            let sign = match event.kind {
                EventKind::Purchase => 1.0,
                EventKind::Refund => -1.0,
                _ => return before,
            };
            Before {
                purchases: before.purchases + sign,
                revenue: before.revenue + sign * revenue(event),
            }
        })
    })
}

fn revenue(event: &HistoryEvent) -> f32 {
    event.price.ln().map_or(0.0, f32::exp) * event.quantity
}
