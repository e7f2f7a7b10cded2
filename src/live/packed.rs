//! A history in few bytes, for users whose lists another server makes: what the counts of the store need of them
//! is read seldom.
//!
//! Of each event, in its order: a byte with the kind and with what follows; the milliseconds since the event before,
//! its basket and channel, unless they are those of the event before; the item; the quantity, unless it is one; the
//! price, if it is known. Numbers are in base 128, the low digits first (LEB128).

use std::iter::from_fn;

use crate::domain::history::remember;
use crate::domain::{EventKind, HistoryEvent, Price};

/// The events of one user.
#[derive(Debug, Clone, Default)]
pub(super) struct Packed(Vec<u8>);

/// Bytes that an event takes at most.
const MAX_BYTES: usize = 32;
/// The bits of the first byte that hold the kind.
const KIND: u8 = 0x0f;
/// Time, basket and channel follow: others than those of the event before.
const MOMENT: u8 = 0x10;
/// A quantity follows: a number above 0, or 0 and the four bytes of one that is no whole number.
const QUANTITY: u8 = 0x20;
/// A price follows, in two bytes.
const PRICE: u8 = 0x40;

/// Where and when an event happened.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Moment {
    time_ms: i64,
    basket: u32,
    channel: u8,
}

impl Packed {
    /// Packs a history.
    pub(super) fn new(history: &[HistoryEvent]) -> Self {
        let mut packed = Self(Vec::with_capacity(8 * history.len()));
        let mut before = Moment::default();
        for event in history {
            packed.push(&mut before, event);
        }
        packed
    }

    /// The history of the bytes of another one.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Its bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its events, oldest first.
    pub(super) fn events(&self) -> impl Iterator<Item = HistoryEvent> {
        events(&self.0)
    }

    /// Inserts an event as [`remember`] does; returns whether it is the first of those that `concern` it, and the
    /// event that left.
    pub(super) fn record(
        &mut self,
        event: HistoryEvent,
        limit: usize,
        concerns: impl Fn(&HistoryEvent) -> bool,
    ) -> (bool, Option<HistoryEvent>) {
        let mut is_first = true;
        let mut count = 0;
        let mut before = Moment::default();
        for known in self.events() {
            is_first &= !concerns(&known);
            count += 1;
            before = Moment::of(&known);
        }

        // Nearly all are the newest, and need not be packed anew.
        if count < limit && (count == 0 || before.time_ms <= event.time_ms) {
            if self.0.capacity() - self.0.len() < MAX_BYTES {
                self.0.reserve_exact(MAX_BYTES + self.0.len() / 8);
            }
            self.push(&mut before, &event);
            return (is_first, None);
        }
        let mut events: Vec<HistoryEvent> = self.events().collect();
        let left = remember(&mut events, event, limit);
        *self = Self::new(&events);
        (is_first, left)
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Puts an event behind all others, of which `before` is the last one's moment.
    fn push(&mut self, before: &mut Moment, event: &HistoryEvent) {
        let moment = Moment::of(event);
        let flag = |flag: u8, is_set: bool| if is_set { flag } else { 0 };
        let flags = flag(MOMENT, moment != *before)
            | flag(QUANTITY, event.quantity.to_bits() != 1_f32.to_bits())
            | flag(PRICE, event.price != Price::default());

        let bytes = &mut self.0;
        bytes.push(event.kind as u8 | flags);
        if flags & MOMENT != 0 {
            put(bytes, moment.time_ms.wrapping_sub(before.time_ms) as u64);
            put(bytes, u64::from(moment.basket));
            bytes.push(moment.channel);
            *before = moment;
        }
        put(bytes, u64::from(event.item));
        if flags & QUANTITY != 0 {
            put_quantity(bytes, event.quantity);
        }
        if flags & PRICE != 0 {
            bytes.extend(event.price.code().to_le_bytes());
        }
    }
}

impl Moment {
    fn of(event: &HistoryEvent) -> Self {
        Self { time_ms: event.time_ms, basket: event.basket, channel: event.channel }
    }
}

/// The events in the bytes of a packed history, oldest first.
pub(super) fn events(bytes: &[u8]) -> impl Iterator<Item = HistoryEvent> {
    let mut bytes = bytes.iter().copied();
    let mut before = Moment::default();
    from_fn(move || next(&mut bytes, &mut before))
}

/// The next event, of which `before` is the moment of the one before; none at the end.
fn next(bytes: &mut impl Iterator<Item = u8>, before: &mut Moment) -> Option<HistoryEvent> {
    let flags = bytes.next()?;
    if flags & MOMENT != 0 {
        let gap = take(bytes)?;
        before.time_ms = before.time_ms.wrapping_add(gap as i64);
        before.basket = take(bytes)? as u32;
        before.channel = bytes.next()?;
    }
    let item = take(bytes)? as u32;
    let quantity = if flags & QUANTITY != 0 { take_quantity(bytes)? } else { 1.0 };
    let price = match flags & PRICE {
        0 => Price::default(),
        _ => Price::of_code(u16::from_le_bytes([bytes.next()?, bytes.next()?])),
    };

    let kind = *EventKind::ALL.get(usize::from(flags & KIND))?;
    let Moment { time_ms, basket, channel } = *before;
    Some(HistoryEvent { time_ms, item, quantity, basket, price, kind, channel })
}

/// Puts a number in base 128.
pub(super) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number in base 128; none where the bytes end before.
pub(super) fn take(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.next()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    Some(number)
}

fn put_quantity(bytes: &mut Vec<u8>, quantity: f32) {
    let whole = quantity as u32;
    if whole > 0 && (whole as f32).to_bits() == quantity.to_bits() {
        put(bytes, u64::from(whole));
    } else {
        bytes.push(0);
        bytes.extend(quantity.to_le_bytes());
    }
}

fn take_quantity(bytes: &mut impl Iterator<Item = u8>) -> Option<f32> {
    let whole = take(bytes)?;
    if whole > 0 {
        return Some(whole as f32);
    }
    let fraction = [bytes.next()?, bytes.next()?, bytes.next()?, bytes.next()?];
    Some(f32::from_le_bytes(fraction))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = HistoryEvent> {
        let kinds = prop::sample::select(EventKind::ALL.to_vec());
        let quantity =
            prop_oneof![Just(1.0_f32), 0.0..9.0_f32, (0..70_000_u32).prop_map(|n| n as f32)];
        let moment = (any::<i64>(), prop_oneof![Just(0), any::<u32>()], any::<u8>());
        let price = prop::option::of(0.01..1e6);
        (moment, any::<u32>(), quantity, price, kinds).prop_map(
            |((time_ms, basket, channel), item, quantity, price, kind)| {
                let price = Price::new(price);
                HistoryEvent { time_ms, item, quantity, basket, price, kind, channel }
            },
        )
    }

    proptest! {
        #[test]
        fn a_history_is_unpacked_as_it_was(
            events in prop::collection::vec((event(), any::<bool>()), 0..40),
        ) {
            let mut history: Vec<HistoryEvent> = Vec::new();
            for (event, is_of_same_moment) in events {
                let moment = history.last().filter(|_| is_of_same_moment);
                let moment = moment.map_or(event, |before| *before);
                let HistoryEvent { time_ms, basket, channel, .. } = moment;
                history.push(HistoryEvent { time_ms, basket, channel, ..event });
            }
            let packed = Packed::new(&history);
            prop_assert!(packed.bytes() <= MAX_BYTES * history.len());
            prop_assert_eq!(packed.events().collect::<Vec<_>>(), history);
        }
    }

    #[test]
    fn a_view_takes_ten_bytes_and_a_line_of_an_order_six() {
        let day_ms = 86_400_000;
        let view =
            |n: u32| HistoryEvent::new(EventKind::View, 20_000 + n, i64::from(n) * 2 * day_ms);
        let views: Vec<HistoryEvent> = (0..100).map(view).collect();
        assert!(Packed::new(&views).0.len() <= 10 * 100);
        let line = |n: u32| HistoryEvent {
            quantity: 12.0,
            price: Price::new(Some(2.5)),
            basket: 77,
            ..HistoryEvent::new(EventKind::Purchase, n, day_ms)
        };
        let lines: Vec<HistoryEvent> = (0..100).map(line).collect();
        assert!(Packed::new(&lines).0.len() <= 6 * 100 + 10);
    }
}
