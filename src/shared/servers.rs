//! What concerns a server as a whole: its keys, and which stores it has.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::board::Board;
use super::follow::Notes;
use super::notes::ServerNote;
use crate::access::Keyring;
use crate::domain::{BoxError, Error};
use crate::engine::wait_for;
use crate::host::{self, Host, Hosted};
use crate::objects::{Bucket, Piece};
use crate::telemetry::Failing;

/// Does `work` for each store that is open, from when it is, as long as it is polled.
pub(super) async fn of_each_store<F>(
    host: Arc<Host>,
    every: Duration,
    work: impl Fn(Arc<Hosted>) -> F,
) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut begun = BTreeSet::new();
    let mut stores = JoinSet::new();
    loop {
        let mut open = BTreeSet::new();
        for store in host.list().into_iter().filter_map(|listed| listed.store.ok()) {
            let key = (store.name.clone(), store.settings().created_ms);
            if !begun.contains(&key) {
                stores.spawn(work(store));
            }
            open.insert(key);
        }
        begun = open;
        while stores.try_join_next().is_some() {}
        tokio::time::sleep(every).await;
    }
}

/// Uploads the keys and the list of stores whenever they change.
pub(super) async fn upload(
    bucket: Bucket,
    board: Arc<Board>,
    (host, keys): (Arc<Host>, Arc<Keyring>),
    every: Duration,
) {
    let mut failing = Failing::new("the keys and the stores are not uploaded");
    let mut uploaded: Option<ServerNote> = None;
    loop {
        let (host, keys) = (host.clone(), keys.clone());
        match upload_once(&bucket, &board, (host, keys), &mut uploaded).await {
            Ok(()) => failing.ended(""),
            Err(error) => failing.again("", error.to_string()),
        }
        tokio::time::sleep(every).await;
    }
}

/// Uploads the keys and the list of stores where they are others than those that are `uploaded`.
pub(super) async fn upload_once(
    bucket: &Bucket,
    board: &Board,
    (host, keys): (Arc<Host>, Arc<Keyring>),
    uploaded: &mut Option<ServerNote>,
) -> Result<(), BoxError> {
    let note = wait_for(move || note(&host, &keys)).await?;
    if uploaded.as_ref() != Some(&note) {
        let piece = bucket.put_piece(serde_json::to_vec(&note)?).await?;
        board.set_server(piece);
        *uploaded = Some(note);
    }
    Ok(())
}

fn note(host: &Host, keys: &Keyring) -> Result<ServerNote, Error> {
    let keys: Vec<_> = keys.list().iter().map(|held| held.key.clone()).collect();
    let open = host.list().into_iter().filter_map(|listed| Some((listed.name, listed.store.ok()?)));
    let stores = open.map(|(name, store)| (name, (*store.settings()).clone())).collect();
    let keys = serde_json::to_string(&keys).map_err(|error| Error::Storage(error.into()))?;
    Ok(ServerNote { keys, stores, deleted: host.tombstones()? })
}

/// Takes over the keys and the stores of the server that writes, whenever they change. `has_keys` becomes true once
/// it has taken over keys.
pub(super) async fn follow(
    bucket: Bucket,
    mut notes: Notes,
    (host, keys): (Arc<Host>, Arc<Keyring>),
    has_keys: watch::Sender<bool>,
) {
    let mut failing = Failing::new("the keys and the stores are not followed");
    let mut taken: Option<Piece> = None;

    loop {
        let seen = notes.borrow_and_update().clone();
        let piece = seen.and_then(|seen| seen.note.server.clone());
        if let Some(piece) = piece.filter(|piece| taken.as_ref() != Some(piece)) {
            match take(&bucket, &piece, (&host, &keys), &has_keys).await {
                Ok(()) => {
                    failing.ended("");
                    taken = Some(piece);
                }
                Err(error) => failing.again("", error.to_string()),
            }
        }
        if notes.changed().await.is_err() {
            return;
        }
    }
}

/// Takes over the keys alone.
pub(super) async fn take_keys(
    bucket: &Bucket,
    piece: &Piece,
    keys: &Arc<Keyring>,
) -> Result<(), BoxError> {
    let note: ServerNote = serde_json::from_slice(&bucket.get_piece(piece).await?)?;
    let keys = keys.clone();
    Ok(wait_for(move || keys.take_over(note.keys.as_bytes())).await?)
}

async fn take(
    bucket: &Bucket,
    piece: &Piece,
    (host, keys): (&Arc<Host>, &Arc<Keyring>),
    has_keys: &watch::Sender<bool>,
) -> Result<(), BoxError> {
    if !host::remembers(host.data(), piece.checksum())? {
        take_keys(bucket, piece, keys).await?;
        has_keys.send_replace(true);
        let note: ServerNote = serde_json::from_slice(&bucket.get_piece(piece).await?)?;
        let (host, name) = (host.clone(), piece.checksum().to_owned());
        wait_for(move || {
            host.follow(&note.stores, &note.deleted)?;
            host::remember(host.data(), &name)
        })
        .await?;
    }

    // What is here already may be newer: it was changed by this server while it wrote.
    has_keys.send_replace(true);
    Ok(())
}
