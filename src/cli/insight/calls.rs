//! Calls of InsightService, on a data folder or a running server.

use tokio_stream::{Stream, StreamExt};
use tonic::Request;

use crate::api::services::insight::InsightApi;
use crate::api::wire::pb;
use crate::api::wire::pb::insight_service_client::InsightServiceClient;
use crate::api::wire::pb::insight_service_server::InsightService;
use crate::cli::backend::{Backend, Refused, ask};

/// A time of the protocol, re-exported for files that need not name prost.
pub(super) use prost_types::Timestamp as Moment;

/// A message of the protocol, likewise.
pub(super) trait Message: prost::Message + prost::Name {}

impl<M: prost::Message + prost::Name> Message for M {}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $method:ident($request:ident) -> $response:ident;)*) => {
        impl Backend {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The service's status.
                pub async fn $name(&self, request: pb::$request) -> Result<pb::$response, Refused> {
                    ask!(self, InsightApi as InsightService, InsightServiceClient, $method, request)
                }
            )*
        }
    };
}

calls! {
    /// A user's portrait.
    portrait = get_portrait(GetPortraitRequest) -> GetPortraitResponse;
    /// The buyers by segment and tier.
    overview = get_overview(GetOverviewRequest) -> GetOverviewResponse;
    /// Cohorts.
    cohorts = get_cohorts(GetCohortsRequest) -> GetCohortsResponse;
    /// Activity by period.
    activity = get_activity(GetActivityRequest) -> GetActivityResponse;
    /// How right forecasts would have been.
    backtest = backtest_forecasts(BacktestForecastsRequest) -> BacktestForecastsResponse;
    /// Puts segments and tiers in force.
    apply_insight = apply_insight_settings(ApplyInsightSettingsRequest) -> ApplyInsightSettingsResponse;
    /// A version of the segments and tiers.
    insight_settings = get_insight_settings(GetInsightSettingsRequest) -> GetInsightSettingsResponse;
    /// Puts an earlier version in force.
    roll_back_insight =
        rollback_insight_settings(RollbackInsightSettingsRequest) -> RollbackInsightSettingsResponse;
}

impl Backend {
    /// Passes every portrait to `take`.
    ///
    /// # Errors
    /// The service's status.
    pub async fn portraits(&self, take: impl FnMut(pb::Portrait)) -> Result<(), Refused> {
        let request = pb::ExportPortraitsRequest {};
        match self {
            Backend::Local(engine) => {
                let api = InsightApi::new(engine.clone());
                let answer = api.export_portraits(Request::new(request)).await?;
                each(answer.into_inner(), take).await
            }
            Backend::Remote(remote) => {
                let mut client = InsightServiceClient::new(remote.clone());
                each(client.export_portraits(request).await?.into_inner(), take).await
            }
        }
    }
}

async fn each(
    mut messages: impl Stream<Item = Result<pb::ExportPortraitsResponse, Refused>> + Unpin,
    mut take: impl FnMut(pb::Portrait),
) -> Result<(), Refused> {
    while let Some(message) = messages.next().await {
        message?.portraits.into_iter().for_each(&mut take);
    }
    Ok(())
}
