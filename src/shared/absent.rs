//! Servers of a build without object stores.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use super::options::ObjectStoreOptions;
use super::part::{Change, Part};
use crate::access::Keyring;
use crate::domain::BoxError;
use crate::engine::Seats;
use crate::host::Host;

/// A server that shares an object store with others: there is none.
#[derive(Debug)]
pub enum Member {}

impl Member {
    /// Refuses.
    ///
    /// # Errors
    /// Always: this build has no object stores.
    pub fn open(options: &ObjectStoreOptions, _: bool) -> Result<Self, String> {
        let url = &options.url;
        Err(format!(
            "object_store.url {url}: this build has no object stores; build it with \
             `cargo build --release --features object-store`"
        ))
    }

    /// There is no server to ask.
    pub fn seats(&self, _: Part) -> Seats {
        match *self {}
    }

    /// There is no server to ask.
    ///
    /// # Errors
    /// None.
    pub async fn join(&self, _: &Path) -> Result<Part, BoxError> {
        match *self {}
    }

    /// There is no server to ask.
    pub async fn take_keys(&self, _: &Path, _: &Arc<Keyring>) {
        match *self {}
    }

    /// There is no server to ask.
    pub async fn hold_seat(&self) {
        match *self {}
    }

    /// There is no server to ask.
    ///
    /// # Errors
    /// None.
    pub async fn finish(&self, _: &Arc<Host>, _: &Arc<Keyring>) -> Result<(), BoxError> {
        match *self {}
    }

    /// There is no server to ask.
    ///
    /// # Errors
    /// None.
    pub async fn leave_seat(&self) -> Result<(), BoxError> {
        match *self {}
    }

    /// There is no server to ask.
    pub async fn write(&self, _: Arc<Host>, _: Arc<Keyring>) -> Infallible {
        match *self {}
    }

    /// There is no server to ask.
    pub async fn follow(&self, _: Arc<Host>, _: Arc<Keyring>) -> Change {
        match *self {}
    }

    /// There is no server to ask.
    pub async fn follow_address(&self, _: impl Fn(&str)) -> Infallible {
        match *self {}
    }

    /// There is no server to ask.
    pub async fn stop_training(&self) {
        match *self {}
    }
}
