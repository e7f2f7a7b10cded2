//! A user's orders: what was bought at one time, with what was paid and taken back. They are kept apart from
//! histories, which are bounded.

/// An order. Every buyer has some in memory, so that its fields lie close.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, packed(4))]
pub struct Order {
    /// Its first purchase, in seconds since 1970.
    time_s: u32,
    /// Number of its basket; 0 where none is known: then it is what was bought on one day.
    basket: u32,
    /// Number of items bought minus number returned.
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
    /// The order: its basket, or 0 and the start of its day. See `HistoryEvent::together`.
    pub order: (u32, i64),
    /// Number of items.
    pub units: f64,
    /// Price of all of them, in the store's currency.
    pub spend: f64,
}

/// The orders of one user.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OrderBook {
    /// The newest [`MAX_ORDERS`], by time.
    orders: Vec<Order>,
    /// Number of the orders that left.
    left: u32,
    /// Their spend.
    left_spend: f64,
    /// The first purchase ever, in seconds since 1970; none before it.
    first_s: Option<u32>,
    /// What was paid back, in the store's currency.
    refunded: f64,
}

/// Maximum number of orders that a user's book has one by one; of older ones it has the sums.
pub const MAX_ORDERS: usize = 1_000;

impl OrderBook {
    /// Notes a purchase or a refund. Returns whether it began an order.
    pub fn note(&mut self, trade: Trade) -> bool {
        let is_purchase = trade.units > 0.0;
        let time_s = u32::try_from(trade.time_ms.max(0) / 1_000).unwrap_or(u32::MAX);
        if is_purchase {
            self.first_s = Some(self.first_s.map_or(time_s, |first| first.min(time_s)));
        } else {
            self.refunded -= trade.spend;
        }

        let (basket, day) = trade.order;
        let is_same = |order: &Order| match basket {
            0 => order.basket == 0 && order.time_ms() / super::DAY_MS == day,
            _ => order.basket == basket,
        };
        // Most trades are of the newest order.
        let known = self.orders.iter_mut().rev().find(|order| is_same(order));
        if let Some(order) = known {
            let stood = order.stands();
            order.units += trade.units as f32;
            order.spend += trade.spend;
            return is_purchase && !stood;
        }

        // What a refund leaves without an order takes from the sum alone.
        let units = trade.units.max(0.0) as f32;
        let order = Order { time_s, basket, units, spend: trade.spend };
        let at = self.orders.partition_point(|before| before.time_s <= time_s);
        // Most users have few orders.
        self.orders.reserve_exact(if self.orders.len() < 8 { 1 } else { self.orders.len() / 4 });
        self.orders.insert(at, order);
        if self.orders.len() > MAX_ORDERS {
            let oldest = self.orders.remove(0);
            self.left += u32::from(oldest.stands());
            self.left_spend += oldest.spend;
        }
        is_purchase
    }

    /// The newest entries by time, those of which nothing stands included.
    pub fn entries(&self) -> &[Order] {
        &self.orders
    }

    /// The newest orders that stand, by time.
    pub fn standing(&self) -> impl DoubleEndedIterator<Item = &Order> + Clone {
        self.orders.iter().filter(|order| order.stands())
    }

    /// Number and spend of the orders that left.
    pub fn left(&self) -> (u32, f64) {
        (self.left, self.left_spend)
    }

    /// Number of orders that stand, of all times.
    pub fn count(&self) -> u32 {
        self.left + self.standing().count() as u32
    }

    /// What was paid minus what was paid back, of all times, in the store's currency; at least 0.
    pub fn spend(&self) -> f64 {
        let spend = self.left_spend + self.orders.iter().map(|order| order.spend).sum::<f64>();
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

    /// The newest order that stands, in milliseconds since 1970.
    pub fn last_ms(&self) -> Option<i64> {
        self.standing().next_back().map(Order::time_ms)
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.orders.capacity() * size_of::<Order>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DAY_MS;

    fn trade(day: i64, basket: u32, units: f64, spend: f64) -> Trade {
        let order = if basket == 0 { (0, day) } else { (basket, 0) };
        Trade { time_ms: day * DAY_MS, order, units, spend }
    }

    #[test]
    fn lines_of_a_basket_or_a_day_are_one_order() {
        let mut book = OrderBook::default();
        assert!(book.note(trade(3, 7, 1.0, 10.0)));
        assert!(!book.note(trade(3, 7, 2.0, 5.0)));
        assert!(book.note(trade(3, 0, 1.0, 1.0)) && !book.note(trade(3, 0, 1.0, 1.0)));
        assert!(book.note(trade(1, 8, 1.0, 4.0)), "a late one goes where it belongs");
        assert_eq!((book.count(), book.spend()), (3, 21.0));
        assert_eq!((book.first_ms(), book.last_ms()), (Some(DAY_MS), Some(3 * DAY_MS)));
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
        book.note(trade(5, 9, -4.0, -2.0));
        assert_eq!((book.count(), book.spend(), book.refunded()), (1, 4.0, 12.0));
        book.note(trade(6, 0, -4.0, -100.0));
        assert_eq!((book.count(), book.spend()), (1, 0.0));
        assert!(book.note(trade(6, 7, 1.0, 5.0)), "bought again");
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
    }
}
