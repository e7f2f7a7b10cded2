//! Follows the primary as a whole: its keys, and each of its stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::primary::Primary;
use super::store;
use super::upstream::Upstream;
use crate::access::Keyring;
use crate::api::wire::pb;
use crate::domain::{BoxError, Error};
use crate::engine::wait_for;
use crate::host::{Host, Tombstone};
use crate::telemetry::Failing;

/// Time between two looks, and the time that one may take.
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows the primary as long as it is polled.
pub async fn follow(upstream: Arc<Upstream>, host: Arc<Host>, keys: Arc<Keyring>) {
    let mut followed = BTreeSet::new();
    let mut stores = JoinSet::new();
    let mut failing = Failing::new("the primary is not followed");
    tracing::info!(primary = upstream.url, "following");
    loop {
        let mut open = BTreeSet::new();
        for listed in host.list() {
            let Ok(store) = listed.store else { continue };
            let key = (listed.name, store.settings().created_ms);
            if !followed.contains(&key) {
                stores.spawn(store::follow(upstream.clone(), store));
            }
            open.insert(key);
        }
        followed = open;
        while stores.try_join_next().is_some() {}

        match copy_server(&upstream, &host, &keys).await {
            Ok(()) => failing.ended(""),
            Err(error) => failing.again("", store::reason(&*error)),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Sends what was shown here to whichever server writes, as long as it is polled.
pub async fn send_all_shown(primary: Arc<Primary>, host: Arc<Host>) {
    let mut failing: BTreeMap<String, Failing> = BTreeMap::new();
    loop {
        tokio::time::sleep(store::SHOWN_EVERY).await;
        let Some(upstream) = primary.upstream() else { continue };
        for store in host.list().into_iter().filter_map(|listed| listed.store.ok()) {
            let Some(follower) = store.engine.follower() else { continue };
            let failing = failing.entry(store.name.clone());
            let failing = failing.or_insert_with(|| Failing::new("what was shown waits"));
            match store::send_shown(&upstream, &store.name, follower).await {
                Ok(()) => failing.ended(&store.name),
                Err(status) => {
                    failing.again(&store.name, store::reason(&status));
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }
}

/// Takes over the primary's keys, and what there is of its stores.
async fn copy_server(
    upstream: &Upstream,
    host: &Arc<Host>,
    keys: &Arc<Keyring>,
) -> Result<(), BoxError> {
    let copied = copied(upstream).await?;
    let (host, keys) = (host.clone(), keys.clone());
    let taken = wait_for(move || {
        keys.take_over(&copied.keys)?;
        let settings = |store: pb::StoreCopy| Ok((store.name, read(&store.settings)?));
        let stores = copied.stores.into_iter().map(settings).collect::<Result<Vec<_>, Error>>()?;
        host.follow(&stores, &read::<Vec<Tombstone>>(&copied.deleted)?)
    });
    Ok(taken.await?)
}

/// Takes over the primary's keys before anything is served: a copy of a server with keys never is one without.
///
/// # Errors
/// Why they are not taken over; what is here stays in force.
pub async fn take_keys(upstream: &Upstream, keys: &Arc<Keyring>) -> Result<(), BoxError> {
    let copied = copied(upstream).await?;
    let keys = keys.clone();
    Ok(wait_for(move || keys.take_over(&copied.keys)).await?)
}

async fn copied(upstream: &Upstream) -> Result<pb::CopyServerResponse, BoxError> {
    let request = upstream.request(None, pb::CopyServerRequest {});
    let mut client = upstream.stores();
    let copied = tokio::time::timeout(PATIENCE, client.copy_server(request)).await;
    Ok(copied.map_err(|_| "the primary does not answer")??.into_inner())
}

fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::Storage(error.into()))
}
