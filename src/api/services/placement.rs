//! PlacementService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::rule::versions;
use crate::api::services::wait_for;
use crate::api::wire::pb::placement_service_server::PlacementService;
use crate::api::wire::status::from_error;
use crate::api::wire::{pb, placements};
use crate::domain::Result;
use crate::engine::Engine;
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

    fn roll_back(
        &self,
        request: &pb::RollbackPlacementsRequest,
    ) -> Result<pb::RollbackPlacementsResponse> {
        let version = Some(request.version).filter(|version| *version > 0);
        let applied = self.engine.steering().roll_back::<PlacementSet>(version)?;
        Ok(pb::RollbackPlacementsResponse { version: applied.version })
    }
}

#[tonic::async_trait]
impl PlacementService for PlacementApi {
    async fn apply_placements(
        &self,
        request: Request<pb::ApplyPlacementsRequest>,
    ) -> Result<Response<pb::ApplyPlacementsResponse>, Status> {
        let api = self.clone();
        let done = wait_for(move || api.apply(request.into_inner())).await;
        done.map(Response::new).map_err(from_error)
    }

    async fn get_placements(
        &self,
        request: Request<pb::GetPlacementsRequest>,
    ) -> Result<Response<pb::GetPlacementsResponse>, Status> {
        self.get(request.get_ref()).map(Response::new).map_err(from_error)
    }

    async fn rollback_placements(
        &self,
        request: Request<pb::RollbackPlacementsRequest>,
    ) -> Result<Response<pb::RollbackPlacementsResponse>, Status> {
        let api = self.clone();
        let done = wait_for(move || api.roll_back(request.get_ref())).await;
        done.map(Response::new).map_err(from_error)
    }
}
