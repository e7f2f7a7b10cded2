//! The weight of a cell of the user-item matrix: a user's events with an item as one number.
//!
//! ```text
//! x_ui = max · (Σ / max)^counts   over events of  weight(kind) · 2^(−age / half-life)
//! ```
//! Purchases that refunds have cancelled do not count. With counts 0, the maximum, habits do not
//! dominate taste; with counts 1, the sum, weekly purchases count more than single ones. Which is
//! better differs by store.

use crate::domain::history::{Bought, is_one_step};
use crate::domain::{DAY_MS, EventKind, HistoryEvent, ItemIdx};

/// Minimum factor of an event's age: twelve half-lives. A single event years after all others fades
/// the rest to this, and products of four such factors must stay above subnormal numbers, which
/// processors are slow with.
const FAINTEST: f64 = 1.0 / (1u64 << 12) as f64;

/// How events become cells.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weighting {
    /// Days after which an event counts half; 0: events never fade.
    pub half_life_days: f64,
    /// How far events of one item add up: 0: only the strongest counts; 1: all do.
    pub counts: f32,
}

/// How a user's events become their row in a request.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProfileWeighting {
    /// How they become cells.
    pub weighting: Weighting,
    /// Share that a cell loses with each step that the user took since, a basket or a moment: 0 to 1.
    pub step_fading: f32,
}

impl From<Weighting> for ProfileWeighting {
    fn from(weighting: Weighting) -> Self {
        Self { weighting, step_fading: 0.0 }
    }
}

/// A cell of a user's row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// The item.
    pub item: ItemIdx,
    /// Greater than 0; at most 1 where counts do not add up.
    pub weight: f32,
    /// The newest event that counts, in milliseconds since 1970.
    pub last_ms: i64,
}

/// The weight of an event's kind, relative to a purchase.
pub fn kind_weight(kind: EventKind) -> f32 {
    match kind {
        EventKind::Purchase => 1.0,
        EventKind::Rating => 0.6,
        EventKind::AddToCart => 0.5,
        EventKind::Favorite => 0.4,
        EventKind::View | EventKind::Click => 0.2,
        EventKind::Impression | EventKind::Refund | EventKind::Hide => 0.0,
    }
}

impl Weighting {
    /// The weight of an event's age at `now_ms`: 0 to 1.
    pub fn fade(&self, time_ms: i64, now_ms: i64) -> f32 {
        if self.half_life_days == 0.0 {
            return 1.0;
        }
        let age_days = (now_ms - time_ms).max(0) as f64 / DAY_MS as f64;
        // Bounded below: products of several factors must stay above f32's smallest.
        (-age_days / self.half_life_days).exp2().max(FAINTEST) as f32
    }

    /// Writes a user's cells into `cells`, ordered by item. `events` may come in any order; those
    /// later than `now_ms` count as of now.
    pub fn cells(&self, events: &[HistoryEvent], now_ms: i64, cells: &mut Vec<Cell>) {
        cells.clear();
        let mut by_item: Vec<u32> = (0..events.len() as u32).collect();
        by_item.sort_unstable_by_key(|&e| (events[e as usize].item, e));

        for group in by_item.chunk_by(|&a, &b| events[a as usize].item == events[b as usize].item) {
            let group = || group.iter().map(|&e| &events[e as usize]);
            let purchases_stand = !is_refunded(group());

            let counts = |e: &&HistoryEvent| purchases_stand || e.kind != EventKind::Purchase;
            let mut cell = Cell { item: 0, weight: 0.0, last_ms: i64::MIN };
            let mut sum = 0.0;
            for event in group().filter(counts) {
                let weight = kind_weight(event.kind);
                if weight > 0.0 {
                    cell.item = event.item;
                    let weight = weight * self.fade(event.time_ms, now_ms);
                    cell.weight = cell.weight.max(weight);
                    sum += weight;
                    cell.last_ms = cell.last_ms.max(event.time_ms);
                }
            }

            if cell.weight > 0.0 {
                if self.counts > 0.0 {
                    cell.weight *= (sum / cell.weight).powf(self.counts);
                }
                cells.push(cell);
            }
        }
    }
}

impl ProfileWeighting {
    /// Writes a user's cells into `cells`, ordered by item. Only ratios within the row matter, so events
    /// fade from the newest of them and not from `now_ms`: the taste of a user who returns after a year is
    /// not rounded to zero. `events` are oldest first; those of `now_ms` are items of the running session.
    pub fn cells(&self, events: &[HistoryEvent], now_ms: i64, cells: &mut Vec<Cell>) {
        let speaking = || events.iter().filter(|e| kind_weight(e.kind) > 0.0);
        let newest_ms = speaking().map(|e| e.time_ms).max().unwrap_or(now_ms);
        self.weighting.cells(events, newest_ms, cells);
        if self.step_fading == 0.0 {
            return;
        }

        let mut factor = 1.0;
        let mut later: Option<&HistoryEvent> = None;
        let mut faded = vec![false; cells.len()];
        for event in speaking().rev() {
            if later.is_some_and(|later| !is_one_step(event, later, now_ms)) {
                factor = (factor * (1.0 - self.step_fading)).max(FAINTEST as f32);
            }
            later = Some(event);
            let place = cells.binary_search_by_key(&event.item, |cell| cell.item);
            if let Ok(place) = place
                && !std::mem::replace(&mut faded[place], true)
            {
                cells[place].weight *= factor;
            }
        }
    }
}

/// Whether refunds return at least as many as purchases bought, of events of one item.
pub fn is_refunded<'a>(events: impl Iterator<Item = &'a HistoryEvent>) -> bool {
    let bought = events.filter_map(Bought::of).reduce(|mut all, next| {
        all.add(&next);
        all
    });
    bought.is_some_and(|bought| bought.is_taken_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind, item: ItemIdx, day: i64, quantity: f32) -> HistoryEvent {
        HistoryEvent { quantity, ..HistoryEvent::new(kind, item, day * DAY_MS) }
    }

    fn cells(half_life_days: f64, events: &[HistoryEvent]) -> Vec<(ItemIdx, f32)> {
        let mut cells = Vec::new();
        Weighting { half_life_days, counts: 0.0 }.cells(events, 60 * DAY_MS, &mut cells);
        cells.into_iter().map(|c| (c.item, c.weight)).collect()
    }

    #[test]
    fn the_strongest_event_counts_faded_by_age() {
        use EventKind::*;
        let events = [
            event(Purchase, 7, 0, 1.0),
            event(View, 3, 60, 1.0),
            event(Purchase, 7, 30, 1.0),
            event(Impression, 9, 60, 1.0),
        ];
        assert_eq!(cells(30.0, &events), [(3, 0.2), (7, 0.5)]);
        assert_eq!(cells(0.0, &events), [(3, 0.2), (7, 1.0)]);
    }

    #[test]
    fn counts_add_up_as_far_as_they_should() {
        let twice = [event(EventKind::Purchase, 1, 0, 1.0), event(EventKind::Purchase, 1, 30, 1.0)];
        let weight = |counts| {
            let mut cells = Vec::new();
            Weighting { half_life_days: 30.0, counts }.cells(&twice, 30 * DAY_MS, &mut cells);
            cells[0].weight
        };
        assert_eq!((weight(0.0), weight(1.0)), (1.0, 1.5));
        assert!((weight(0.5) - 1.5f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn each_step_since_fades_a_cell() {
        let view = |item, time_ms| HistoryEvent::new(EventKind::View, item, time_ms);
        let events = [view(1, 0), view(2, 1_000), view(3, 1_000), view(1, 2_000), view(4, 3_000)];
        let weights = |now_ms| {
            let mut cells = Vec::new();
            let weighting = Weighting::default();
            ProfileWeighting { weighting, step_fading: 0.5 }.cells(&events, now_ms, &mut cells);
            cells.into_iter().map(|cell| cell.weight / 0.2).collect::<Vec<f32>>()
        };
        assert_eq!(weights(9_000), [0.5, 0.25, 0.25, 1.0]);
        // Items of the running session come one by one.
        let session = events.map(|event| HistoryEvent { time_ms: 5, ..event });
        let mut cells = Vec::new();
        let weighting = Weighting::default();
        ProfileWeighting { weighting, step_fading: 0.5 }.cells(&session, 5, &mut cells);
        let weights: Vec<f32> = cells.iter().map(|cell| cell.weight / 0.2).collect();
        assert_eq!(weights, [0.5, 0.125, 0.25, 1.0]);
    }

    #[test]
    fn refunds_take_purchases_back_but_not_views() {
        use EventKind::*;
        let part = [event(Purchase, 1, 0, 3.0), event(Refund, 1, 1, 2.0)];
        assert_eq!(cells(0.0, &part), [(1, 1.0)]);
        let whole = [event(Purchase, 1, 0, 3.0), event(Refund, 1, 1, 3.0)];
        assert_eq!(cells(0.0, &whole), []);
        let viewed = [whole[0], whole[1], event(View, 1, 2, 1.0)];
        assert_eq!(cells(0.0, &viewed), [(1, 0.2)]);
    }
}
