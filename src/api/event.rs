//! EventService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::pb::event_service_server::EventService;
use super::status::from_error;
use super::{convert, pb};
use crate::domain::{Error, Event, EventKind, Result, Violation, limits, now_ms};
use crate::engine::Engine;

/// Takes behaviour in.
#[derive(Debug, Clone)]
pub struct EventApi {
    engine: Arc<Engine>,
}

impl EventApi {
    /// Records into an engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn write(&self, request: pb::WriteEventsRequest) -> Result<pb::WriteEventsResponse> {
        limits::count("events", request.events.len(), 1, limits::MAX_BATCH)?;
        let now_ms = now_ms();
        let events = request.events.into_iter().enumerate().map(|(i, given)| {
            event(given, now_ms).map_err(|v| Error::Invalid(v.within(&format!("events[{i}]"))))
        });
        let receipt = self.engine.record(events.collect::<Result<_>>()?).await?;
        Ok(pb::WriteEventsResponse {
            recorded: receipt.recorded as i32,
            duplicates: receipt.duplicates as i32,
            offset: receipt.offset,
        })
    }
}

fn event(given: pb::Event, now_ms: i64) -> Result<Event, Violation> {
    let event = Event {
        kind: kind(given.kind)?,
        time_ms: match &given.time {
            Some(time) => convert::milliseconds("time", time)?,
            None => now_ms,
        },
        event_id: given.event_id,
        user_id: given.user_id,
        item_id: given.item_id,
        quantity: given.quantity.unwrap_or(1.0),
        price: given.price,
        basket_id: given.basket_id,
        session_id: given.session_id,
        recommendation_id: given.recommendation_id,
        channel: given.channel,
        rating: given.rating,
    };
    event.validate(now_ms)?;
    Ok(event)
}

fn kind(value: i32) -> Result<EventKind, Violation> {
    match pb::EventKind::try_from(value) {
        Ok(pb::EventKind::View) => Ok(EventKind::View),
        Ok(pb::EventKind::AddToCart) => Ok(EventKind::AddToCart),
        Ok(pb::EventKind::Favorite) => Ok(EventKind::Favorite),
        Ok(pb::EventKind::Purchase) => Ok(EventKind::Purchase),
        Ok(pb::EventKind::Refund) => Ok(EventKind::Refund),
        Ok(pb::EventKind::Rating) => Ok(EventKind::Rating),
        Ok(pb::EventKind::Impression) => Ok(EventKind::Impression),
        Ok(pb::EventKind::Click) => Ok(EventKind::Click),
        Ok(pb::EventKind::Unspecified) | Err(_) => {
            Err(Violation::new("kind", format!("must be 1 to 8, was {value}")))
        }
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
}
