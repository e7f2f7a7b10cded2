//! InsightService.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::vec::IntoIter;

use tokio::sync::mpsc;
use tokio_stream::Iter;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::rule::versions;
use super::whole::{Whole, whole};
use crate::api::services::answer;
use crate::api::wire::pb::insight_service_server::InsightService;
use crate::api::wire::status::from_error;
use crate::api::wire::{convert, insight, pb, segments};
use crate::domain::{DAY_MS, PreferenceChange, Result, Violation, limits, now_ms};
use crate::engine::insight::audience::Member;
use crate::engine::insight::rights::UserTag;
use crate::engine::steering::Applied;
use crate::engine::{Engine, Page, wait_for};
use crate::insight::InsightSettings;

/// Number of cohorts where a request does not say.
const COHORTS: u32 = 12;
/// Maximum number of cohorts.
const MAX_COHORTS: u32 = 120;
/// Activity reaches back this far where a request does not say.
const ACTIVITY_DAYS: u32 = 90;
/// Maximum number of days of activity.
const MAX_ACTIVITY_DAYS: u32 = 36_600;
/// Longest time of a backtest.
const MAX_BACKTEST_DAYS: u32 = 366;
/// Portraits of one message of an export.
const EXPORTED: usize = 200;
/// Users of one message of an audience.
const SENT: usize = 5_000;

/// Insight of one store.
#[derive(Debug, Clone)]
pub struct InsightApi {
    engine: Arc<Engine>,
    sending: Duration,
}

impl InsightApi {
    /// Serves one engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, sending: Duration::from_secs(60) }
    }

    /// Ends an export of which nothing is taken for this long.
    pub fn sending_within(self, sending: Duration) -> Self {
        Self { sending, ..self }
    }

    fn portrait(&self, request: &pb::GetPortraitRequest) -> Result<pb::GetPortraitResponse> {
        limits::id("user_id", &request.user_id)?;
        let user = self.engine.insight().user(&request.user_id)?;
        Ok(pb::GetPortraitResponse { portrait: Some(insight::portrait(user)) })
    }

    fn tags(&self, id: &str) -> Result<pb::ListUserTagsResponse> {
        limits::id("user_id", id)?;
        let decided = self.engine.insight().preferences(id)?;
        let tags = self.engine.insight().tags(id)?.into_iter();
        let tags = tags.map(|UserTag { tag, reason }| pb::UserTag { tag, reason }).collect();
        let deleted_tags = decided.removed_tags.into_iter().collect();
        Ok(pb::ListUserTagsResponse { tags, deleted_tags })
    }

    async fn delete_tag(
        &self,
        request: pb::DeleteUserTagRequest,
    ) -> Result<pb::DeleteUserTagResponse> {
        limits::id("user_id", &request.user_id)?;
        let change = PreferenceChange::RemoveTag(request.tag);
        let receipt = self.engine.writer().prefer(&request.user_id, change, false).await?;
        Ok(pb::DeleteUserTagResponse { offset: receipt.offset })
    }

    fn cohorts(&self, request: pb::GetCohortsRequest) -> Result<pb::GetCohortsResponse> {
        let (came, period) = (insight::came(request.basis)?, insight::period(request.period)?);
        let periods = if request.periods == 0 { COHORTS } else { request.periods };
        limits::number("periods", f64::from(periods), 1.0, f64::from(MAX_COHORTS))?;
        let cohorts = self.engine.insight().cohorts(came, period, periods as usize);
        Ok(insight::cohorts(cohorts, period))
    }

    fn activity(&self, request: &pb::GetActivityRequest) -> Result<pb::GetActivityResponse> {
        let period = insight::period(request.period)?;
        let time = |field, given: &Option<prost_types::Timestamp>| {
            given.as_ref().map(|time| moment(field, time)).transpose()
        };
        let days = if request.days == 0 { ACTIVITY_DAYS } else { request.days };
        limits::number("days", f64::from(days), 1.0, f64::from(MAX_ACTIVITY_DAYS))?;
        let newest_ms = self.engine.live().newest_ms() + 1;
        let until_ms = time("end_time", &request.end_time)?.unwrap_or(newest_ms);
        let from_ms = time("start_time", &request.start_time)?;
        let from_ms = from_ms.unwrap_or(until_ms - i64::from(days) * DAY_MS);
        let periods = self.engine.insight().trade(period, from_ms, until_ms)?;
        Ok(insight::activity(periods, period))
    }

    fn backtest(
        &self,
        request: &pb::BacktestForecastsRequest,
    ) -> Result<pb::BacktestForecastsResponse> {
        let unsaid = || Violation::new("cut_time", "must be given, is absent");
        let cut_time = request.cut_time.as_ref().ok_or_else(unsaid)?;
        let cut_ms = moment("cut_time", cut_time)?.div_euclid(DAY_MS) * DAY_MS;
        let days = f64::from(request.days);
        limits::number("days", days, 1.0, f64::from(MAX_BACKTEST_DAYS))?;
        Ok(insight::backtest(self.engine.insight().backtest(cut_ms, request.days)?))
    }

    fn apply(
        &self,
        request: pb::ApplyInsightSettingsRequest,
    ) -> Result<pb::ApplyInsightSettingsResponse> {
        let within = |violation: Violation| violation.within("settings");
        let given = request.settings;
        let given = given.ok_or_else(|| Violation::new("settings", "must be given, is absent"))?;
        let settings = insight::settings(given).map_err(within)?;
        settings.check().map_err(within)?;
        let steering = self.engine.steering();
        let applied = steering.apply(&settings, request.note, request.expected_version)?;
        Ok(pb::ApplyInsightSettingsResponse { version: applied.version })
    }

    fn settings(&self, version: u32) -> Result<pb::GetInsightSettingsResponse> {
        let steering = self.engine.steering();
        let settings: InsightSettings = steering.get(Some(version).filter(|v| *v > 0))?;
        Ok(pb::GetInsightSettingsResponse {
            settings: Some(insight::settings_proto(&settings)),
            versions: versions(steering.versions::<InsightSettings>()),
        })
    }

    fn roll_back(&self, version: u32) -> Result<pb::RollbackInsightSettingsResponse> {
        let version = Some(version).filter(|version| *version > 0);
        let applied = self.engine.steering().roll_back::<InsightSettings>(version)?;
        let Applied { version, warnings } = applied;
        Ok(pb::RollbackInsightSettingsResponse { version, warnings })
    }

    async fn wait<R: Send + 'static, T: Send + 'static>(
        &self,
        request: Request<R>,
        work: impl FnOnce(&Self, R) -> Result<T> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let api = self.clone();
        answer(request, move |asked| work(&api, asked)).await
    }

    fn segments(&self) -> Result<pb::ListSegmentsResponse> {
        let sizes = self.engine.insight().segment_sizes()?.into_iter();
        let segments = sizes.map(|(name, users)| pb::SegmentSize { name, users }).collect();
        Ok(pb::ListSegmentsResponse { segments })
    }

    fn audience(&self, request: pb::ExportAudienceRequest) -> Result<Vec<Member>> {
        self.engine.insight().audience(&segments::audience(request)?)
    }

    async fn contacts(
        &self,
        request: pb::RecordContactsRequest,
    ) -> Result<pb::RecordContactsResponse> {
        limits::count("user_ids", request.user_ids.len(), 1, limits::MAX_BATCH)?;
        for (at, id) in request.user_ids.iter().enumerate() {
            limits::id(&format!("user_ids[{at}]"), id)?;
        }
        let time_ms = request.time.as_ref().map(|time| moment("time", time)).transpose()?;
        let time_ms = time_ms.unwrap_or_else(now_ms);
        let receipt = self.engine.writer().contacted(request.user_ids, time_ms).await?;
        let recorded = receipt.recorded as u32;
        Ok(pb::RecordContactsResponse { recorded, offset: receipt.offset })
    }

    /// Sends every portrait, page by page, as fast as they are taken.
    async fn send_all(
        self,
        sender: mpsc::Sender<Result<pb::ExportPortraitsResponse, Status>>,
        complete: Arc<AtomicBool>,
    ) {
        let mut next = Some(0);
        while let Some(from) = next {
            let api = self.clone();
            let page = wait_for(move || api.engine.insight().users(from, Page(EXPORTED)));
            let Some(page) = self.engine.unless_closing(page).await else { return };
            let (users, rest) = match page {
                Ok(page) => page,
                Err(error) => {
                    complete.store(true, Ordering::Release);
                    // The caller may have gone.
                    let _ = sender.send_timeout(Err(from_error(error)), self.sending).await;
                    return;
                }
            };

            next = rest;
            let portraits = users.into_iter().map(insight::portrait).collect();
            let message = Ok(pb::ExportPortraitsResponse { portraits });
            if sender.send_timeout(message, self.sending).await.is_err() {
                return;
            }
        }
        complete.store(true, Ordering::Release);
    }
}

/// A moment of the past, or nearly, in milliseconds since 1970.
fn moment(field: &str, time: &prost_types::Timestamp) -> Result<i64, Violation> {
    let time_ms = convert::milliseconds(field, time)?;
    limits::time(field, time_ms, now_ms())?;
    Ok(time_ms)
}

#[tonic::async_trait]
impl InsightService for InsightApi {
    async fn get_portrait(
        &self,
        request: Request<pb::GetPortraitRequest>,
    ) -> Result<Response<pb::GetPortraitResponse>, Status> {
        self.wait(request, |api, asked| api.portrait(&asked)).await
    }

    type ExportPortraitsStream = Whole<pb::ExportPortraitsResponse>;

    async fn export_portraits(
        &self,
        _: Request<pb::ExportPortraitsRequest>,
    ) -> Result<Response<Self::ExportPortraitsStream>, Status> {
        let (sender, portraits) = mpsc::channel(1);
        let complete = Arc::new(AtomicBool::new(false));
        tokio::spawn(self.clone().send_all(sender, complete.clone()));
        Ok(Response::new(whole(ReceiverStream::new(portraits), complete)))
    }

    async fn list_user_tags(
        &self,
        request: Request<pb::ListUserTagsRequest>,
    ) -> Result<Response<pb::ListUserTagsResponse>, Status> {
        self.wait(request, |api, asked| api.tags(&asked.user_id)).await
    }

    async fn delete_user_tag(
        &self,
        request: Request<pb::DeleteUserTagRequest>,
    ) -> Result<Response<pb::DeleteUserTagResponse>, Status> {
        self.delete_tag(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn get_overview(
        &self,
        request: Request<pb::GetOverviewRequest>,
    ) -> Result<Response<pb::GetOverviewResponse>, Status> {
        self.wait(request, |api, _| Ok(insight::overview(api.engine.insight().overview()?))).await
    }

    async fn get_cohorts(
        &self,
        request: Request<pb::GetCohortsRequest>,
    ) -> Result<Response<pb::GetCohortsResponse>, Status> {
        self.wait(request, |api, asked| api.cohorts(asked)).await
    }

    async fn get_activity(
        &self,
        request: Request<pb::GetActivityRequest>,
    ) -> Result<Response<pb::GetActivityResponse>, Status> {
        self.wait(request, |api, asked| api.activity(&asked)).await
    }

    async fn backtest_forecasts(
        &self,
        request: Request<pb::BacktestForecastsRequest>,
    ) -> Result<Response<pb::BacktestForecastsResponse>, Status> {
        self.wait(request, |api, asked| api.backtest(&asked)).await
    }

    async fn list_segments(
        &self,
        request: Request<pb::ListSegmentsRequest>,
    ) -> Result<Response<pb::ListSegmentsResponse>, Status> {
        self.wait(request, |api, _| api.segments()).await
    }

    type ExportAudienceStream = Iter<IntoIter<Result<pb::ExportAudienceResponse, Status>>>;

    async fn export_audience(
        &self,
        request: Request<pb::ExportAudienceRequest>,
    ) -> Result<Response<Self::ExportAudienceStream>, Status> {
        let members = self.wait(request, |api, asked| api.audience(asked)).await?.into_inner();
        let part = |part: &[Member]| {
            let members = part.iter().cloned().map(segments::member).collect();
            Ok(pb::ExportAudienceResponse { members })
        };
        let parts: Vec<_> = members.chunks(SENT).map(part).collect();
        Ok(Response::new(tokio_stream::iter(parts)))
    }

    async fn record_contacts(
        &self,
        request: Request<pb::RecordContactsRequest>,
    ) -> Result<Response<pb::RecordContactsResponse>, Status> {
        self.contacts(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn apply_insight_settings(
        &self,
        request: Request<pb::ApplyInsightSettingsRequest>,
    ) -> Result<Response<pb::ApplyInsightSettingsResponse>, Status> {
        self.wait(request, |api, asked| api.apply(asked)).await
    }

    async fn get_insight_settings(
        &self,
        request: Request<pb::GetInsightSettingsRequest>,
    ) -> Result<Response<pb::GetInsightSettingsResponse>, Status> {
        self.wait(request, |api, asked| api.settings(asked.version)).await
    }

    async fn rollback_insight_settings(
        &self,
        request: Request<pb::RollbackInsightSettingsRequest>,
    ) -> Result<Response<pb::RollbackInsightSettingsResponse>, Status> {
        self.wait(request, |api, asked| api.roll_back(asked.version)).await
    }
}
