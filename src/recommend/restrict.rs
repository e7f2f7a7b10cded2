//! How many items each restriction removes: for a diagnosis, which asks one after the other what a
//! list asks at once.

use crate::live::Filter;
use crate::model::Snapshot;
use crate::sources::{Query, Scratch, Shelf};

/// What is left of the catalogue, and by what the rest was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restrictions {
    /// Items that the store knows.
    pub items: usize,
    /// Each restriction with the number of items that it removes of those left before it.
    pub removed: Vec<(&'static str, usize)>,
    /// Items that may be offered.
    pub left: usize,
}

/// Counts what each restriction of a query removes.
pub fn restrictions(snapshot: &Snapshot, query: &Query<'_>, scratch: &mut Scratch) -> Restrictions {
    let shelf = query.shelf;
    let all = Filter { include_unavailable: true, ..Filter::default() };
    let bare = Shelf { filter: &all, excluded: &[], hidden: &[], only: None, rules: None, ..shelf };
    let available = Filter { condition: None, ..shelf.filter.clone() };
    let steps = [
        ("deleted", bare),
        ("availability", Shelf { filter: &available, ..bare }),
        ("filter", Shelf { filter: shelf.filter, ..bare }),
        ("candidates", Shelf { filter: shelf.filter, only: shelf.only, ..bare }),
        ("excluded", Shelf { hidden: &[], rules: None, ..shelf }),
        ("hidden", Shelf { rules: None, ..shelf }),
        ("rules", shelf),
    ];

    let mut left = shelf.items;
    let mut removed = Vec::new();
    for (name, step) in steps {
        step.mask(&mut scratch.mask);
        let passed = scratch.mask.count();
        removed.push((name, left.saturating_sub(passed)));
        left = passed;
    }
    query.exclude(snapshot, scratch);
    let passed = scratch.mask.count();
    removed.push(("repeat policy", left.saturating_sub(passed)));
    Restrictions { items: shelf.items, removed, left: passed }
}
