//! Copies the models of a store that is followed, wherever they come from.

use std::sync::Arc;
use std::time::Duration;

use super::follower::Follower;
use super::source::Standing;
use crate::domain::{BoxError, Error, Result};
use crate::engine::threads::wait_for;
use crate::model::Manifest;
use crate::model::copied::IncomingModel;

/// A model with more of its bytes. Call it from a thread that may wait for the disk.
///
/// # Errors
/// [`Error::Storage`] for more bytes than it has, or where the disk fails.
pub fn extended(mut model: IncomingModel, bytes: &[u8]) -> Result<IncomingModel> {
    model.push(bytes).map_err(|error| Error::Storage(error.into()))?;
    Ok(model)
}

/// Where models are copied from.
pub trait ModelSource: Sync {
    /// Copies a model; returns false where there is none any more.
    ///
    /// # Errors
    /// Why it is not copied.
    fn copy_model(&self, model: &Manifest) -> impl Future<Output = Result<bool, BoxError>> + Send;
}

/// Copies the models that are not here, and gives all their roles; returns whether all are here. Each is
/// copied once the log has reached what it was made of, which may take `patience`.
///
/// # Errors
/// Why one is not copied.
pub async fn copy_models(
    follower: &Arc<Follower>,
    standing: &Arc<Standing>,
    patience: Duration,
    source: &impl ModelSource,
) -> Result<bool, BoxError> {
    let (of, seen) = (follower.clone(), standing.clone());
    let missing = wait_for(move || of.missing(&seen)).await?;
    let mut is_active_here = give_roles(follower, standing).await?;

    for model in &missing {
        // Its part of the log is on its way.
        if !follower.has_reached(model.known_offset(), patience).await {
            return Ok(false);
        }
        if !source.copy_model(model).await? {
            return Ok(false);
        }
        is_active_here = give_roles(follower, standing).await?;
    }
    Ok(is_active_here)
}

async fn give_roles(follower: &Arc<Follower>, standing: &Arc<Standing>) -> Result<bool> {
    let (follower, standing) = (follower.clone(), standing.clone());
    wait_for(move || follower.follow_models(&standing)).await
}
