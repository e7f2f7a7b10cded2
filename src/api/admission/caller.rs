//! Whose request it is: the address, key and store that it is counted for.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};

use crate::access::audit::NO_KEY;
use crate::access::usage::{Counted, Entered};
use crate::access::{HeldKey, Keyring, RateLimiter, Refusal, Usage};
use crate::api::wire::status::{denied, from_error};
use crate::domain::Error;
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
    /// The keys of the server; none where a request needs no key at all.
    pub keys: Option<Arc<Keyring>>,
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
        Self { address, key: None, store: None, keys: None }
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

    /// The outcome of work that waits for the client; UNAVAILABLE once the store closes.
    pub(super) async fn unless_closing<T>(
        &self,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let Some(store) = &self.store else { return work.await };
        tokio::select! {
            // A message that is here is served.
            biased;
            done = work => done,
            _ = store.engine.unless_closing(std::future::pending::<()>()) => {
                Err(from_error(Error::ShuttingDown))
            }
        }
    }

    /// Whether it may still call: keys are revoked, expire, or come into force while a stream runs.
    ///
    /// # Errors
    /// UNAUTHENTICATED.
    pub(super) fn check(&self) -> Result<(), Status> {
        match &self.key {
            Some(held) => held.check().map_err(refused_key),
            None if self.keys.as_ref().is_some_and(|keys| keys.is_in_force()) => Err(missing_key()),
            None => Ok(()),
        }
    }

    /// Counts what is on a bill against the quotas of its key and store, and takes it off.
    ///
    /// # Errors
    /// The party whose quota is used up, and the time after which the rest may come.
    pub(super) fn pay(&self, bill: &mut Bill) -> Result<(), (Party, Duration)> {
        let of_store = self.store.as_ref().map(|store| store.rate());
        let of_key = self.key.as_ref().map(|held| &*held.rate);
        pay(of_key, &mut bill.of_key).map_err(|wait| (Party::Key, wait))?;
        pay(of_store.as_deref(), &mut bill.of_store).map_err(|wait| (Party::Store, wait))
    }
}

fn pay(rate: Option<&RateLimiter>, due: &mut Due) -> Result<(), Duration> {
    if let Some(rate) = rate {
        rate.bytes(due.bytes)?;
        due.bytes = 0;
        if due.request {
            rate.request()?;
        }
    }
    *due = Due::default();
    Ok(())
}

/// What is not counted against quotas yet.
#[derive(Debug, Default)]
pub(super) struct Bill {
    of_key: Due,
    of_store: Due,
}

#[derive(Debug, Default)]
struct Due {
    bytes: usize,
    request: bool,
}

impl Bill {
    /// Adds bytes.
    pub(super) fn bytes(&mut self, bytes: usize) {
        self.of_key.bytes += bytes;
        self.of_store.bytes += bytes;
    }

    /// Adds a request.
    pub(super) fn request(&mut self) {
        self.of_key.request = true;
        self.of_store.request = true;
    }

    /// Whether all is counted.
    pub(super) fn is_paid(&self) -> bool {
        [&self.of_key, &self.of_store].iter().all(|due| due.bytes == 0 && !due.request)
    }
}

/// The refusal of a request without a key.
pub fn missing_key() -> Status {
    let message = "an API key is needed: send authorization: Bearer KEY";
    denied(Code::Unauthenticated, "KEY_MISSING", message)
}

/// The refusal of a key.
pub fn refused_key(refusal: Refusal) -> Status {
    let (reason, message) = match refusal {
        Refusal::Unknown => ("KEY_UNKNOWN", "the API key is not known"),
        Refusal::Expired => ("KEY_EXPIRED", "the API key has expired"),
        Refusal::Revoked => ("KEY_REVOKED", "the API key was revoked"),
    };
    denied(Code::Unauthenticated, reason, message)
}

/// Maximum numbers of all callers together, and the share of each party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Unary requests at once.
    pub requests: usize,
    /// Requests with streams at once; as many health checks in addition.
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
            Counted::Streams | Counted::Health => self.streams,
            Counted::Work => self.work,
            Counted::Bytes => self.bytes,
            Counted::Connections => return usize::MAX,
        };
        let share = match (party, counted) {
            (Party::All, _) => all,
            (Party::Address, Counted::Bytes) => all / 4,
            (Party::Key, Counted::Bytes) => all / 2,
            (_, Counted::Work) => all / 4,
            (Party::Address | Party::Key, Counted::Streams | Counted::Health) => all / 4,
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

/// What counts a request while it runs: an extension of it. An act that runs on without its caller
/// keeps it to its end.
#[derive(Debug, Clone, Default)]
pub struct Running(#[expect(dead_code, reason = "held")] Arc<Vec<Entered>>);

impl Running {
    /// Counted as long as one of its clones lives.
    pub(super) fn new(counted: Vec<Entered>) -> Self {
        Self(Arc::new(counted))
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
