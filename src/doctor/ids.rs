//! One user or item under several ids, and items that the catalogue does not know.

use ahash::{AHashMap, AHashSet};

use super::examined::{Examined, Sighting};
use super::finding::{Finding, Kind};
use crate::import::fields::is_no_id;
use crate::import::identity::unified;

/// What is noted about ids.
#[derive(Debug, Default)]
pub(super) struct Ids {
    users: AHashMap<String, Id>,
    items: AHashMap<String, Id>,
    /// The items of the catalogue; none where there is no catalogue.
    catalogue: Option<AHashSet<String>>,
}

#[derive(Debug)]
struct Id {
    events: u64,
    first: Sighting,
}

impl Ids {
    pub(super) fn note(&mut self, event: &Examined<'_>) {
        for (ids, id) in [(&mut self.users, event.user), (&mut self.items, event.item)] {
            match ids.get_mut(id) {
                Some(known) => known.events += 1,
                None => {
                    let new = Id { events: 1, first: Sighting::of(event) };
                    ids.insert(id.to_owned(), new);
                }
            }
        }
    }

    /// Adds an item of the catalogue.
    pub(super) fn know(&mut self, item: &str) {
        self.catalogue.get_or_insert_default().insert(item.to_owned());
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let drifts = [("users", &self.users), ("items", &self.items)];
        let drifts = drifts.into_iter().filter_map(|(what, ids)| drift(what, ids));
        drifts.chain(self.orphans()).collect()
    }

    fn orphans(&self) -> Option<Finding> {
        let catalogue = self.catalogue.as_ref()?;
        let mut orphans: Vec<(&String, &Id)> =
            self.items.iter().filter(|(id, _)| !catalogue.contains(*id)).collect();
        orphans.sort_by_key(|(id, of)| (std::cmp::Reverse(of.events), *id));
        let (_, first) = orphans.first()?;
        Some(Finding {
            kind: Kind::Orphan,
            what: format!("{} items with events are not in the catalogue", orphans.len()),
            events: orphans.iter().map(|(_, id)| id.events).sum(),
            example: first.first.shown(),
            effect: "filters by category and price leave them out, and nothing says if they are sold",
            mend: "import the whole catalogue (import --items --complete)".to_owned(),
        })
    }
}

/// Ids that are spellings of one.
fn drift(what: &str, ids: &AHashMap<String, Id>) -> Option<Finding> {
    let mut spellings: AHashMap<String, Vec<(&String, &Id)>> = AHashMap::new();
    for (id, of) in ids.iter().filter(|(id, _)| !is_no_id(id)) {
        spellings.entry(unified(id)).or_default().push((id, of));
    }
    let mut several: Vec<Vec<(&String, &Id)>> =
        spellings.into_values().filter(|same| same.len() > 1).collect();
    for same in &mut several {
        same.sort_by_key(|(id, of)| (std::cmp::Reverse(of.events), *id));
    }
    several.sort_by_key(|same| (std::cmp::Reverse(same[1].1.events), same[0].0));

    let first = several.first()?;
    let named: Vec<String> = first.iter().take(3).map(|(id, _)| format!("{id:?}")).collect();
    // All but the most frequent spelling are in the wrong place.
    let events = several.iter().flat_map(|same| &same[1..]).map(|(_, id)| id.events).sum();
    Some(Finding {
        kind: Kind::IdDrift,
        what: format!(
            "{} {what} have several ids, which differ by case, spaces or leading zeros: {}",
            several.len(),
            named.join(", ")
        ),
        events,
        example: first[1].1.first.shown(),
        effect: "one history or one item is split, and each part knows less",
        mend: "write ids alike where they are made; --unify-ids reads them in upper case, without \
               leading zeros"
            .to_owned(),
    })
}
