//! From a request's key to its caller, or a refusal, before anything of the request is read.
//!
//! Once there are keys every request needs one, health checks excepted. A key opens its store; one
//! with the scope admin opens the store that the request names in its metadata, `store`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::access::attempts::Attempt;
use crate::access::audit::Act;
use crate::access::{Attempts, Audit, HeldKey, Keyring, Refusal, Scope, scope};
use crate::api::access::audited::{self, code_name};
use crate::api::access::methods::{self, Method as Known};
use crate::api::admission::admit::{HEALTH, LongWork};
use crate::api::admission::caller::{Caller, missing_key, refused_key};
use crate::api::admission::intake::drain;
use crate::api::admission::peer::Peer;
use crate::api::wire::status::{self, denied};
use crate::domain::Error;
use crate::engine::DEFAULT_STORE;
use crate::host::Host;
use crate::telemetry::RequestRecord;

/// Metadata with the key, and with the name of the store.
const AUTHORIZATION: &str = "authorization";
const STORE: &str = "store";

/// Authenticates requests.
#[derive(Debug, Clone)]
pub struct Authentication {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: Arc<Host>,
    keys: Arc<Keyring>,
    audit: Arc<Audit>,
    attempts: Attempts,
    /// Maximum number of connections of one key.
    max_connections: usize,
}

impl Authentication {
    /// Authenticates by `keys` for the stores of `host`; a key may have `max_connections`.
    pub fn new(
        host: Arc<Host>,
        keys: Arc<Keyring>,
        audit: Arc<Audit>,
        max_connections: usize,
    ) -> Self {
        let attempts = Attempts::default();
        Self { shared: Arc::new(Shared { host, keys, audit, attempts, max_connections }) }
    }
}

/// A refusal, and how it is given.
enum Refused {
    Now(Status),
    /// After a pause, of an unknown key.
    Unknown(Attempt),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Refused::Now(status)
    }
}

impl Shared {
    /// The caller of a request.
    fn caller(&self, path: &str, headers: &HeaderMap, peer: &Peer) -> Result<Caller, Refused> {
        let caller = Caller::from(peer.usage.clone());
        if path.starts_with(HEALTH) {
            return Ok(caller);
        }
        let caller = Caller { keys: Some(self.keys.clone()), ..caller };

        let key = self.key(headers, peer)?;
        let method = methods::of(path);
        if let Some(held) = &key {
            self.may_call(held, path, method, peer)?;
        }

        let of_store = method.is_some_and(|method| !method.scopes.contains(&Scope::Admin));
        let store = if of_store {
            let name = store_name(headers, key.as_deref()).inspect_err(|_| {
                self.note_refused_act(key.as_deref(), method, "OTHER_STORE");
            })?;
            let store = self.host.store(name).map_err(status::from_error)?;
            // Followers take nothing from the callers of a store.
            if !method.is_some_and(|method| method.scopes.contains(&Scope::Follow)) {
                store.rate().request().map_err(|wait| too_many("to this store", wait))?;
            }
            Some(store)
        } else {
            None
        };
        Ok(Caller { key, store, ..caller })
    }

    /// The key of a request; none on a server without keys.
    fn key(&self, headers: &HeaderMap, peer: &Peer) -> Result<Option<Arc<HeldKey>>, Refused> {
        if !self.keys.is_in_force() {
            return Ok(None);
        }

        let given = once(headers, AUTHORIZATION)?.ok_or_else(missing_key)?;
        let secret = bearer(given).unwrap_or("");
        self.keys.find(secret).map(Some).map_err(|refusal| match refusal {
            Refusal::Unknown => Refused::Unknown(self.attempts.note(peer.address)),
            other => refused_key(other).into(),
        })
    }

    /// Checks the scopes and the quota of a key.
    fn may_call(
        &self,
        held: &HeldKey,
        path: &str,
        method: Option<&Known>,
        peer: &Peer,
    ) -> Result<(), Status> {
        held.rate.request().map_err(|wait| too_many("with this key", wait))?;
        if !peer.belong_to(&held.usage, self.max_connections) {
            let message = format!(
                "{} connections with this key are open already (half of serve.max_connections)",
                self.max_connections
            );
            return Err(status::from_error(Error::Overloaded(message)));
        }

        let Some(method) = method else { return Ok(()) };
        if scope::allow(&held.key.scopes, method.scopes) {
            return Ok(());
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let message = format!(
            "{name} needs a key with the scope {}; this one has {}",
            method.needs(),
            scope::names(&held.key.scopes)
        );
        self.note_refused_act(Some(held), Some(method), "SCOPE_MISSING");
        Err(denied(Code::PermissionDenied, "SCOPE_MISSING", message))
    }

    /// Records the refusal of an act of administration.
    fn note_refused_act(&self, held: Option<&HeldKey>, method: Option<&Known>, reason: &str) {
        let method = method.filter(|method| method.audit.is_some());
        let (Some(held), Some(method)) = (held, method) else { return };
        let act = Act {
            by: held.key.name.clone(),
            store: held.key.store.clone().unwrap_or_default(),
            act: method.name.to_owned(),
            with: serde_json::Value::Null,
            outcome: code_name(Code::PermissionDenied),
            reason: reason.to_owned(),
        };
        audited::record_later(self.audit.clone(), act);
    }
}

/// Notes for the operator whose request it is.
fn note_caller(request: &Request<Body>, caller: &Caller) {
    let Some(record) = request.extensions().get::<Arc<RequestRecord>>() else { return };
    if let Some(held) = &caller.key {
        record.came_with(&held.key.name);
    }
    if let Some(store) = &caller.store {
        record.is_for(&store.counts);
    }
    record.end("authenticate");
}

/// The value of metadata that may be sent once.
fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Status> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Status::invalid_argument(format!("{name} must be sent once, was sent again")));
    }
    let text = first.map(|value| value.to_str());
    text.transpose()
        .map_err(|_| Status::invalid_argument(format!("{name} must be ASCII text, is not")))
}

/// The name of the store that a request is for.
fn store_name<'a>(headers: &'a HeaderMap, key: Option<&'a HeldKey>) -> Result<&'a str, Status> {
    let asked = once(headers, STORE)?;
    match key.and_then(|held| held.key.store.as_deref()) {
        None => Ok(asked.unwrap_or(DEFAULT_STORE)),
        Some(own) if asked.is_none_or(|asked| asked == own) => Ok(own),
        Some(_) => {
            let message =
                "the API key opens another store than the one named by the metadata store";
            Err(denied(Code::PermissionDenied, "OTHER_STORE", message))
        }
    }
}

/// Whether a request is one of gRPC, as a web page cannot send one unasked.
fn is_grpc(request: &Request<Body>) -> bool {
    let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let of_grpc = content.and_then(|content| content.strip_prefix("application/grpc"));
    let is_kind = of_grpc.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']));
    is_kind && request.method() == Method::POST
}

/// The secret in an authorization.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
}

fn too_many(whose: &str, wait: Duration) -> Status {
    status::retry_later(
        "QUOTA_EXCEEDED",
        format!("requests {whose} come faster than its quota"),
        wait,
    )
}

/// The refusal of an unknown key, after the pause that its address has earned.
async fn unknown(attempt: Attempt) -> Status {
    let refused = || refused_key(Refusal::Unknown);
    match attempt {
        Attempt::Now => refused(),
        Attempt::After(pause, place) => {
            // The place is taken for the whole pause, whether or not the caller waits.
            let paused = tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                drop(place);
            });
            // A task that was cancelled is over too.
            let _ = paused.await;
            refused()
        }
        Attempt::TooMany(wait) => {
            let message = "too many unknown API keys are tried at this moment";
            status::retry_later("KEYS_TRIED", message, wait)
        }
    }
}

impl<S> Layer<S> for Authentication {
    type Service = Authenticated<S>;

    fn layer(&self, service: S) -> Authenticated<S> {
        Authenticated { shared: self.shared.clone(), service }
    }
}

/// A service behind an [`Authentication`].
#[derive(Debug, Clone)]
pub struct Authenticated<S> {
    shared: Arc<Shared>,
    service: S,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S> Service<Request<Body>> for Authenticated<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Error: Send,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        let path = request.uri().path();
        if !is_grpc(&request) {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Box::pin(std::future::ready(Ok(answer)));
        }

        let is_long = methods::of(path).is_some_and(|method| method.is_long);
        match self.shared.caller(path, request.headers(), &peer) {
            Ok(caller) => {
                // A health check needs no key and shows nothing of its caller.
                if caller.keys.is_some() {
                    peer.accept();
                }
                note_caller(&request, &caller);
                request.extensions_mut().insert(caller);
                if is_long {
                    request.extensions_mut().insert(LongWork);
                }
                Box::pin(self.service.call(request))
            }

            Err(refused) => {
                // The request is open for its connection while its refusal waits.
                let open = peer.begin();
                drain(peer, request.into_body());
                Box::pin(async move {
                    let status = match refused {
                        Refused::Now(status) => status,
                        Refused::Unknown(attempt) => unknown(attempt).await,
                    };
                    drop(open);
                    Ok(status.into_http())
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_of_grpc_are_served() {
        let request = |method: &str, content: Option<&str>| {
            let request = Request::builder().method(method);
            let request = content.into_iter().fold(request, |r, c| r.header(CONTENT_TYPE, c));
            is_grpc(&request.body(Body::empty()).unwrap())
        };
        for content in ["application/grpc", "application/grpc+proto", "application/grpc;q=1"] {
            assert!(request("POST", Some(content)), "{content}");
            assert!(!request("GET", Some(content)));
        }
        for content in ["application/grpc-web", "text/plain", "application/grpcx", ""] {
            assert!(!request("POST", Some(content)), "{content}");
        }
        assert!(!request("POST", None));
    }
}
