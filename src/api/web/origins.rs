//! Which web pages may call. A browser sends a page's origin with every call that the page makes
//! (Fetch, <https://fetch.spec.whatwg.org/#origin-header>); other clients send none.
//!
//! A page of an origin that is not allowed cannot read an answer, by CORS, and its calls are refused
//! as well, since some of them would act without being read. A server without keys takes a page of
//! its own for one only by address or as localhost: any name can be made to lead to this machine
//! (DNS rebinding).

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::api::follow::{MIN_OFFSET, OFFSET, STALE};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, Request, Response};
use serde::{Deserialize, Serialize};
use tokio_util::either::Either;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};

use crate::access::Keyring;
use crate::api::wire::status::denied;

/// `[serve.browsers]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrowserOptions {
    /// Origins whose pages may call, as `https://shop.example`; "*": any.
    pub allowed_origins: Vec<String>,
    /// Whether the address of the server shows a page to try calls, without a key. It holds the
    /// protocol, and nothing of any store.
    pub page: bool,
}

impl Default for BrowserOptions {
    fn default() -> Self {
        Self { allowed_origins: Vec::new(), page: true }
    }
}

/// The origin that stands for all.
const ANY: &str = "*";
/// Time for which a browser may remember what is allowed; browsers cap it at about this.
const REMEMBERED: Duration = Duration::from_secs(7_200);

impl BrowserOptions {
    /// Checks that every origin is one.
    ///
    /// # Errors
    /// A sentence that names the setting and the origin.
    pub fn check(&self) -> Result<(), String> {
        for origin in self.allowed_origins.iter().filter(|origin| *origin != ANY) {
            if !is_origin(origin) {
                return Err(format!(
                    "serve.browsers.allowed_origins must be origins as https://shop.example or \
                     http://localhost:3000, in lower case, without a path and without the usual port, or \"*\"; was {origin:?}"
                ));
            }
        }
        Ok(())
    }

    /// Whether pages of every origin may call.
    pub fn allows_any(&self) -> bool {
        self.allowed_origins.iter().any(|origin| origin == ANY)
    }

    /// What a browser may be shown of answers, and may ask.
    fn cors(&self) -> CorsLayer {
        let origins = self.allowed_origins.iter().filter_map(|origin| origin.parse().ok());
        let origins = if self.allows_any() {
            AllowOrigin::any()
        } else {
            AllowOrigin::list(origins.collect::<Vec<HeaderValue>>())
        };
        let named = HeaderName::from_static;
        let asked = [
            AUTHORIZATION,
            CONTENT_TYPE,
            named("store"),
            named(MIN_OFFSET),
            named("grpc-timeout"),
            named("traceparent"),
            named("tracestate"),
            named("x-grpc-web"),
            named("x-user-agent"),
        ];
        let shown = [
            RETRY_AFTER,
            named(OFFSET),
            named(STALE),
            named("grpc-status"),
            named("grpc-message"),
            named("grpc-status-details-bin"),
        ];

        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(asked)
            .expose_headers(shown)
            .max_age(REMEMBERED)
    }
}

/// Applies CORS to the requests of browsers. Others pass untouched: it would add headers to each
/// answer.
#[derive(Debug, Clone)]
pub struct Browsers(CorsLayer);

impl Browsers {
    /// Applies these options.
    pub fn new(options: &BrowserOptions) -> Self {
        Self(options.cors())
    }
}

impl<S: Clone> Layer<S> for Browsers {
    type Service = ForBrowsers<S>;

    fn layer(&self, service: S) -> ForBrowsers<S> {
        ForBrowsers { cors: self.0.layer(service.clone()), service }
    }
}

/// A service, and the same with CORS.
#[derive(Debug, Clone)]
pub struct ForBrowsers<S> {
    cors: Cors<S>,
    service: S,
}

impl<S> Service<Request<Body>> for ForBrowsers<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<<Cors<S> as Service<Request<Body>>>::Future, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.cors.poll_ready(context))?;
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.headers().contains_key(ORIGIN) {
            Either::Left(self.cors.call(request))
        } else {
            Either::Right(self.service.call(request))
        }
    }
}

/// Whether a text is an origin as browsers send it: a scheme, a host, perhaps a port other than the
/// scheme's own.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let own_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let is_host = host
        .parse::<Authority>()
        .is_ok_and(|host| !host.host().is_empty() && host.port_u16() != Some(own_port));
    is_host && !host.contains('@') && text == text.to_ascii_lowercase()
}

/// Refuses the calls of other pages.
#[derive(Debug, Clone)]
pub struct Origins {
    options: BrowserOptions,
    keys: Arc<Keyring>,
}

impl Origins {
    /// Allows what is set, and the server's own page.
    pub fn new(options: BrowserOptions, keys: Arc<Keyring>) -> Self {
        Self { options, keys }
    }

    /// Checks the origin of a request, where a browser sent it.
    ///
    /// # Errors
    /// PERMISSION_DENIED where its page may not call.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), Status> {
        let Some(origin) = request.headers().get(ORIGIN) else { return Ok(()) };
        let allowed = self.options.allowed_origins.iter().any(|allowed| *origin == **allowed);
        if allowed || self.options.allows_any() || self.is_own(origin, request) {
            return Ok(());
        }
        let message = "pages of this origin may not call (serve.browsers.allowed_origins)";
        Err(denied(Code::PermissionDenied, "ORIGIN_NOT_ALLOWED", message))
    }

    /// Whether an origin is the address under which the server was called.
    fn is_own<B>(&self, origin: &HeaderValue, request: &Request<B>) -> bool {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
        let (Some(("http" | "https", of_page)), Some(host)) = (origin, host) else {
            return false;
        };
        of_page == host && (self.keys.is_in_force() || is_unnamed(host))
    }
}

/// Whether a host is an address, or this machine's name for itself.
fn is_unnamed(host: &str) -> bool {
    let Ok(host) = host.parse::<Authority>() else { return false };
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str], origin: Option<&str>, host: &str) -> bool {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(Keyring::open(folder.path()).unwrap());
        let allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let origins = Origins::new(BrowserOptions { allowed_origins, page: true }, keys);
        let request = Request::builder().header(HOST, host);
        let request = origin.into_iter().fold(request, |r, origin| r.header(ORIGIN, origin));
        origins.check(&request.body(()).unwrap()).is_ok()
    }

    #[test]
    fn other_pages_are_refused() {
        let shop = "https://shop.example";
        assert!(allowed(&[], None, "127.0.0.1:50051"));
        assert!(!allowed(&[], Some(shop), "127.0.0.1:50051"));
        assert!(allowed(&[shop], Some(shop), "127.0.0.1:50051"));
        assert!(!allowed(&[shop], Some("https://shop.example.evil"), "127.0.0.1:50051"));
        assert!(!allowed(&[shop], Some("http://shop.example"), "127.0.0.1:50051"));
        assert!(!allowed(&[shop], Some("null"), "127.0.0.1:50051"));
        assert!(allowed(&["*"], Some("null"), "127.0.0.1:50051"));
    }

    #[test]
    fn without_keys_a_page_by_name_is_not_the_servers_own() {
        for host in ["127.0.0.1:50051", "localhost:50051", "[::1]:50051", "10.0.0.1"] {
            assert!(allowed(&[], Some(&format!("http://{host}")), host), "{host}");
        }
        assert!(!allowed(&[], Some("http://rebound.example:50051"), "rebound.example:50051"));
        assert!(!allowed(&[], Some("http://127.0.0.1:8000"), "127.0.0.1:50051"));
    }

    #[test]
    fn origins_are_checked_at_the_start() {
        for origin in ["*", "https://shop.example", "http://localhost:3000", "http://[::1]:8080"] {
            let options = BrowserOptions { allowed_origins: vec![origin.into()], page: true };
            assert_eq!(options.check(), Ok(()));
        }
        for origin in [
            "shop.example",
            "https://shop.example/",
            "https://Shop.example",
            "https://a@b",
            "https://",
            "",
        ] {
            let options = BrowserOptions { allowed_origins: vec![origin.into()], page: true };
            assert!(options.check().unwrap_err().contains("allowed_origins"), "{origin}");
        }
    }
}
