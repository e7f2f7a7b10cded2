//! Who gets in: no more requests than can be answered soon, and none that nobody waits
//! for any more.
//!
//! A request is counted from its arrival to its answer. One too many is refused at once
//! with RESOURCE_EXHAUSTED. One whose deadline (`grpc-timeout`) passed while it waited for
//! a thread is dropped; one that has a deadline carries it as [`Deadline`], by which a
//! service may choose to do less.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::status;
use crate::domain::Error;

/// When the caller stops waiting; an extension of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// Whether an ordinary answer may come too late.
    pub fn is_near(self) -> bool {
        self.0.saturating_duration_since(Instant::now()) < NEAR
    }
}

/// A deadline closer than this is near.
const NEAR: Duration = Duration::from_millis(2);

/// Admits at most so many requests at once.
#[derive(Debug, Clone)]
pub struct Admission {
    most: usize,
    inside: Arc<AtomicUsize>,
}

impl Admission {
    /// For at most `most` requests.
    pub fn new(most: usize) -> Self {
        Self { most, inside: Arc::default() }
    }

    fn enter(&self) -> Option<Inside> {
        let inside = Inside(self.inside.clone());
        (self.inside.fetch_add(1, Ordering::Relaxed) < self.most).then_some(inside)
    }
}

/// A request that was let in, until it is dropped.
struct Inside(Arc<AtomicUsize>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
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

impl<S, B> Service<Request<B>> for Admitted<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let deadline = timeout(&request).map(|timeout| Instant::now() + timeout);
        let Some(inside) = self.admission.enter() else {
            let most = self.admission.most;
            let full = Error::Overloaded(format!("{most} requests are at work already"));
            return Box::pin(async move { Ok(status::from_error(full).into_http()) });
        };
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
        let answer = self.service.call(request);
        Box::pin(async move {
            let _inside = inside;
            // This runs when a thread is free, which under load is later than the arrival.
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                let late = Status::deadline_exceeded("the deadline passed in the queue");
                return Ok(late.into_http());
            }
            answer.await
        })
    }
}

/// How long the caller waits, if it says so: digits and a unit (gRPC over HTTP2, Timeout).
fn timeout<B>(request: &Request<B>) -> Option<Duration> {
    let value = request.headers().get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count.checked_mul(3_600)?)),
        "M" => Some(Duration::from_secs(count.checked_mul(60)?)),
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

    fn request(timeout: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
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
            ("99999999999999999999S", None),
        ] {
            assert_eq!(timeout(&request(Some(value))), expected, "{value}");
        }
        assert_eq!(timeout(&request(None)), None);
    }

    #[tokio::test]
    async fn one_too_many_is_refused_until_another_is_answered() {
        let service = tower::service_fn(|request: Request<()>| async move {
            let deadline = request.extensions().get::<Deadline>();
            let hurried = deadline.is_some_and(|deadline| deadline.is_near());
            let mut response = Response::new(Body::empty());
            if hurried {
                response.headers_mut().insert("grpc-status", "hurried".parse().unwrap());
            }
            Ok::<_, Infallible>(response)
        });
        let mut admitted = Admission::new(1).layer(service);
        let first = admitted.call(request(None));
        assert_eq!(code(admitted.call(request(None)).await).as_deref(), Some("8"));
        assert_eq!(code(first.await), None);
        assert_eq!(code(admitted.call(request(Some("10S"))).await), None);
        assert_eq!(code(admitted.call(request(Some("900u"))).await).as_deref(), Some("hurried"));
        assert_eq!(code(admitted.call(request(Some("0m"))).await).as_deref(), Some("4"));
    }
}
