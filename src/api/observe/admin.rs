//! The admin listener: plain HTTP for monitoring, apart from the callers' port. It only shows, and
//! shows no user and no item.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | metrics for Prometheus |
//! | `/healthz` | 200 while the process answers |
//! | `/readyz` | 200 while every store takes writes, or was copied, and the server is not stopping, else 503 with the reasons |
//! | `/version` | version and commit as JSON |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::exposition;
use super::observer::Observer;
use crate::host::Host;
use crate::telemetry::version;

/// Connections at once; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 256;
/// Pages of metrics that are made at once; each reads every store.
const MAX_PAGES: usize = 2;
/// Time to send a request's headers.
const PATIENCE: Duration = Duration::from_secs(2);
/// Maximum duration of a connection, which carries one request.
const LIFETIME: Duration = Duration::from_secs(10);
/// Pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The type of a page of metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers on the admin listener.
#[derive(Debug)]
pub struct Admin {
    host: Arc<Host>,
    observer: Arc<Observer>,
    /// Whether the server is stopping.
    stopping: watch::Receiver<bool>,
    pages: Semaphore,
}

type Answer = Response<String>;

impl Admin {
    /// Shows a server.
    pub fn new(
        host: Arc<Host>,
        observer: Arc<Observer>,
        stopping: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self { host, observer, stopping, pages: Semaphore::new(MAX_PAGES) })
    }

    /// Serves on a listener as long as it is polled.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            while connections.try_join_next().is_some() {}

            match listener.accept().await {
                Ok((stream, _)) => {
                    let admin = self.clone();
                    connections.spawn(async move {
                        let _place = place;
                        let _ = tokio::time::timeout(LIFETIME, admin.connection(stream)).await;
                    });
                }
                // No file may be left to open; others close theirs.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request: Request<Incoming>| {
            let admin = self.clone();
            async move {
                Ok::<_, Infallible>(admin.answer(request.method(), request.uri().path()).await)
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
        // A client that breaks off is no fault of the server.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(self: &Arc<Self>, method: &Method, path: &str) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
            refused.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/metrics" => self.metrics().await,
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/version" => version(),
            _ => {
                let paths = "/metrics, /healthz, /readyz and /version are here\n";
                plain(StatusCode::NOT_FOUND, paths)
            }
        }
    }

    async fn metrics(self: &Arc<Self>) -> Answer {
        let Ok(_page) = self.pages.acquire().await else { return unavailable() };
        let admin = self.clone();
        let page = move || exposition::text(&admin.host, &admin.observer);
        match tokio::task::spawn_blocking(page).await {
            Ok(text) => answer(StatusCode::OK, OPEN_METRICS, text),
            Err(_) => unavailable(),
        }
    }

    /// Whether the server should get requests, and why not.
    fn readiness(&self) -> Answer {
        let mut reasons = Vec::new();
        if *self.stopping.borrow() {
            reasons.push("the server is stopping".to_owned());
        }
        for listed in self.host.list() {
            let name = &listed.name;
            match &listed.store {
                Ok(store) if store.engine.follower().is_some_and(|copy| !copy.has_copied()) => {
                    reasons.push(format!("the store {name} is not copied from the primary yet"));
                }
                Ok(store) if *store.engine.writer().watch().borrow() => {}
                Ok(_) => reasons.push(format!("the store {name} takes no writes")),
                Err(_) => reasons.push(format!("the store {name} is not open")),
            }
        }

        if reasons.is_empty() {
            return plain(StatusCode::OK, "ready\n");
        }
        plain(StatusCode::SERVICE_UNAVAILABLE, &(reasons.join("\n") + "\n"))
    }
}

fn version() -> Answer {
    let built = json!({"version": version::VERSION, "commit": version::COMMIT});
    answer(StatusCode::OK, "application/json", format!("{built}\n"))
}

fn unavailable() -> Answer {
    plain(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping\n")
}

fn plain(code: StatusCode, text: &str) -> Answer {
    answer(code, "text/plain; charset=utf-8", text.to_owned())
}

fn answer(code: StatusCode, content: &'static str, text: String) -> Answer {
    let mut answer = Response::new(text);
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content));
    answer
}
