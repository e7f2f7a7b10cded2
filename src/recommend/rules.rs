//! Rules in the funnel. What they exclude and include is restricted with the shelf, before anything
//! is retrieved; boosts, buries and targets multiply the scores of candidates; pins and quotas take
//! their places last.

use super::fill;
use super::list::{Moved, Recommended, Steered};
use super::places::Places;
use crate::domain::ItemIdx;
use crate::live::ItemMask;
use crate::model::{Popularity, Source};
use crate::rules::ActiveRules;
use crate::sources::Shelf;

/// Most popular items among which those that lists must have some of are looked for.
const SEARCHED: usize = 2_000;

/// Rules at work on one list.
pub(super) struct Steering<'r> {
    rules: &'r ActiveRules<'r>,
    /// The candidates with the model's own scores, best first.
    own: Vec<Recommended>,
    /// The same after boosts, best first.
    candidates: Vec<Recommended>,
    /// Items that earlier pages of the list showed.
    shown_before: usize,
}

impl<'r> Steering<'r> {
    /// Multiplies the scores of candidates, best first, and orders them again.
    pub(super) fn boost(
        rules: &'r ActiveRules<'r>,
        items: &mut [Recommended],
        shown_before: usize,
    ) -> Self {
        let own = items.to_vec();
        if rules.has_factors() {
            items.iter_mut().for_each(|item| item.score *= rules.factor(item.item));
            items.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.item.cmp(&b.item)));
        }
        Self { rules, own, candidates: items.to_vec(), shown_before }
    }

    /// Whether no item that is scored no higher than the last of the candidates could enter a list of
    /// `limit`, whatever its factor.
    pub(super) fn is_settled(&self, limit: usize) -> bool {
        let last = self.own.last().map_or(0.0, |last| last.score);
        let enters = self.candidates.get(limit.saturating_sub(1)).map_or(0.0, |c| c.score);
        !self.rules.has_factors() || last * self.rules.largest_factor() <= enters
    }

    /// Gives pinned items their places, and quotas theirs. `explained`: whether the parts of boosts
    /// are wanted. Returns what the rules did, and whether all quotas are met.
    pub(super) fn place(
        self,
        items: &mut Vec<Recommended>,
        limit: usize,
        mask: &ItemMask,
        explained: bool,
    ) -> (Steered, bool) {
        let mut places = Places::new(items, &self.candidates, limit);
        // Places count from the first page on.
        let pins = self.rules.pins().into_iter();
        for pin in pins.map(|pin| pin.after(self.shown_before)) {
            places.pin(&pin, mask);
        }

        let mut are_met = true;
        let quotas = self.rules.quotas().into_iter();
        for quota in quotas.filter(|_| self.shown_before == 0) {
            are_met &= places.fill(&quota);
        }

        let mut placed = Vec::new();
        *items = places.into_list(&mut placed);
        let own = |item: &Recommended| {
            let own = self.own.iter().find(|own| own.item == item.item);
            let is_placed = placed.iter().any(|moved| moved.item == item.item);
            // What fills a list has the score that it came with.
            own.map_or(if is_placed { 0.0 } else { item.score }, |own| own.score)
        };
        let best = self.own.iter().take(items.len()).map(|own| own.score).sum();
        let kept = items.iter().map(own).sum();
        let boosted = if explained { self.boosted(items) } else { Vec::new() };
        (Steered { moved: [boosted, placed].concat(), best, kept }, are_met)
    }

    /// What boosts, buries and targets add to the scores of a list: each rule's part is its step of
    /// the product.
    fn boosted(&self, items: &[Recommended]) -> Vec<Moved> {
        let mut moved = Vec::new();
        for item in items {
            let own = self.own.iter().find(|own| own.item == item.item);
            let Some(mut score) = own.map(|own| own.score) else { continue };
            let own = score;
            for (rule, product) in self.rules.products_of(item.item) {
                let part = own * product - score;
                moved.push(Moved { item: item.item, rule, part });
                score += part;
            }
        }
        moved
    }
}

/// Adds candidates for rules to choose from: popular items, and those that lists must have some of.
pub(super) fn deepen(
    rules: &ActiveRules<'_>,
    items: &mut Vec<Recommended>,
    (limit, depth): (usize, usize),
    popularity: &Popularity,
    mask: &ItemMask,
) {
    let mut left = mask.clone();
    items.iter().for_each(|listed| left.forbid(listed.item));
    let length = if rules.has_factors() { depth } else { limit };
    for ranking in [&popularity.trending, &popularity.all_time] {
        fill::fill_from(items, length, ranking.iter(), &mut left);
    }
    add_wanted(rules, items, limit, popularity, left);
}

/// Adds items that lists must have some of, where the candidates have too few: of those `left` the
/// most popular, then the newest.
fn add_wanted(
    rules: &ActiveRules<'_>,
    items: &mut Vec<Recommended>,
    limit: usize,
    popularity: &Popularity,
    mut left: ItemMask,
) {
    let lowest = items.last().map_or(1.0, |last| last.score);
    for wanted in rules.wanted() {
        let have = items.iter().filter(|listed| wanted.contains(listed.item)).count();
        let missing = limit.saturating_sub(have);

        let popular = popularity.trending.iter().take(SEARCHED).map(|ranked| ranked.idx);
        let popular = popular.filter(|&item| wanted.contains(item));
        let mut more: Vec<ItemIdx> = Vec::new();
        for item in popular.chain(wanted.newest_first()) {
            if more.len() == missing {
                break;
            }
            if left.allows(item) {
                left.forbid(item);
                more.push(item);
            }
        }
        let (score, source) = (lowest * 0.5, Source::Catalog);
        items.extend(more.into_iter().map(|item| Recommended { item, score, source }));
    }
}

/// A related list after the rules of its shelf, cut to `limit`.
pub(super) fn steered(
    shelf: &Shelf<'_>,
    limit: usize,
    popularity: &Popularity,
    mut list: Vec<Recommended>,
    mask: &ItemMask,
) -> Vec<Recommended> {
    if let Some(rules) = shelf.steering() {
        add_wanted(rules, &mut list, limit, popularity, mask.clone());
        let steering = Steering::boost(rules, &mut list, shelf.shown_before);
        list.truncate(limit);
        steering.place(&mut list, limit, mask, false);
    }
    list
}
