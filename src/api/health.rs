//! Health of the services, by the gRPC health protocol: of the default store under the services'
//! names, of another store NAME under "NAME/" and the services' names.

use std::sync::Arc;

use tokio::task::JoinSet;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::api::services::catalog::CatalogApi;
use crate::api::services::event::EventApi;
use crate::api::services::model::ModelApi;
use crate::api::services::recommendation::RecommendationApi;
use crate::api::services::user::UserApi;
use crate::api::wire::pb::catalog_service_server::CatalogServiceServer;
use crate::api::wire::pb::event_service_server::EventServiceServer;
use crate::api::wire::pb::model_service_server::ModelServiceServer;
use crate::api::wire::pb::recommendation_service_server::RecommendationServiceServer;
use crate::api::wire::pb::user_service_server::UserServiceServer;
use crate::engine::{DEFAULT_STORE, Engine};
use crate::host::Host;

/// The service that needs a model.
const LISTS: &str = <RecommendationServiceServer<RecommendationApi> as NamedService>::NAME;
/// The service that reads and makes models.
const MODELS: &str = <ModelServiceServer<ModelApi> as NamedService>::NAME;
/// The services that write.
const WRITES: [&str; 3] = [
    <EventServiceServer<EventApi> as NamedService>::NAME,
    <CatalogServiceServer<CatalogApi> as NamedService>::NAME,
    <UserServiceServer<UserApi> as NamedService>::NAME,
];

/// Announces the health of every store that is open, and keeps it up to date by tasks in `beside`.
pub(super) async fn announce(health: HealthReporter, host: Arc<Host>, beside: &mut JoinSet<()>) {
    health.set_service_status("", ServingStatus::Serving).await;
    for listed in host.list() {
        let Ok(store) = listed.store else { continue };
        let prefix = match listed.name.as_str() {
            DEFAULT_STORE => String::new(),
            name => format!("{name}/"),
        };
        health.set_service_status(format!("{prefix}{MODELS}"), ServingStatus::Serving).await;
        health.set_service_status(format!("{prefix}{LISTS}"), ServingStatus::NotServing).await;
        beside.spawn(announce_writes(health.clone(), prefix.clone(), &store.engine));
        beside.spawn(announce_models(health.clone(), prefix, &store.engine));
    }
}

fn status(is_serving: bool) -> ServingStatus {
    if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// Keeps the services that write SERVING while writes are accepted.
fn announce_writes(
    health: HealthReporter,
    prefix: String,
    engine: &Engine,
) -> impl Future<Output = ()> + Send + use<> {
    // Only the watch is kept: the engine must be dropped for the store to close.
    let mut writes = engine.writer().watch();
    async move {
        loop {
            let accepted = *writes.borrow_and_update();
            for service in WRITES {
                health.set_service_status(format!("{prefix}{service}"), status(accepted)).await;
            }
            if writes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Keeps recommendations SERVING while a model is published.
fn announce_models(
    health: HealthReporter,
    prefix: String,
    engine: &Engine,
) -> impl Future<Output = ()> + Send + use<> {
    let mut generation = engine.models().watch();
    async move {
        loop {
            let published = *generation.borrow_and_update() > 0;
            health.set_service_status(format!("{prefix}{LISTS}"), status(published)).await;
            if generation.changed().await.is_err() {
                return;
            }
        }
    }
}
