//! PlacementService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::rule::versions;
use crate::api::services::answer;
use crate::api::wire::pb::placement_service_server::PlacementService;
use crate::api::wire::status::from_error;
use crate::api::wire::{pb, placements};
use crate::domain::{Result, Violation, limits};
use crate::engine::Engine;
use crate::engine::steering::TradeOffPoint;
use crate::recommend::PlacementSet;

/// Placements of one store.
#[derive(Debug, Clone)]
pub struct PlacementApi {
    engine: Arc<Engine>,
}

impl PlacementApi {
    /// Serves one engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    fn apply(&self, request: pb::ApplyPlacementsRequest) -> Result<pb::ApplyPlacementsResponse> {
        let set = placements::placement_set(request.placements)?;
        let steering = self.engine.steering();
        let applied = steering.apply(&set, request.note, request.expected_version)?;
        Ok(pb::ApplyPlacementsResponse { version: applied.version, warnings: applied.warnings })
    }

    fn get(&self, request: &pb::GetPlacementsRequest) -> Result<pb::GetPlacementsResponse> {
        let steering = self.engine.steering();
        let version = Some(request.version).filter(|version| *version > 0);
        let set: PlacementSet = steering.get(version)?;
        Ok(pb::GetPlacementsResponse {
            placements: Some(placements::placement_set_proto(&set)),
            versions: versions(steering.versions::<PlacementSet>()),
        })
    }

    fn trade_off(&self, request: &pb::TradeOffRequest) -> Result<pb::TradeOffResponse> {
        let unsaid = || Violation::new("objective", "must be given, is absent");
        let objective = placements::objective(request.objective.ok_or_else(unsaid)?);
        let users = usize::try_from(request.users).map_err(|_| {
            Violation::new("users", format!("must be 1 to 2000, was {}", request.users))
        })?;
        let limit = limits::list_length("limit", request.limit.into())?;
        let steering = self.engine.steering();
        let (users, points) =
            steering.trade_off(objective, users, limit, self.engine.recommender())?;

        let point = |point: TradeOffPoint| pb::TradeOffPoint {
            strength: point.strength,
            conversions: point.conversions,
            margin: point.margin,
            returns: point.returns,
        };
        let points = points.into_iter().map(point).collect();
        Ok(pb::TradeOffResponse { users: users as i32, points })
    }

    fn roll_back(
        &self,
        request: &pb::RollbackPlacementsRequest,
    ) -> Result<pb::RollbackPlacementsResponse> {
        let version = Some(request.version).filter(|version| *version > 0);
        let applied = self.engine.steering().roll_back::<PlacementSet>(version)?;
        Ok(pb::RollbackPlacementsResponse { version: applied.version, warnings: applied.warnings })
    }
}

#[tonic::async_trait]
impl PlacementService for PlacementApi {
    async fn apply_placements(
        &self,
        request: Request<pb::ApplyPlacementsRequest>,
    ) -> Result<Response<pb::ApplyPlacementsResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.apply(asked)).await
    }

    async fn get_placements(
        &self,
        request: Request<pb::GetPlacementsRequest>,
    ) -> Result<Response<pb::GetPlacementsResponse>, Status> {
        self.get(request.get_ref()).map(Response::new).map_err(from_error)
    }

    async fn trade_off(
        &self,
        request: Request<pb::TradeOffRequest>,
    ) -> Result<Response<pb::TradeOffResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.trade_off(&asked)).await
    }

    async fn rollback_placements(
        &self,
        request: Request<pb::RollbackPlacementsRequest>,
    ) -> Result<Response<pb::RollbackPlacementsResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.roll_back(&asked)).await
    }
}
