//! Every method of the protocol: the scopes that allow it, whether it takes long, and what the audit
//! log says of it. `docs/src/security.md` has the same table for readers; a test compares them with
//! each other and with the protocol.

use prost::{Message, Name};
use serde_json::{Value, json};

use crate::access::Scope::{Admin, Catalog, Events, Follow, Models, Read, Users};
use crate::access::{Scope, scope};
use crate::api::wire::{entries, pb};
use crate::domain::limits;
use crate::domain::quote::clipped;

/// A method.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Service and method, as in a path: "ModelService/Train".
    pub name: &'static str,
    /// The scopes of which each allows it.
    pub scopes: &'static [Scope],
    /// Whether it takes long or much: few of these run at once.
    pub is_long: bool,
    /// What a server that follows another does with it.
    pub on_follower: OnFollower,
    /// For an act of administration: the fields of its request that go into the audit log.
    pub audit: Option<fn(&[u8]) -> Value>,
}

/// What a server that follows another does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFollower {
    /// Answers it.
    Answers,
    /// Answers it while it holds a lease: it is about users.
    AnswersWithLease,
    /// Passes it on to the server that writes.
    Forwards,
}

const fn method(name: &'static str, scopes: &'static [Scope]) -> Method {
    let on_follower = OnFollower::Answers;
    Method { name, scopes, is_long: false, on_follower, audit: None }
}

impl Method {
    const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }

    const fn forwarded(self) -> Self {
        Self { on_follower: OnFollower::Forwards, ..self }
    }

    const fn personal(self) -> Self {
        Self { on_follower: OnFollower::AnswersWithLease, ..self }
    }

    const fn audited(self, audit: fn(&[u8]) -> Value) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// The scopes in words.
    pub fn needs(&self) -> String {
        scope::names(self.scopes).replace(", ", " or ")
    }
}

/// All methods.
pub const METHODS: [Method; 80] = [
    method("RecommendationService/Recommend", &[Read]),
    method("RecommendationService/SimilarItems", &[Read]),
    method("RecommendationService/SimilarUsers", &[Users]).personal(),
    method("RecommendationService/BoughtTogether", &[Read]),
    method("RecommendationService/Popular", &[Read]),
    method("RecommendationService/Rank", &[Read]),
    method("RecommendationService/Diagnose", &[Read]),
    method("RecommendationService/RecommendPage", &[Read]),
    method("RecommendationService/BatchRecommend", &[Read]),
    method("RecommendationService/DescribeRecommender", &[Read]),
    method("EventService/WriteEvents", &[Events]).forwarded(),
    method("EventService/StreamEvents", &[Events]).forwarded(),
    method("CatalogService/UpsertItems", &[Catalog]).forwarded(),
    method("CatalogService/SetAvailability", &[Catalog]).forwarded(),
    method("CatalogService/DeleteItem", &[Catalog]).forwarded(),
    method("CatalogService/GetItem", &[Read, Catalog]),
    method("CatalogService/ListItems", &[Read, Catalog]),
    method("UserService/UpsertUsers", &[Users]).forwarded(),
    method("UserService/GetUser", &[Users]).personal(),
    method("UserService/ListUsers", &[Users]).personal(),
    method("UserService/DeleteUser", &[Users]).forwarded().audited(nothing),
    method("UserService/SetPersonalisation", &[Users]).forwarded(),
    method("UserService/GetUserData", &[Users]).forwarded().long().audited(nothing),
    method("UserService/LinkUsers", &[Users]).forwarded(),
    method("UserService/UnlinkUsers", &[Users]).forwarded().long(),
    method("ModelService/Train", &[Models]).forwarded().audited(nothing),
    method("ModelService/WatchTraining", &[Models]).forwarded(),
    method("ModelService/GetModel", &[Models]),
    method("ModelService/ListModels", &[Models]),
    method("ModelService/ActivateModel", &[Models]).forwarded().long().audited(activated),
    method("ModelService/RollbackModel", &[Models]).forwarded().long().audited(nothing),
    method("ModelService/AssignModel", &[Models]).forwarded().long().audited(assigned),
    method("ModelService/DeleteModel", &[Models]).forwarded().long().audited(deleted_model),
    method("ModelService/PushModel", &[Models]).forwarded().audited(pushed),
    method("ModelService/GetPush", &[Models]).forwarded(),
    method("ModelService/CompareModels", &[Models]).long(),
    method("RuleService/ApplyRules", &[Catalog]).forwarded().audited(applied_rules),
    method("RuleService/GetRules", &[Catalog]),
    method("RuleService/RollbackRules", &[Catalog]).forwarded().audited(rolled_back_rules),
    method("RuleService/DryRunRules", &[Catalog]).long(),
    method("PlacementService/ApplyPlacements", &[Catalog]).forwarded().audited(applied_placements),
    method("PlacementService/GetPlacements", &[Catalog]),
    method("PlacementService/TradeOff", &[Catalog]).long(),
    method("PlacementService/RollbackPlacements", &[Catalog])
        .forwarded()
        .audited(rolled_back_placements),
    method("ExperimentService/PutExperiment", &[Catalog]).forwarded().audited(put_experiment),
    method("ExperimentService/StartExperiment", &[Catalog]).forwarded().audited(started_experiment),
    method("ExperimentService/StopExperiment", &[Catalog]).forwarded().audited(stopped_experiment),
    method("ExperimentService/AdoptVariant", &[Catalog]).forwarded().audited(adopted_variant),
    method("ExperimentService/DeleteExperiment", &[Catalog])
        .forwarded()
        .audited(deleted_experiment),
    method("ExperimentService/SetHoldout", &[Catalog]).forwarded().audited(set_holdout),
    method("ExperimentService/ListExperiments", &[Catalog]),
    method("ExperimentService/GetExperimentReport", &[Catalog]).long(),
    method("ReportService/GetMetrics", &[Catalog]).long(),
    method("ReportService/ReplayPlacement", &[Catalog]).long(),
    method("InsightService/GetPortrait", &[Users]).personal(),
    method("InsightService/ExportPortraits", &[Users]).personal(),
    method("InsightService/ListUserTags", &[Users]).personal(),
    method("InsightService/DeleteUserTag", &[Users]).forwarded(),
    method("InsightService/GetOverview", &[Users, Catalog]).long(),
    method("InsightService/GetCohorts", &[Users, Catalog]).long(),
    method("InsightService/GetActivity", &[Users, Catalog]).long(),
    method("InsightService/BacktestForecasts", &[Users, Catalog]).long(),
    method("InsightService/ListSegments", &[Users, Catalog]).long(),
    method("InsightService/ExportAudience", &[Users]).personal().long(),
    method("InsightService/RecordContacts", &[Users]).forwarded(),
    method("InsightService/ApplyInsightSettings", &[Catalog]).forwarded().audited(applied_insight),
    method("InsightService/GetInsightSettings", &[Catalog]),
    method("InsightService/RollbackInsightSettings", &[Catalog])
        .forwarded()
        .audited(rolled_back_insight),
    method("KeyService/CreateKey", &[Admin]).forwarded().audited(created_key),
    method("KeyService/ListKeys", &[Admin]),
    method("KeyService/RevokeKey", &[Admin]).forwarded().audited(revoked_key),
    method("StoreService/CreateStore", &[Admin]).forwarded().long().audited(created_store),
    method("StoreService/ListStores", &[Admin]),
    method("StoreService/UpdateStore", &[Admin]).forwarded().audited(updated_store),
    method("StoreService/DeleteStore", &[Admin]).forwarded().long().audited(deleted_store),
    method("StoreService/CopyServer", &[Follow, Admin]),
    method("ReplicationService/RenewLease", &[Follow]),
    method("ReplicationService/TailLog", &[Follow]),
    method("ReplicationService/FetchModel", &[Follow]),
    method("ReplicationService/RecordExposures", &[Follow]),
];

/// The method of a path; none for paths of other packages and unknown ones.
pub fn of(path: &str) -> Option<&'static Method> {
    number(path).map(|number| &METHODS[number])
}

/// The place of a path's method in [`METHODS`].
pub fn number(path: &str) -> Option<usize> {
    let name = path.strip_prefix("/qianmian.v1.")?;
    METHODS.iter().position(|method| method.name == name)
}

/// A text of a request, which may have been refused for its length.
fn short(text: &str) -> String {
    clipped(text.to_owned(), limits::MAX_ID_BYTES)
}

/// Reads a request for the audit log; null where it cannot be read, as the services cannot either.
fn read<M: Message + Name + Default>(message: &[u8], fields: impl FnOnce(M) -> Value) -> Value {
    if entries::check(M::NAME, message).is_err() {
        return Value::Null;
    }
    M::decode(message).map_or(Value::Null, fields)
}

/// For requests of which every field may name a person, or which have none.
fn nothing(_: &[u8]) -> Value {
    json!({})
}

fn activated(message: &[u8]) -> Value {
    read(message, |m: pb::ActivateModelRequest| json!({"generation": m.generation}))
}

fn assigned(message: &[u8]) -> Value {
    read(
        message,
        |m: pb::AssignModelRequest| json!({"generation": m.generation, "role": m.role().as_str_name(), "share": m.share}),
    )
}

fn deleted_model(message: &[u8]) -> Value {
    read(message, |m: pb::DeleteModelRequest| json!({"generation": m.generation}))
}

/// Its first message; who pushed it, and the note, are written by people about people.
fn pushed(message: &[u8]) -> Value {
    read(message, |m: pb::PushModelRequest| match m.part {
        Some(pb::push_model_request::Part::Header(header)) => json!({
            "push_id": short(&header.push_id),
            "size_bytes": header.size_bytes,
            "role": header.role().as_str_name(),
            "share": header.share,
            "force": header.force,
        }),
        _ => Value::Null,
    })
}

/// The rules themselves are in the store's log, by their version.
fn applied_rules(message: &[u8]) -> Value {
    read(message, |m: pb::ApplyRulesRequest| {
        let rules = m.rules.map_or(0, |set| set.rules.len());
        json!({"rules": rules, "expected_version": m.expected_version})
    })
}

fn rolled_back_rules(message: &[u8]) -> Value {
    read(message, |m: pb::RollbackRulesRequest| json!({"version": m.version}))
}

fn applied_placements(message: &[u8]) -> Value {
    read(message, |m: pb::ApplyPlacementsRequest| {
        let placements = m.placements.map_or(0, |set| set.placements.len());
        json!({"placements": placements, "expected_version": m.expected_version})
    })
}

fn rolled_back_placements(message: &[u8]) -> Value {
    read(message, |m: pb::RollbackPlacementsRequest| json!({"version": m.version}))
}

fn applied_insight(message: &[u8]) -> Value {
    read(message, |m: pb::ApplyInsightSettingsRequest| {
        let settings = m.settings.unwrap_or_default();
        json!({
            "rfm_segments": settings.rfm_segments.len(),
            "tier_programs": settings.tier_programs.len(),
            "expected_version": m.expected_version,
        })
    })
}

fn rolled_back_insight(message: &[u8]) -> Value {
    read(message, |m: pb::RollbackInsightSettingsRequest| json!({"version": m.version}))
}

fn put_experiment(message: &[u8]) -> Value {
    read(message, |m: pb::PutExperimentRequest| {
        let experiment = m.experiment.unwrap_or_default();
        json!({
            "name": short(&experiment.name),
            "placement": short(&experiment.placement),
            "traffic": experiment.traffic,
        })
    })
}

fn started_experiment(message: &[u8]) -> Value {
    read(message, |m: pb::StartExperimentRequest| json!({"name": short(&m.name)}))
}

fn stopped_experiment(message: &[u8]) -> Value {
    read(message, |m: pb::StopExperimentRequest| json!({"name": short(&m.name)}))
}

fn adopted_variant(message: &[u8]) -> Value {
    read(
        message,
        |m: pb::AdoptVariantRequest| json!({"name": short(&m.name), "variant": short(&m.variant)}),
    )
}

fn deleted_experiment(message: &[u8]) -> Value {
    read(message, |m: pb::DeleteExperimentRequest| json!({"name": short(&m.name)}))
}

fn set_holdout(message: &[u8]) -> Value {
    read(message, |m: pb::SetHoldoutRequest| json!({"share": m.share}))
}

fn created_key(message: &[u8]) -> Value {
    read(message, |m: pb::CreateKeyRequest| {
        let scopes = m.scopes().take(Scope::ALL.len());
        let scopes: Vec<_> = scopes.map(|scope| scope.as_str_name()).collect();
        let expires = m.expires_in.map(|valid| valid.seconds);
        json!({
            "name": short(&m.name),
            "scopes": scopes,
            "store": short(&m.store),
            "quota": m.quota.map(quota),
            "expires_in_seconds": expires,
        })
    })
}

fn revoked_key(message: &[u8]) -> Value {
    read(message, |m: pb::RevokeKeyRequest| json!({"name": short(&m.name)}))
}

fn created_store(message: &[u8]) -> Value {
    read(
        message,
        |m: pb::CreateStoreRequest| json!({"name": short(&m.name), "limits": m.limits.map(store_limits)}),
    )
}

fn updated_store(message: &[u8]) -> Value {
    read(
        message,
        |m: pb::UpdateStoreRequest| json!({"name": short(&m.name), "limits": m.limits.map(store_limits)}),
    )
}

fn deleted_store(message: &[u8]) -> Value {
    read(message, |m: pb::DeleteStoreRequest| json!({"name": short(&m.name)}))
}

fn quota(quota: pb::Quota) -> Value {
    json!({
        "requests_per_second": quota.requests_per_second,
        "burst": quota.burst,
        "bytes_per_second": quota.bytes_per_second,
    })
}

fn store_limits(limits: pb::StoreLimits) -> Value {
    json!({
        "max_users": limits.max_users,
        "max_items": limits.max_items,
        "memory_mib": limits.memory_mib,
        "quota": limits.quota.map(quota),
    })
}
