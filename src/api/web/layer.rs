//! The outermost layer for callers that do not speak gRPC. A call in JSON goes on as the call of gRPC
//! that it stands for, so that every other layer sees one protocol; a refusal comes back as problem
//! details. What browsers may do is decided here.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::origins::Origins;
use super::page::Pages;
use super::problem;
use crate::api::admission::intake::drain;
use crate::api::admission::peer::Peer;
use crate::api::observe::Observer;
use crate::api::wire::json::{self, JSON, Method as KnownMethod, Methods};

/// The type of a call of gRPC.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// How that of a call of gRPC-Web begins.
const GRPC_WEB: &str = "application/grpc-web";

/// Maximum size of a request's headers in bytes, which are kept while it is open.
pub const MAX_HEADERS: u32 = 8 << 10;

/// Takes calls of all kinds.
#[derive(Debug, Clone)]
pub struct Web {
    /// The methods.
    pub methods: Arc<Methods>,
    /// Which pages may call.
    pub origins: Arc<Origins>,
    /// What a browser is shown.
    pub pages: Arc<Pages>,
    /// What sees refusals.
    pub observer: Arc<Observer>,
}

impl<S> Layer<S> for Web {
    type Service = WebService<S>;

    fn layer(&self, service: S) -> WebService<S> {
        WebService { web: self.clone(), service }
    }
}

/// A service of gRPC that others can call too.
#[derive(Debug, Clone)]
pub struct WebService<S> {
    web: Web,
    service: S,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Answer = BoxFuture<Result<Response<Body>, Infallible>>;

impl<S> Service<Request<Body>> for WebService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let kind = match self.web.kind(&request) {
            Ok(kind) => kind,
            Err(refused) => return at_once(self.web.refuse(request, *refused)),
        };

        match kind {
            Kind::Page(page) => {
                note_request(&request);
                at_once(page)
            }
            Kind::Grpc => Box::pin(self.service.call(request)),
            Kind::Json(method) => {
                let answer = self.service.call(self.web.as_grpc(&method, request));
                Box::pin(async move {
                    let answer = answer.await?;
                    let status = Status::from_header_map(answer.headers());
                    Ok(status.map_or(answer, |status| problem::answer(&status)))
                })
            }
        }
    }
}

/// What a request asks for.
enum Kind {
    /// A page, which is its answer.
    Page(Response<Body>),
    /// A method, by gRPC or gRPC-Web.
    Grpc,
    /// A method, in JSON.
    Json(Arc<KnownMethod>),
}

/// A refusal, and its status in HTTP where that says more than the code of gRPC.
struct Refused(Status, Option<StatusCode>);

impl Web {
    /// What a request asks for, or its refusal.
    fn kind(&self, request: &Request<Body>) -> Result<Kind, Box<Refused>> {
        let refused = |status, http| Err(Box::new(Refused(status, http)));
        if request.version() < Version::HTTP_2 && header_bytes(request) > MAX_HEADERS as usize {
            let status =
                Status::invalid_argument(format!("headers must be at most {MAX_HEADERS} bytes"));
            return refused(status, Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
        }
        if let Err(status) = self.origins.check(request) {
            return refused(status, None);
        }
        if let Some(page) = self.pages.at(request) {
            return Ok(Kind::Page(page));
        }

        let Some(method) = self.methods.at(request.uri().path()) else {
            let is_grpc = !is_json_path(request) && is_of_grpc(request);
            return if is_grpc { Ok(Kind::Grpc) } else { refused(nothing_here(), None) };
        };
        if request.method() != Method::POST {
            let status = Status::unimplemented("methods are called by POST");
            return refused(status, Some(StatusCode::METHOD_NOT_ALLOWED));
        }
        if !is_json(request) {
            let status = Status::invalid_argument("content-type must be application/json");
            return refused(status, Some(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        if method.is_stream {
            let message = "the method takes or gives a stream: call it by gRPC or gRPC-Web";
            return refused(Status::unimplemented(message), None);
        }
        Ok(Kind::Json(method.clone()))
    }

    /// The answer to a request that is refused here, which is counted as others are.
    fn refuse(&self, request: Request<Body>, Refused(status, http): Refused) -> Response<Body> {
        note_request(&request);
        let grpc = self.methods.at(request.uri().path()).map(|method| method.path.as_str());
        let path = grpc.unwrap_or(request.uri().path());
        self.observer.note_refused(path, request.headers(), &status);
        let is_grpc = is_of_grpc(&request) && !is_json_path(&request);
        let peer = request.extensions().get::<Peer>().cloned().unwrap_or_default();
        // One that waits for leave to send its body gets none.
        if !request.headers().contains_key(EXPECT) {
            drain(peer, request.into_body());
        }
        if is_grpc {
            return status.into_http();
        }

        let Some(http) = http else { return problem::answer(&status) };
        let mut answer = problem::answer_as(&status, http);
        if http == StatusCode::METHOD_NOT_ALLOWED {
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        answer
    }

    /// The call of gRPC that a call in JSON stands for.
    fn as_grpc(&self, method: &Arc<KnownMethod>, mut request: Request<Body>) -> Request<Body> {
        *request.uri_mut() = with_path(request.uri(), method.path.clone());
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, GRPC);
        headers.remove(CONTENT_LENGTH);
        let call = self.methods.call(method);
        request.extensions_mut().insert(call);
        request
    }
}

/// Notes for the limits of its connection that a request has begun, and ended.
fn note_request(request: &Request<Body>) {
    if let Some(peer) = request.extensions().get::<Peer>() {
        drop(peer.begin());
    }
}

/// The size of a request's headers as HTTP/2 counts them (RFC 9113, 6.5.2).
fn header_bytes(request: &Request<Body>) -> usize {
    let headers = request.headers().iter();
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    path + headers.map(|(name, value)| name.as_str().len() + value.len() + 32).sum::<usize>()
}

fn is_json_path(request: &Request<Body>) -> bool {
    request.uri().path().starts_with(json::PREFIX)
}

fn at_once(answer: Response<Body>) -> Answer {
    Box::pin(ready(Ok(answer)))
}

/// The same address with another path.
fn with_path(uri: &Uri, path: PathAndQuery) -> Uri {
    let mut parts = uri.clone().into_parts();
    // A scheme needs a host, which a request of HTTP/1 names in its headers.
    if parts.authority.is_none() {
        parts.scheme = None;
    }
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).unwrap_or_default()
}

/// Whether gRPC or gRPC-Web is to answer, by the content type.
fn is_of_grpc(request: &Request<Body>) -> bool {
    let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content.is_some_and(|kind| match request.version() {
        Version::HTTP_2 => kind.starts_with("application/grpc"),
        _ => kind.starts_with(GRPC_WEB),
    })
}

/// Whether a request says that it is in JSON. A page cannot send that to another origin unasked.
fn is_json(request: &Request<Body>) -> bool {
    let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = content.and_then(|content| content.split(';').next()).unwrap_or("");
    kind.trim().eq_ignore_ascii_case(JSON)
}

fn nothing_here() -> Status {
    let message = "nothing is here: methods are called by POST /v1/{service}/{method}, and \
                   /v1/openapi.json describes them";
    Status::not_found(message)
}
