//! The outermost layer for callers that do not speak gRPC. A call in JSON goes on as the call of gRPC
//! that it stands for, so that every other layer sees one protocol; a refusal comes back as problem
//! details. What browsers may do is decided here.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::origins::Origins;
use super::page::Pages;
use super::problem;
use crate::api::wire::json::{self, JSON, Methods};

/// The type of a call of gRPC.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// How that of a call of gRPC-Web begins.
const GRPC_WEB: &str = "application/grpc-web";

/// Takes calls of all kinds.
#[derive(Debug, Clone)]
pub struct Web {
    /// The methods.
    pub methods: Arc<Methods>,
    /// Which pages may call.
    pub origins: Arc<Origins>,
    /// What a browser is shown.
    pub pages: Arc<Pages>,
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
        let is_json = request.uri().path().starts_with(json::PREFIX);
        if let Err(refused) = self.web.origins.check(&request) {
            return at_once(if is_json { problem::answer(&refused) } else { refused.into_http() });
        }
        if let Some(page) = self.web.pages.at(&request) {
            return at_once(page);
        }
        if !is_json {
            if is_of_grpc(&request) {
                return Box::pin(self.service.call(request));
            }
            return at_once(nothing_here());
        }

        match self.web.as_grpc(request) {
            Err(refused) => at_once(*refused),
            Ok(request) => {
                let answer = self.service.call(request);
                Box::pin(async move {
                    let answer = answer.await?;
                    let status = Status::from_header_map(answer.headers());
                    Ok(status.map_or(answer, |status| problem::answer(&status)))
                })
            }
        }
    }
}

impl Web {
    /// The call of gRPC that a call in JSON stands for, or the refusal.
    fn as_grpc(&self, mut request: Request<Body>) -> Result<Request<Body>, Box<Response<Body>>> {
        let Some(method) = self.methods.at(request.uri().path()) else {
            return Err(Box::new(nothing_here()));
        };
        if request.method() != Method::POST {
            let status = Status::unimplemented("methods are called by POST");
            let mut refused = problem::answer_as(&status, StatusCode::METHOD_NOT_ALLOWED);
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Err(Box::new(refused));
        }
        if !is_json(&request) {
            let status = Status::invalid_argument("content-type must be application/json");
            return Err(Box::new(problem::answer_as(&status, StatusCode::UNSUPPORTED_MEDIA_TYPE)));
        }
        if method.is_stream {
            let message = "the method takes or gives a stream: call it by gRPC or gRPC-Web";
            return Err(Box::new(problem::answer(&Status::unimplemented(message))));
        }

        *request.uri_mut() = with_path(request.uri(), method.path.clone());
        *request.version_mut() = Version::HTTP_2;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, GRPC);
        headers.remove(CONTENT_LENGTH);
        let call = self.methods.call(method);
        request.extensions_mut().insert(call);
        Ok(request)
    }
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

/// Whether gRPC or gRPC-Web is to answer: all of HTTP/2 that is not in JSON, as before.
fn is_of_grpc(request: &Request<Body>) -> bool {
    let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    request.version() == Version::HTTP_2 || content.is_some_and(|kind| kind.starts_with(GRPC_WEB))
}

/// Whether a request says that it is in JSON. A page cannot send that to another origin unasked.
fn is_json(request: &Request<Body>) -> bool {
    let content = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = content.and_then(|content| content.split(';').next()).unwrap_or("");
    kind.trim().eq_ignore_ascii_case(JSON)
}

fn nothing_here() -> Response<Body> {
    let message = "nothing is here: methods are called by POST /v1/{service}/{method}, and \
                   /v1/openapi.json describes them";
    problem::answer(&Status::not_found(message))
}
