//! RuleService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::services::answer;
use crate::api::wire::pb::rule_service_server::RuleService;
use crate::api::wire::status::from_error;
use crate::api::wire::{convert, pb, rules};
use crate::domain::{Result, Violation, limits};
use crate::engine::Engine;
use crate::engine::steering::DryRunRequest;
use crate::live::Decided;
use crate::rules::{RuleSet, TargetReport};

/// Rules of one store.
#[derive(Debug, Clone)]
pub struct RuleApi {
    engine: Arc<Engine>,
}

impl RuleApi {
    /// Serves one engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    fn apply(&self, request: pb::ApplyRulesRequest) -> Result<pb::ApplyRulesResponse> {
        let set = rules::rule_set(request.rules)?;
        let steering = self.engine.steering();
        let applied = steering.apply(&set, request.note, request.expected_version)?;
        Ok(pb::ApplyRulesResponse { version: applied.version, warnings: applied.warnings })
    }

    fn get(&self, request: &pb::GetRulesRequest) -> Result<pb::GetRulesResponse> {
        let steering = self.engine.steering();
        let version = Some(request.version).filter(|version| *version > 0);
        let set: RuleSet = steering.get(version)?;
        let target = |(rule, wanted, report): (String, f64, TargetReport)| pb::TargetReport {
            rule,
            wanted,
            shown: report.share(),
            lists: report.lists,
            factor: report.factor,
            cost: report.cost,
        };
        Ok(pb::GetRulesResponse {
            rules: Some(rules::rule_set_proto(&set)),
            versions: versions(steering.versions::<RuleSet>()),
            targets: steering.targets().into_iter().map(target).collect(),
        })
    }

    fn roll_back(&self, request: &pb::RollbackRulesRequest) -> Result<pb::RollbackRulesResponse> {
        let version = Some(request.version).filter(|version| *version > 0);
        let applied = self.engine.steering().roll_back::<RuleSet>(version)?;
        Ok(pb::RollbackRulesResponse { version: applied.version, warnings: applied.warnings })
    }

    fn dry_run(&self, request: pb::DryRunRulesRequest) -> Result<pb::DryRunRulesResponse> {
        let set = rules::rule_set(request.rules)?;
        let users = usize::try_from(request.users).map_err(|_| {
            Violation::new("users", format!("must be 1 to 2000, was {}", request.users))
        })?;
        let time = request.time.map(|time| convert::milliseconds("time", &time));
        let asked = DryRunRequest {
            placement: request.placement,
            users,
            limit: limits::list_length("limit", request.limit.into())?,
            at_ms: time.transpose()?,
        };
        let run = self.engine.steering().dry_run(&set, &asked, self.engine.recommender())?;

        let change =
            |(item_id, lists): (String, usize)| pb::ItemChange { item_id, lists: lists as i32 };
        Ok(pb::DryRunRulesResponse {
            users: run.users as i32,
            changed: run.changed as i32,
            entering: run.entering.into_iter().map(change).collect(),
            leaving: run.leaving.into_iter().map(change).collect(),
            cost_before: run.cost_before,
            cost_after: run.cost_after,
            warnings: run.warnings,
        })
    }
}

/// Versions as the protocol has them.
pub(super) fn versions(decided: Vec<Decided>) -> Vec<pb::DecisionVersion> {
    let version = |decided: Decided| pb::DecisionVersion {
        version: decided.version,
        time: Some(convert::timestamp(decided.time_ms)),
        note: decided.note,
    };
    decided.into_iter().map(version).collect()
}

#[tonic::async_trait]
impl RuleService for RuleApi {
    async fn apply_rules(
        &self,
        request: Request<pb::ApplyRulesRequest>,
    ) -> Result<Response<pb::ApplyRulesResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.apply(asked)).await
    }

    async fn get_rules(
        &self,
        request: Request<pb::GetRulesRequest>,
    ) -> Result<Response<pb::GetRulesResponse>, Status> {
        self.get(request.get_ref()).map(Response::new).map_err(from_error)
    }

    async fn rollback_rules(
        &self,
        request: Request<pb::RollbackRulesRequest>,
    ) -> Result<Response<pb::RollbackRulesResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.roll_back(&asked)).await
    }

    async fn dry_run_rules(
        &self,
        request: Request<pb::DryRunRulesRequest>,
    ) -> Result<Response<pb::DryRunRulesResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.dry_run(asked)).await
    }
}
