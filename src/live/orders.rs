//! The orders of every user.

use crate::domain::order::{OrderBook, Trade};
use crate::domain::{EventKind, HistoryEvent, UserIdx};
use crate::store::StoredEvent;

/// The order books of all users; only buyers have one.
#[derive(Debug, Default)]
pub struct Orders {
    books: Vec<Option<Box<OrderBook>>>,
    /// Bytes of all books.
    bytes: usize,
}

impl Orders {
    /// Notes a purchase or a refund. Returns whether it began an order.
    pub fn note(&mut self, user: UserIdx, trade: Trade) -> bool {
        let slot = user as usize;
        if slot >= self.books.len() {
            self.books.resize_with(slot + 1, || None);
        }
        let before = self.books[slot].as_ref().map_or(0, |book| book.bytes());
        let book = self.books[slot].get_or_insert_default();
        let is_new = book.note(trade);
        self.bytes += book.bytes() - before;
        is_new
    }

    /// Erases a user's orders.
    pub fn erase(&mut self, user: UserIdx) {
        if let Some(book) = self.books.get_mut(user as usize).and_then(Option::take) {
            self.bytes = self.bytes.saturating_sub(book.bytes());
        }
    }

    /// A user's orders; none before the first.
    pub fn of(&self, user: UserIdx) -> Option<&OrderBook> {
        self.books.get(user as usize)?.as_deref()
    }

    /// The users with orders, in the order of their idx.
    pub fn all(&self) -> impl Iterator<Item = (UserIdx, &OrderBook)> {
        let books = (0..).zip(&self.books);
        books.filter_map(|(user, book)| Some((user, book.as_deref()?)))
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        self.books.capacity() * size_of::<Option<Box<OrderBook>>>() + self.bytes
    }
}

/// The change of a user's orders by a purchase or a refund, whose price is the event's own, or that of
/// the purchase that it returns, or the one in the catalogue.
pub(super) fn trade(
    event: &StoredEvent<'_>,
    remembered: &HistoryEvent,
    history: &[HistoryEvent],
    listed: impl Fn() -> Option<f64>,
) -> Trade {
    let is_refund = event.kind == EventKind::Refund;
    // What is returned belongs to the order that it was bought in.
    let is_bought = |e: &&HistoryEvent| {
        e.time_ms <= remembered.time_ms && e.kind == EventKind::Purchase && e.item == event.item
    };
    let bought = if is_refund { history.iter().rev().find(is_bought) } else { None };

    let paid = || bought.and_then(|bought| bought.price.ln()).map(|ln| f64::from(ln).exp());
    let price = event.price.or_else(paid).or_else(listed).unwrap_or(0.0);
    let units = if is_refund { -event.quantity } else { event.quantity };
    let order = bought.unwrap_or(remembered).together();
    Trade { time_ms: remembered.time_ms, order, units, spend: units * price }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_and_go_with_the_books() {
        let mut orders = Orders::default();
        let trade = |day| Trade { time_ms: day, order: (day as u32, 0), units: 1.0, spend: 1.0 };
        (1..=20).for_each(|day| assert!(orders.note(3, trade(day))));
        assert!(!orders.note(3, trade(4)));
        let expected = orders.of(3).map(OrderBook::bytes);
        assert_eq!(Some(orders.bytes() - orders.books.capacity() * 8), expected);
        assert_eq!(
            orders.all().map(|(user, book)| (user, book.count())).collect::<Vec<_>>(),
            [(3, 20)]
        );
        orders.erase(3);
        orders.erase(9);
        assert_eq!((orders.of(3), orders.bytes()), (None, orders.books.capacity() * 8));
    }
}
