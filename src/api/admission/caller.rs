//! Whose request it is: the address, key and store that it is counted for.

use std::sync::Arc;
use std::time::Duration;

use crate::access::audit::NO_KEY;
use crate::access::usage::{Counted, Entered};
use crate::access::{HeldKey, Usage};
use crate::host::Hosted;

/// The caller of a request; an extension of it.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// What runs for its address.
    pub address: Arc<Usage>,
    /// Its key; none on a server without keys, and for health checks.
    pub key: Option<Arc<HeldKey>>,
    /// The store that it is for; none for methods that are for none.
    pub store: Option<Arc<Hosted>>,
}

/// One of those that a request is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// All callers together.
    All,
    /// Callers from the same address.
    Address,
    /// Callers with the same key.
    Key,
    /// Callers of the same store.
    Store,
}

impl Party {
    /// Its name in a message: "… from this address".
    pub fn of(self) -> &'static str {
        match self {
            Party::All => "of all callers",
            Party::Address => "from this address",
            Party::Key => "with this key",
            Party::Store => "to this store",
        }
    }
}

impl Caller {
    /// A caller from an address that is counted nowhere else yet.
    pub fn from(address: Arc<Usage>) -> Self {
        Self { address, key: None, store: None }
    }

    /// The name of its key, for the audit log.
    pub fn name(&self) -> &str {
        self.key.as_ref().map_or(NO_KEY, |held| &held.key.name)
    }

    /// What runs for each party.
    pub(super) fn parties(&self) -> impl Iterator<Item = (Party, &Arc<Usage>)> {
        let key = self.key.as_ref().map(|held| (Party::Key, &held.usage));
        let store = self.store.as_ref().map(|store| (Party::Store, &store.usage));
        [(Party::Address, &self.address)].into_iter().chain(key).chain(store)
    }

    /// Counts bytes of a request against the quotas of its key and store.
    ///
    /// # Errors
    /// The party whose quota is used up, and the time after which the bytes may come.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), (Party, Duration)> {
        if let Some(held) = &self.key {
            held.rate.bytes(bytes).map_err(|wait| (Party::Key, wait))?;
        }
        if let Some(store) = &self.store {
            store.rate().bytes(bytes).map_err(|wait| (Party::Store, wait))?;
        }
        Ok(())
    }
}

/// Maximum numbers of all callers together, and the share of each party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Unary requests at once.
    pub requests: usize,
    /// Requests with streams at once.
    pub streams: usize,
    /// Requests at once that take long or much.
    pub work: usize,
    /// Bytes of requests and of answers that wait.
    pub bytes: usize,
}

impl Shares {
    /// The maximum of a party. No address, key or store may take all: a part is left to others.
    fn max(&self, party: Party, counted: Counted) -> usize {
        let all = match counted {
            Counted::Requests => self.requests,
            Counted::Streams => self.streams,
            Counted::Work => self.work,
            Counted::Bytes => self.bytes,
            Counted::Connections => return usize::MAX,
        };
        let share = match (party, counted) {
            (Party::All, _) => all,
            (Party::Address, Counted::Bytes) => all / 4,
            (Party::Key, Counted::Bytes) => all / 2,
            (_, Counted::Work) => all / 4,
            (Party::Address | Party::Key, Counted::Streams) => all / 4,
            _ => all * 3 / 4,
        };
        share.max(1)
    }
}

/// What all callers together have, and its limits.
#[derive(Debug, Clone)]
pub struct Budget {
    shares: Shares,
    all: Arc<Usage>,
}

impl Budget {
    /// A budget of which nothing is used.
    pub fn new(shares: Shares) -> Self {
        Self { shares, all: Arc::default() }
    }

    /// Counts one for every party of a caller until the guards are dropped.
    ///
    /// # Errors
    /// The party that has its maximum already, and the maximum.
    pub(super) fn enter(
        &self,
        caller: &Caller,
        counted: Counted,
    ) -> Result<Vec<Entered>, (Party, usize)> {
        let all = [(Party::All, &self.all)].into_iter().chain(caller.parties());
        let enter = |(party, usage): (Party, &Arc<Usage>)| {
            let max = self.shares.max(party, counted);
            usage.enter(counted, max).ok_or((party, max))
        };
        all.map(enter).collect()
    }

    /// A reservation of no bytes yet.
    pub(super) fn reserve(&self, caller: &Caller) -> MemoryReservation {
        let all = [(Party::All, &self.all)].into_iter().chain(caller.parties());
        let parties = all
            .map(|(party, usage)| (party, self.shares.max(party, Counted::Bytes), usage.clone()));
        MemoryReservation { parties: parties.collect(), bytes: 0 }
    }

    /// Bytes that are held.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.all.now(Counted::Bytes)
    }
}

/// Bytes that are held, until they are dropped.
#[derive(Debug)]
pub struct MemoryReservation {
    parties: Vec<(Party, usize, Arc<Usage>)>,
    bytes: usize,
}

impl MemoryReservation {
    /// Holds more bytes.
    ///
    /// # Errors
    /// The party that holds more than its maximum, and the maximum; the bytes count all the same.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), (Party, usize)> {
        self.bytes += bytes;
        let mut full = Ok(());
        for (party, max, usage) in &self.parties {
            if usage.add(Counted::Bytes, bytes) > *max {
                full = Err((*party, *max));
            }
        }
        full
    }

    /// Holds fewer.
    pub(super) fn shrink(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.parties.iter().for_each(|(_, _, usage)| usage.subtract(Counted::Bytes, bytes));
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_a_part_to_others() {
        let budget = Budget::new(Shares { requests: 8, streams: 8, work: 4, bytes: 800 });
        let one = Caller::default();
        let other = Caller::default();
        let held: Vec<_> = (0..6).map(|_| budget.enter(&one, Counted::Requests).unwrap()).collect();
        let full = budget.enter(&one, Counted::Requests).unwrap_err();
        assert_eq!(full, (Party::Address, 6));
        let _other = budget.enter(&other, Counted::Requests).unwrap();
        drop(held);
        budget.enter(&one, Counted::Requests).unwrap();

        let mut bytes = budget.reserve(&one);
        bytes.grow(200).unwrap();
        assert_eq!(bytes.grow(1), Err((Party::Address, 200)));
        drop(bytes);
        assert_eq!(budget.held(), 0);
    }
}
