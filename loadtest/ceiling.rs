//! The ceiling of gRPC on this machine: the same service as the real one, with
//! every answer ready beforehand. What a load tester measures here is tonic, the
//! kernel and the load generator; the difference to the real server is ours.
//!
//! `cargo run --release --example ceiling -- 127.0.0.1:50052`

use qianmian::api::pb;
use qianmian::api::pb::recommendation_service_server::{
    RecommendationService, RecommendationServiceServer,
};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Ceiling(pb::RecommendResponse);

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
        Err(Status::unimplemented("only Recommend"))
    }

    async fn similar_users(
        &self,
        _: Request<pb::SimilarUsersRequest>,
    ) -> Result<Response<pb::SimilarUsersResponse>, Status> {
        Err(Status::unimplemented("only Recommend"))
    }

    async fn bought_together(
        &self,
        _: Request<pb::BoughtTogetherRequest>,
    ) -> Result<Response<pb::BoughtTogetherResponse>, Status> {
        Err(Status::unimplemented("only Recommend"))
    }

    async fn popular(
        &self,
        _: Request<pb::PopularRequest>,
    ) -> Result<Response<pb::PopularResponse>, Status> {
        Err(Status::unimplemented("only Recommend"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:50052".to_owned());
    let item = |i: usize| pb::ScoredItem {
        item_id: format!("{}", 20_000 + i),
        score: 1.0 / (1 + i) as f64,
        source: pb::Source::ItemCf.into(),
    };
    let answer = pb::RecommendResponse {
        recommendation_id: "01a20065-73ec-74df-b499-ef7bfeac1583".to_owned(),
        generation: 1,
        items: (0..20).map(item).collect(),
        basis: pb::Basis::History.into(),
    };
    println!("ceiling on {address}");
    Server::builder()
        .tcp_nodelay(true)
        .add_service(RecommendationServiceServer::new(Ceiling(answer)))
        .serve(address.parse()?)
        .await?;
    Ok(())
}
