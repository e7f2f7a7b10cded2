//! Acts of administration: each runs to its end even if its caller goes, and its outcome is in the
//! audit log before the answer leaves.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::task::JoinError;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Layer, Service};

use crate::access::Audit;
use crate::access::audit::{self, Act};
use crate::api::access::methods::{self, Method};
use crate::api::admission::caller::{Caller, Running};
use crate::api::wire::entries;

/// Length of the prefix of a message: a flag and the message's length.
const HEADER_BYTES: usize = 5;

/// Records acts of administration.
#[derive(Debug, Clone)]
pub struct Auditing {
    audit: Arc<Audit>,
    /// The acts that run.
    acts: TaskTracker,
}

impl Auditing {
    /// Records into an audit log; `acts` tracks those that run, also without their callers.
    pub fn new(audit: Arc<Audit>, acts: TaskTracker) -> Self {
        Self { audit, acts }
    }
}

impl<S> Layer<S> for Auditing {
    type Service = Audited<S>;

    fn layer(&self, service: S) -> Audited<S> {
        Audited { auditing: self.clone(), service }
    }
}

/// A service whose acts of administration are recorded.
#[derive(Debug, Clone)]
pub struct Audited<S> {
    auditing: Auditing,
    service: S,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S> Service<Request<Body>> for Audited<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(method) = methods::of(request.uri().path()).filter(|m| m.audit.is_some()) else {
            return Box::pin(self.service.call(request));
        };

        // The service that is ready goes with the request; its clone stays.
        let next = self.service.clone();
        let service = std::mem::replace(&mut self.service, next);
        let Auditing { audit, acts } = &self.auditing;
        let acting = acts.spawn(act(service, request, method, audit.clone()));
        Box::pin(async move { joined(acting.await) })
    }
}

/// Runs an act, and records its outcome.
async fn act<S>(
    mut service: S,
    request: Request<Body>,
    method: &'static Method,
    audit: Arc<Audit>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
    // It is counted until it ends.
    let _running = request.extensions().get::<Running>().cloned();
    let (request, with) = with_fields(request, method).await;
    let answered = tokio::spawn(service.call(request)).await;

    let status = match &answered {
        Ok(Ok(answer)) => Status::from_header_map(answer.headers()),
        Ok(Err(_)) | Err(_) => Some(Status::internal("")),
    };
    let status = status.filter(|status| status.code() != Code::Ok);
    let reason = status.as_ref().and_then(|status| status.get_details_error_info());
    let act = Act {
        by: caller.name().to_owned(),
        store: caller.store.as_ref().map_or_else(String::new, |store| store.name.clone()),
        act: method.name.to_owned(),
        with: with.lock().take(),
        outcome: code_name(status.map_or(Code::Ok, |status| status.code())),
        reason: reason.map_or_else(String::new, |info| info.reason),
    };
    if let Err(error) = record_later(audit, act).await {
        tracing::error!(%error, "an act of administration is not in the audit log");
    }
    joined(answered)
}

/// The answer of a task; a panic of it goes on in its caller.
fn joined<E>(ended: Result<Result<Response<Body>, E>, JoinError>) -> Result<Response<Body>, E> {
    match ended {
        Ok(answer) => answer,
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Ok(Status::unavailable("the server is shutting down").into_http()),
    }
}

/// Records an act on a thread that may wait for the disk.
pub(super) fn record_later(audit: Arc<Audit>, act: Act) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_blocking(move || {
        // A failure is logged there.
        let _ = audit.record(&act);
    })
}

/// The name of a code as the protocol writes it.
pub fn code_name(code: Code) -> String {
    if code == Code::Ok {
        return audit::OK.to_owned();
    }
    let words = format!("{code:?}");
    let mut name = String::with_capacity(words.len() + 4);
    for (at, letter) in words.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// The fields of a request that go into the audit log; null until they are known.
type Fields = Arc<Mutex<Value>>;

/// The request, and the fields of its message; of a stream those of its first one.
async fn with_fields(request: Request<Body>, method: &'static Method) -> (Request<Body>, Fields) {
    let fields = Fields::default();
    if entries::CLIENT_STREAMS.contains(&request.uri().path()) {
        let found = fields.clone();
        let mut is_first = true;
        let request = request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(data) = frame.data_ref()
                    && std::mem::take(&mut is_first)
                {
                    *found.lock() = read(method, data);
                }
                frame
            }))
        });
        return (request, fields);
    }

    // The message is complete already.
    let (parts, body) = request.into_parts();
    let whole = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    *fields.lock() = read(method, &whole);
    (Request::from_parts(parts, Body::new(Full::new(whole))), fields)
}

/// The fields of a message with its prefix; null where it is compressed or incomplete, which no
/// service takes.
fn read(method: &Method, framed: &[u8]) -> Value {
    let message = framed.get(HEADER_BYTES..).filter(|_| framed.first() == Some(&0));
    method.audit.zip(message).map_or(Value::Null, |(audit, message)| audit(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_of_the_protocol() {
        assert_eq!(code_name(Code::NotFound), "NOT_FOUND");
        assert_eq!(code_name(Code::FailedPrecondition), "FAILED_PRECONDITION");
        assert_eq!(code_name(Code::Internal), "INTERNAL");
    }
}
