//! What runs beside the requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::access::Keyring;
use crate::api::follow::{self, Primary};
use crate::api::observe::Observer;
use crate::api::tls::Certificates;
use crate::host::Host;

/// Time between two looks at the file of keys, and between two notes of their last use.
const KEYS_EVERY: Duration = Duration::from_secs(1);
const USES_EVERY: Duration = Duration::from_secs(60);
/// Starts what runs beside the requests, as long as the set is kept.
pub(super) fn start(
    (host, primary): (&Arc<Host>, &Option<Arc<Primary>>),
    keys: &Arc<Keyring>,
    observer: &Arc<Observer>,
    certificates: Option<Certificates>,
) -> JoinSet<()> {
    let mut beside = JoinSet::new();
    beside.spawn(observer.clone().report());
    beside.spawn(follow_keys(keys.clone()));
    if let Some(certificates) = certificates {
        beside.spawn(certificates.follow());
    }
    if let Some(primary) = primary {
        match primary.copied() {
            Some(upstream) => {
                beside.spawn(follow::follow(upstream, host.clone(), keys.clone()));
            }
            None => {
                beside.spawn(follow::send_all_shown(primary.clone(), host.clone()));
            }
        }
    }
    beside
}

/// Takes up keys that another process changes, and notes when keys were used, as long as it is
/// polled.
async fn follow_keys(keys: Arc<Keyring>) {
    let mut failing = false;
    let mut noted = Instant::now();
    loop {
        tokio::time::sleep(KEYS_EVERY).await;
        let is_due = noted.elapsed() >= USES_EVERY;
        if is_due {
            noted = Instant::now();
        }

        let keys = keys.clone();
        let refreshed = tokio::task::spawn_blocking(move || {
            if is_due {
                save_last_uses(&keys);
            }
            keys.refresh()
        });
        let Ok(refreshed) = refreshed.await else { return };
        if let Err(error) = &refreshed
            && !failing
        {
            tracing::error!(%error, "the file of keys cannot be read; the keys before stay in force");
        }
        failing = refreshed.is_err();
    }
}

/// Notes on disk when keys were used.
pub(super) fn save_last_uses(keys: &Keyring) {
    if keys.is_in_force()
        && let Err(error) = keys.save_last_uses()
    {
        tracing::warn!(%error, "the times of keys' last use are not on disk");
    }
}
