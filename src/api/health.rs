//! Health of the services, by the gRPC health protocol: of the default store under the services'
//! names, of another store NAME under "NAME/" and the services' names.

use std::collections::BTreeSet;
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

/// Announces the health of every open store.
pub(super) struct Announcer {
    health: HealthReporter,
    host: Arc<Host>,
    /// Names and times of creation of the stores that are announced.
    announced: BTreeSet<(String, i64)>,
    /// What keeps each up to date, until its store closes.
    watches: JoinSet<()>,
}

impl Announcer {
    /// Announces the stores that are open.
    pub(super) async fn start(health: HealthReporter, host: Arc<Host>) -> Self {
        health.set_service_status("", ServingStatus::Serving).await;
        let mut announcer =
            Self { health, host, announced: BTreeSet::new(), watches: JoinSet::new() };
        announcer.announce().await;
        announcer
    }

    /// Announces stores as they are created, as long as it is polled.
    pub(super) async fn follow(mut self) {
        let mut changes = self.host.watch();
        while changes.changed().await.is_ok() {
            self.announce().await;
        }
    }

    async fn announce(&mut self) {
        let mut open = BTreeSet::new();
        for listed in self.host.list() {
            let Ok(store) = listed.store else { continue };
            let key = (listed.name, store.settings().created_ms);
            if !self.announced.contains(&key) {
                self.begin(&key.0, &store.engine).await;
            }
            open.insert(key);
        }

        self.announced = open;
        while self.watches.try_join_next().is_some() {}
    }

    async fn begin(&mut self, name: &str, engine: &Engine) {
        let prefix = match name {
            DEFAULT_STORE => String::new(),
            name => format!("{name}/"),
        };
        let health = &self.health;
        for service in WRITES.iter().chain([&MODELS]) {
            health.set_service_status(format!("{prefix}{service}"), ServingStatus::Serving).await;
        }
        let has_model = status(engine.generation() > 0);
        health.set_service_status(format!("{prefix}{LISTS}"), has_model).await;
        self.watches.spawn(announce_writes(health.clone(), prefix.clone(), engine));
        self.watches.spawn(announce_models(health.clone(), prefix, engine));
    }
}

fn status(is_serving: bool) -> ServingStatus {
    if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// Keeps the services that write SERVING while writes are accepted, until the store closes.
fn announce_writes(
    mut health: HealthReporter,
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
                break;
            }
        }
        for service in WRITES {
            health.clear_service_status(&format!("{prefix}{service}")).await;
        }
    }
}

/// Keeps recommendations SERVING while a model is published, until the store closes.
fn announce_models(
    mut health: HealthReporter,
    prefix: String,
    engine: &Engine,
) -> impl Future<Output = ()> + Send + use<> {
    let mut generation = engine.models().watch();
    async move {
        loop {
            let published = *generation.borrow_and_update() > 0;
            health.set_service_status(format!("{prefix}{LISTS}"), status(published)).await;
            if generation.changed().await.is_err() {
                break;
            }
        }
        for service in [LISTS, MODELS] {
            health.clear_service_status(&format!("{prefix}{service}")).await;
        }
    }
}
