//! All services on a listener, with health and reflection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::admission::Admission;
use super::catalog::CatalogApi;
use super::event::EventApi;
use super::model::ModelApi;
use super::pb;
use super::pb::catalog_service_server::CatalogServiceServer;
use super::pb::event_service_server::EventServiceServer;
use super::pb::model_service_server::ModelServiceServer;
use super::pb::recommendation_service_server::RecommendationServiceServer;
use super::pb::user_service_server::UserServiceServer;
use super::recommendation::RecommendationApi;
use super::user::UserApi;
use crate::engine::Engine;

/// `[serve]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeOptions {
    /// Address to listen on; port 0: any free one.
    pub listen: String,
    /// Largest message taken in, in MiB.
    pub max_message_mib: usize,
    /// Requests at work at once on one connection; further ones wait.
    pub max_requests_per_connection: usize,
    /// Requests at work at once on all connections; further ones are refused at once.
    pub max_requests: usize,
    /// How long requests under way may take to end when the server stops.
    pub drain_seconds: u64,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:50051".to_owned(),
            max_message_mib: 16,
            max_requests_per_connection: 256,
            max_requests: 2_048,
            drain_seconds: 10,
        }
    }
}

/// Why a server ended that was not told to.
pub type ServeError = Box<dyn std::error::Error + Send + Sync>;

/// Serves until `shutdown` completes, then drains: requests under way may end
/// within the set time, new ones are refused.
///
/// # Errors
/// Where the transport fails.
pub async fn serve(
    engine: Arc<Engine>,
    listener: TcpListener,
    options: &ServeOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    announce(&health).await;
    let readiness = tokio::spawn(announce_models(health, engine.clone()));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let limit = options.max_message_mib << 20;
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let closing = engine.clone();
    let server = Server::builder()
        .layer(Admission::new(options.max_requests))
        .concurrency_limit_per_connection(options.max_requests_per_connection)
        .http2_keepalive_interval(Some(Duration::from_secs(60)))
        .add_service(health_service)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .add_service(
            RecommendationServiceServer::new(RecommendationApi::new(engine.clone()))
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
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            async move {
                shutdown.await;
                closing.close();
                let _ = stopping.send(());
            },
        );
    let drained_too_long = async {
        // A dropped sender means that the server ended first.
        if stopped.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_secs(options.drain_seconds)).await;
    };
    let result = tokio::select! {
        result = server => result,
        () = drained_too_long => {
            tracing::warn!(seconds = options.drain_seconds, "requests still under way are cut off");
            Ok(())
        }
    };
    readiness.abort();
    Ok(result?)
}

/// The log is open: everything that needs no model serves.
async fn announce(health: &HealthReporter) {
    health.set_service_status("", ServingStatus::Serving).await;
    health.set_serving::<EventServiceServer<EventApi>>().await;
    health.set_serving::<CatalogServiceServer<CatalogApi>>().await;
    health.set_serving::<UserServiceServer<UserApi>>().await;
    health.set_serving::<ModelServiceServer<ModelApi>>().await;
    health.set_not_serving::<RecommendationServiceServer<RecommendationApi>>().await;
}

/// Recommendations serve while a model is published.
async fn announce_models(health: HealthReporter, engine: Arc<Engine>) {
    let mut generation = engine.models().watch();
    loop {
        type Service = RecommendationServiceServer<RecommendationApi>;
        let published = *generation.borrow_and_update() > 0;
        match published {
            true => health.set_serving::<Service>().await,
            false => health.set_not_serving::<Service>().await,
        }
        if generation.changed().await.is_err() {
            return;
        }
    }
}
