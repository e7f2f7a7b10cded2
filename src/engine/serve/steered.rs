//! What rules did to an answer.

use std::sync::Arc;

use crate::recommend::{Recommended, Shelf, Steered};
use crate::rules::Target;

/// What rules did to an answer.
#[derive(Debug, Clone, Default)]
pub(in crate::engine) struct SteeredAnswer {
    /// The targets of rules, each with the number of its items in the list.
    pub(super) targets: Vec<(Arc<Target>, usize)>,
    /// The sum of the model's own scores of the best items, and of those in the list.
    pub(super) own: (f64, f64),
}

/// What the rules of a shelf did to a list.
pub(super) fn steered(
    shelf: &Shelf<'_>,
    items: &[Recommended],
    done: Option<&Steered>,
) -> SteeredAnswer {
    let sum = || items.iter().map(|item| f64::from(item.score)).sum();
    let own = done.map(|steered| (f64::from(steered.best), f64::from(steered.kept)));
    let list = || items.iter().map(|item| item.item).collect::<Vec<_>>();
    let targets = shelf.rules.map(|rules| rules.targets_in(&list())).unwrap_or_default();
    SteeredAnswer { targets, own: own.unwrap_or_else(|| (sum(), sum())) }
}
