//! A user's orders: what was bought at one time, with what was paid and taken back. They are kept apart from
//! histories, which are bounded.

use serde::{Deserialize, Serialize};

/// An order. Every buyer has some in memory, so that its fields lie close.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[repr(C, packed(4))]
pub struct Order {
    /// Its first purchase, in seconds since 1970.
    time_s: u32,
    /// Hash of its basket; 0 where none is known: then it is what was bought on one day in UTC.
    basket: u32,
    /// Number of items bought minus number returned; less than 0 where it is no order, but a refund.
    units: f32,
    /// What was paid minus what was paid back, in the store's currency.
    spend: f64,
}

const _: () = assert!(size_of::<Order>() == 20);

/// Number of items below which nothing is left of an order.
const NOTHING: f32 = 1e-6;

impl Order {
    /// Whether something of it was not returned. Otherwise only its spend counts: a refund of what was
    /// bought before the log begins takes from the sum.
    pub fn stands(&self) -> bool {
        self.units > NOTHING
    }

    /// Its first purchase, in milliseconds since 1970, to the second.
    pub fn time_ms(&self) -> i64 {
        i64::from(self.time_s) * 1_000
    }

    /// What was paid minus what was paid back, in the store's currency.
    pub fn spend(&self) -> f64 {
        self.spend
    }

    /// Whether it is the order of a trade.
    fn is(&self, (basket, day): (u32, i64)) -> bool {
        match basket {
            _ if self.units < 0.0 => false,
            0 => self.basket == 0 && self.time_ms() / super::DAY_MS == day,
            _ => self.basket == basket,
        }
    }

    /// Number of items bought minus number returned.
    pub fn units(&self) -> f32 {
        self.units.max(0.0)
    }
}

/// A change of a user's orders: a purchase, or with negative numbers a refund.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trade {
    /// Its moment, in milliseconds since 1970.
    pub time_ms: i64,
    /// The order: the hash of its basket, or 0 and the number of its day in UTC
    /// (`HistoryEvent::together`). None for a refund of what no known order has: it takes from the sum.
    pub order: Option<(u32, i64)>,
    /// Number of items.
    pub units: f64,
    /// What was paid for all of them, or less than 0, paid back.
    pub paid: Paid,
}

/// What was paid, in the store's currency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Paid {
    /// As the event says.
    Exact(f64),
    /// Nearly: at most what the order still holds, and all of it where nothing of the order is left.
    About(f64),
    /// In proportion to what the order still holds.
    Unknown,
}

/// What a trade changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noted {
    /// Whether it began an order.
    pub is_order: bool,
    /// What was paid, or less than 0, paid back, in the store's currency.
    pub spend: f64,
}

/// The orders of one user.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OrderBook {
    /// The newest [`MAX_ORDERS`], by time.
    orders: Vec<Order>,
    /// The orders that left; none where all are there.
    left: Option<Box<Left>>,
    /// The first purchase ever, in seconds since 1970; none before it.
    first_s: Option<u32>,
    /// What was paid back, in the store's currency.
    refunded: f64,
}

/// The sums of orders that left a book.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Left {
    /// Number of those that stood.
    pub count: u32,
    /// Number of their days.
    pub days: u32,
    /// Their spend, in the store's currency.
    pub spend: f64,
    /// The last that left.
    last: Order,
}

/// Maximum number of orders that a user's book has one by one; of older ones it has the sums.
pub const MAX_ORDERS: usize = 1_000;

impl OrderBook {
    /// Notes a purchase or a refund.
    pub fn note(&mut self, trade: Trade) -> Noted {
        let is_purchase = trade.units > 0.0;
        let time_s = u32::try_from(trade.time_ms.max(0) / 1_000).unwrap_or(u32::MAX);
        if is_purchase {
            self.first_s = Some(self.first_s.map_or(time_s, |first| first.min(time_s)));
        }

        // Most trades are of the newest order.
        let known = trade.order.and_then(|of| self.orders.iter().rposition(|order| order.is(of)));
        let noted = match known {
            Some(at) => self.change(at, trade, time_s),
            None => self.insert(trade, time_s),
        };
        if !is_purchase {
            self.refunded -= noted.spend;
        }
        noted
    }

    /// Changes a known order.
    fn change(&mut self, at: usize, trade: Trade, time_s: u32) -> Noted {
        let is_purchase = trade.units > 0.0;
        let order = &mut self.orders[at];
        let stood = order.stands();
        let units = (order.units + trade.units as f32).max(0.0);
        let spend = match trade.paid {
            Paid::Exact(spend) => spend,
            Paid::About(spend) if is_purchase => spend,
            _ if is_purchase => 0.0,
            _ if units <= NOTHING => -order.spend.max(0.0),
            Paid::About(spend) => spend.max(-order.spend.max(0.0)),
            Paid::Unknown => order.spend.max(0.0) * (units / order.units - 1.0).min(0.0) as f64,
        };
        (order.units, order.spend) = (units, order.spend + spend);

        // A line that comes late may be the first.
        if is_purchase && time_s < order.time_s {
            order.time_s = time_s;
            self.orders.sort_by_key(|order| order.time_s);
        }
        Noted { is_order: is_purchase && !stood, spend }
    }

    /// Inserts an order, or a refund that belongs to none.
    fn insert(&mut self, trade: Trade, time_s: u32) -> Noted {
        let is_purchase = trade.units > 0.0;
        let (basket, units) = match trade.order {
            Some((basket, _)) if is_purchase => (basket, trade.units as f32),
            _ => (0, -1.0),
        };
        let spend = match trade.paid {
            Paid::Exact(spend) | Paid::About(spend) => spend,
            Paid::Unknown => 0.0,
        };
        let order = Order { time_s, basket, units, spend };
        let at = self.orders.partition_point(|before| before.time_s <= time_s);
        // Most users have few orders.
        self.orders.reserve_exact(if self.orders.len() < 8 { 1 } else { self.orders.len() / 4 });
        self.orders.insert(at, order);
        if self.orders.len() > MAX_ORDERS {
            let oldest = self.orders.remove(0);
            self.leave(oldest);
        }
        Noted { is_order: is_purchase, spend }
    }

    /// Adds the orders of another book of the same user. Orders of one basket, or without one of one day, become
    /// one.
    pub fn absorb(&mut self, other: &Self) {
        for order in &other.orders {
            let key = match order.basket {
                0 => (0, order.time_ms() / super::DAY_MS),
                basket => (basket, 0),
            };
            let same = self.orders.iter_mut().find(|own| order.units >= 0.0 && own.is(key));
            match same {
                Some(own) => {
                    own.units += order.units;
                    own.spend += order.spend;
                    own.time_s = own.time_s.min(order.time_s);
                }
                None => self.orders.push(*order),
            }
        }
        self.orders.sort_by_key(|order| order.time_s);

        self.first_s = self.first_s.into_iter().chain(other.first_s).min();
        self.refunded += other.refunded;
        if let Some(of_other) = &other.left {
            let left = self.left.get_or_insert_with(|| {
                Box::new(Left { count: 0, days: 0, spend: 0.0, ..**of_other })
            });
            left.count += of_other.count;
            left.days += of_other.days;
            left.spend += of_other.spend;
        }
        while self.orders.len() > MAX_ORDERS {
            let oldest = self.orders.remove(0);
            self.leave(oldest);
        }
    }

    fn leave(&mut self, oldest: Order) {
        let stands = u32::from(oldest.stands());
        let Some(left) = &mut self.left else {
            let spend = oldest.spend;
            self.left = Some(Box::new(Left { count: stands, days: stands, spend, last: oldest }));
            return;
        };
        // Lines of an order that left come one after another.
        let day = oldest.time_ms() / super::DAY_MS;
        let is_same = left.last.is((oldest.basket, day));
        left.count += if is_same { 0 } else { stands };
        left.days += if left.last.time_ms() / super::DAY_MS == day { 0 } else { stands };
        left.spend += oldest.spend;
        if oldest.stands() {
            left.last = oldest;
        }
    }

    /// The newest entries by time, those of which nothing stands included.
    pub fn entries(&self) -> &[Order] {
        &self.orders
    }

    /// The newest orders that stand, by time.
    pub fn standing(&self) -> impl DoubleEndedIterator<Item = &Order> + Clone {
        self.orders.iter().filter(|order| order.stands())
    }

    /// The sums of the orders that left; none where all are there.
    pub fn left(&self) -> Option<&Left> {
        self.left.as_deref()
    }

    /// Number of orders that stand, of all times.
    pub fn count(&self) -> u32 {
        self.left.as_ref().map_or(0, |left| left.count) + self.standing().count() as u32
    }

    /// What was paid minus what was paid back, of all times, in the store's currency; at least 0.
    pub fn spend(&self) -> f64 {
        let left = self.left.as_ref().map_or(0.0, |left| left.spend);
        let spend = left + self.orders.iter().map(|order| order.spend).sum::<f64>();
        spend.max(0.0)
    }

    /// What was paid back, of all times, in the store's currency.
    pub fn refunded(&self) -> f64 {
        self.refunded
    }

    /// The first purchase ever, in milliseconds since 1970.
    pub fn first_ms(&self) -> Option<i64> {
        self.first_s.map(|first| i64::from(first) * 1_000)
    }

    /// The first order that stands, in milliseconds since 1970; where orders left, the first purchase.
    pub fn first_order_ms(&self) -> Option<i64> {
        let first = self.standing().next().map(Order::time_ms);
        if self.left.is_some() { self.first_ms() } else { first }
    }

    /// The newest order that stands, in milliseconds since 1970.
    pub fn last_ms(&self) -> Option<i64> {
        self.standing().next_back().map(Order::time_ms)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        let left = self.left.as_ref().map_or(0, |_| size_of::<Left>());
        size_of::<Self>() + left + self.orders.capacity() * size_of::<Order>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DAY_MS;

    fn trade(day: i64, basket: u32, units: f64, spend: f64) -> Trade {
        let order = Some(if basket == 0 { (0, day) } else { (basket, 0) });
        Trade { time_ms: day * DAY_MS, order, units, paid: Paid::Exact(spend) }
    }

    #[test]
    fn lines_of_a_basket_or_a_day_are_one_order() {
        let mut book = OrderBook::default();
        assert!(book.note(trade(3, 7, 1.0, 10.0)).is_order);
        assert!(!book.note(trade(3, 7, 2.0, 5.0)).is_order);
        assert!(book.note(trade(3, 0, 1.0, 1.0)).is_order);
        assert!(!book.note(trade(3, 0, 1.0, 1.0)).is_order);
        assert!(book.note(trade(1, 8, 1.0, 4.0)).is_order, "a late one goes where it belongs");
        assert_eq!((book.count(), book.spend()), (3, 21.0));
        assert_eq!((book.first_ms(), book.last_ms()), (Some(DAY_MS), Some(3 * DAY_MS)));
    }

    #[test]
    fn two_books_of_one_user_are_one() {
        let (mut one, mut other) = (OrderBook::default(), OrderBook::default());
        one.note(trade(3, 7, 1.0, 10.0));
        one.note(trade(5, 0, 1.0, 1.0));
        other.note(trade(2, 7, 2.0, 5.0));
        other.note(trade(5, 0, 1.0, 2.0));
        other.note(trade(9, 8, 1.0, 4.0));
        other.note(Trade { order: None, ..trade(9, 0, -1.0, -3.0) });
        one.absorb(&other);
        // Basket 7 and day 5 are one order each; what was paid back stays apart.
        assert_eq!((one.count(), one.spend(), one.refunded()), (3, 19.0, 3.0));
        assert_eq!((one.first_ms(), one.last_ms()), (Some(2 * DAY_MS), Some(9 * DAY_MS)));
        assert_eq!(one.standing().next().map(Order::time_ms), Some(2 * DAY_MS));

        // An order of which nothing is left is still the day's.
        let (mut one, mut other) = (OrderBook::default(), OrderBook::default());
        one.note(trade(5, 0, 1.0, 10.0));
        other.note(trade(5, 0, 1.0, 7.0));
        other.note(trade(5, 0, -1.0, -7.0));
        one.absorb(&other);
        one.note(trade(5, 0, 1.0, 4.0));
        assert_eq!((one.count(), one.spend(), one.refunded()), (1, 14.0, 7.0));

        let mut many = OrderBook::default();
        for n in 0..900 {
            many.note(trade(10 + n, 100 + n as u32, 1.0, 1.0));
        }
        let mut more = many.clone();
        let later = |n: i64| trade(1_000 + n, 5_000 + n as u32, 1.0, 1.0);
        for n in 0..900 {
            more.note(later(n));
        }
        assert_eq!(more.left().map(|left| left.count), Some(800));
        let mut both = OrderBook::default();
        for n in 0..300 {
            both.note(trade(3_000 + n, 9_000 + n as u32, 1.0, 1.0));
        }
        both.absorb(&more);
        assert_eq!(
            (both.count(), both.spend(), both.entries().len()),
            (2_100, 2_100.0, MAX_ORDERS)
        );
    }

    #[test]
    fn refunds_take_back_an_order_and_those_of_unknown_purchases_the_sum() {
        let mut book = OrderBook::default();
        book.note(trade(1, 7, 2.0, 10.0));
        book.note(trade(2, 8, 1.0, 6.0));
        book.note(trade(3, 7, -1.0, -5.0));
        assert_eq!((book.count(), book.spend(), book.refunded()), (2, 11.0, 5.0));
        book.note(trade(4, 7, -1.0, -5.0));
        assert_eq!((book.count(), book.spend()), (1, 6.0), "nothing of it is left");
        book.note(Trade { order: None, ..trade(5, 0, -4.0, -2.0) });
        assert_eq!((book.count(), book.spend(), book.refunded()), (1, 4.0, 12.0));
        assert!(book.note(trade(5, 0, 1.0, 0.0)).is_order, "the refund is no order of that day");
        book.note(trade(5, 0, -1.0, 0.0));
        book.note(Trade { order: None, ..trade(6, 0, -4.0, -100.0) });
        assert_eq!((book.count(), book.spend()), (1, 0.0));
        assert!(book.note(trade(6, 7, 1.0, 5.0)).is_order, "bought again");
    }

    #[test]
    fn what_was_paid_nearly_leaves_nothing_behind() {
        let of = |units, paid| Trade { paid, ..trade(1, 7, units, 0.0) };
        let mut book = OrderBook::default();
        book.note(of(2.0, Paid::Exact(39.98)));
        assert_eq!(book.note(of(-1.0, Paid::About(-19.985))).spend, -19.985);
        book.note(of(-1.0, Paid::About(-19.985)));
        assert_eq!((book.count(), book.spend()), (0, 0.0));
        book.note(of(2.0, Paid::Exact(15.0)));
        assert_eq!(book.note(of(-1.0, Paid::Unknown)).spend, -7.5);
        assert_eq!(book.note(of(-0.5, Paid::About(-1_000.0))).spend, -7.5, "no more than is there");
    }

    #[test]
    fn an_order_begins_with_its_earliest_line() {
        let mut book = OrderBook::default();
        book.note(trade(6, 7, 1.0, 1.0));
        book.note(trade(4, 8, 1.0, 1.0));
        book.note(trade(2, 7, 1.0, 1.0));
        let times: Vec<i64> = book.standing().map(|order| order.time_ms() / DAY_MS).collect();
        assert_eq!((times, book.last_ms()), (vec![2, 4], Some(4 * DAY_MS)));
    }

    #[test]
    fn sums_outlast_the_orders_that_leave() {
        let mut book = OrderBook::default();
        let all = MAX_ORDERS as i64 + 50;
        for day in 0..all {
            book.note(trade(day, 0, 1.0, 2.0));
        }
        assert_eq!(book.entries().len(), MAX_ORDERS);
        assert_eq!((book.count(), book.spend()), (all as u32, 2.0 * all as f64));
        assert_eq!((book.first_ms(), book.last_ms()), (Some(0), Some((all - 1) * DAY_MS)));
        // The lines of a late order are one.
        for _ in 0..3 {
            book.note(trade(-1, 7, 1.0, 1.0));
        }
        assert_eq!(book.count(), all as u32 + 1);
    }
}
