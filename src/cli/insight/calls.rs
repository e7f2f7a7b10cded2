//! Calls of InsightService and of users' rights, on a data folder or a running server.

use tokio_stream::{Stream, StreamExt};
use tonic::Request;

use crate::api::services::insight::InsightApi;
use crate::api::services::recommendation::RecommendationApi;
use crate::api::services::user::UserApi;
use crate::api::wire::pb;
use crate::api::wire::pb::insight_service_client::InsightServiceClient;
use crate::api::wire::pb::insight_service_server::InsightService;
use crate::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use crate::api::wire::pb::recommendation_service_server::RecommendationService;
use crate::api::wire::pb::user_service_client::UserServiceClient;
use crate::api::wire::pb::user_service_server::UserService;
use crate::cli::admin;
use crate::cli::backend::{Backend, Refused, ask};
use crate::config::Config;

/// A time of the protocol, re-exported for files that need not name prost.
pub(super) use prost_types::Timestamp as Moment;

/// A message of the protocol, likewise.
pub(super) trait Message: prost::Message + prost::Name {}

impl<M: prost::Message + prost::Name> Message for M {}

macro_rules! calls {
    (
        $api:ident as $service:ident, $client:ident:
        $($(#[$doc:meta])* $name:ident = $method:ident($request:ident) -> $response:ident;)*
    ) => {
        impl Backend {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// The service's status.
                pub async fn $name(&self, request: pb::$request) -> Result<pb::$response, Refused> {
                    ask!(self, $api as $service, $client, $method, request)
                }
            )*
        }
    };
}

calls! {
    UserApi as UserService, UserServiceClient:
    /// Turns personalisation off or on.
    set_personalisation =
        set_personalisation(SetPersonalisationRequest) -> SetPersonalisationResponse;
    /// Links aliases to a user.
    link_users = link_users(LinkUsersRequest) -> LinkUsersResponse;
    /// Takes links back.
    unlink_users = unlink_users(UnlinkUsersRequest) -> UnlinkUsersResponse;
}

calls! {
    RecommendationApi as RecommendationService, RecommendationServiceClient:
    /// How lists are made, in words.
    describe_recommender =
        describe_recommender(DescribeRecommenderRequest) -> DescribeRecommenderResponse;
}

calls! {
    InsightApi as InsightService, InsightServiceClient:
    /// What is believed of a user.
    user_tags = list_user_tags(ListUserTagsRequest) -> ListUserTagsResponse;
    /// Deletes a tag of a user.
    delete_user_tag = delete_user_tag(DeleteUserTagRequest) -> DeleteUserTagResponse;
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
    /// Saved segments and their sizes.
    segment_sizes = list_segments(ListSegmentsRequest) -> ListSegmentsResponse;
    /// Records that users were sent something.
    record_contacts = record_contacts(RecordContactsRequest) -> RecordContactsResponse;
    /// Puts segments and tiers in force.
    apply_insight = apply_insight_settings(ApplyInsightSettingsRequest) -> ApplyInsightSettingsResponse;
    /// A version of the segments and tiers.
    insight_settings = get_insight_settings(GetInsightSettingsRequest) -> GetInsightSettingsResponse;
    /// Puts an earlier version in force.
    roll_back_insight =
        rollback_insight_settings(RollbackInsightSettingsRequest) -> RollbackInsightSettingsResponse;
}

impl Backend {
    /// Everything about a user, as JSON. Read from a data folder, it is recorded in the audit log.
    ///
    /// # Errors
    /// The service's status.
    pub async fn user_data(&self, config: &Config, user_id: String) -> Result<String, Refused> {
        let request = pb::GetUserDataRequest { user_id };
        let mut data = String::new();
        match self {
            Backend::Local(engine) => {
                let api = UserApi::new(engine.clone());
                let answer = api.get_user_data(Request::new(request)).await;
                // Its request names a person, and is left out.
                admin::record(config, "UserService/", "get_user_data", &[], answer.as_ref().err());
                let mut parts = answer?.into_inner();
                while let Some(part) = parts.next().await {
                    data += &part?.json_part;
                }
            }
            Backend::Remote(remote) => {
                let mut client = UserServiceClient::new(remote.clone());
                let mut parts = client.get_user_data(request).await?.into_inner();
                while let Some(part) = parts.next().await {
                    data += &part?.json_part;
                }
            }
        }
        Ok(data)
    }

    /// Passes every portrait to `take`.
    ///
    /// # Errors
    /// The service's status.
    pub async fn portraits(&self, mut take: impl FnMut(pb::Portrait)) -> Result<(), Refused> {
        let request = pb::ExportPortraitsRequest {};
        let take = |message: pb::ExportPortraitsResponse| {
            message.portraits.into_iter().for_each(&mut take);
        };
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

    /// The users of an audience.
    ///
    /// # Errors
    /// The service's status.
    pub async fn audience(
        &self,
        request: pb::ExportAudienceRequest,
    ) -> Result<Vec<pb::AudienceMember>, Refused> {
        let mut members = Vec::new();
        let take = |message: pb::ExportAudienceResponse| members.extend(message.members);
        match self {
            Backend::Local(engine) => {
                let api = InsightApi::new(engine.clone());
                let answer = api.export_audience(Request::new(request)).await?;
                each(answer.into_inner(), take).await?;
            }
            Backend::Remote(remote) => {
                let mut client = InsightServiceClient::new(remote.clone());
                each(client.export_audience(request).await?.into_inner(), take).await?;
            }
        }
        Ok(members)
    }
}

async fn each<M>(
    mut messages: impl Stream<Item = Result<M, Refused>> + Unpin,
    mut take: impl FnMut(M),
) -> Result<(), Refused> {
    while let Some(message) = messages.next().await {
        take(message?);
    }
    Ok(())
}
