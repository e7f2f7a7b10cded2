//! The connections in use: a limited number in all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::access::Usage;

/// The connections in use.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, OfAddress>,
}

/// What the connections from one address use.
#[derive(Debug, Default)]
struct OfAddress {
    connections: usize,
    /// What runs on them.
    usage: Arc<Usage>,
}

/// The network that an address belongs to: of IPv6 the first half, since one host owns the second.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address => address,
    }
}

impl Places {
    /// Places for `max` connections, of which one address may have `per_address`.
    pub(super) fn new(max: usize, per_address: usize) -> Self {
        Self { max, per_address, taken: Mutex::default() }
    }

    /// A place for a connection from `address`.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        let address = owner(address);
        let mut taken = self.taken.lock();
        if taken.all >= self.max {
            return Err("there are too many (serve.max_connections)");
        }

        let of_address = taken.by_address.entry(address).or_default();
        if of_address.connections >= self.per_address {
            return Err("there are too many from one address (serve.max_connections_per_address)");
        }

        of_address.connections += 1;
        let usage = of_address.usage.clone();
        taken.all += 1;
        Ok(Place { places: self.clone(), address, usage })
    }
}

/// A connection's place among the limits, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// The network that the address belongs to.
    pub(super) address: IpAddr,
    /// What runs for the address.
    pub(super) usage: Arc<Usage>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            of_address.connections -= 1;
            if of_address.connections == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}
