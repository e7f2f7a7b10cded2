//! Admission of requests: no more at once than can be answered soon, and none whose caller has
//! stopped waiting.
//!
//! A unary request is counted from the moment its message is complete until its answer: a message
//! that is still arriving takes no place. One request too many is refused at once with
//! RESOURCE_EXHAUSTED. A request whose deadline (`grpc-timeout`) passes before its answer is dropped.
//! A request with a deadline carries it as a [`Deadline`], so that a service may
//! do less.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::access::usage::{Counted, Entered};
use crate::api::admission::answer;
use crate::api::admission::caller::{Budget, Caller, MemoryReservation, Running, Shares};
use crate::api::admission::intake::{Intake, too_much};
use crate::api::admission::peer::{Open, Peer};
use crate::api::wire::json::{self, JsonCall};
use crate::api::wire::{codec, entries, status};
use crate::domain::{Deadline, Error, Violation};
use crate::telemetry::RequestRecord;

/// How the paths of health checks begin.
pub const HEALTH: &str = "/grpc.health.v1.Health/";
/// How the path of one that does not end does.
const WATCH: &str = "/Watch";
/// Maximum number of digits of a deadline in gRPC.
const DIGITS: usize = 8;

/// Admits a limited number of requests at once.
#[derive(Debug, Clone)]
pub struct Admission {
    budget: Budget,
    intake: Intake,
    /// Of health checks, which need no key and take nothing from others.
    health: Intake,
    /// Turns of large messages that are translated from or to JSON.
    translations: Arc<Semaphore>,
}

/// Maximum size of a health check in bytes, and of all that wait together.
const MAX_HEALTH_BYTES: usize = 1 << 10;
const HEALTH_BYTES: usize = 4 << 20;
/// Size of a message up to which its connection's thread translates it from or to JSON, in bytes, and
/// the number of larger ones that are translated at once.
const MAX_QUICK_BYTES: usize = 64 << 10;
const MAX_TRANSLATIONS: usize = 2;
/// Bytes that a request takes beside its message, from its first header on.
const REQUEST_BYTES: usize = 32 << 10;

impl Admission {
    /// Admits requests within a budget, which arrive through `intake`.
    pub fn new(budget: Budget, intake: Intake) -> Self {
        let of_health = Shares { requests: 0, streams: 0, work: 0, bytes: HEALTH_BYTES };
        let health = Intake::new(MAX_HEALTH_BYTES, intake.patience, Budget::new(of_health));
        let translations = Arc::new(Semaphore::new(MAX_TRANSLATIONS));
        Self { budget, intake, health, translations }
    }

    /// Counts a request for all that it is for.
    fn enter(&self, caller: &Caller, counted: Counted, is_work: bool) -> Result<Running, Status> {
        let mut all = self.enter_as(caller, counted)?;
        if is_work {
            all.extend(self.enter_as(caller, Counted::Work)?);
        }
        Ok(Running::new(all))
    }

    fn enter_as(&self, caller: &Caller, counted: Counted) -> Result<Vec<Entered>, Status> {
        let (what, setting) = match counted {
            Counted::Streams => ("streams", "serve.max_streams"),
            Counted::Health => ("health checks", "serve.max_streams"),
            Counted::Work => ("requests that take long", "a fixed limit"),
            _ => ("requests", "serve.max_requests"),
        };
        self.budget.enter(caller, counted).map_err(|(party, max)| {
            let message = format!("{max} {what} {} are running already ({setting})", party.of());
            status::from_error(Error::Overloaded(message))
        })
    }

    /// The answer of a service to a unary request whose message is complete, or the refusal.
    async fn answered<S>(
        &self,
        mut service: S,
        request: Request<Body>,
        deadline: Option<Instant>,
        connection: Connected,
    ) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>>,
    {
        let Connected { peer, caller, open, _beside } = connection;
        let path = request.uri().path();
        let answers_in_stream = entries::SERVER_STREAMS.contains(&path);
        let counted = if answers_in_stream { Counted::Streams } else { Counted::Requests };
        let is_work = request.extensions().get::<LongWork>().is_some();

        let (parts, body) = request.into_parts();
        let json = parts.extensions.get::<JsonCall>().cloned();
        let whole = self.intake.whole(&peer, &caller, body);
        let whole = match caller.unless_closing(whole).await {
            Ok(whole) => whole,
            Err(refused) => return Ok(refused.into_http()),
        };
        let running = match self.enter(&caller, counted, is_work) {
            Ok(running) => running,
            Err(full) => return Ok(full.into_http()),
        };
        let (message, held) = match self.message(json.as_ref(), whole).await {
            Ok(message) => message,
            Err(refused) => return Ok(refused.into_http()),
        };

        if let Some(record) = parts.extensions.get::<Arc<RequestRecord>>() {
            record.end("receive");
        }

        let mut request = Request::from_parts(parts, Body::new(Full::new(message)));
        request.extensions_mut().insert(running.clone());
        // Begins when it is polled, not where the deadline has passed.
        let asked = async move { service.call(request).await };
        let answered = match deadline {
            None => Some(asked.await),
            Some(deadline) => before(deadline, asked).await,
        };
        let Some(answer) = answered.transpose()? else {
            let late = Status::deadline_exceeded("the deadline passed before the answer");
            return Ok(late.into_http());
        };

        if answers_in_stream {
            return Ok(answer::stream(answer, open, caller, running));
        }

        let answer = match json {
            None => Ok(answer),
            Some(call) => self.in_json(call, answer).await,
        };
        let whole = match answer {
            Ok(answer) => answer::whole(answer, held, open).await,
            Err(failed) => Err(failed),
        };
        Ok(whole.unwrap_or_else(|refused| refused.into_http()))
    }

    /// The message of a request that has arrived, as it travels in gRPC.
    async fn message(
        &self,
        json: Option<&JsonCall>,
        (bytes, mut held): (Bytes, MemoryReservation),
    ) -> Result<(Bytes, MemoryReservation), Status> {
        let largest = self.intake.largest;
        let Some(call) = json else {
            codec::check_whole(&bytes, largest)?;
            return Ok((bytes, held));
        };
        if bytes.len() > largest {
            let most = largest >> 20;
            let message = format!("must be at most {most} MiB (serve.max_message_mib), is larger");
            return Err(status::from_error(Violation::new("request", message).into()));
        }

        let length = bytes.len();
        let call = call.clone();
        let message = self.translated(length, move || call.request(&bytes)).await?;
        held.grow(message.len()).map_err(too_much)?;
        held.shrink(length);
        Ok((message, held))
    }

    /// An answer in JSON; one that carries a status in its headers stays as it is.
    async fn in_json(
        &self,
        call: JsonCall,
        answer: Response<Body>,
    ) -> Result<Response<Body>, Status> {
        if Status::from_header_map(answer.headers()).is_some() {
            return Ok(answer);
        }
        let (parts, message) = json::collected(answer).await?;
        let json = self.translated(message.len(), move || call.answer(&message)).await?;
        Ok(json::answered(parts, json))
    }

    /// What `translate` makes of a message of this length. A large one takes a thread for long and
    /// many times its size in memory, so that few are translated at once, and none by the threads of
    /// the connections.
    async fn translated<T: Send + 'static>(
        &self,
        length: usize,
        translate: impl FnOnce() -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        if length <= MAX_QUICK_BYTES {
            return translate();
        }
        let stopping = || status::from_error(Error::ShuttingDown);
        let turn = self.translations.clone().acquire_owned().await.map_err(|_| stopping())?;
        let translating = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            translate()
        });
        translating.await.map_err(|_| stopping())?
    }
}

/// The outcome of `work`, or none where the deadline passes first. It may have passed already: under
/// load a request waits for a thread, here and before a list is blended.
async fn before<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    if deadline <= Instant::now() {
        return None;
    }
    tokio::time::timeout_at(deadline.into(), work).await.ok()
}

/// Marks a request that takes long or much; an extension of it.
#[derive(Debug, Clone, Copy)]
pub struct LongWork;

/// A request's connection and caller.
struct Connected {
    peer: Peer,
    caller: Caller,
    open: Open,
    /// What it takes beside its message.
    _beside: MemoryReservation,
}

impl<S> Layer<S> for Admission {
    type Service = Admitted<S>;

    fn layer(&self, service: S) -> Admitted<S> {
        Admitted { admission: self.clone(), service }
    }
}

/// A service behind an [`Admission`].
#[derive(Debug, Clone)]
pub struct Admitted<S> {
    admission: Admission,
    service: S,
}

impl<S> Service<Request<Body>> for Admitted<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Send,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let deadline = timeout(&request).and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }

        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.unwrap_or_else(|| Caller::from(peer.usage.clone()));
        let open = peer.begin();

        // The service that is ready goes with the request; its clone stays.
        let next = self.service.clone();

        let mut service = std::mem::replace(&mut self.service, next);
        let admission = self.admission.clone();
        let path = request.uri().path();
        if is_stream(path) {
            let is_health = path.starts_with(HEALTH);
            let counted = if is_health { Counted::Health } else { Counted::Streams };
            let intake = if is_health { &admission.health } else { &admission.intake };
            let running = if is_health && !path.ends_with(WATCH) {
                Ok(Running::default())
            } else {
                admission.enter(&caller, counted, false)
            };
            // What the caller holds already takes nothing from its health checks.
            let holder = if is_health { Caller::default() } else { caller.clone() };
            let messages = |body| Body::new(intake.messages(&peer, &holder, body));
            let mut request = request.map(messages);
            let answer = running.map(|running| {
                request.extensions_mut().insert(running.clone());
                (running, service.call(request))
            });
            return Box::pin(async move {
                let answer = match answer {
                    Ok((running, answer)) => answer::stream(answer.await?, open, caller, running),
                    Err(full) => full.into_http(),
                };
                Ok(answer)
            });
        }

        let mut beside = admission.budget.reserve(&caller);
        let room = beside.grow(REQUEST_BYTES).map_err(too_much);
        let connection = Connected { peer, caller, open, _beside: beside };
        Box::pin(async move {
            if let Err(full) = room {
                return Ok(full.into_http());
            }
            admission.answered(service, request, deadline, connection).await
        })
    }
}

/// Whether a method takes a stream of messages: those of the protocol that do, and all methods of
/// other packages.
fn is_stream(path: &str) -> bool {
    !path.starts_with("/qianmian.") || entries::CLIENT_STREAMS.contains(&path)
}

/// Whether the answer of a method is a stream of messages, or its request is.
pub fn answers_in_stream(path: &str) -> bool {
    is_stream(path) || entries::SERVER_STREAMS.contains(&path)
}

/// The caller's timeout, if it sent one: up to eight digits and a unit (gRPC over HTTP2, Timeout).
fn timeout<B>(request: &Request<B>) -> Option<Duration> {
    let value = request.headers().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }

    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3_600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn request(timeout: Option<&str>) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "/qianmian.v1.RecommendationService/Recommend".parse().unwrap();
        if let Some(timeout) = timeout {
            request.headers_mut().insert("grpc-timeout", timeout.parse().unwrap());
        }
        request
    }

    fn code(response: Result<Response<Body>, Infallible>) -> Option<String> {
        let response = response.unwrap();
        response.headers().get("grpc-status").map(|code| code.to_str().unwrap().to_owned())
    }

    #[test]
    fn timeouts_have_units() {
        for (value, expected) in [
            ("5m", Some(Duration::from_millis(5))),
            ("2H", Some(Duration::from_secs(7_200))),
            ("100u", Some(Duration::from_micros(100))),
            ("7", None),
            ("m", None),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("99999999H", Some(Duration::from_secs(359_999_996_400))),
            ("9223372036854775807S", None),
            ("99999999999999999999S", None),
            ("+5S", None),
        ] {
            assert_eq!(timeout(&request(Some(value))), expected, "{value}");
        }
        assert_eq!(timeout(&request(None)), None);
    }

    /// Waits for the gate where the method is Popular, and tells the caller whether its deadline is
    /// near.
    async fn answer(request: Request<Body>, gate: Arc<tokio::sync::Notify>) -> Response<Body> {
        let deadline = request.extensions().get::<Deadline>();
        let hurried = deadline.is_some_and(|deadline| deadline.is_near());
        if request.uri().path().ends_with("Popular") {
            gate.notified().await;
        }
        let mut response = Response::new(Body::empty());
        if hurried {
            response.headers_mut().insert("grpc-status", "hurried".parse().unwrap());
        }
        response
    }

    #[tokio::test]
    async fn one_too_many_is_refused_until_another_is_answered() {
        let gate = Arc::new(tokio::sync::Notify::new());
        let waiting = gate.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let gate = waiting.clone();
            async move { Ok::<_, Infallible>(answer(request, gate).await) }
        });
        let shares = Shares { requests: 1, streams: 1, work: 1, bytes: 1 << 20 };
        let budget = Budget::new(shares);
        let intake = Intake::new(100, Duration::from_secs(5), budget.clone());
        let mut admitted = Admission::new(budget, intake).layer(service);

        let mut slow = request(None);
        *slow.uri_mut() = "/qianmian.v1.RecommendationService/Popular".parse().unwrap();
        let first = tokio::spawn(admitted.call(slow));
        tokio::task::yield_now().await;
        assert_eq!(code(admitted.call(request(None)).await).as_deref(), Some("8"));
        gate.notify_one();
        assert_eq!(code(first.await.unwrap()), None);

        assert_eq!(code(admitted.call(request(Some("10S"))).await), None);
        assert_eq!(code(admitted.call(request(Some("900u"))).await).as_deref(), Some("hurried"));
        assert_eq!(code(admitted.call(request(Some("0m"))).await).as_deref(), Some("4"));
        let mut never = request(Some("20m"));
        *never.uri_mut() = "/qianmian.v1.RecommendationService/Popular".parse().unwrap();
        assert_eq!(code(admitted.call(never).await).as_deref(), Some("4"), "while it is served");
        let far = request(Some("9223372036854775807S"));
        assert_eq!(code(admitted.call(far).await), None);
    }
}
