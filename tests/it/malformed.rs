//! Bad input for every method: the status names the field and the limit, and
//! nothing is changed.

use qianmian::api::wire::pb;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{self, Server, purchases, trained};

/// A RecommendRequest whose strings may be any bytes.
#[derive(Clone, PartialEq, prost::Message)]
struct RawRecommend {
    #[prost(bytes, tag = "1")]
    user_id: Vec<u8>,
}

#[track_caller]
fn refused<T: std::fmt::Debug>(
    answer: Result<tonic::Response<T>, Status>,
    field: &str,
    says: &str,
) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let violation = &details.bad_request().expect("a BadRequest").field_violations[0];
    assert_eq!(violation.field, field);
    assert!(violation.description.contains(says), "{}", violation.description);
    assert_eq!(details.error_info().expect("an ErrorInfo").reason, "INVALID_ARGUMENT");
}

#[track_caller]
fn not_found<T: std::fmt::Debug>(answer: Result<tonic::Response<T>, Status>, id: &str) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status:?}");
    assert!(status.message().contains(id), "{}", status.message());
}

async fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let rows = [("u", "a", 1), ("u", "b", 1), ("v", "a", 1), ("v", "c", 1)];
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    (folder, server)
}

fn long(len: usize) -> String {
    "x".repeat(len)
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations() {
    let (_folder, server) = server().await;
    let mut client = server.recommendations();
    let good = pb::RecommendRequest { user_id: "u".into(), ..Default::default() };
    let over = |limit| pb::RecommendRequest { limit, ..good.clone() };
    refused(client.recommend(pb::RecommendRequest::default()).await, "user_id", "1 to 256");
    let request = pb::RecommendRequest { user_id: long(257), ..Default::default() };
    refused(client.recommend(request).await, "user_id", "at most 256 bytes, holds 257");
    refused(client.recommend(over(501)).await, "limit", "1 to 500, was 501");
    refused(client.recommend(over(-1)).await, "limit", "was -1");
    let request = pb::RecommendRequest { session_item_ids: vec!["a".into(); 101], ..good.clone() };
    refused(client.recommend(request).await, "session_item_ids", "0 to 100 entries, has more");
    let request =
        pb::RecommendRequest { exclude_item_ids: vec!["a".into(), String::new()], ..good.clone() };
    refused(client.recommend(request).await, "exclude_item_ids[1]", "is empty");
    let request = pb::RecommendRequest { strategy: 99, ..good.clone() };
    refused(client.recommend(request).await, "strategy", "was 99");
    let request = pb::RecommendRequest { strategy: pb::Source::Catalog.into(), ..good.clone() };
    refused(client.recommend(request).await, "strategy", "ITEM_CF");
    let request = pb::RecommendRequest { repeat_policy: 7, ..good.clone() };
    refused(client.recommend(request).await, "repeat_policy", "was 7");
    for (policy, days) in [(2, -1), (2, 40_000), (1, 5), (0, 5)] {
        let request = pb::RecommendRequest {
            repeat_policy: policy,
            exclude_purchased_days: days,
            ..good.clone()
        };
        refused(client.recommend(request).await, "exclude_purchased_days", "0 to 36500");
    }
    let filter = pb::Filter { categories: vec![long(300)], ..pb::Filter::default() };
    let request = pb::RecommendRequest { filter: Some(filter), ..good.clone() };
    refused(client.recommend(request).await, "filter.categories[0]", "256");

    let request =
        |item: &str| pb::SimilarItemsRequest { item_id: item.into(), limit: 0, filter: None };
    refused(client.similar_items(request("")).await, "item_id", "is empty");
    not_found(client.similar_items(request("nowhere")).await, "nowhere");
    let request = |user: &str| pb::SimilarUsersRequest { user_id: user.into(), limit: 0 };
    refused(client.similar_users(request("")).await, "user_id", "is empty");
    not_found(client.similar_users(request("nobody")).await, "nobody");
    let request =
        |items: Vec<String>| pb::BoughtTogetherRequest { item_ids: items, limit: 0, filter: None };
    refused(client.bought_together(request(vec![])).await, "item_ids", "1 to 100 entries, has 0");
    not_found(client.bought_together(request(vec!["nowhere".into()])).await, "nowhere");
    let request = pb::PopularRequest { window: 9, ..Default::default() };
    refused(client.popular(request).await, "window", "was 9");
    let request = pb::PopularRequest { limit: 1_000, ..Default::default() };
    refused(client.popular(request).await, "limit", "was 1000");
    let request = |items| pb::RankRequest {
        user_id: "u".into(),
        item_ids: vec!["a".into(); items],
        ..Default::default()
    };
    refused(client.rank(request(0)).await, "item_ids", "1 to 1000 entries, has 0");
    refused(client.rank(request(1_001)).await, "item_ids", "entries, has more");
    let request = pb::RankRequest { user_id: String::new(), ..request(1) };
    refused(client.rank(request).await, "user_id", "1 to 256");
    let request = |users| pb::BatchRecommendRequest {
        user_ids: vec!["a".into(); users],
        ..Default::default()
    };
    refused(client.batch_recommend(request(0)).await, "user_ids", "1 to 10000 entries, has 0");
    refused(
        client.batch_recommend(request(10_001)).await,
        "user_ids",
        "1 to 10000 entries, has more",
    );
    assert_eq!(client.recommend(good).await.unwrap().into_inner().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_and_no_message() {
    let (_folder, server) = server().await;
    let mut grpc = tonic::client::Grpc::new(server.channel.clone());
    let path = || http_path("/qianmian.v1.RecommendationService/Recommend");
    let raw = RawRecommend { user_id: vec![0x75, 0xff] };
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<RawRecommend, pb::RecommendResponse>::default();
    let answer = grpc.unary(tonic::Request::new(raw), path(), codec).await;
    refused(answer, "user_id", "must be UTF-8");
}

fn http_path(path: &'static str) -> tonic::codegen::http::uri::PathAndQuery {
    tonic::codegen::http::uri::PathAndQuery::from_static(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn events() {
    let (_folder, server) = server().await;
    let mut before = server.engine.live().offset();
    let mut client = server.events();
    let good = pb::Event {
        kind: pb::EventKind::View.into(),
        user_id: "u".into(),
        item_id: "a".into(),
        ..Default::default()
    };
    let write = |events: Vec<pb::Event>| pb::WriteEventsRequest { events };
    refused(client.write_events(write(vec![])).await, "events", "1 to 10000 entries, has 0");
    let many = write(vec![good.clone(); 10_001]);
    refused(client.write_events(many).await, "events", "1 to 10000 entries, has more");
    let future = prost_types::Timestamp { seconds: 1 << 40, nanos: 0 };
    let absurd = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let nanos = prost_types::Timestamp { seconds: 0, nanos: -1 };
    let cases: Vec<(pb::Event, &str, &str)> = vec![
        (pb::Event { kind: 0, ..good.clone() }, "kind", "1 to 9, was 0"),
        (pb::Event { kind: 77, ..good.clone() }, "kind", "was 77"),
        (pb::Event { user_id: String::new(), ..good.clone() }, "user_id", "is empty"),
        (pb::Event { item_id: long(257), ..good.clone() }, "item_id", "holds 257"),
        (pb::Event { event_id: long(300), ..good.clone() }, "event_id", "holds 300"),
        (pb::Event { time: Some(future), ..good.clone() }, "time", "one day ahead"),
        (pb::Event { time: Some(absurd), ..good.clone() }, "time", "one day ahead"),
        (pb::Event { time: Some(nanos), ..good.clone() }, "time", "nanos"),
        (pb::Event { quantity: Some(0.0), ..good.clone() }, "quantity", "greater than 0"),
        (pb::Event { price: Some(f64::NAN), ..good.clone() }, "price", "was NaN"),
        (pb::Event { rating: Some(f64::INFINITY), ..good.clone() }, "rating", "finite"),
    ];
    for (bad, field, says) in cases {
        let answer = client.write_events(write(vec![bad.clone(), bad.clone()])).await;
        refused(answer, &format!("events[0].{field}"), says);
        assert_eq!(server.engine.live().offset(), before, "nothing is recorded");
        let mixed = write(vec![good.clone(), bad, good.clone()]);
        let answer = client.write_events(mixed).await.unwrap().into_inner();
        assert_eq!((answer.recorded, answer.offset), (2, before + 2), "the good ones are");
        let [error] = &answer.errors[..] else { panic!("{:?}", answer.errors) };
        assert_eq!((error.index, error.field.as_str()), (1, field));
        assert!(error.message.contains(says), "{error:?}");
        before += 2;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn catalogue_and_models() {
    let (_folder, server) = server().await;
    let before = server.engine.live().offset();
    let mut client = server.catalog();
    let good = pb::Item { item_id: "a".into(), ..Default::default() };
    let upsert = |items: Vec<pb::Item>| pb::UpsertItemsRequest { items, update_mask: None };
    refused(client.upsert_items(upsert(vec![])).await, "items", "has 0");
    let twice = upsert(vec![good.clone(), good.clone()]);
    refused(client.upsert_items(twice).await, "items[1].item_id", "repeats \"a\"");
    let cases: Vec<(pb::Item, &str)> = vec![
        (pb::Item { item_id: String::new(), ..good.clone() }, "item_id"),
        (pb::Item { title: long(1_025), ..good.clone() }, "title"),
        (pb::Item { price: Some(-1.0), ..good.clone() }, "price"),
        (pb::Item { categories: vec!["c".into(); 33], ..good.clone() }, "categories"),
        (pb::Item { tags: vec![String::new()], ..good.clone() }, "tags[0]"),
        (pb::Item { availability: 5, ..good.clone() }, "availability"),
    ];
    for (bad, field) in cases {
        let answer = client.upsert_items(upsert(vec![bad])).await;
        refused(answer, &format!("items[0].{field}"), "");
    }
    refused(client.get_item(pb::GetItemRequest::default()).await, "item_id", "is empty");
    not_found(client.get_item(pb::GetItemRequest { item_id: "nowhere".into() }).await, "nowhere");
    let page =
        |page_size, token: &str| pb::ListItemsRequest { page_size, page_token: token.into() };
    refused(client.list_items(page(1_001, "")).await, "page_size", "was 1001");
    refused(client.list_items(page(-1, "")).await, "page_size", "was -1");
    refused(client.list_items(page(1, "page two")).await, "page_token", "page two");
    assert_eq!(server.engine.live().offset(), before);

    let mut models = server.models();
    not_found(models.get_model(pb::GetModelRequest { generation: 99 }).await, "99");
    let watch = pb::WatchTrainingRequest { training_id: "none".into() };
    not_found(models.watch_training(watch).await, "none");
}
