//! ReplicationService.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{answer, json};
use crate::api::wire::pb;
use crate::api::wire::pb::fetch_model_response::Part as ModelPart;
use crate::api::wire::pb::replication_service_server::ReplicationService;
use crate::api::wire::pb::tail_log_response::Part as LogPart;
use crate::api::wire::status::from_error;
use crate::domain::{Error, Offset, Result, Violation, limits};
use crate::engine::replication::{Position, Standing};
use crate::engine::{Engine, Source, wait_for};
use crate::model::copied::StoredModel;
use crate::store::LogTail;

/// Bytes of one message of a stream; a block is sent in several where it is longer.
const PIECE_BYTES: usize = 512 << 10;
/// Time without a write after which the log of a store that closes has reached its end.
const QUIET: Duration = Duration::from_millis(500);
/// Messages of a stream that wait for the follower.
const WAITING: usize = 2;

/// Serves followers.
#[derive(Debug, Clone)]
pub struct ReplicationApi {
    engine: Arc<Engine>,
    /// Length of a lease.
    lease: Duration,
    /// Time for which a follower may take nothing of a stream.
    sending: Duration,
}

impl ReplicationApi {
    /// Serves from an engine: leases of this length, streams to followers that take something within `sending`.
    pub fn new(engine: Arc<Engine>, lease: Duration, sending: Duration) -> Self {
        Self { engine, lease, sending }
    }

    fn renew(&self, request: pb::RenewLeaseRequest) -> Result<pb::RenewLeaseResponse> {
        let follower = follower_id(&request.follower_id)?;
        let position = position(request.position)?;
        let granted = self.engine.source().grant(follower, &position, self.lease)?;
        let Standing { offset, roles, models } = granted;

        let lease = prost_types::Duration::try_from(self.lease);
        Ok(pb::RenewLeaseResponse {
            lease: Some(lease.map_err(|error| Error::Storage(error.into()))?),
            offset,
            roles: json(&roles)?,
            models: models.iter().map(json).collect::<Result<_>>()?,
        })
    }

    /// Passes what `send` sends on.
    fn stream<T, F>(&self, send: impl FnOnce(Sender<T>) -> F) -> ReceiverStream<Result<T, Status>>
    where
        T: Send + 'static,
        F: Future<Output = Result<(), Ended>> + Send + 'static,
    {
        let (messages, receiver) = mpsc::channel(WAITING);
        let sending = send(Sender { messages: messages.clone(), patience: self.sending });
        let patience = self.sending;
        tokio::spawn(async move {
            let Err(Ended::Failed(refused)) = sending.await else { return };
            // The reader may have gone, or take nothing.
            let _ = messages.send_timeout(Err(from_error(refused)), patience).await;
        });
        ReceiverStream::new(receiver)
    }
}

/// Sends the messages of a stream.
struct Sender<T> {
    messages: mpsc::Sender<Result<T, Status>>,
    patience: Duration,
}

/// Why a stream ends before its end.
enum Ended {
    /// Its reader has gone, or takes nothing.
    Reader,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Failed(error)
    }
}

impl<T> Sender<T> {
    async fn send(&self, message: T) -> Result<(), Ended> {
        let sent = self.messages.send_timeout(Ok(message), self.patience).await;
        sent.map_err(|_| Ended::Reader)
    }
}

/// Sends the log from its tail on, then what is appended.
async fn send_log(
    source: Source,
    mut tail: LogTail,
    sender: Sender<pb::TailLogResponse>,
) -> Result<(), Ended> {
    let writers = LogPart::Writers(json(&*source.writers())?);
    sender.send(pb::TailLogResponse { part: Some(writers) }).await?;

    let mut end = source.log_end();
    loop {
        let until: Offset = *end.borrow_and_update();
        loop {
            let (rest, read) = wait_for(move || {
                let read = tail.read(until, PIECE_BYTES);
                Ok((tail, read?))
            })
            .await?;
            tail = rest;
            if read.is_empty() {
                break;
            }
            for piece in read.chunks(2 * PIECE_BYTES) {
                let blocks = LogPart::Blocks(piece.to_vec());
                sender.send(pb::TailLogResponse { part: Some(blocks) }).await?;
            }
        }
        tokio::select! {
            changed = end.changed() => changed.map_err(|_| Ended::Reader)?,
            () = sender.messages.closed() => return Err(Ended::Reader),
            // What is written while the server stops is handed over too.
            () = source.closing_for(QUIET) => return Err(Error::ShuttingDown.into()),
        }
    }
}

/// Sends a model, unless the store closes.
async fn send_model(
    source: Source,
    file: StoredModel,
    sender: Sender<pb::FetchModelResponse>,
) -> Result<(), Ended> {
    let sent = source.unless_closing(send_file(file, sender)).await;
    sent.unwrap_or(Err(Error::ShuttingDown.into()))
}

async fn send_file(
    mut file: StoredModel,
    sender: Sender<pb::FetchModelResponse>,
) -> Result<(), Ended> {
    let manifest = ModelPart::Manifest(std::mem::take(&mut file.manifest));
    sender.send(pb::FetchModelResponse { part: Some(manifest) }).await?;
    loop {
        let (rest, read) = wait_for(move || {
            let read = file.read(PIECE_BYTES);
            Ok((file, read.map_err(|error| Error::Storage(error.into()))?))
        })
        .await?;
        file = rest;
        if read.is_empty() {
            return Ok(());
        }
        let arrays = ModelPart::Arrays(read);
        sender.send(pb::FetchModelResponse { part: Some(arrays) }).await?;
    }
}

/// A follower's name as a number.
fn follower_id(text: &str) -> Result<u128, Violation> {
    let id = uuid::Uuid::try_parse(text);
    let id = id.map_err(|_| Violation::new("follower_id", "must be a UUID"))?;
    Ok(id.as_u128())
}

fn position(given: Option<pb::CopyPosition>) -> Result<Position, Violation> {
    let unsaid = || Violation::new("position", "must be given, is absent");
    let given = given.ok_or_else(unsaid)?;
    limits::text("position.writer_id", &given.writer_id, limits::MAX_ID_BYTES)?;
    let or_none = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok(Position {
        format: given.format,
        key: or_none(given.pseudonym_key),
        offset: given.offset,
        writer: or_none(given.writer_id),
    })
}

#[tonic::async_trait]
impl ReplicationService for ReplicationApi {
    async fn renew_lease(
        &self,
        request: Request<pb::RenewLeaseRequest>,
    ) -> Result<Response<pb::RenewLeaseResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.renew(asked)).await
    }

    type TailLogStream = ReceiverStream<Result<pb::TailLogResponse, Status>>;

    async fn tail_log(
        &self,
        request: Request<pb::TailLogRequest>,
    ) -> Result<Response<Self::TailLogStream>, Status> {
        let source = self.engine.source();
        let opened = source.clone();
        let tail = answer(request, move |asked| opened.tail(&position(asked.position)?)).await?;
        let stream = self.stream(|sender| send_log(source, tail.into_inner(), sender));
        Ok(Response::new(stream))
    }

    type FetchModelStream = ReceiverStream<Result<pb::FetchModelResponse, Status>>;

    async fn fetch_model(
        &self,
        request: Request<pb::FetchModelRequest>,
    ) -> Result<Response<Self::FetchModelStream>, Status> {
        let source = self.engine.source();
        let opened = source.clone();
        let file = answer(request, move |asked| opened.model(asked.generation)).await?;
        let stream = self.stream(|sender| send_model(source, file.into_inner(), sender));
        Ok(Response::new(stream))
    }

    async fn record_exposures(
        &self,
        request: Request<pb::RecordExposuresRequest>,
    ) -> Result<Response<pb::RecordExposuresResponse>, Status> {
        let source = self.engine.source();
        answer(request, move |asked: pb::RecordExposuresRequest| {
            let follower = follower_id(&asked.follower_id)?;
            let from = (follower, &position(asked.position)?);
            source.record_exposures(from, asked.sequence, &asked.exposures)?;
            Ok(pb::RecordExposuresResponse {})
        })
        .await
    }
}
