//! Appends blocks of a followed log while the next ones are checked.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::follower::Follower;
use crate::domain::{Error, Offset, Result};
use crate::store::CopiedBlock;

/// Appends blocks in their order, those of one call while the caller gets the next ones ready.
#[derive(Debug)]
pub struct Appending {
    follower: Arc<Follower>,
    pending: Option<JoinHandle<Result<Offset>>>,
}

impl Appending {
    /// Appends to a copy.
    pub fn to(follower: Arc<Follower>) -> Self {
        Self { follower, pending: None }
    }

    /// Begins to append blocks, once those before are appended.
    ///
    /// # Errors
    /// Why those before are not: [`Error::Storage`] where the disk fails, or they do not continue the copy.
    pub async fn append(&mut self, blocks: Vec<CopiedBlock>) -> Result<()> {
        self.finish().await?;
        if !blocks.is_empty() {
            let follower = self.follower.clone();
            self.pending = Some(tokio::spawn(async move { follower.append(blocks).await }));
        }
        Ok(())
    }

    /// Waits until all is appended: only then is the position of the copy what it will be.
    ///
    /// # Errors
    /// As [`Appending::append`].
    pub async fn finish(&mut self) -> Result<()> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        pending.await.map_err(|error| Error::Storage(error.into()))?.map(drop)
    }
}
