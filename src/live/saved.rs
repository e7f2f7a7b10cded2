//! Live state as sections of bytes, for a checkpoint, and from them. What follows from other parts is not saved, but
//! made again: facets and documents of items.

use std::sync::atomic::Ordering;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::catalogue::SavedItems;
use super::{Live, LiveWriter, Orders};
use crate::domain::{BoxError, Offset};

/// The counts of a store.
#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    offset: Offset,
    behaviour_changed_to: Offset,
    events: u64,
    exposures: u64,
    newest_ms: i64,
}

impl Live {
    /// Passes the sections to `add`. No record is applied meanwhile.
    ///
    /// # Errors
    /// Those of `add`.
    pub(crate) fn save(
        &self,
        _writer: &mut LiveWriter,
        add: &mut dyn FnMut(&[u8]) -> Result<(), BoxError>,
    ) -> Result<(), BoxError> {
        let counts = Counts {
            offset: self.offset(),
            behaviour_changed_to: self.behaviour_changed_to(),
            events: self.events(),
            exposures: self.exposures.load(Ordering::Relaxed),
            newest_ms: self.newest_ms(),
        };
        add(&bytes(&counts)?)?;

        add(&bytes(&*self.users.read())?)?;
        add(&bytes(&*self.links.read())?)?;
        add(&bytes(&*self.items.read())?)?;
        add(&bytes(&self.catalogue.read().saved())?)?;
        add(&bytes(&*self.profiles.read())?)?;
        add(&bytes(&*self.hidden.read())?)?;
        add(&bytes(&*self.impressions.read())?)?;

        add(&bytes(&*self.outcomes.read())?)?;
        add(&bytes(&*self.reviews.read())?)?;
        add(&bytes(&*self.orders.read())?)?;
        add(&bytes(self.activity.read().days())?)?;

        add(&bytes(&*self.channels.read())?)?;
        add(&bytes(&*self.decisions.read())?)?;
        add(&bytes(&*self.erasures.read())?)?;
        add(&bytes(&*self.trends.read())?)?;
        add(&bytes(&*self.overlay.read())?)?;
        add(&bytes(&*self.imported.read())?)?;
        add(&bytes(&*self.positions.read())?)?;
        add(&bytes(&*self.buyers.read())?)?;
        self.histories.save(add)
    }

    /// Restores what [`Live::save`] has saved into empty live state; `section` reads the next section.
    ///
    /// # Errors
    /// Those of `section`, and where a section is none of live state: it is filled in part then.
    pub(crate) fn restore(
        &self,
        writer: &mut LiveWriter,
        section: &mut dyn FnMut() -> Result<Vec<u8>, BoxError>,
    ) -> Result<(), BoxError> {
        let counts: Counts = value(&section()?)?;

        *self.users.write(writer) = value(&section()?)?;
        *self.links.write(writer) = value(&section()?)?;
        *self.items.write(writer) = value(&section()?)?;
        let items: SavedItems<'static> = value(&section()?)?;
        self.catalogue.write(writer).restore(items);
        *self.profiles.write(writer) = value(&section()?)?;
        *self.hidden.write(writer) = value(&section()?)?;
        *self.impressions.write(writer) = value(&section()?)?;

        *self.outcomes.write(writer) = value(&section()?)?;
        *self.reviews.write(writer) = value(&section()?)?;
        *self.orders.write(writer) = value::<Orders>(&section()?)?.restored();
        self.activity.write(writer).restore(value(&section()?)?);

        *self.channels.write(writer) = value(&section()?)?;
        *self.decisions.write(writer) = value(&section()?)?;
        *self.erasures.write() = value(&section()?)?;
        *self.trends.write(writer) = value(&section()?)?;
        *self.overlay.write() = value(&section()?)?;
        *self.imported.write(writer) = value(&section()?)?;
        *self.positions.write(writer) = value(&section()?)?;
        *self.buyers.write(writer) = value(&section()?)?;
        self.histories.restore(section)?;

        self.offset.store(counts.offset, Ordering::Release);
        self.behaviour_changed_to.store(counts.behaviour_changed_to, Ordering::Release);
        self.events.store(counts.events, Ordering::Relaxed);
        self.exposures.store(counts.exposures, Ordering::Relaxed);
        self.newest_ms.store(counts.newest_ms, Ordering::Relaxed);
        Ok(())
    }
}

/// A value as a section.
///
/// # Errors
/// Where its format has no place for it.
pub(crate) fn bytes(value: &impl Serialize) -> Result<Vec<u8>, BoxError> {
    Ok(postcard::to_stdvec(value)?)
}

/// The value of a section.
///
/// # Errors
/// Where it is none.
pub(crate) fn value<T: DeserializeOwned>(section: &[u8]) -> Result<T, BoxError> {
    Ok(postcard::from_bytes(section)?)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use super::*;
    use crate::content::Reader;
    use crate::domain::{DAY_MS, EventKind, HideScope, Item, Preferences, Shard, User};
    use crate::store::{Decision, Entry, Exposure, Position, Record, StoredEvent};

    const USERS: u32 = 200;
    const ITEMS: u32 = 40;

    fn live(shard: Shard) -> (Live, LiveWriter) {
        let (live, mut writer) = Live::new(5, vec!["country".to_owned()], Reader::default());
        live.impressions.write(&mut writer).count();
        (live.of_shard(shard), writer)
    }

    /// The `n`th of records of every kind, those of events most often.
    fn record(n: u32) -> Record<'static> {
        let (user, item) = (n * 7 % USERS, n * 11 % ITEMS);
        match n % 97 {
            1 => Record::Imported(u128::from(n)),
            2 => Record::ItemDeleted(item),
            3 => Record::ItemAvailable(item, n.is_multiple_of(2)),
            4 => Record::Contacted(user, i64::from(n)),
            5 => Record::Linked(user, (user + 1) % USERS),
            6 => Record::Erased(user, i64::from(n)),
            7 => Record::TakenIn(Position { topic: "events", partition: n % 3, next: n.into() }),
            8 => Record::Decision(Decision {
                kind: "rules",
                version: n,
                time_ms: n.into(),
                note: "why",
                body: "{}",
            }),
            9 => Record::Preferences(
                user,
                Cow::Owned(Preferences {
                    personalised: n.is_multiple_of(2),
                    ..Preferences::default()
                }),
            ),
            10 => Record::Exposure(Box::new(Exposure {
                user: Some(user),
                recommendation_id: n.into(),
                time_ms: n.into(),
                generation: 1,
                placement: "home".into(),
                variant: "".into(),
                items: vec![item],
                sources: vec![1],
                propensities: Vec::new(),
                session: 0,
                teams: Vec::new(),
            })),
            11..20 => Record::User(
                user,
                Cow::Owned(User {
                    attributes: BTreeMap::from([("country".to_owned(), format!("c{}", n % 3))]),
                    consent: !n.is_multiple_of(5),
                }),
            ),
            20..30 => Record::Item(
                item,
                Cow::Owned(Item {
                    title: format!("item {item} of {n}"),
                    categories: vec![format!("category {}", item % 5)],
                    price: Some(f64::from(n % 90)),
                    margin: n.is_multiple_of(3).then_some(0.1 * f64::from(n % 7)),
                    ..Item::default()
                }),
            ),
            _ => Record::Event(event(n, user, item)),
        }
    }

    fn event(n: u32, user: u32, item: u32) -> StoredEvent<'static> {
        StoredEvent {
            user,
            item,
            kind: EventKind::ALL[n as usize / 3 % EventKind::ALL.len()],
            time_ms: i64::from(n) * DAY_MS / 50,
            quantity: f64::from(n % 4) / 2.0 + 0.5,
            price: n.is_multiple_of(2).then_some(f64::from(n % 50) + 0.99),
            rating: n.is_multiple_of(5).then_some(4.0),
            event_id: "",
            basket_id: ["", "one", "two"][n as usize % 3],
            session_id: "",
            recommendation_id: "",
            channel: ["", "web", "app"][n as usize % 3],
            dwell_ms: None,
            scope: HideScope::Item,
            reason: "",
            review: "",
            sentiment: None,
        }
    }

    fn fold(live: &Live, writer: &mut LiveWriter, range: std::ops::Range<u32>) {
        for n in range {
            let (offset, record) = (u64::from(n), record(n));
            live.replay(writer, &Entry::Record(offset, record.clone()));
            if let Record::Event(event) = &record {
                live.note_pairs(writer, offset, event);
            }
        }
        live.index(writer);
    }

    fn sections(live: &Live, writer: &mut LiveWriter) -> Vec<Vec<u8>> {
        let mut sections = Vec::new();
        let mut add = |section: &[u8]| {
            sections.push(section.to_vec());
            Ok(())
        };
        live.save(writer, &mut add).unwrap();
        sections
    }

    /// Checks that sections are the same, but for the order of maps.
    fn assert_same(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) {
        assert_eq!(one.len(), other.len());
        for (at, (mut one, mut other)) in one.into_iter().zip(other).enumerate() {
            one.sort_unstable();
            other.sort_unstable();
            assert!(one == other, "section {at}: {} and {} bytes", one.len(), other.len());
        }
    }

    #[test]
    fn what_is_restored_goes_on_as_what_was_saved() {
        for shard in [Shard::WHOLE, "1/3".parse().unwrap()] {
            let (whole, mut of_whole) = live(shard);
            for n in 0..USERS {
                whole.replay(&mut of_whole, &Entry::User(&format!("user-{n}")));
            }
            whole.replay(&mut of_whole, &Entry::User(""));
            for n in 0..ITEMS {
                whole.replay(&mut of_whole, &Entry::Item(&format!("item-{n}")));
            }
            whole.replay(&mut of_whole, &Entry::Item(""));
            fold(&whole, &mut of_whole, 0..5_000);

            let (restored, mut of_restored) = live(shard);
            let saved = sections(&whole, &mut of_whole);
            assert!(saved.iter().take(21).all(|section| section.len() > 1), "each part holds some");
            let mut read = saved.clone().into_iter();
            let mut section = || Ok(read.next().unwrap());
            restored.restore(&mut of_restored, &mut section).unwrap();
            restored.index(&mut of_restored);
            assert!(read.next().is_none());
            let again = sections(&restored, &mut of_restored);
            assert_same(again, saved);
            let bytes = |live: &Live| live.catalogue.read().bytes();
            assert_eq!(bytes(&restored), bytes(&whole));
            assert!(restored.orders.read().bytes() > 0);

            fold(&whole, &mut of_whole, 5_000..9_000);
            fold(&restored, &mut of_restored, 5_000..9_000);
            let both = [(&whole, &mut of_whole), (&restored, &mut of_restored)];
            let [whole, restored] = both.map(|(live, writer)| sections(live, writer));
            assert_same(restored, whole);
        }
    }

    #[test]
    fn sections_that_are_none_of_live_state_are_refused() {
        let (whole, mut writer) = live(Shard::WHOLE);
        whole.replay(&mut writer, &Entry::User("ada"));
        let saved = sections(&whole, &mut writer);
        for cut in 0..saved.len() {
            let (restored, mut writer) = live(Shard::WHOLE);
            let mut read = saved.iter().cloned().enumerate();
            let mut section = || match read.next() {
                Some((at, section)) if at == cut => Ok(section[..section.len() - 1].to_vec()),
                Some((_, section)) => Ok(section),
                None => Err("no more".into()),
            };
            assert!(restored.restore(&mut writer, &mut section).is_err(), "section {cut}");
        }
    }
}
