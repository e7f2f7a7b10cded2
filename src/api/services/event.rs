//! EventService.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::api::wire::pb::event_service_server::EventService;
use crate::api::wire::status::from_error;
use crate::api::wire::{events, pb};
use crate::domain::quote::clipped;
use crate::domain::{Result, Violation, limits, now_ms};
use crate::engine::{Engine, Receipt};

/// Maximum length of the field and of the message of an event's error, in bytes: the errors of a
/// whole batch must fit into one answer.
const MAX_OF_AN_ERROR: usize = 160;

/// Records events.
#[derive(Debug, Clone)]
pub struct EventApi {
    engine: Arc<Engine>,
}

impl EventApi {
    /// Records into an engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Records the valid events of a batch.
    async fn record(&self, given: Vec<pb::Event>) -> Result<Recorded> {
        limits::count("events", given.len(), 1, limits::MAX_BATCH)?;
        let now_ms = now_ms();
        let mut events = Vec::with_capacity(given.len());
        let mut errors = Vec::new();
        for (index, given) in given.into_iter().enumerate() {
            match events::event(given, now_ms) {
                Ok(event) => events.push(event),
                Err(violation) => errors.push((index, violation)),
            }
        }

        let receipt = if events.is_empty() {
            Receipt { offset: self.engine.live().offset(), ..Receipt::default() }
        } else {
            self.engine.writer().record(events).await?
        };
        Ok(Recorded { receipt, errors })
    }

    async fn write(&self, request: pb::WriteEventsRequest) -> Result<pb::WriteEventsResponse> {
        let asked = request.events.len();
        let Recorded { receipt, mut errors } = self.record(request.events).await?;
        if errors.len() == asked {
            // Callers that read no further than the status should learn of it.
            let (index, violation) = errors.swap_remove(0);
            return Err(violation.within(&format!("events[{index}]")).into());
        }

        Ok(pb::WriteEventsResponse {
            recorded: receipt.recorded as i32,
            duplicates: receipt.duplicates as i32,
            declined: receipt.declined as i32,
            offset: receipt.offset,
            errors: event_errors(errors),
        })
    }
}

/// The outcome of a batch.
struct Recorded {
    receipt: Receipt,
    /// Events that break a limit, by their index.
    errors: Vec<(usize, Violation)>,
}

fn stream_answer(batches: u64, recorded: Recorded) -> pb::StreamEventsResponse {
    let Recorded { receipt, errors } = recorded;
    pb::StreamEventsResponse {
        batches,
        recorded: receipt.recorded as i32,
        duplicates: receipt.duplicates as i32,
        declined: receipt.declined as i32,
        offset: receipt.offset,
        errors: event_errors(errors),
    }
}

fn event_errors(errors: Vec<(usize, Violation)>) -> Vec<pb::EventError> {
    let error = |(index, Violation { field, message }): (usize, Violation)| pb::EventError {
        index: index as i32,
        field: clipped(field, MAX_OF_AN_ERROR),
        message: clipped(message, MAX_OF_AN_ERROR),
    };
    errors.into_iter().map(error).collect()
}

/// The next batch of a stream; none once the store closes or the client has gone, which a stream that
/// waits for its quota does not notice.
async fn next(
    api: &EventApi,
    sender: &mpsc::Sender<Result<pb::StreamEventsResponse, Status>>,
    requests: &mut Streaming<pb::StreamEventsRequest>,
) -> Option<Result<Option<pb::StreamEventsRequest>, Status>> {
    tokio::select! {
        given = api.engine.unless_closing(requests.message()) => given,
        () = sender.closed() => None,
    }
}

#[tonic::async_trait]
impl EventService for EventApi {
    async fn write_events(
        &self,
        request: Request<pb::WriteEventsRequest>,
    ) -> Result<Response<pb::WriteEventsResponse>, Status> {
        self.write(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    type StreamEventsStream = ReceiverStream<Result<pb::StreamEventsResponse, Status>>;

    async fn stream_events(
        &self,
        request: Request<Streaming<pb::StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let (sender, answers) = mpsc::channel(1);
        let api = self.clone();
        let mut requests = request.into_inner();
        tokio::spawn(async move {
            let mut batches = 0;
            // A batch is read once the one before is answered, so a stream holds one batch at most.
            while let Some(given) = next(&api, &sender, &mut requests).await {
                let answer = match given {
                    Ok(None) => break,
                    Ok(Some(batch)) => {
                        batches += 1;
                        api.record(batch.events).await.map_err(from_error)
                    }
                    Err(status) => Err(status),
                };

                let ends = answer.is_err();
                let answer = answer.map(|recorded| stream_answer(batches, recorded));
                if sender.send(answer).await.is_err() || ends {
                    break;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
