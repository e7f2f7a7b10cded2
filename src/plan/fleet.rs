//! How many machines a shop needs, and what goes between them.

use serde::Serialize;

use super::measured;
use super::simulation::Simulation;
use super::store::{Shop, StoreNeeds};

/// Share of a machine's memory that a server may fill: the rest is for requests, and for the system.
const FILLED: f64 = 0.7;
/// Share of a machine's processors that requests may take on average over the busiest second.
const BUSY: f64 = 0.5;
/// Followers that are simulated; more of them fare alike.
const MAX_SIMULATED: f64 = 16.0;
/// Followers at least, so that lists go on where one is lost.
const MIN_FOLLOWERS: f64 = 2.0;

/// A machine of the kind that is to be had.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Memory in bytes.
    pub memory_bytes: f64,
    /// Processor cores.
    pub cores: f64,
}

/// What comes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// Events a day.
    pub events_per_day: f64,
    /// Lists a second, in the busiest second.
    pub lists_per_second: f64,
    /// The busiest second of a day over the average one.
    pub peak: f64,
}

/// What befalls a fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Luck {
    /// Days that are simulated.
    pub days: u64,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// Mean time between two failures of one server, in days.
    pub days_between_failures: f64,
    /// Seconds after which another server takes the place of one that is lost (`object_store.lease_seconds`).
    pub lease_seconds: f64,
}

/// What a shop needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fleet {
    /// Stores that the shop is split into, by market or region: one where a machine holds it.
    pub stores: f64,
    /// What each store needs.
    pub store: StoreNeeds,
    /// Servers that write, one a store.
    pub writers: f64,
    /// Servers that follow, of all stores.
    pub followers: f64,
    /// Machines that train.
    pub trainers: f64,
    /// All of them.
    pub machines: f64,
    /// Whether one machine holds the items alone; otherwise no split helps.
    pub fits: bool,
    /// Hours that trainers are busy for one model of each store.
    pub training_hours: f64,
    /// Bytes that the logs grow by each day.
    pub log_bytes_per_day: f64,
    /// Bytes in the object store: logs, and three models of each store.
    pub object_bytes: f64,
    /// Bits a second into a server that writes, in the busiest second.
    pub writer_bits_per_second: f64,
    /// Bits a second out of the object store to all followers, in the busiest second.
    pub followers_bits_per_second: f64,
    /// The part of the memory that costs most, and its share.
    pub driver: (&'static str, f64),
}

/// Memory of a machine that one user's share of the shop fits, in bytes: each store has all items. With less no split
/// helps.
pub fn least_memory(shop: Shop) -> f64 {
    shop.split(shop.users).needs().largest() / FILLED
}

impl Fleet {
    /// The machines for a shop.
    pub fn of(shop: Shop, demand: Demand, machine: Machine) -> Self {
        // It is trained on a machine of the same kind.
        let holds = |shop: Shop| shop.needs().largest() <= machine.memory_bytes * FILLED;
        let fits = least_memory(shop) <= machine.memory_bytes;
        let busiest = demand.events_per_day / 86_400.0 * demand.peak;
        // One server takes in what happens in a store.
        let mut stores = (busiest / (measured::EVENTS_TAKEN_IN_PER_SECOND * BUSY)).ceil().max(1.0);
        while fits && !holds(shop.split(stores)) {
            // By a hundredth at least, so that it ends.
            stores = (stores * 1.01f64).ceil().max(stores + 1.0);
        }
        let part = shop.split(stores);
        let store = part.needs();

        let each = machine.cores * BUSY / measured::SECONDS_OF_LIST;
        let followers =
            (demand.lists_per_second / stores / each).ceil().max(MIN_FOLLOWERS) * stores;
        let training_hours = stores * store.training_seconds * measured::TRAINING_CORES
            / machine.cores.max(1.0)
            / 3_600.0;
        // Each store gets a new model a day.
        let trainers = (training_hours / 24.0 / BUSY).ceil().max(1.0);

        let wire = measured::WIRE_BYTES_OF_EVENT * busiest / stores;
        let log = measured::LOG_BYTES_OF_EVENT * busiest;
        let driver =
            store.parts.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("", 0.0));
        let driver = (driver.0, driver.1 / store.memory_bytes);
        Self {
            stores,
            writers: stores,
            followers,
            trainers,
            machines: stores + followers + trainers,
            fits,
            training_hours,
            log_bytes_per_day: measured::LOG_BYTES_OF_EVENT * demand.events_per_day,
            object_bytes: stores * (store.log_bytes + 3.0 * store.model_bytes),
            writer_bits_per_second: 8.0 * wire,
            followers_bits_per_second: 8.0 * log * followers / stores,
            driver,
            store,
        }
    }

    /// The simulation of one of its stores.
    pub fn simulation(&self, demand: Demand, luck: Luck) -> Simulation {
        Simulation {
            days: luck.days,
            seed: luck.seed,
            events_per_second: demand.events_per_day / 86_400.0 / self.stores,
            peak: demand.peak,
            takes_in: measured::EVENTS_TAKEN_IN_PER_SECOND,
            applies: measured::EVENTS_APPLIED_PER_SECOND,
            followers: (self.followers / self.stores).min(MAX_SIMULATED) as usize,
            days_between_failures: luck.days_between_failures,
            lease_seconds: luck.lease_seconds,
            opening_seconds: self.store.opening_seconds,
            delay_seconds: measured::SECONDS_TO_OBJECT_STORE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine { memory_bytes: 64e9, cores: 16.0 };

    fn planned(users: f64, events_per_day: f64) -> (Fleet, Demand) {
        let shop = Shop { users, items: 1e5, events: events_per_day * 365.0, history_limit: 200.0 };
        let lists_per_second = events_per_day / 86_400.0 * 1.8;
        let demand = Demand { events_per_day, lists_per_second, peak: 1.8 };
        (Fleet::of(shop, demand, MACHINE), demand)
    }

    #[test]
    fn a_shop_that_one_machine_holds_is_one_store() {
        let (fleet, demand) = planned(1e6, 1e5);
        assert_eq!((fleet.stores, fleet.writers, fleet.followers), (1.0, 1.0, 2.0));
        assert_eq!(fleet.machines, 4.0);
        let luck = Luck { days: 3, seed: 1, days_between_failures: 1e9, lease_seconds: 10.0 };
        let simulated = fleet.simulation(demand, luck).run();
        assert!((simulated.events as f64 / 3e5 - 1.0).abs() < 0.01, "{simulated:?}");
    }

    #[test]
    fn a_larger_one_is_split_and_each_part_fits() {
        let (fleet, _) = planned(1e9, 1e8);
        assert!(fleet.fits && fleet.stores > 10.0, "{fleet:?}");
        let largest = fleet.store.memory_bytes.max(fleet.store.training_bytes);
        assert!(largest <= 0.7 * MACHINE.memory_bytes);
        assert!(largest > 0.6 * MACHINE.memory_bytes, "no more than needed");
        assert_eq!(fleet.machines, fleet.writers + fleet.followers + fleet.trainers);
        assert!(fleet.followers >= 2.0 * fleet.stores);
    }

    #[test]
    fn items_that_no_machine_holds_fit_nowhere() {
        let shop = Shop { users: 1.0, items: 1e9, events: 1.0, history_limit: 1.0 };
        let demand = Demand { events_per_day: 1.0, lists_per_second: 1.0, peak: 1.0 };
        assert!(!Fleet::of(shop, demand, MACHINE).fits);
    }
}
