//! All services on a listener, with health and reflection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::api::admission::admit::Admission;
use crate::api::admission::connections::{self, Bounds};
use crate::api::admission::intake::Intake;
use crate::api::admission::refusals::Refusals;
use crate::api::services::catalog::CatalogApi;
use crate::api::services::event::EventApi;
use crate::api::services::model::ModelApi;
use crate::api::services::recommendation::RecommendationApi;
use crate::api::services::user::UserApi;
use crate::api::wire::pb;
use crate::api::wire::pb::catalog_service_server::CatalogServiceServer;
use crate::api::wire::pb::event_service_server::EventServiceServer;
use crate::api::wire::pb::model_service_server::ModelServiceServer;
use crate::api::wire::pb::recommendation_service_server::RecommendationServiceServer;
use crate::api::wire::pb::user_service_server::UserServiceServer;
use crate::engine::Engine;

/// `[serve]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeOptions {
    /// Address to listen on; port 0: any free one.
    pub listen: String,
    /// Maximum size of a request message, in MiB.
    pub max_message_mib: usize,
    /// Requests at once on one connection; further ones wait.
    pub max_requests_per_connection: usize,
    /// Requests at once on all connections, more than on one; further ones are refused at once.
    pub max_requests: usize,
    /// Memory in MiB for requests that are not answered yet, including those that are still
    /// arriving, and for answers that clients have not taken; one address may use a quarter of it.
    /// Requests beyond it are refused.
    pub max_incoming_mib: usize,
    /// Seconds within which a request, or each message of a stream, must arrive completely.
    pub request_seconds: u64,
    /// Connections at once; further ones are closed.
    pub max_connections: usize,
    /// Connections at once from one address, fewer than in all.
    pub max_connections_per_address: usize,
    /// Seconds within which a connection must begin to speak HTTP/2.
    pub handshake_seconds: u64,
    /// Seconds after which a connection without requests is closed.
    pub idle_seconds: u64,
    /// Seconds for which a client may take nothing of the answers that wait for it.
    pub send_seconds: u64,
    /// Seconds that running requests get to finish when the server stops.
    pub drain_seconds: u64,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50051".to_owned(),
            max_message_mib: 16,
            max_requests_per_connection: 256,
            max_requests: 2_048,
            max_incoming_mib: 512,
            request_seconds: 30,
            max_connections: 8_192,
            max_connections_per_address: 1_024,
            handshake_seconds: 10,
            idle_seconds: 3_600,
            send_seconds: 60,
            drain_seconds: 10,
        }
    }
}

impl ServeOptions {
    /// The limits on incoming requests.
    fn intake(&self) -> Intake {
        let patience = Duration::from_secs(self.request_seconds);
        Intake::new(self.max_message_mib << 20, patience, self.max_incoming_mib << 20)
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

/// Maximum size of a request's headers in bytes, which are kept while it is open.
const MAX_HEADERS: u32 = 8 << 10;
/// Interval of keep-alive pings, and the time that a client has to answer one.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// Why a server ended unexpectedly.
pub type ServeError = Box<dyn std::error::Error + Send + Sync>;

/// Serves until `shutdown` completes, then drains: running requests may finish within the
/// configured time, new ones are refused.
///
/// # Errors
/// Where the transport fails.
pub async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    options: &ServeOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    boxed(engine, listener, options, Box::pin(shutdown)).await
}

/// A future of any kind.
type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The server as a future that is compiled once, with the library, and not again in each program
/// that serves.
fn boxed<'a>(
    engine: Arc<Engine>,
    listener: TcpListener,
    options: &'a ServeOptions,
    shutdown: Boxed<'static, ()>,
) -> Boxed<'a, Result<(), ServeError>> {
    Box::pin(run(engine, listener, options, shutdown))
}

async fn run(
    engine: Arc<Engine>,
    listener: TcpListener,
    options: &ServeOptions,
    shutdown: Boxed<'static, ()>,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    announce(&health).await;
    let writes = tokio::spawn(announce_writes(health.clone(), engine.clone()));
    let readiness = tokio::spawn(announce_models(health, engine.clone()));
    let refusals = Refusals::default();
    let reports = tokio::spawn(refusals.clone().report());
    let last_refusals = refusals.clone();
    let limit = options.max_message_mib << 20;
    let sending = Duration::from_secs(options.send_seconds);

    let bounds = connections::fit_open_files(options.bounds());
    let (stopping, stopped) = oneshot::channel();
    let closing = engine.clone();
    let server = Server::builder()
        .layer(Admission::new(options.max_requests, options.intake(), refusals.clone()))
        .concurrency_limit_per_connection(options.max_requests_per_connection)
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_PATIENCE))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(
            RecommendationServiceServer::new(
                RecommendationApi::new(engine.clone()).sending_within(sending),
            )
            .max_decoding_message_size(limit),
        )
        .add_service(
            EventServiceServer::new(EventApi::new(engine.clone())).max_decoding_message_size(limit),
        )
        .add_service(
            CatalogServiceServer::new(CatalogApi::new(engine.clone()))
                .max_decoding_message_size(limit),
        )
        .add_service(
            UserServiceServer::new(UserApi::new(engine.clone())).max_decoding_message_size(limit),
        )
        .add_service(
            ModelServiceServer::new(ModelApi::new(engine)).max_decoding_message_size(limit),
        )
        .serve_with_incoming_shutdown(connections::accept(listener, bounds), async move {
            shutdown.await;
            closing.close();
            let _ = stopping.send(());
        });

    let result = tokio::select! {
        result = server => result,
        () = drained_too_long(stopped, options.drain_seconds) => {
            tracing::warn!(seconds = options.drain_seconds, "running requests are cut off");
            Ok(())
        }
    };

    readiness.abort();
    writes.abort();
    reports.abort();
    last_refusals.say();
    Ok(result?)
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

/// Marks as SERVING the services that need no model: the log is open.
async fn announce(health: &HealthReporter) {
    health.set_service_status("", ServingStatus::Serving).await;
    health.set_serving::<EventServiceServer<EventApi>>().await;
    health.set_serving::<CatalogServiceServer<CatalogApi>>().await;
    health.set_serving::<UserServiceServer<UserApi>>().await;
    health.set_serving::<ModelServiceServer<ModelApi>>().await;
    health.set_not_serving::<RecommendationServiceServer<RecommendationApi>>().await;
}

/// Keeps the services that write SERVING while writes are accepted.
async fn announce_writes(health: HealthReporter, engine: Arc<Engine>) {
    let mut writes = engine.writer().watch();
    // The engine must be dropped for the store to close once the server ends.
    drop(engine);

    loop {
        let taken = *writes.borrow_and_update();
        if taken {
            health.set_serving::<EventServiceServer<EventApi>>().await;
            health.set_serving::<CatalogServiceServer<CatalogApi>>().await;
            health.set_serving::<UserServiceServer<UserApi>>().await;
        } else {
            health.set_not_serving::<EventServiceServer<EventApi>>().await;
            health.set_not_serving::<CatalogServiceServer<CatalogApi>>().await;
            health.set_not_serving::<UserServiceServer<UserApi>>().await;
        }

        if writes.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps recommendations SERVING while a model is published.
async fn announce_models(health: HealthReporter, engine: Arc<Engine>) {
    let mut generation = engine.models().watch();
    loop {
        type Service = RecommendationServiceServer<RecommendationApi>;
        let published = *generation.borrow_and_update() > 0;
        if published {
            health.set_serving::<Service>().await
        } else {
            health.set_not_serving::<Service>().await
        }
        if generation.changed().await.is_err() {
            return;
        }
    }
}
