//! Follows one store of the primary: leases, the log, models, and what was shown here. Each goes on by
//! itself, and begins again where it fails; what is here is served meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tonic::{Code, Status};

use super::upstream::Upstream;
use crate::api::services::wait_for;
use crate::api::wire::pb;
use crate::api::wire::pb::fetch_model_response::Part as ModelPart;
use crate::api::wire::pb::tail_log_response::Part as LogPart;
use crate::domain::{BoxError, Error, Generation};
use crate::engine::replication::{Position, Standing};
use crate::engine::{Engine, Follower};
use crate::host::Hosted;
use crate::store::{CopiedBlock, Copying};

/// Time between two leases that are asked for; less where leases are short.
const LEASE_EVERY: Duration = Duration::from_secs(1);
/// Time that the primary has to grant one.
const LEASE_PATIENCE: Duration = Duration::from_secs(5);
/// Time between two looks at what was shown.
const SHOWN_EVERY: Duration = Duration::from_millis(100);
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
                    failing.again(&self.name, &*error);
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
            let error = match self.copy_log(&mut failing).await {
                Ok(()) => "the stream has ended".into(),
                Err(error) => error,
            };
            failing.again(&self.name, &*error);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Copies the log as long as the stream lasts.
    async fn copy_log(&self, failing: &mut Failing) -> Result<(), BoxError> {
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
                    let (rest, blocks) = wait_for(move || taken(copying, &bytes)).await?;
                    copying = rest;
                    if !blocks.is_empty() {
                        self.follower.append(blocks).await?;
                    }
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
            match self.copy_models(&standing).await {
                Ok(is_complete) => {
                    failing.ended(&self.name);
                    followed = Some(standing).filter(|_| is_complete);
                }
                Err(error) => failing.again(&self.name, &*error),
            }
        }
    }

    /// Copies the models that are not here; returns whether all are.
    async fn copy_models(&self, standing: &Arc<Standing>) -> Result<bool, BoxError> {
        let (follower, of) = (self.follower.clone(), standing.clone());
        let missing = wait_for(move || follower.missing(&of)).await?;
        let mut is_active_here = self.give_roles(standing).await?;
        for model in &missing {
            // Its part of the log is on its way.
            if !self.engine.has_reached(model.known_offset(), LEASE_PATIENCE).await {
                return Ok(false);
            }
            if !self.copy_model(model.generation).await? {
                return Ok(false);
            }
            is_active_here = self.give_roles(standing).await?;
        }
        Ok(is_active_here)
    }

    async fn give_roles(&self, standing: &Arc<Standing>) -> Result<bool, BoxError> {
        let (follower, standing) = (self.follower.clone(), standing.clone());
        Ok(wait_for(move || follower.follow_models(&standing)).await?)
    }

    /// Copies a model; false where the primary does not keep it any more.
    async fn copy_model(&self, generation: Generation) -> Result<bool, BoxError> {
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
            let follower = self.follower.clone();
            match (message.part, incoming.take()) {
                (Some(ModelPart::Manifest(manifest)), None) => {
                    incoming = Some(wait_for(move || follower.receive_model(&manifest)).await?);
                }
                (Some(ModelPart::Arrays(bytes)), Some(mut model)) => {
                    let grown =
                        wait_for(move || follower.extend_model(&mut model, &bytes).map(|()| model));
                    incoming = Some(grown.await?);
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
                    failing.again(&self.name, &status);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The blocks that are complete with these bytes, and what is left.
fn taken(mut copying: Copying, bytes: &[u8]) -> Result<(Copying, Vec<CopiedBlock>), Error> {
    copying.push(bytes);
    let mut blocks = Vec::new();
    while let Some(block) = copying.take().map_err(|what| Error::Storage(what.into()))? {
        blocks.push(block);
    }
    Ok((copying, blocks))
}

fn position(of: Position) -> pb::CopyPosition {
    pb::CopyPosition {
        format: of.format,
        pseudonym_key: of.key.unwrap_or_default(),
        offset: of.offset,
        writer_id: of.writer.unwrap_or_default(),
    }
}

/// Logs once when something begins to fail, or fails for another reason, and once when it ends.
pub(super) struct Failing {
    what: &'static str,
    before: Option<String>,
}

impl Failing {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, before: None }
    }

    pub(super) fn again(&mut self, store: &str, error: &(dyn std::error::Error + 'static)) {
        let reason = match error.downcast_ref::<Status>() {
            Some(status) => status.message().to_owned(),
            None => error.to_string(),
        };
        if self.before.as_ref() != Some(&reason) {
            tracing::warn!(store, reason, "{}", self.what);
            self.before = Some(reason);
        }
    }

    pub(super) fn ended(&mut self, store: &str) {
        if self.before.take().is_some() {
            tracing::info!(store, "no longer: {}", self.what);
        }
    }
}
