//! To the services of the caller's store. A request reaches the services of one store only, so that
//! no field of it can name anything of another.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::{Layer, Service};

use crate::api::admission::caller::Caller;
use crate::api::services::catalog::CatalogApi;
use crate::api::services::event::EventApi;
use crate::api::services::experiment::ExperimentApi;
use crate::api::services::insight::InsightApi;
use crate::api::services::model::ModelApi;
use crate::api::services::placement::PlacementApi;
use crate::api::services::recommendation::RecommendationApi;
use crate::api::services::replication::ReplicationApi;
use crate::api::services::rule::RuleApi;
use crate::api::services::user::UserApi;
use crate::api::wire::pb::catalog_service_server::CatalogServiceServer;
use crate::api::wire::pb::event_service_server::EventServiceServer;
use crate::api::wire::pb::experiment_service_server::ExperimentServiceServer;
use crate::api::wire::pb::insight_service_server::InsightServiceServer;
use crate::api::wire::pb::model_service_server::ModelServiceServer;
use crate::api::wire::pb::placement_service_server::PlacementServiceServer;
use crate::api::wire::pb::recommendation_service_server::RecommendationServiceServer;
use crate::api::wire::pb::replication_service_server::ReplicationServiceServer;
use crate::api::wire::pb::report_service_server::ReportServiceServer;
use crate::api::wire::pb::rule_service_server::RuleServiceServer;
use crate::api::wire::pb::user_service_server::UserServiceServer;
use crate::engine::Engine;

/// Sends requests to the services of their caller's store; others pass.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// Maximum size of a request message in bytes.
    pub max_message: usize,
    /// Time for which a client may take nothing of a stream.
    pub sending: Duration,
    /// Length of the leases of followers.
    pub lease: Duration,
}

impl<S> Layer<S> for Dispatch {
    type Service = Dispatched<S>;

    fn layer(&self, service: S) -> Dispatched<S> {
        Dispatched { dispatch: self.clone(), service }
    }
}

/// The services of all stores, over those that belong to none.
#[derive(Debug, Clone)]
pub struct Dispatched<S> {
    dispatch: Dispatch,
    service: S,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Answer = BoxFuture<Result<Response<Body>, Infallible>>;

impl Dispatch {
    /// The answer of the service that the path names.
    fn answer(&self, engine: Arc<Engine>, request: Request<Body>) -> Answer {
        type Recommendations = RecommendationServiceServer<RecommendationApi>;
        type Events = EventServiceServer<EventApi>;
        type Catalog = CatalogServiceServer<CatalogApi>;
        type Users = UserServiceServer<UserApi>;
        type Models = ModelServiceServer<ModelApi>;
        type Rules = RuleServiceServer<RuleApi>;
        type Placements = PlacementServiceServer<PlacementApi>;
        type Experiments = ExperimentServiceServer<ExperimentApi>;
        type Insights = InsightServiceServer<InsightApi>;
        type Replication = ReplicationServiceServer<ReplicationApi>;
        type Reports = ReportServiceServer<ExperimentApi>;

        let max = self.max_message;
        let service = request.uri().path().trim_start_matches('/').split('/').next();
        match service.unwrap_or("") {
            Recommendations::NAME => {
                let api = RecommendationApi::new(engine).sending_within(self.sending);
                Recommendations::new(api).max_decoding_message_size(max).call(request)
            }
            Events::NAME => {
                Events::new(EventApi::new(engine)).max_decoding_message_size(max).call(request)
            }
            Catalog::NAME => {
                Catalog::new(CatalogApi::new(engine)).max_decoding_message_size(max).call(request)
            }
            Users::NAME => {
                Users::new(UserApi::new(engine)).max_decoding_message_size(max).call(request)
            }
            Models::NAME => {
                Models::new(ModelApi::new(engine)).max_decoding_message_size(max).call(request)
            }
            Rules::NAME => {
                Rules::new(RuleApi::new(engine)).max_decoding_message_size(max).call(request)
            }
            Placements::NAME => {
                let api = PlacementApi::new(engine);
                Placements::new(api).max_decoding_message_size(max).call(request)
            }
            Experiments::NAME => {
                let api = ExperimentApi::new(engine);
                Experiments::new(api).max_decoding_message_size(max).call(request)
            }
            Insights::NAME => {
                let api = InsightApi::new(engine).sending_within(self.sending);
                Insights::new(api).max_decoding_message_size(max).call(request)
            }
            Reports::NAME => {
                let api = ExperimentApi::new(engine);
                Reports::new(api).max_decoding_message_size(max).call(request)
            }
            Replication::NAME => {
                let api = ReplicationApi::new(engine, self.lease, self.sending);
                Replication::new(api).max_decoding_message_size(max).call(request)
            }
            _ => {
                let unknown = Status::unimplemented("no store has this service").into_http();
                Box::pin(std::future::ready(Ok(unknown)))
            }
        }
    }
}

impl<S> Service<Request<Body>> for Dispatched<S>
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
        let store = request.extensions().get::<Caller>().and_then(|caller| caller.store.clone());
        let Some(store) = store else { return Box::pin(self.service.call(request)) };
        self.dispatch.answer(store.engine.clone(), request)
    }
}
