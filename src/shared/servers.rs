//! What concerns a server as a whole: its keys, and which stores it has.

use std::collections::BTreeSet;
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
use crate::host::{Host, Hosted};
use crate::objects::{Bucket, Piece};
use crate::telemetry::Failing;

/// Does `work` for each store that is open, from when it is, as long as it is polled.
pub(super) async fn of_each_store<F>(
    host: Arc<Host>,
    every: Duration,
    work: impl Fn(Arc<Hosted>) -> F,
) where
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
        let next = wait_for(move || note(&host, &keys)).await;
        let done = match next {
            Ok(note) if uploaded.as_ref() == Some(&note) => Ok(()),
            Ok(note) => put(&bucket, &board, &note).await.map(|()| uploaded = Some(note)),
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(()) => failing.ended(""),
            Err(error) => failing.again("", error.to_string()),
        }
        tokio::time::sleep(every).await;
    }
}

fn note(host: &Host, keys: &Keyring) -> Result<ServerNote, Error> {
    let keys: Vec<_> = keys.list().iter().map(|held| held.key.clone()).collect();
    let open = host.list().into_iter().filter_map(|listed| Some((listed.name, listed.store.ok()?)));
    let stores = open.map(|(name, store)| (name, (*store.settings()).clone())).collect();
    let keys = serde_json::to_string(&keys).map_err(|error| Error::Storage(error.into()))?;
    Ok(ServerNote { keys, stores, deleted: host.tombstones()? })
}

async fn put(bucket: &Bucket, board: &Board, note: &ServerNote) -> Result<(), BoxError> {
    let piece = bucket.put_piece(serde_json::to_vec(note)?).await?;
    board.set_server(piece);
    Ok(())
}

/// Takes over the keys and the stores of the server that writes, whenever they change.
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
            match take(&bucket, &piece, (&host, &keys)).await {
                Ok(()) => {
                    failing.ended("");
                    taken = Some(piece);
                    has_keys.send_replace(true);
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
) -> Result<(), BoxError> {
    let note: ServerNote = serde_json::from_slice(&bucket.get_piece(piece).await?)?;
    let (host, keys) = (host.clone(), keys.clone());
    let taken = wait_for(move || {
        keys.take_over(note.keys.as_bytes())?;
        host.follow(&note.stores, &note.deleted)
    });
    Ok(taken.await?)
}
