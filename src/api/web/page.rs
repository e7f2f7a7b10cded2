//! What a browser is shown without a key: the description of the methods, and a page to try them.
//! Both hold the protocol, and nothing of any store.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use tonic::body::Body;

use super::openapi;
use crate::api::wire::json::{JSON, Methods};

/// Where the description is.
const OPENAPI: &str = "/v1/openapi.json";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The page runs its own script, calls this server, and does nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:;                       base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a browser is shown.
#[derive(Debug)]
pub struct Pages {
    openapi: Bytes,
    /// Whether there is a page beside the description.
    is_shown: bool,
}

impl Pages {
    /// Shows methods.
    pub fn new(methods: &Methods, is_shown: bool) -> Self {
        Self { openapi: openapi::describe(methods).to_string().into(), is_shown }
    }

    /// The answer to a request, where it asks for one of these.
    pub(super) fn at<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        let (kind, content) = match request.uri().path() {
            OPENAPI => (JSON, self.openapi.clone()),
            "/" if self.is_shown => (HTML, Bytes::from_static(include_bytes!("page.html"))),
            "/page.js" if self.is_shown => (SCRIPT, Bytes::from_static(include_bytes!("page.js"))),
            "/page.css" if self.is_shown => (STYLE, Bytes::from_static(include_bytes!("page.css"))),
            _ => return None,
        };
        Some(page(kind, content))
    }
}

fn page(kind: &'static str, content: Bytes) -> Response<Body> {
    let mut page = Response::new(Body::new(Full::new(content)));
    let headers: [(HeaderName, &'static str); 6] = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in headers {
        page.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    page
}
