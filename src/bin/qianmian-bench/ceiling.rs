//! The ceiling of gRPC on a machine: the service with every answer ready. A load test of it
//! measures tonic, the kernel and the load generator; the difference to the real server is the
//! server's.

use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use clap::Args;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::recommendation_service_server::{
    RecommendationService, RecommendationServiceServer,
};
use qianmian::cli::Failure;

/// Serve the ceiling alone: Recommend with its answer ready, for any load generator
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Address to listen on
    #[arg(value_name = "ADDR")]
    address: String,
    /// Length of the lists, 1 to 500
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
}

impl Serve {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let listener = TcpListener::bind(&self.address)
            .await
            .map_err(|e| format!("cannot listen on {}: {e}", self.address))?;
        serve(listener, self.limit.into()).await
    }
}

/// Answers `Recommend` with the same list, whatever the request.
struct Ceiling(pb::RecommendResponse);

fn refused() -> Status {
    Status::unimplemented("the ceiling answers Recommend alone")
}

#[tonic::async_trait]
impl RecommendationService for Ceiling {
    async fn recommend(
        &self,
        _: Request<pb::RecommendRequest>,
    ) -> Result<Response<pb::RecommendResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }

    async fn similar_items(
        &self,
        _: Request<pb::SimilarItemsRequest>,
    ) -> Result<Response<pb::SimilarItemsResponse>, Status> {
        Err(refused())
    }

    async fn similar_users(
        &self,
        _: Request<pb::SimilarUsersRequest>,
    ) -> Result<Response<pb::SimilarUsersResponse>, Status> {
        Err(refused())
    }

    async fn bought_together(
        &self,
        _: Request<pb::BoughtTogetherRequest>,
    ) -> Result<Response<pb::BoughtTogetherResponse>, Status> {
        Err(refused())
    }

    async fn popular(
        &self,
        _: Request<pb::PopularRequest>,
    ) -> Result<Response<pb::PopularResponse>, Status> {
        Err(refused())
    }

    async fn rank(
        &self,
        _: Request<pb::RankRequest>,
    ) -> Result<Response<pb::RankResponse>, Status> {
        Err(refused())
    }

    async fn diagnose(
        &self,
        _: Request<pb::DiagnoseRequest>,
    ) -> Result<Response<pb::DiagnoseResponse>, Status> {
        Err(refused())
    }

    async fn recommend_page(
        &self,
        _: Request<pb::RecommendPageRequest>,
    ) -> Result<Response<pb::RecommendPageResponse>, Status> {
        Err(refused())
    }

    async fn describe_recommender(
        &self,
        _: Request<pb::DescribeRecommenderRequest>,
    ) -> Result<Response<pb::DescribeRecommenderResponse>, Status> {
        Err(refused())
    }

    type BatchRecommendStream = tokio_stream::Empty<Result<pb::BatchRecommendResponse, Status>>;

    async fn batch_recommend(
        &self,
        _: Request<pb::BatchRecommendRequest>,
    ) -> Result<Response<Self::BatchRecommendStream>, Status> {
        Err(refused())
    }
}

/// Serves lists of `length` until the process ends.
async fn serve(listener: TcpListener, length: usize) -> Result<(), Failure> {
    let item = |i: usize| pb::ScoredItem {
        item_id: format!("i{}", 20_000 + i),
        score: 1.0 / (1 + i) as f64,
        source: pb::Source::ItemCf.into(),
        explanation: None,
        propensity: 1.0,
    };

    let answer = pb::RecommendResponse {
        recommendation_id: "01a20065-73ec-74df-b499-ef7bfeac1583".to_owned(),
        generation: 1,
        items: (0..length).map(item).collect(),
        basis: pb::Basis::History.into(),
        reduced: false,
        cohort: String::new(),
        repeat_policy: pb::RepeatPolicy::ExcludePurchased.into(),
        repeat_reason: pb::RepeatReason::Default.into(),
        ..pb::RecommendResponse::default()
    };

    Server::builder()
        .add_service(RecommendationServiceServer::new(Ceiling(answer)))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}
