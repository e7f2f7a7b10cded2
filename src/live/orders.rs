//! The orders of every user.

use serde::{Deserialize, Serialize};

use super::{Live, LiveWriter, Shared};
use crate::domain::order::{Noted, OrderBook, Paid, Trade};
use crate::domain::{EventKind, HistoryEvent, Price, UserIdx};
use crate::store::StoredEvent;

/// The order books of all users; only buyers have one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Orders {
    books: Vec<Option<Box<OrderBook>>>,
    /// Number of them.
    buyers: usize,
    /// Bytes of all books.
    #[serde(skip)]
    bytes: usize,
}

/// Number of users whose orders are read at a time.
const CHUNK: usize = 4_096;

impl Shared<Orders> {
    /// Passes the users with orders to `visit`, in the order of their idx. Writes wait for a part of them
    /// only.
    pub fn each(&self, mut visit: impl FnMut(UserIdx, &OrderBook)) {
        let mut from = 0;
        loop {
            let orders = self.read();
            if from >= orders.books.len() {
                return;
            }
            let until = (from + CHUNK).min(orders.books.len());
            for (user, book) in (from as UserIdx..).zip(&orders.books[from..until]) {
                if let Some(book) = book {
                    visit(user, book);
                }
            }
            from = until;
        }
    }
}

impl Orders {
    /// Notes a purchase or a refund.
    pub fn note(&mut self, user: UserIdx, trade: Trade) -> Noted {
        let slot = user as usize;
        if slot >= self.books.len() {
            self.books.resize_with(slot + 1, || None);
        }
        let before = self.books[slot].as_ref().map_or(0, |book| book.bytes());
        self.buyers += usize::from(self.books[slot].is_none());
        let book = self.books[slot].get_or_insert_default();
        let noted = book.note(trade);
        self.bytes += book.bytes() - before;
        noted
    }

    /// Erases a user's orders.
    pub fn erase(&mut self, user: UserIdx) {
        if let Some(book) = self.books.get_mut(user as usize).and_then(Option::take) {
            self.bytes -= book.bytes();
            self.buyers -= 1;
        }
    }

    /// Adds the orders of an alias to those of a user.
    pub fn absorb(&mut self, user: UserIdx, alias: UserIdx) {
        let Some(book) = self.of(alias).cloned() else { return };
        self.erase(alias);
        let mut both = self.of(user).cloned().unwrap_or_default();
        self.erase(user);
        both.absorb(&book);
        let slot = user as usize;
        if slot >= self.books.len() {
            self.books.resize_with(slot + 1, || None);
        }
        self.buyers += 1;
        self.bytes += both.bytes();
        self.books[slot] = Some(Box::new(both));
    }

    /// A user's orders; none before the first.
    pub fn of(&self, user: UserIdx) -> Option<&OrderBook> {
        self.books.get(user as usize)?.as_deref()
    }

    /// Number of users with orders.
    pub fn buyers(&self) -> usize {
        self.buyers
    }

    /// Counts the bytes of books that were saved: they have no room to grow yet.
    pub(super) fn restored(mut self) -> Self {
        self.bytes = self.books.iter().flatten().map(|book| book.bytes()).sum();
        self
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.books.capacity() * size_of::<Option<Box<OrderBook>>>() + self.bytes
    }
}

impl Live {
    /// Notes a user's activity, and what they bought or gave back, which it returns.
    pub(super) fn note_trade(
        &self,
        writer: &mut LiveWriter,
        event: &StoredEvent<'_>,
        remembered: &HistoryEvent,
    ) -> Vec<(Trade, Noted)> {
        let (user, time_ms) = (event.user, remembered.time_ms);
        if event.kind.is_behaviour() {
            self.activity.write(writer).note(user, time_ms);
        }
        if !matches!(event.kind, EventKind::Purchase | EventKind::Refund) {
            return Vec::new();
        }

        let listed = || self.catalogue.read().get(event.item).and_then(|item| item.price);
        let trades = |history: &[HistoryEvent]| trades(event, remembered, history, listed);
        let trades = match event.kind {
            // Only what is given back is looked up.
            EventKind::Purchase => trades(&[]),
            _ => self.histories.of(user, trades),
        };
        let mut orders = self.orders.write(writer);
        trades.into_iter().map(|trade| (trade, orders.note(user, trade))).collect()
    }
}

/// What a user bought of one item in one order and has not returned.
#[derive(Debug, Clone, Copy)]
struct Open {
    order: (u32, i64),
    units: f64,
    price: Price,
}

/// The changes of a user's orders by a purchase or a refund, of which `history` holds what came before. The
/// price is the event's own; a refund without one has that of its purchase, and what has neither, the one in
/// the catalogue.
pub(super) fn trades(
    event: &StoredEvent<'_>,
    remembered: &HistoryEvent,
    history: &[HistoryEvent],
    listed: impl Fn() -> Option<f64>,
) -> Vec<Trade> {
    let time_ms = remembered.time_ms;
    if event.kind == EventKind::Purchase {
        let order = Some(remembered.together());
        let price = event.price.or_else(listed).unwrap_or(0.0);
        let (units, paid) = (event.quantity, Paid::Exact(event.quantity * price));
        return vec![Trade { time_ms, order, units, paid }];
    }

    let mut open = open(history, remembered);
    let (taken, rest) = take_back(&mut open, remembered);
    let of_orders = taken.into_iter().map(|Open { order, units, price: paid }| Trade {
        time_ms,
        order: Some(order),
        units: -units,
        paid: match (event.price, paid.ln()) {
            (Some(price), _) => Paid::Exact(-units * price),
            // Histories hold prices to within a thirtieth of a percent.
            (None, Some(ln)) => Paid::About(-units * f64::from(ln).exp()),
            (None, None) => Paid::Unknown,
        },
    });
    let loose = (rest > 0.0).then(|| Trade {
        time_ms,
        order: None,
        units: -rest,
        paid: Paid::Exact(-rest * event.price.or_else(listed).unwrap_or(0.0)),
    });
    of_orders.chain(loose).collect()
}

/// What is open of the item of a refund at its time, oldest first.
fn open(history: &[HistoryEvent], refund: &HistoryEvent) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    let before = history.iter().take_while(|event| event.time_ms <= refund.time_ms);
    for event in before.filter(|event| event.item == refund.item) {
        match event.kind {
            EventKind::Purchase => {
                let (order, units) = (event.together(), f64::from(event.quantity));
                open.push(Open { order, units, price: event.price });
            }
            EventKind::Refund => drop(take_back(&mut open, event)),
            _ => {}
        }
    }
    open
}

/// Takes what a refund returns from its own basket first, then from the newest order back; returns the parts,
/// and what no order has.
fn take_back(open: &mut Vec<Open>, refund: &HistoryEvent) -> (Vec<Open>, f64) {
    let mut rest = f64::from(refund.quantity);
    let mut taken = Vec::new();
    let mut take = |from: &mut Open, rest: &mut f64| {
        let units = rest.min(from.units);
        if units > 0.0 {
            from.units -= units;
            *rest -= units;
            taken.push(Open { units, ..*from });
        }
    };
    let of_basket = |from: &&mut Open| refund.basket != 0 && from.order.0 == refund.basket;
    open.iter_mut().filter(of_basket).for_each(|from| take(from, &mut rest));
    open.iter_mut().rev().for_each(|from| take(from, &mut rest));
    open.retain(|from| from.units > 0.0);
    // Quantities are kept in single precision.
    if rest < f64::from(refund.quantity) * 1e-6 {
        rest = 0.0;
    }
    (taken, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HideScope;

    #[test]
    fn bytes_come_and_go_with_the_books() {
        let mut orders = Orders::default();
        let trade = |day| Trade {
            time_ms: day,
            order: Some((day as u32, 0)),
            units: 1.0,
            paid: Paid::Exact(1.0),
        };
        (1..=20).for_each(|day| assert!(orders.note(3, trade(day)).is_order));
        assert!(!orders.note(3, trade(4)).is_order);
        let expected = orders.of(3).map(OrderBook::bytes);
        assert_eq!(Some(orders.bytes() - orders.books.capacity() * 8), expected);
        assert_eq!(orders.buyers(), 1);
        orders.erase(3);
        orders.erase(9);
        assert_eq!((orders.of(3), orders.bytes()), (None, orders.books.capacity() * 8));
    }

    #[test]
    fn refunds_go_to_their_basket_and_then_to_what_is_still_there() {
        let line = |kind, basket, day: i64, quantity: f32| HistoryEvent {
            basket,
            quantity,
            price: Price::new(Some(10.0)),
            ..HistoryEvent::new(kind, 1, day * 86_400_000)
        };
        let stored = |kind, quantity| StoredEvent {
            kind,
            quantity,
            user: 0,
            item: 1,
            time_ms: 0,
            price: None,
            rating: None,
            event_id: "",
            basket_id: "",
            session_id: "",
            recommendation_id: "",
            channel: "",
            dwell_ms: None,
            scope: HideScope::Item,
            reason: "",
            review: "",
            sentiment: None,
        };
        let (buy, back) = (EventKind::Purchase, EventKind::Refund);
        let mut orders = Orders::default();
        let mut history: Vec<HistoryEvent> = Vec::new();
        let mut note = |kind, basket, day, quantity: f32| {
            let event = line(kind, basket, day, quantity);
            let stored = stored(kind, f64::from(quantity));
            for trade in trades(&stored, &event, &history, || Some(10.0)) {
                orders.note(0, trade);
            }
            history.push(event);
            let book = orders.of(0).unwrap();
            (book.count(), book.spend().round())
        };
        assert_eq!([note(buy, 7, 1, 1.0), note(buy, 8, 2, 2.0)], [(1, 10.0), (2, 30.0)]);
        assert_eq!(note(back, 7, 3, 1.0), (1, 20.0), "of its own basket");
        assert_eq!(note(back, 0, 4, 1.0), (1, 10.0), "of the newest that is open");
        assert_eq!(note(back, 0, 5, 1.0), (0, 0.0), "what was returned is not returned again");
        assert_eq!([note(buy, 9, 6, 1.0), note(back, 0, 7, 3.0)], [(1, 10.0), (0, 0.0)]);
    }
}
