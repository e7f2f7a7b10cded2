//! RecommendationService.

use std::sync::Arc;
use std::time::Duration;

use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::whole::{Whole, whole};
use crate::api::wire::pb::recommendation_service_server::RecommendationService;
use crate::api::wire::status::from_error;
use crate::api::wire::{convert, filter, lists, page_token, pb};
use crate::domain::{Deadline, Result, Violation, limits, user};
use crate::engine::serve::{Answer, RecommendRequest, RepeatReason, ScoredUser, StageRecord};
use crate::engine::{Engine, wait_for};
use crate::live::Filter;
use crate::model::Source;
use crate::recommend::Basis;
use crate::recommend::description::{Language, describe};
use crate::telemetry::RequestRecord;

/// Time for which a reader may take nothing of a batch, by default.
const SENDING: Duration = Duration::from_secs(60);

/// Answers storefronts.
#[derive(Debug, Clone)]
pub struct RecommendationApi {
    engine: Arc<Engine>,
    /// Time for which a reader may take nothing of a batch.
    sending: Duration,
}

impl RecommendationApi {
    /// Serves from an engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, sending: SENDING }
    }

    /// Sets the time for which a reader may take nothing of a batch.
    pub fn sending_within(self, sending: Duration) -> Self {
        Self { sending, ..self }
    }

    async fn recommend(
        &self,
        request: pb::RecommendRequest,
        deadline: Option<Deadline>,
        record: Option<Arc<RequestRecord>>,
    ) -> Result<pb::RecommendResponse> {
        let is_paged = request.paged || !request.page_token.is_empty();
        let request = RecommendRequest { deadline, record, ..recommend_request(request)? };
        let placement = request.placement.clone();
        let mut shown = request.shown_before.clone();
        let answer = self.engine.recommender().show(request).await?;
        let next_page_token = if is_paged && !answer.entries.is_empty() {
            shown.extend(answer.entries.iter().filter_map(|entry| entry.idx));
            page_token::token(&shown)
        } else {
            String::new()
        };
        Ok(pb::RecommendResponse { placement, next_page_token, ..recommendation(answer) })
    }

    async fn page(
        &self,
        request: pb::RecommendPageRequest,
        deadline: Option<Deadline>,
    ) -> Result<pb::RecommendPageResponse> {
        let placements = request.placements;
        limits::count("placements", placements.len(), 1, limits::MAX_PAGE_PLACEMENTS)?;
        let request = request.request.unwrap_or_default();
        if !request.placement.is_empty() {
            let message = "must be empty: the page names its placements";
            return Err(Violation::new("request.placement", message).into());
        }
        let first = placements[0].clone();
        let request = recommend_request(pb::RecommendRequest { placement: first, ..request })
            .map_err(|violation| violation.within("request"))?;
        let request = RecommendRequest { deadline, ..request };
        let answers = self.engine.recommender().page(request, placements.clone()).await?;

        let lists = placements.into_iter().zip(answers);
        let list =
            |(placement, answer)| pb::RecommendResponse { placement, ..recommendation(answer) };
        Ok(pb::RecommendPageResponse { lists: lists.map(list).collect() })
    }

    fn similar_items(&self, request: pb::SimilarItemsRequest) -> Result<pb::SimilarItemsResponse> {
        limits::id("item_id", &request.item_id)?;
        let limit = limits::list_length("limit", request.limit.into())?;
        let item_id = request.item_id.clone();
        let asked = related("similar_items", limit, filter::filter(request.filter)?);
        let answer = self.engine.recommender().similar_items(&item_id, &asked)?;
        Ok(pb::SimilarItemsResponse {
            recommendation_id: answer.recommendation_id.to_string(),
            generation: answer.generation,
            items: convert::scored_items(answer.entries),
        })
    }

    fn similar_users(&self, request: pb::SimilarUsersRequest) -> Result<pb::SimilarUsersResponse> {
        limits::id("user_id", &request.user_id)?;
        let limit = limits::list_length("limit", request.limit.into())?;
        let answer = self.engine.recommender().similar_users(&request.user_id, limit)?;
        let scored = |user: ScoredUser| pb::ScoredUser {
            user_id: user.user_id,
            score: f64::from(user.score),
            source: pb::Source::UserCf.into(),
        };

        Ok(pb::SimilarUsersResponse {
            recommendation_id: answer.recommendation_id.to_string(),
            generation: answer.generation,
            users: answer.entries.into_iter().map(scored).collect(),
        })
    }

    fn bought_together(
        &self,
        request: pb::BoughtTogetherRequest,
    ) -> Result<pb::BoughtTogetherResponse> {
        convert::ids("item_ids", &request.item_ids, 1, limits::MAX_SESSION_ITEMS)?;
        let limit = limits::list_length("limit", request.limit.into())?;
        let asked = related("bought_together", limit, filter::filter(request.filter)?);
        let answer = self.engine.recommender().bought_together(&request.item_ids, &asked)?;
        Ok(pb::BoughtTogetherResponse {
            recommendation_id: answer.recommendation_id.to_string(),
            generation: answer.generation,
            items: convert::scored_items(answer.entries),
        })
    }

    async fn rank(&self, request: pb::RankRequest) -> Result<pb::RankResponse> {
        convert::user(&request.user_id, &request.session_item_ids, false)?;
        convert::ids("item_ids", &request.item_ids, 1, limits::MAX_RANKED)?;
        let user = request.user_id;
        let session = request.session_item_ids;
        let answer = self.engine.recommender().rank(user, session, request.item_ids).await?;
        Ok(pb::RankResponse {
            recommendation_id: answer.recommendation_id.to_string(),
            generation: answer.generation,
            items: convert::scored_items(answer.entries),
            basis: basis(answer.basis).into(),
        })
    }

    async fn diagnose(&self, request: pb::DiagnoseRequest) -> Result<pb::DiagnoseResponse> {
        let unsaid = || Violation::new("request", "must be given, is absent");
        let asked = recommend_request(request.request.ok_or_else(unsaid)?)
            .map_err(|violation| violation.within("request"))?;
        let recommender = self.engine.recommender().clone();
        let diagnosis = wait_for(move || recommender.diagnose(asked)).await?;

        let stage = |stage: StageRecord| pb::FunnelStage {
            name: stage.name.to_owned(),
            source: stage.source.to_owned(),
            passed: stage.passed.map(|passed| passed as i32),
            micros: stage.took.as_secs_f64() * 1e6,
        };
        let restriction = |(name, removed): (&str, usize)| pb::Restriction {
            name: name.to_owned(),
            removed: removed as i32,
        };
        let restrictions = diagnosis.restrictions.unwrap_or_default();
        Ok(pb::DiagnoseResponse {
            recommendation: Some(recommendation(diagnosis.answer)),
            items: restrictions.items as i32,
            restrictions: restrictions.removed.into_iter().map(restriction).collect(),
            stages: diagnosis.stages.into_iter().map(stage).collect(),
            findings: diagnosis.findings,
        })
    }

    /// The requests of a batch, one for each user.
    fn batch(request: pb::BatchRecommendRequest) -> Result<Vec<RecommendRequest>, Violation> {
        convert::ids("user_ids", &request.user_ids, 1, limits::MAX_BATCH)?;
        let limit = limits::list_length("limit", request.limit.into())?;
        let filter = Arc::new(filter::filter(request.filter)?);
        let repeat = lists::repeat_policy(request.repeat_policy, request.exclude_purchased_days)?;
        let of_user = |user_id| RecommendRequest {
            user_id,
            limit,
            filter: filter.clone(),
            repeat,
            placement: "batch_recommend".to_owned(),
            ..RecommendRequest::default()
        };
        Ok(request.user_ids.into_iter().map(of_user).collect())
    }

    fn popular(&self, request: pb::PopularRequest) -> Result<pb::PopularResponse> {
        let limit = limits::list_length("limit", request.limit.into())?;
        let asked = related("popular", limit, filter::filter(request.filter)?);
        let answer = self.engine.recommender().popular(lists::window(request.window)?, &asked)?;
        Ok(pb::PopularResponse {
            recommendation_id: answer.recommendation_id.to_string(),
            generation: answer.generation,
            items: convert::scored_items(answer.entries),
        })
    }
}

impl RecommendationApi {
    fn describe(&self, language: i32) -> Result<pb::DescribeRecommenderResponse, Violation> {
        let language = match pb::Language::try_from(language) {
            Ok(pb::Language::Unspecified | pb::Language::English) => Language::English,
            Ok(pb::Language::Chinese) => Language::Chinese,
            Err(_) => {
                let message = format!("must be 0 to 2, was {language}");
                return Err(Violation::new("language", message));
            }
        };
        let active = self.engine.models().active();
        let described = describe(active.as_ref().map(|snapshot| &snapshot.manifest), language);
        let source = |(source, weight, words): (Source, f64, &str)| pb::SourceDescription {
            source: source.number(),
            weight,
            description: words.to_owned(),
        };
        Ok(pb::DescribeRecommenderResponse {
            generation: described.generation,
            sentences: described.sentences,
            sources: described.sources.into_iter().map(source).collect(),
        })
    }
}

/// A request for a list of a method that no user asks for.
fn related(method: &str, limit: usize, filter: Filter) -> RecommendRequest {
    let filter = Arc::new(filter);
    RecommendRequest { placement: method.to_owned(), limit, filter, ..RecommendRequest::default() }
}

fn recommendation(answer: Answer) -> pb::RecommendResponse {
    pb::RecommendResponse {
        recommendation_id: answer.recommendation_id.to_string(),
        generation: answer.generation,
        items: convert::scored_items(answer.entries),
        basis: basis(answer.basis).into(),
        reduced: answer.reduced,
        cohort: answer.cohort,
        repeat_policy: lists::policy(answer.repeat.policy).into(),
        repeat_reason: reason(answer.repeat.reason).into(),
        placement: String::new(),
        title: answer.title,
        about_item_id: answer.about.unwrap_or_default(),
        next_page_token: String::new(),
        variant: answer.variant,
        stale: answer.stale,
    }
}

fn reason(reason: RepeatReason) -> pb::RepeatReason {
    match reason {
        RepeatReason::Request => pb::RepeatReason::Request,
        RepeatReason::Setting => pb::RepeatReason::Setting,
        RepeatReason::Tuned => pb::RepeatReason::Tuned,
        RepeatReason::Default => pb::RepeatReason::Default,
    }
}

fn recommend_request(request: pb::RecommendRequest) -> Result<RecommendRequest, Violation> {
    let user_id = &request.user_id;
    let attributes = &request.attributes;
    let else_known = !attributes.is_empty() || !request.placement.is_empty();
    convert::user(user_id, &request.session_item_ids, else_known)?;
    convert::ids("page_item_ids", &request.page_item_ids, 0, limits::MAX_SESSION_ITEMS)?;
    limits::line("page_category", &request.page_category, limits::MAX_ID_BYTES)?;
    limits::line("context", &request.context, limits::MAX_ID_BYTES)?;
    limits::text("placement", &request.placement, limits::MAX_NAME_BYTES)?;
    limits::line("session_id", &request.session_id, limits::MAX_ID_BYTES)?;
    convert::ids("exclude_item_ids", &request.exclude_item_ids, 0, limits::MAX_EXCLUDED)?;
    let attributes = request.attributes.into_iter().collect();
    user::attributes(&attributes)?;

    // 0 leaves the length to the placement.
    let limit = match request.limit {
        0 => 0,
        limit => limits::list_length("limit", limit.into())?,
    };
    Ok(RecommendRequest {
        user_id: request.user_id,
        session_id: request.session_id,
        session: request.session_item_ids,
        forced_variants: request.forced_variants,
        limit,
        filter: Arc::new(Filter { context: request.context, ..filter::filter(request.filter)? }),
        shown_before: page_token::shown(&request.page_token)?,
        placement: request.placement,
        page_category: request.page_category,
        page_items: request.page_item_ids,
        exclude: request.exclude_item_ids,
        attributes,
        strategy: lists::strategy(request.strategy)?,
        repeat: lists::repeat_policy(request.repeat_policy, request.exclude_purchased_days)?,
        explain: request.explain,
        variety: request.variety.map(lists::variety).transpose()?,
        ..RecommendRequest::default()
    })
}

fn basis(basis: Basis) -> pb::Basis {
    match basis {
        Basis::History => pb::Basis::History,
        Basis::Session => pb::Basis::Session,
        Basis::Popular => pb::Basis::Popular,
        Basis::Attributes => pb::Basis::Attributes,
    }
}

#[tonic::async_trait]
impl RecommendationService for RecommendationApi {
    async fn recommend(
        &self,
        request: Request<pb::RecommendRequest>,
    ) -> Result<Response<pb::RecommendResponse>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        let record = request.extensions().get::<Arc<RequestRecord>>().cloned();
        let answer = self.recommend(request.into_inner(), deadline, record).await;
        answer.map(Response::new).map_err(from_error)
    }

    async fn similar_items(
        &self,
        request: Request<pb::SimilarItemsRequest>,
    ) -> Result<Response<pb::SimilarItemsResponse>, Status> {
        self.similar_items(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn similar_users(
        &self,
        request: Request<pb::SimilarUsersRequest>,
    ) -> Result<Response<pb::SimilarUsersResponse>, Status> {
        self.similar_users(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn bought_together(
        &self,
        request: Request<pb::BoughtTogetherRequest>,
    ) -> Result<Response<pb::BoughtTogetherResponse>, Status> {
        self.bought_together(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn popular(
        &self,
        request: Request<pb::PopularRequest>,
    ) -> Result<Response<pb::PopularResponse>, Status> {
        self.popular(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn rank(
        &self,
        request: Request<pb::RankRequest>,
    ) -> Result<Response<pb::RankResponse>, Status> {
        self.rank(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn diagnose(
        &self,
        request: Request<pb::DiagnoseRequest>,
    ) -> Result<Response<pb::DiagnoseResponse>, Status> {
        self.diagnose(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn recommend_page(
        &self,
        request: Request<pb::RecommendPageRequest>,
    ) -> Result<Response<pb::RecommendPageResponse>, Status> {
        let deadline = request.extensions().get::<Deadline>().copied();
        self.page(request.into_inner(), deadline).await.map(Response::new).map_err(from_error)
    }

    async fn describe_recommender(
        &self,
        request: Request<pb::DescribeRecommenderRequest>,
    ) -> Result<Response<pb::DescribeRecommenderResponse>, Status> {
        let described = self.describe(request.get_ref().language);
        described.map(Response::new).map_err(|violation| from_error(violation.into()))
    }

    type BatchRecommendStream = Whole<pb::BatchRecommendResponse>;

    async fn batch_recommend(
        &self,
        request: Request<pb::BatchRecommendRequest>,
    ) -> Result<Response<Self::BatchRecommendStream>, Status> {
        let requests = Self::batch(request.into_inner()).map_err(|v| from_error(v.into()))?;
        let batch = self.engine.batches().begin(requests, self.sending).map_err(from_error)?;
        let answers = ReceiverStream::new(batch.answers).map(answered);
        Ok(Response::new(whole(answers, batch.complete)))
    }
}

fn answered(
    (user_id, answer): (String, Result<Answer>),
) -> Result<pb::BatchRecommendResponse, Status> {
    let recommendation = Some(recommendation(answer.map_err(from_error)?));
    Ok(pb::BatchRecommendResponse { user_id, recommendation })
}
