//! All services on a listener, with health and reflection.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;
use tonic::transport::Server;
use tonic_web::GrpcWebLayer;
use tower::layer::util::Stack;

use crate::access::{Audit, AuditOptions, Keyring};
use crate::api::access::audited::Auditing;
use crate::api::access::authentication::Authentication;
use crate::api::access::dispatch::Dispatch;
use crate::api::admission::admit::Admission;
use crate::api::admission::caller::{Budget, Shares};
use crate::api::admission::connections::{self, Bounds};
use crate::api::admission::intake::Intake;
use crate::api::admission::open_files;
use crate::api::beside;
use crate::api::follow::{Following, Primary};
use crate::api::health::Announcer;
use crate::api::observe::admin::Admin;
use crate::api::observe::{Observer, Observing};
use crate::api::services::key::KeyApi;
use crate::api::services::store::StoreApi;
use crate::api::tls::{Certificates, TlsOptions};
use crate::api::web::layer::{MAX_HEADERS, Web};
use crate::api::web::origins::{BrowserOptions, Browsers, Origins};
use crate::api::web::page::Pages;
use crate::api::wire::json::Methods;
use crate::api::wire::pb;
use crate::api::wire::pb::key_service_server::KeyServiceServer;
use crate::api::wire::pb::store_service_server::StoreServiceServer;
use crate::domain::{Held, Result};
use crate::engine::options::EngineOptions;
use crate::host::Host;

/// `[serve]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeOptions {
    /// Address to listen on; port 0: any free one.
    pub listen: String,
    /// Address of the admin listener, which answers /metrics, /healthz, /readyz and /version over
    /// plain HTTP, without keys; empty: none.
    pub admin_listen: String,
    /// Maximum size of a request message, in MiB.
    pub max_message_mib: usize,
    /// Requests at once on one connection; further ones wait.
    pub max_requests_per_connection: usize,
    /// Requests at once on all connections, more than on one; further ones are refused at once.
    pub max_requests: usize,
    /// Requests at once that send or receive a stream of messages; further ones are refused at once.
    pub max_streams: usize,
    /// Memory in MiB for requests that are not answered yet, including those that are still
    /// arriving, and for answers that clients have not taken; one address may use a quarter of it,
    /// one key half. Requests beyond it are refused.
    pub max_incoming_mib: usize,
    /// Seconds within which a request, or each message of a stream, must arrive completely.
    pub request_seconds: u64,
    /// Connections at once; further ones are closed.
    pub max_connections: usize,
    /// Connections at once from one address, fewer than in all.
    pub max_connections_per_address: usize,
    /// Seconds within which a connection must complete the TLS handshake, and then begin to speak
    /// HTTP.
    pub handshake_seconds: u64,
    /// Seconds after which a connection without requests is closed.
    pub idle_seconds: u64,
    /// Seconds for which a client may take nothing of the answers that wait for it.
    pub send_seconds: u64,
    /// Seconds that running requests get to finish when the server stops.
    pub drain_seconds: u64,
    /// Seconds for which a server that follows this one answers from what it has of users, without hearing
    /// from this one: an erasure or an objection is complete everywhere no later than after that time.
    pub lease_seconds: u64,
    /// Whether to listen on an address that others can reach without TLS or without API keys.
    pub insecure: bool,
    /// Certificates.
    pub tls: TlsOptions,
    /// What web pages may do.
    pub browsers: BrowserOptions,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50051".to_owned(),
            admin_listen: "127.0.0.1:50052".to_owned(),
            max_message_mib: 16,
            max_requests_per_connection: 256,
            max_requests: 2_048,
            max_streams: 1_024,
            max_incoming_mib: 512,
            request_seconds: 30,
            max_connections: 8_192,
            max_connections_per_address: 1_024,
            handshake_seconds: 10,
            idle_seconds: 3_600,
            send_seconds: 60,
            drain_seconds: 10,
            lease_seconds: 10,
            insecure: false,
            tls: TlsOptions::default(),
            browsers: BrowserOptions::default(),
        }
    }
}

impl ServeOptions {
    /// What runs at once.
    fn shares(&self) -> Shares {
        Shares {
            requests: self.max_requests,
            streams: self.max_streams,
            work: MAX_LONG_WORK,
            bytes: self.max_incoming_mib << 20,
        }
    }

    /// The limits on incoming requests.
    fn intake(&self, budget: Budget) -> Intake {
        Intake::new(self.max_message_mib << 20, Duration::from_secs(self.request_seconds), budget)
    }

    /// Checks that nothing is open to others unless that is written out.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub fn check_safe(&self, address: SocketAddr, has_keys: bool) -> Result<(), String> {
        if address.ip().to_canonical().is_loopback() || self.insecure {
            return Ok(());
        }
        let tls = "TLS (serve.tls.cert, serve.tls.key)";
        let keys = "an API key (qianmian keys create)";
        let missing = match (self.tls.is_on(), has_keys) {
            (true, true) => return Ok(()),
            (false, false) => format!("{tls} and {keys}"),
            (false, true) => tls.to_owned(),
            (true, false) => keys.to_owned(),
        };
        Err(format!(
            "others can reach {address}, where the server starts only with {missing}; \
             serve.insecure = true starts it without"
        ))
    }

    /// The limits on connections.
    fn bounds(&self) -> Bounds {
        Bounds {
            max: self.max_connections,
            per_address: self.max_connections_per_address,
            handshake: Duration::from_secs(self.handshake_seconds),
            idle: Duration::from_secs(self.idle_seconds),
            sending: Duration::from_secs(self.send_seconds),
        }
    }
}

/// Requests at once that take long or much: models and stores that are read, built or compared.
const MAX_LONG_WORK: usize = 16;
/// Streams that a client has reset and the server has not taken up yet, beyond which the connection
/// ends (rapid reset, CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// Interval of keep-alive pings, and the time that a client has to answer one.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// Why a server ended unexpectedly.
pub type ServeError = Box<dyn std::error::Error + Send + Sync>;

/// What a server serves.
#[derive(Debug, Clone)]
pub struct Served {
    /// The stores.
    pub host: Arc<Host>,
    /// Who may call.
    pub keys: Arc<Keyring>,
    /// Who did what.
    pub audit: Arc<Audit>,
    /// What sees every request.
    pub observer: Arc<Observer>,
    /// The server that this one follows; none where it follows none. The stores are opened as followers then.
    pub primary: Option<Arc<Primary>>,
    /// The lease to write; none where this server shares nothing with others.
    pub seat: Option<Arc<Held>>,
}

/// Where a server listens.
#[derive(Debug)]
pub struct Listeners {
    /// For callers.
    pub callers: TcpListener,
    /// For monitoring; none: there is no admin listener.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(callers: TcpListener) -> Self {
        Self { callers, admin: None }
    }
}

impl Served {
    /// Opens the stores, the keys and the audit log of a data folder.
    ///
    /// # Errors
    /// [`crate::domain::Error::Storage`] where one does not open.
    pub fn open(data: &Path, options: EngineOptions, audit: AuditOptions) -> Result<Self> {
        open_files::raise_open_files();
        let keys = Arc::new(Keyring::open(data)?);
        let host = Arc::new(Host::open(data, options)?);
        let audit = Arc::new(Audit::of(data, audit));
        Ok(Self { host, keys, audit, observer: Arc::default(), primary: None, seat: None })
    }
}

/// Serves until `shutdown` completes, then drains: running requests may finish within the
/// configured time, new ones are refused.
///
/// # Errors
/// Where the listener is open to others and [`ServeOptions::check_safe`] refuses, a certificate is
/// not usable, or the transport fails.
pub async fn serve(
    served: Served,
    listeners: impl Into<Listeners>,
    options: &ServeOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    boxed(served, listeners.into(), options, Box::pin(shutdown)).await
}

/// A future of any kind.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server as a future that is compiled once, with the library, and not again in each program
/// that serves.
fn boxed<'a>(
    served: Served,
    listeners: Listeners,
    options: &'a ServeOptions,
    shutdown: Boxed<'static, ()>,
) -> Boxed<'a, Result<(), ServeError>> {
    Box::pin(run(served, listeners, options, shutdown))
}

async fn run(
    served: Served,
    Listeners { callers, admin }: Listeners,
    options: &ServeOptions,
    shutdown: Boxed<'static, ()>,
) -> Result<(), ServeError> {
    options.check_safe(callers.local_addr()?, served.keys.is_in_force())?;
    let certificates = Certificates::read(&options.tls)?;
    warn_of_open_doors(options, served.keys.is_in_force());

    let Served { host, keys, audit, observer, primary, seat } = served;
    let (health, health_service) = tonic_health::server::health_reporter();
    let (is_stopping, stops) = watch::channel(false);
    let mut beside = beside::start((&host, &primary), &keys, &observer, certificates.clone());
    beside.spawn(Announcer::start(health, host.clone()).await.follow());
    if let Some(admin) = admin {
        observer.show();
        beside.spawn(Admin::new(host.clone(), observer.clone(), stops).serve(admin));
    }

    let bounds = open_files::fit_open_files(options.bounds(), host.list().len());
    let (stopping, stopped) = oneshot::channel();
    let closing = host.clone();
    let acts = TaskTracker::new();
    let auditing = Auditing::new(audit.clone(), acts.clone());
    let following = Following { primary, seat };
    let layers =
        layers((&host, following), &keys, (audit, auditing), &observer, options, bounds.max);
    let web = web(&keys, &observer, &options.browsers)?;
    let server = Server::builder()
        .accept_http1(true)
        .layer(Browsers::new(&options.browsers))
        .layer(web)
        .layer(GrpcWebLayer::new())
        .layer(layers)
        .concurrency_limit_per_connection(options.max_requests_per_connection)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_PATIENCE))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(KeyServiceServer::new(KeyApi::new(keys.clone(), host.data().to_owned())))
        .add_service(StoreServiceServer::new(StoreApi::new(host, keys.clone())))
        .serve_with_incoming_shutdown(
            connections::accept(callers, bounds, certificates),
            async move {
                shutdown.await;
                is_stopping.send_replace(true);
                closing.close();
                let _ = stopping.send(());
            },
        );

    let result = tokio::select! {
        result = server => result,
        () = drained_too_long(stopped, options.drain_seconds) => {
            tracing::warn!(seconds = options.drain_seconds, "running requests are cut off");
            Ok(())
        }
    };

    end_acts(&acts, options.drain_seconds).await;
    beside.shutdown().await;
    beside::save_last_uses(&keys);
    observer.close();
    Ok(result?)
}

/// Warns where others may call whom the operator may not have meant.
fn warn_of_open_doors(options: &ServeOptions, has_keys: bool) {
    if options.insecure && !(options.tls.is_on() && has_keys) {
        tracing::warn!("serve.insecure is set, and TLS or API keys are missing");
    }
    if options.browsers.allows_any() && !has_keys {
        tracing::warn!("every web page may call, without a key (serve.browsers.allowed_origins)");
    }
}

/// Lets acts of administration end whose callers have gone, each with its line in the audit log.
async fn end_acts(acts: &TaskTracker, seconds: u64) {
    acts.close();
    if tokio::time::timeout(Duration::from_secs(seconds), acts.wait()).await.is_err() {
        tracing::warn!("acts of administration are cut off");
    }
}

/// What a request passes on its way to a service, the last first.
type Layers = Stack<
    Dispatch,
    Stack<Auditing, Stack<Following, Stack<Admission, Stack<Authentication, Observing>>>>,
>;

/// What a request passes on its way to a service, in this order.
fn layers(
    (host, following): (&Arc<Host>, Following),
    keys: &Arc<Keyring>,
    (audit, auditing): (Arc<Audit>, Auditing),
    observer: &Arc<Observer>,
    options: &ServeOptions,
    max_connections: usize,
) -> Layers {
    let budget = Budget::new(options.shares());
    let authentication = Authentication::new(
        host.clone(),
        keys.clone(),
        audit,
        // One key may not take all connections.
        (max_connections / 2).max(1),
    );

    let intake = options.intake(budget.clone());
    let admission = Admission::new(budget, intake);
    let dispatch = Dispatch {
        max_message: options.max_message_mib << 20,
        sending: Duration::from_secs(options.send_seconds),
        lease: Duration::from_secs(options.lease_seconds),
    };
    let observed = Stack::new(authentication, Observing(observer.clone()));
    let followed = Stack::new(following, Stack::new(admission, observed));
    Stack::new(dispatch, Stack::new(auditing, followed))
}

/// What calls in JSON and browsers pass before all others.
fn web(
    keys: &Arc<Keyring>,
    observer: &Arc<Observer>,
    options: &BrowserOptions,
) -> std::result::Result<Web, ServeError> {
    options.check()?;
    let methods = Arc::new(Methods::read()?);
    let pages = Arc::new(Pages::new(&methods, options.page));
    let origins = Arc::new(Origins::new(options.clone(), keys.clone()));
    Ok(Web { methods, origins, pages, observer: observer.clone() })
}

/// The reflection service, which describes the protocol and the error details.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Completes `seconds` after the server begins to stop.
async fn drained_too_long(stopped: oneshot::Receiver<()>, seconds: u64) {
    // A dropped sender means that the server ended first.
    if stopped.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
