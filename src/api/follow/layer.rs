//! What a server does with a call before its services see it: it waits until the store has reached the offset
//! that the call names, and on a follower passes on what it may not answer. Answers of a follower name the
//! offset that they have seen.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::primary::Primary;
use super::store::send_shown;
use super::upstream::Upstream;
use crate::api::access::methods::{self, OnFollower};
use crate::api::admission::answer::checked;
use crate::api::admission::caller::Caller;
use crate::api::wire::status::{denied, from_error};
use crate::domain::{Deadline, Error, Held, Offset, Violation};
use crate::engine::Follower;
use crate::host::Hosted;

/// Metadata of a call: the offset that the store must have reached, as an acknowledgement names it.
pub const MIN_OFFSET: &str = "qianmian-min-offset";
/// Metadata of a follower's answer: the offset that it has seen.
pub const OFFSET: &str = "qianmian-offset";
/// Metadata of a follower's answer: seconds since it has heard from the primary, where its lease has ended.
pub const STALE: &str = "qianmian-stale-seconds";

/// Time that a call waits for what was shown here to be recorded before it.
const SHOWN_PATIENCE: Duration = Duration::from_millis(200);

/// Decides where calls are answered.
#[derive(Debug, Clone)]
pub struct Following {
    /// The primary; none on a server that follows none.
    pub primary: Option<Arc<Primary>>,
    /// The lease to write; none on a server that shares nothing with others.
    pub seat: Option<Arc<Held>>,
}

impl<S> Layer<S> for Following {
    type Service = Followed<S>;

    fn layer(&self, service: S) -> Followed<S> {
        Followed { following: self.clone(), service }
    }
}

/// A service behind a [`Following`].
#[derive(Debug, Clone)]
pub struct Followed<S> {
    following: Following,
    service: S,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S> Service<Request<Body>> for Followed<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let has_seat = self.following.seat.as_ref().is_none_or(|seat| seat.holds());
        if !has_seat && let Some(refused) = without_seat(request.uri().path()) {
            return Box::pin(async { Ok(refused.into_http()) });
        }
        let primary = self.following.primary.clone();
        if primary.is_none() && !request.headers().contains_key(MIN_OFFSET) {
            return Box::pin(self.service.call(request));
        }

        // The service that is ready goes with the request; its clone stays.
        let next = self.service.clone();
        let mut service = std::mem::replace(&mut self.service, next);
        Box::pin(async move {
            let call = Call::of(&request, primary);
            match call.placed().await {
                Ok(Place::Here) => {
                    let seen = call.seen();
                    Ok(call.marked(service.call(request).await?, seen))
                }
                Ok(Place::Primary(upstream)) => {
                    let answer = forwarded(&upstream, request).await;
                    Ok(answer.unwrap_or_else(Status::into_http))
                }
                Err(refused) => Ok(refused.into_http()),
            }
        })
    }
}

/// Where a call is answered.
enum Place {
    Here,
    Primary(Arc<Upstream>),
}

/// A call.
struct Call {
    primary: Option<Arc<Primary>>,
    store: Option<Arc<Hosted>>,
    on_follower: OnFollower,
    min_offset: Result<Option<Offset>, Violation>,
    deadline: Option<Deadline>,
    is_event: bool,
}

impl Call {
    fn of(request: &Request<Body>, primary: Option<Arc<Primary>>) -> Self {
        let path = request.uri().path();
        let caller = request.extensions().get::<Caller>();
        let method = methods::of(path);
        Self {
            primary,
            store: caller.and_then(|caller| caller.store.clone()),
            on_follower: method.map_or(OnFollower::Answers, |method| method.on_follower),
            min_offset: min_offset(request.headers().get(MIN_OFFSET)),
            deadline: request.extensions().get::<Deadline>().copied(),
            is_event: method.is_some_and(|method| method.name.starts_with("EventService/")),
        }
    }

    /// Where it is answered, once the store has reached what it names.
    async fn placed(&self) -> Result<Place, Status> {
        if let (Some(primary), OnFollower::Forwards) = (&self.primary, self.on_follower) {
            if let Some(upstream) = primary.upstream().filter(|_| self.is_event) {
                self.record_shown(&upstream).await;
            }
            return placed_at(primary, "is answered by the server that writes");
        }

        let Some(store) = &self.store else { return Ok(Place::Here) };
        let named = self.min_offset.clone().map_err(|violation| from_error(violation.into()))?;
        // What changes something waits for nothing.
        let named = named.filter(|_| self.on_follower != OnFollower::Forwards);
        // Offsets of a log that went another way are not those of the primary.
        let is_apart = store.engine.follower().is_some_and(|follower| follower.is_apart());
        if let Some(offset) = named
            && (is_apart || !self.has_reached(store, offset).await)
        {
            let what = format!("names offset {offset}, which the store has not reached");
            return match &self.primary {
                Some(primary) => placed_at(primary, &what),
                None => Err(denied(
                    Code::FailedPrecondition,
                    "OFFSET_AHEAD",
                    format!("the call {what}"),
                )),
            };
        }

        let copy = store.engine.follower();
        let is_leased = copy.is_none_or(|follower| follower.is_leased());
        if self.on_follower == OnFollower::AnswersWithLease && !is_leased {
            return Err(lease_ended());
        }
        Ok(Place::Here)
    }

    async fn has_reached(&self, store: &Hosted, offset: Offset) -> bool {
        let bound = self.primary.as_ref().map_or(Duration::ZERO, |primary| primary.patience());
        let patience = self.deadline.map_or(bound, |Deadline(at)| {
            bound.min(at.saturating_duration_since(std::time::Instant::now()) / 2)
        });
        store.engine.has_reached(offset, patience).await
    }

    /// Has what was shown here recorded before an event that may be its outcome.
    async fn record_shown(&self, upstream: &Upstream) {
        let Some(store) = &self.store else { return };
        let Some(follower) = store.engine.follower() else { return };
        let sending = send_shown(upstream, &store.name, follower);
        // It goes on with the rest of what was shown.
        let _ = tokio::time::timeout(SHOWN_PATIENCE, sending).await;
    }

    /// What a follower has seen by now.
    fn seen(&self) -> Option<(Arc<Follower>, Offset)> {
        let engine = &self.store.as_ref()?.engine;
        Some((engine.follower()?.clone(), engine.live().offset()))
    }

    /// An answer of a follower, with what it had seen before.
    fn marked(
        &self,
        mut answer: Response<Body>,
        seen: Option<(Arc<Follower>, Offset)>,
    ) -> Response<Body> {
        let Some((follower, offset)) = seen else { return answer };
        let headers = answer.headers_mut();
        headers.insert(OFFSET, HeaderValue::from(offset));
        if !follower.is_leased() {
            headers.insert(STALE, HeaderValue::from(follower.age().as_secs()));
        }
        match self.on_follower {
            OnFollower::AnswersWithLease => answer.map(|body| {
                let check = move || if follower.is_leased() { Ok(()) } else { Err(lease_ended()) };
                checked(body, check)
            }),
            _ => answer,
        }
    }
}

/// Why a server that has lost the lease to write does not answer a call; none where it does.
fn without_seat(path: &str) -> Option<Status> {
    match methods::of(path)?.on_follower {
        OnFollower::Answers => None,
        OnFollower::AnswersWithLease => Some(lease_ended()),
        OnFollower::Forwards => Some(from_error(Error::SeatLost)),
    }
}

/// The primary, where calls are passed on to it.
fn placed_at(primary: &Primary, why: &str) -> Result<Place, Status> {
    let Some(upstream) = primary.upstream() else {
        let message = format!(
            "the call {why}, which is not known now, or has no address of its own (object_store.advertise)"
        );
        return Err(denied(Code::Unavailable, "PRIMARY_AWAY", message));
    };
    if primary.forwards() {
        return Ok(Place::Primary(upstream));
    }
    let message = format!("the call {why}: {} (follow.forward)", upstream.url);
    Err(denied(Code::FailedPrecondition, "FOLLOWER", message))
}

fn lease_ended() -> Status {
    let message =
        "this server has had no lease for too long; another one may know of users who were erased";
    denied(Code::Unavailable, "LEASE_ENDED", message)
}

/// The answer of the primary.
async fn forwarded(upstream: &Upstream, request: Request<Body>) -> Result<Response<Body>, Status> {
    let answer = upstream.forward(request).await;
    let answer = answer.map_err(|what| denied(Code::Unavailable, "PRIMARY_AWAY", what))?;
    answer.ok_or_else(|| {
        if upstream.may_change {
            let message =
                format!("{} does not write any more; no other server does yet", upstream.url);
            return denied(Code::Unavailable, "PRIMARY_AWAY", message);
        }
        let message = format!("{} follows another server itself; follow that one", upstream.url);
        denied(Code::FailedPrecondition, "FOLLOWER", message)
    })
}

fn min_offset(given: Option<&HeaderValue>) -> Result<Option<Offset>, Violation> {
    let Some(given) = given else { return Ok(None) };
    let parsed = given.to_str().ok().and_then(|text| text.parse().ok());
    parsed.map(Some).ok_or_else(|| Violation::new(MIN_OFFSET, "must be an offset, a whole number"))
}
