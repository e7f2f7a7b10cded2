//! ExperimentService and ReportService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::services::answer;
use crate::api::wire::pb::experiment_service_server::ExperimentService;
use crate::api::wire::pb::report_service_server::ReportService;
use crate::api::wire::{convert, experiments, pb};
use crate::domain::{DAY_MS, Error, Result, Violation, now_ms};
use crate::engine::Engine;
use crate::engine::serve::ReplayRequest;

/// Metrics, and replays, reach back this far where a request does not say.
const DEFAULT_DAYS: i64 = 30;
/// See [`DEFAULT_DAYS`].
const REPLAYED_DAYS: i64 = 7;

/// Experiments and reports of one store.
#[derive(Debug, Clone)]
pub struct ExperimentApi {
    engine: Arc<Engine>,
}

impl ExperimentApi {
    /// Serves one engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    fn put(&self, request: pb::PutExperimentRequest) -> Result<pb::Experiment> {
        let given = experiments::experiment(request.experiment)?;
        self.engine.steering().put_experiment(&given, &request.note)?;
        self.now(&given.name)
    }

    /// An experiment as it is now.
    fn now(&self, name: &str) -> Result<pb::Experiment> {
        let set = self.engine.steering().experiments();
        let unknown = || Error::NotFound { kind: "experiment", id: name.to_owned() };
        set.get(name).map(experiments::experiment_proto).ok_or_else(unknown)
    }

    fn start(&self, name: &str) -> Result<pb::Experiment> {
        self.engine.steering().start_experiment(name)?;
        self.now(name)
    }

    fn stop(&self, request: &pb::StopExperimentRequest) -> Result<pb::Experiment> {
        self.engine.steering().stop_experiment(&request.name, &request.reason)?;
        self.now(&request.name)
    }

    fn adopt(&self, request: &pb::AdoptVariantRequest) -> Result<pb::Experiment> {
        self.engine.steering().adopt_variant(&request.name, &request.variant)?;
        self.now(&request.name)
    }

    fn report(&self, name: &str) -> Result<pb::GetExperimentReportResponse> {
        let (experiment, report) = self.engine.steering().experiment_report(name)?;
        Ok(experiments::report_proto(&experiment, report))
    }

    fn metrics(&self, request: &pb::GetMetricsRequest) -> Result<pb::GetMetricsResponse> {
        let (from_ms, until_ms) =
            range(request.start_time.as_ref(), request.end_time.as_ref(), DEFAULT_DAYS)?;
        let by = experiments::dimensions(&request.group_by)?;

        let live = self.engine.live();
        let known = live.items.read().len().saturating_sub(live.catalogue.read().deleted()) as u64;
        let groups = self.engine.steering().metrics(from_ms, until_ms, &by).into_iter();
        let groups = groups.map(|group| experiments::group_proto(group, known)).collect();
        Ok(pb::GetMetricsResponse { groups })
    }

    fn replay(&self, request: pb::ReplayPlacementRequest) -> Result<pb::ReplayPlacementResponse> {
        let reward = experiments::reward(request.reward)?;
        let (from_ms, until_ms) =
            range(request.start_time.as_ref(), request.end_time.as_ref(), REPLAYED_DAYS)?;
        let pb::ReplayPlacementRequest { placement, candidate, .. } = request;
        let asked = ReplayRequest { placement, candidate, from_ms, until_ms, reward };
        let replayed = self.engine.recommender().replay(&asked)?;
        Ok(experiments::replayed_proto(&replayed))
    }

    async fn wait<R: Send + 'static, T: Send + 'static>(
        &self,
        request: Request<R>,
        work: impl FnOnce(&Self, R) -> Result<T> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let api = self.clone();
        answer(request, move |asked| work(&api, asked)).await
    }
}

/// The range of time of a request, in milliseconds since 1970; without a beginning that many days.
fn range(
    start: Option<&prost_types::Timestamp>,
    end: Option<&prost_types::Timestamp>,
    days: i64,
) -> Result<(i64, i64), Violation> {
    let time = |field, given: Option<&prost_types::Timestamp>| {
        given.map(|time| convert::milliseconds(field, time)).transpose()
    };
    let until_ms = time("end_time", end)?.unwrap_or_else(now_ms);
    let from_ms = time("start_time", start)?.unwrap_or(until_ms - days * DAY_MS);
    Ok((from_ms, until_ms))
}

#[tonic::async_trait]
impl ExperimentService for ExperimentApi {
    async fn put_experiment(
        &self,
        request: Request<pb::PutExperimentRequest>,
    ) -> Result<Response<pb::PutExperimentResponse>, Status> {
        let changed = |experiment| pb::PutExperimentResponse { experiment: Some(experiment) };
        self.wait(request, move |api, asked| api.put(asked).map(changed)).await
    }

    async fn start_experiment(
        &self,
        request: Request<pb::StartExperimentRequest>,
    ) -> Result<Response<pb::StartExperimentResponse>, Status> {
        let changed = |experiment| pb::StartExperimentResponse { experiment: Some(experiment) };
        self.wait(request, move |api, asked| api.start(&asked.name).map(changed)).await
    }

    async fn stop_experiment(
        &self,
        request: Request<pb::StopExperimentRequest>,
    ) -> Result<Response<pb::StopExperimentResponse>, Status> {
        let changed = |experiment| pb::StopExperimentResponse { experiment: Some(experiment) };
        self.wait(request, move |api, asked| api.stop(&asked).map(changed)).await
    }

    async fn adopt_variant(
        &self,
        request: Request<pb::AdoptVariantRequest>,
    ) -> Result<Response<pb::AdoptVariantResponse>, Status> {
        let changed = |experiment| pb::AdoptVariantResponse { experiment: Some(experiment) };
        self.wait(request, move |api, asked| api.adopt(&asked).map(changed)).await
    }

    async fn delete_experiment(
        &self,
        request: Request<pb::DeleteExperimentRequest>,
    ) -> Result<Response<pb::DeleteExperimentResponse>, Status> {
        let delete = |api: &Self, asked: pb::DeleteExperimentRequest| {
            api.engine.steering().delete_experiment(&asked.name)?;
            Ok(pb::DeleteExperimentResponse {})
        };
        self.wait(request, delete).await
    }

    async fn set_holdout(
        &self,
        request: Request<pb::SetHoldoutRequest>,
    ) -> Result<Response<pb::SetHoldoutResponse>, Status> {
        let set = |api: &Self, asked: pb::SetHoldoutRequest| {
            api.engine.steering().set_holdout(asked.share)?;
            Ok(pb::SetHoldoutResponse {})
        };
        self.wait(request, set).await
    }

    async fn list_experiments(
        &self,
        _: Request<pb::ListExperimentsRequest>,
    ) -> Result<Response<pb::ListExperimentsResponse>, Status> {
        let set = self.engine.steering().experiments();
        let experiments = set.experiments.iter().map(experiments::experiment_proto).collect();
        let holdout = set.holdout;
        Ok(Response::new(pb::ListExperimentsResponse { experiments, holdout }))
    }

    async fn get_experiment_report(
        &self,
        request: Request<pb::GetExperimentReportRequest>,
    ) -> Result<Response<pb::GetExperimentReportResponse>, Status> {
        self.wait(request, |api, asked| api.report(&asked.name)).await
    }
}

#[tonic::async_trait]
impl ReportService for ExperimentApi {
    async fn get_metrics(
        &self,
        request: Request<pb::GetMetricsRequest>,
    ) -> Result<Response<pb::GetMetricsResponse>, Status> {
        self.wait(request, |api, asked| api.metrics(&asked)).await
    }

    async fn replay_placement(
        &self,
        request: Request<pb::ReplayPlacementRequest>,
    ) -> Result<Response<pb::ReplayPlacementResponse>, Status> {
        self.wait(request, |api, asked| api.replay(asked)).await
    }
}
