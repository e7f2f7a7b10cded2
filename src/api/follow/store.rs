//! Follows one store of the primary: leases, the log, models, and what was shown here. Each goes on by
//! itself, and begins again where it fails; what is here is served meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tonic::{Code, Status};

use super::upstream::Upstream;
use crate::api::wire::pb;
use crate::api::wire::pb::fetch_model_response::Part as ModelPart;
use crate::api::wire::pb::tail_log_response::Part as LogPart;
use crate::domain::{BoxError, Error, Generation};
use crate::engine::replication::{
    Appending, ModelSource, Position, Standing, copy_models, extended,
};
use crate::engine::{Engine, Follower, wait_for};
use crate::host::Hosted;
use crate::model::Manifest;
use crate::telemetry::Failing;

/// Time between two leases that are asked for; less where leases are short.
const LEASE_EVERY: Duration = Duration::from_secs(1);
/// Time that the primary has to grant one.
const LEASE_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at what was shown.
pub(super) const SHOWN_EVERY: Duration = Duration::from_millis(100);
/// Time that the primary has to record it.
const SHOWN_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What follows one store.
struct StoreFollower {
    upstream: Arc<Upstream>,
    name: String,
    engine: Arc<Engine>,
    follower: Arc<Follower>,
}

/// Follows a store until it closes.
pub(super) async fn follow(upstream: Arc<Upstream>, store: Arc<Hosted>) {
    let (engine, name) = (store.engine.clone(), store.name.clone());
    drop(store);
    let Some(follower) = engine.follower().cloned() else { return };
    let closing = engine.clone();
    let of_store = StoreFollower { upstream, name, engine, follower };
    let standing = watch::Sender::new(None);
    let seen = standing.subscribe();
    let all = async {
        tokio::join!(
            of_store.lease(&standing),
            of_store.log(seen.clone()),
            of_store.models(seen),
            of_store.shown()
        )
    };
    closing.unless_closing(all).await;
}

/// Sends what was shown here, as far as it is taken now.
///
/// # Errors
/// Why the rest waits.
pub(super) async fn send_shown(
    upstream: &Upstream,
    store: &str,
    follower: &Follower,
) -> Result<(), Status> {
    let _sending = follower.sending().await;
    while let Some(batch) = follower.next_shown() {
        let message = pb::RecordExposuresRequest {
            follower_id: follower.id().to_string(),
            sequence: batch.sequence,
            exposures: batch.exposures.to_vec(),
            position: Some(position(follower.position())),
        };
        let mut request = upstream.request(Some(store), message);
        request.set_timeout(SHOWN_PATIENCE);

        match upstream.replication().record_exposures(request).await {
            Ok(_) => follower.sent(&batch, true),
            Err(status) if status.code() == Code::InvalidArgument => {
                tracing::error!(store, error = status.message(), "what was shown is refused");
                follower.sent(&batch, false);
            }
            Err(status) => return Err(status),
        }
    }
    Ok(())
}

impl StoreFollower {
    /// Asks for leases again and again.
    async fn lease(&self, standing: &watch::Sender<Option<Arc<Standing>>>) {
        let mut failing = Failing::new("the primary grants no lease");
        loop {
            let asked = Instant::now();
            let pause = match self.ask_for_lease(asked, standing).await {
                Ok(length) => {
                    failing.ended(&self.name);
                    LEASE_EVERY.min(length / 3)
                }
                Err(error) => {
                    let status = error.downcast_ref::<Status>();
                    if status.is_some_and(|status| status.code() == Code::Aborted) {
                        self.follower.note_apart(true);
                    }
                    failing.again(&self.name, reason(&*error));
                    LEASE_EVERY
                }
            };
            tokio::time::sleep(pause.saturating_sub(asked.elapsed())).await;
        }
    }

    /// Asks for one lease; returns its length.
    async fn ask_for_lease(
        &self,
        asked: Instant,
        standing: &watch::Sender<Option<Arc<Standing>>>,
    ) -> Result<Duration, BoxError> {
        let message = pb::RenewLeaseRequest {
            follower_id: self.follower.id().to_string(),
            position: Some(position(self.follower.position())),
        };
        let request = self.upstream.request(Some(&self.name), message);
        let mut client = self.upstream.leases();
        let granted = tokio::time::timeout(LEASE_PATIENCE, client.renew_lease(request)).await;
        let granted = granted.map_err(|_| "the primary does not answer")??.into_inner();

        let length: Duration = granted.lease.unwrap_or_default().try_into()?;
        let models: Result<_, _> =
            granted.models.iter().map(|m| serde_json::from_slice(m)).collect();
        let roles = serde_json::from_slice(&granted.roles)?;
        let seen = Standing { offset: granted.offset, roles, models: models? };
        self.follower.note_apart(false);
        self.follower.note_models(&seen);
        standing.send_replace(Some(Arc::new(seen)));

        // Only then is everything here that was acknowledged before the lease was granted.
        if self.engine.has_reached(granted.offset, length.min(LEASE_EVERY)).await {
            self.follower.extend_lease(asked, length, granted.offset);
        }
        Ok(length)
    }

    /// Copies the log, once it is known which models there are.
    async fn log(&self, mut seen: watch::Receiver<Option<Arc<Standing>>>) {
        // It ends with the store.
        let _ = seen.wait_for(Option::is_some).await;
        let mut failing = Failing::new("the log is not followed");
        loop {
            let mut appending = Appending::to(self.follower.clone());
            let copied = self.copy_log(&mut failing, &mut appending).await;
            // The copy goes on from where it ends, which must stand still.
            let appended = appending.finish().await.map_err(BoxError::from);
            let error = match copied.and(appended) {
                Ok(()) => "the stream has ended".into(),
                Err(error) => error,
            };
            failing.again(&self.name, reason(&*error));
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Copies the log as long as the stream lasts.
    async fn copy_log(
        &self,
        failing: &mut Failing,
        appending: &mut Appending,
    ) -> Result<(), BoxError> {
        let message = pb::TailLogRequest { position: Some(position(self.follower.position())) };
        let request = self.upstream.request(Some(&self.name), message);
        let mut stream = self.upstream.replication().tail_log(request).await?.into_inner();
        let mut copying = self.follower.copying();

        while let Some(message) = stream.message().await? {
            match message.part {
                Some(LogPart::Writers(writers)) => {
                    let writers = serde_json::from_slice(&writers)?;
                    let follower = self.follower.clone();
                    wait_for(move || follower.note_writers(writers)).await?;
                    failing.ended(&self.name);
                }
                Some(LogPart::Blocks(bytes)) => {
                    let (rest, blocks) = wait_for(move || {
                        let blocks = copying.extend(&bytes);
                        Ok((copying, blocks.map_err(|what| Error::Storage(what.into()))?))
                    })
                    .await?;
                    copying = rest;
                    appending.append(blocks).await?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Copies models, and gives them their roles, whenever the primary has others.
    async fn models(&self, mut seen: watch::Receiver<Option<Arc<Standing>>>) {
        let mut failing = Failing::new("the models are not followed");
        let mut followed: Option<Arc<Standing>> = None;
        while seen.changed().await.is_ok() {
            let Some(standing) = seen.borrow_and_update().clone() else { continue };
            let is_same = |before: &Arc<Standing>| {
                before.roles == standing.roles && before.models == standing.models
            };
            if followed.as_ref().is_some_and(is_same) {
                continue;
            }
            match copy_models(&self.follower, &standing, LEASE_PATIENCE, self).await {
                Ok(is_complete) => {
                    failing.ended(&self.name);
                    followed = Some(standing).filter(|_| is_complete);
                }
                Err(error) => failing.again(&self.name, reason(&*error)),
            }
        }
    }

    /// Copies a model; false where the primary does not keep it any more.
    async fn fetch_model(&self, generation: Generation) -> Result<bool, BoxError> {
        let started = Instant::now();
        let message = pb::FetchModelRequest { generation };
        let request = self.upstream.request(Some(&self.name), message);
        let mut stream = match self.upstream.replication().fetch_model(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Ok(false),
            Err(status) => return Err(status.into()),
        };

        let mut incoming = None;
        while let Some(message) = stream.message().await? {
            let engine = self.engine.clone();
            match (message.part, incoming.take()) {
                (Some(ModelPart::Manifest(manifest)), None) => {
                    incoming = Some(wait_for(move || engine.receive_model(&manifest)).await?);
                }
                (Some(ModelPart::Arrays(bytes)), Some(model)) => {
                    incoming = Some(wait_for(move || extended(model, &bytes)).await?);
                }
                _ => return Err("the primary sends a model in another order".into()),
            }
        }
        let model = incoming.ok_or("the primary sends no model")?;
        let follower = self.follower.clone();
        wait_for(move || follower.keep_model(model)).await?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::info!(store = self.name, generation, seconds, "model copied");
        Ok(true)
    }

    /// Sends what was shown here.
    async fn shown(&self) {
        let mut failing = Failing::new("what was shown waits");
        loop {
            tokio::time::sleep(SHOWN_EVERY).await;
            match send_shown(&self.upstream, &self.name, &self.follower).await {
                Ok(()) => failing.ended(&self.name),
                Err(status) => {
                    failing.again(&self.name, reason(&status));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn position(of: Position) -> pb::CopyPosition {
    pb::CopyPosition {
        format: of.format,
        pseudonym_key: of.key.unwrap_or_default(),
        offset: of.offset,
        writer_id: of.writer.unwrap_or_default(),
    }
}

impl ModelSource for StoreFollower {
    async fn copy_model(&self, model: &Manifest) -> Result<bool, BoxError> {
        self.fetch_model(model.generation).await
    }
}

/// Why a call failed, as the primary says.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    }
}
