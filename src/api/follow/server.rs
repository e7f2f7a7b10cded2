//! Follows the primary as a whole: its keys, and each of its stores.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::store::{self, Failing};
use super::upstream::Upstream;
use crate::access::Keyring;
use crate::api::services::wait_for;
use crate::api::wire::pb;
use crate::domain::{BoxError, Error};
use crate::host::Host;

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
            Err(error) => failing.again("", &*error),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Takes over the primary's keys, and the names and settings of its stores.
async fn copy_server(
    upstream: &Upstream,
    host: &Arc<Host>,
    keys: &Arc<Keyring>,
) -> Result<(), BoxError> {
    let request = upstream.request(None, pb::CopyServerRequest {});
    let mut client = upstream.stores();
    let copied = tokio::time::timeout(PATIENCE, client.copy_server(request)).await;
    let copied = copied.map_err(|_| "the primary does not answer")??.into_inner();
    let (host, keys) = (host.clone(), keys.clone());
    let taken = wait_for(move || {
        keys.take_over(&copied.keys)?;
        let settings = |store: pb::StoreCopy| {
            let settings = serde_json::from_slice(&store.settings);
            Ok((store.name, settings.map_err(|error| Error::Storage(error.into()))?))
        };
        let stores = copied.stores.into_iter().map(settings).collect::<Result<Vec<_>, Error>>()?;
        host.follow(&stores)
    });
    Ok(taken.await?)
}
