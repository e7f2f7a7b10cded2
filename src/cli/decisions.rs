//! Calls that decide what lists show, on a data folder or a running server, and the files that rules
//! and placements are kept in: TOML with the fields of the protocol.

use std::path::Path;

use serde_json::Value;
use tonic::Request;

use super::Failure;
use super::backend::{Backend, Refused, ask};
use prost_types::Timestamp;

use crate::api::services::experiment::ExperimentApi;
use crate::api::services::placement::PlacementApi;
use crate::api::services::rule::RuleApi;
use crate::api::wire::json::Methods;
use crate::api::wire::pb;
use crate::api::wire::pb::experiment_service_client::ExperimentServiceClient;
use crate::api::wire::pb::experiment_service_server::ExperimentService;
use crate::api::wire::pb::placement_service_client::PlacementServiceClient;
use crate::api::wire::pb::placement_service_server::PlacementService;
use crate::api::wire::pb::report_service_client::ReportServiceClient;
use crate::api::wire::pb::report_service_server::ReportService;
use crate::api::wire::pb::rule_service_client::RuleServiceClient;
use crate::api::wire::pb::rule_service_server::RuleService;

impl Backend {
    /// Puts rules in force.
    ///
    /// # Errors
    /// The service's status.
    pub async fn apply_rules(
        &self,
        request: pb::ApplyRulesRequest,
    ) -> Result<pb::ApplyRulesResponse, Refused> {
        ask!(self, RuleApi as RuleService, RuleServiceClient, apply_rules, request)
    }

    /// A version of the rules; 0: the one in force.
    ///
    /// # Errors
    /// The service's status.
    pub async fn rules(&self, version: u32) -> Result<pb::GetRulesResponse, Refused> {
        let request = pb::GetRulesRequest { version };
        ask!(self, RuleApi as RuleService, RuleServiceClient, get_rules, request)
    }

    /// Puts an earlier version of the rules in force; 0: the one before.
    ///
    /// # Errors
    /// The service's status.
    pub async fn roll_back_rules(
        &self,
        version: u32,
    ) -> Result<pb::RollbackRulesResponse, Refused> {
        let request = pb::RollbackRulesRequest { version };
        ask!(self, RuleApi as RuleService, RuleServiceClient, rollback_rules, request)
    }

    /// What rules would change.
    ///
    /// # Errors
    /// The service's status.
    pub async fn dry_run_rules(
        &self,
        request: pb::DryRunRulesRequest,
    ) -> Result<pb::DryRunRulesResponse, Refused> {
        ask!(self, RuleApi as RuleService, RuleServiceClient, dry_run_rules, request)
    }

    /// Puts placements in force.
    ///
    /// # Errors
    /// The service's status.
    pub async fn apply_placements(
        &self,
        request: pb::ApplyPlacementsRequest,
    ) -> Result<pb::ApplyPlacementsResponse, Refused> {
        ask!(
            self,
            PlacementApi as PlacementService,
            PlacementServiceClient,
            apply_placements,
            request
        )
    }

    /// A version of the placements; 0: the one in force.
    ///
    /// # Errors
    /// The service's status.
    pub async fn placements(&self, version: u32) -> Result<pb::GetPlacementsResponse, Refused> {
        let request = pb::GetPlacementsRequest { version };
        ask!(
            self,
            PlacementApi as PlacementService,
            PlacementServiceClient,
            get_placements,
            request
        )
    }

    /// Puts an earlier version of the placements in force; 0: the one before.
    ///
    /// # Errors
    /// The service's status.
    pub async fn roll_back_placements(
        &self,
        version: u32,
    ) -> Result<pb::RollbackPlacementsResponse, Refused> {
        let request = pb::RollbackPlacementsRequest { version };
        ask!(
            self,
            PlacementApi as PlacementService,
            PlacementServiceClient,
            rollback_placements,
            request
        )
    }

    /// What an objective would cost and bring.
    ///
    /// # Errors
    /// The service's status.
    pub async fn trade_off(
        &self,
        request: pb::TradeOffRequest,
    ) -> Result<pb::TradeOffResponse, Refused> {
        ask!(self, PlacementApi as PlacementService, PlacementServiceClient, trade_off, request)
    }
}

macro_rules! changes {
    ($($(#[$doc:meta])* $method:ident($request:ident { $($field:ident: $type:ty),* });)*) => {
        impl Backend {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The service's status.
                pub async fn $method(
                    &self,
                    $($field: $type),*
                ) -> Result<Option<pb::Experiment>, Refused> {
                    let request = pb::$request { $($field),* };
                    let done = ask!(
                        self,
                        ExperimentApi as ExperimentService,
                        ExperimentServiceClient,
                        $method,
                        request
                    );
                    done.map(|done| done.experiment)
                }
            )*
        }
    };
}

changes! {
    /// Creates an experiment, or changes it.
    put_experiment(PutExperimentRequest { experiment: Option<pb::Experiment>, note: String });
    /// Starts an experiment.
    start_experiment(StartExperimentRequest { name: String });
    /// Stops an experiment.
    stop_experiment(StopExperimentRequest { name: String, reason: String });
    /// Lets a variant take over.
    adopt_variant(AdoptVariantRequest { name: String, variant: String });
}

impl Backend {
    /// Removes an experiment.
    ///
    /// # Errors
    /// The service's status.
    pub async fn delete_experiment(&self, name: String) -> Result<(), Refused> {
        let request = pb::DeleteExperimentRequest { name };
        let done = ask!(
            self,
            ExperimentApi as ExperimentService,
            ExperimentServiceClient,
            delete_experiment,
            request
        );
        done.map(drop)
    }

    /// Sets the share of users that no experiment concerns.
    ///
    /// # Errors
    /// The service's status.
    pub async fn set_holdout(&self, share: f64) -> Result<(), Refused> {
        let request = pb::SetHoldoutRequest { share };
        let done = ask!(
            self,
            ExperimentApi as ExperimentService,
            ExperimentServiceClient,
            set_holdout,
            request
        );
        done.map(drop)
    }

    /// All experiments.
    ///
    /// # Errors
    /// The service's status.
    pub async fn experiments(&self) -> Result<pb::ListExperimentsResponse, Refused> {
        let request = pb::ListExperimentsRequest {};
        ask!(
            self,
            ExperimentApi as ExperimentService,
            ExperimentServiceClient,
            list_experiments,
            request
        )
    }

    /// The report of an experiment.
    ///
    /// # Errors
    /// The service's status.
    pub async fn experiment_report(
        &self,
        name: String,
    ) -> Result<pb::GetExperimentReportResponse, Refused> {
        let request = pb::GetExperimentReportRequest { name };
        ask!(
            self,
            ExperimentApi as ExperimentService,
            ExperimentServiceClient,
            get_experiment_report,
            request
        )
    }

    /// Online metrics of a range of time, in seconds since 1970.
    ///
    /// # Errors
    /// The service's status.
    pub async fn metrics(
        &self,
        from: i64,
        until: i64,
        group_by: Vec<i32>,
    ) -> Result<pb::GetMetricsResponse, Refused> {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let (start_time, end_time) = (time(from), time(until));
        let request = pb::GetMetricsRequest { start_time, end_time, group_by };
        ask!(self, ExperimentApi as ReportService, ReportServiceClient, get_metrics, request)
    }
}

impl Backend {
    /// What a placement would have earned.
    ///
    /// # Errors
    /// The service's status.
    pub async fn replay_placement(
        &self,
        request: pb::ReplayPlacementRequest,
        days: i64,
        now: i64,
    ) -> Result<pb::ReplayPlacementResponse, Refused> {
        let start_time = Some(Timestamp { seconds: now - days * 86_400, nanos: 0 });
        let request = pb::ReplayPlacementRequest { start_time, ..request };
        ask!(self, ExperimentApi as ReportService, ReportServiceClient, replay_placement, request)
    }
}

/// Reads what is decided from a TOML file: a message of the protocol.
///
/// # Errors
/// A sentence that names the file and the field.
pub fn read<M: prost::Message + prost::Name + Default>(file: &Path) -> Result<M, Failure> {
    let message = Methods::read()?.message(&json(file)?);
    message.map_err(|violation| format!("{}: {violation}", file.display()).into())
}

/// A message as JSON, as the protocol has it.
///
/// # Errors
/// Where it cannot be written.
pub fn as_json<M: prost::Message + prost::Name>(message: &M) -> Result<Value, Failure> {
    Ok(Methods::read()?.json(message).map_err(|violation| violation.to_string())?)
}

/// What is decided as TOML, as [`read`] reads it.
///
/// # Errors
/// Where it cannot be written.
pub fn as_toml<M: prost::Message + prost::Name>(message: &M) -> Result<String, Failure> {
    Ok(toml::to_string(&as_json(message)?)?)
}

/// A TOML file as JSON.
fn json(file: &Path) -> Result<Vec<u8>, Failure> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| said(&error))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| said(&error))?;
    let value = value(toml::Value::Table(table));
    serde_json::to_vec(&value).map_err(|error| said(&error).into())
}

/// A value of TOML in JSON. Dates and times become texts, and so does what is no finite number, which JSON has no
/// other word for: the server refuses it by name.
fn value(given: toml::Value) -> Value {
    match given {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) if number.is_nan() => "NaN".into(),
        toml::Value::Float(number) if number.is_infinite() => {
            if number > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        }
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(is_so) => is_so.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(entries) => entries.into_iter().map(value).collect(),
        toml::Value::Table(table) => {
            let fields = table.into_iter().map(|(name, field)| (name, value(field)));
            Value::Object(fields.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_finite_number_is_not_taken_for_absent() {
        let table: toml::Table = toml::from_str("a = nan\nb = -inf\nc = 1.5").unwrap();
        let read = value(toml::Value::Table(table));
        assert_eq!(read, serde_json::json!({"a": "NaN", "b": "-Infinity", "c": 1.5}));
    }
}
