//! A server driven by a real client through import, train, recommend, restart.

use qianmian::api::wire::pb;
use qianmian::domain::{EventKind, Item};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{self, Server, online_retail, purchases, trained};

async fn health(server: &Server, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let response = HealthClient::new(server.channel.clone()).check(request).await.unwrap();
    response.into_inner().status()
}

fn ask(user: &str, limit: i32) -> pb::RecommendRequest {
    pb::RecommendRequest { user_id: user.into(), limit, ..Default::default() }
}

fn ids(items: &[pb::ScoredItem]) -> Vec<&str> {
    items.iter().map(|i| i.item_id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_real_log_to_lists_and_through_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let log = online_retail(&folder, 60_000);
    let data = folder.path().join("data");
    let (ok, report, error) = support::run(&[
        "import",
        log.to_str().unwrap(),
        "--preset",
        "online-retail",
        "--data",
        data.to_str().unwrap(),
    ]);
    assert!(ok, "{error}");
    assert!(report.contains("skipped: no customer"), "{report}");

    let server = Server::start(&data, support::quiet()).await;
    let service = "qianmian.v1.RecommendationService";
    assert_eq!(health(&server, "").await, ServingStatus::Serving);
    assert_eq!(health(&server, "qianmian.v1.EventService").await, ServingStatus::Serving);
    assert_eq!(health(&server, service).await, ServingStatus::NotServing);

    // Before the first model: popular items by live counts.
    let mut lists = server.recommendations();
    let before = lists.recommend(ask("17850", 5)).await.unwrap().into_inner();
    assert_eq!((before.generation, before.basis(), before.items.len()), (0, pb::Basis::Popular, 5));
    // And items alike by what they are: hearts, by their titles.
    let alike = lists
        .similar_items(pb::SimilarItemsRequest { item_id: "85123A".into(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!((alike.generation, alike.items[0].source()), (0, pb::Source::Content));

    // Train and watch.
    let mut models = server.models();
    let started = models.train(pb::TrainRequest {}).await.unwrap().into_inner();
    assert!(started.started);
    let watch = pb::WatchTrainingRequest { training_id: started.training_id.clone() };
    let mut progress = models.watch_training(watch.clone()).await.unwrap().into_inner();
    let mut last = None;
    while let Some(message) = progress.message().await.unwrap() {
        assert_eq!(message.training_id, started.training_id);
        last = Some(message);
    }
    let last = last.unwrap();
    assert_eq!((last.state(), last.generation), (pb::TrainingState::Succeeded, 1), "{last:?}");
    // Watching one that has ended gives its outcome.
    let mut again = models.watch_training(watch).await.unwrap().into_inner();
    assert_eq!(again.message().await.unwrap().unwrap().generation, 1);
    assert!(again.message().await.unwrap().is_none());
    for _ in 0..100 {
        if health(&server, service).await == ServingStatus::Serving {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(health(&server, service).await, ServingStatus::Serving);

    // Every method answers, with its generation, an id, scores that fall, and sources.
    let list = lists.recommend(ask("17850", 10)).await.unwrap().into_inner();
    assert_eq!((list.generation, list.basis(), list.items.len()), (1, pb::Basis::History, 10));
    assert!(list.items.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
    assert!(list.items.iter().all(|i| i.source() != pb::Source::Unspecified));
    assert!(!list.recommendation_id.is_empty());
    let similar = pb::SimilarItemsRequest { item_id: "85123A".into(), limit: 500, filter: None };
    let similar = lists.similar_items(similar).await.unwrap().into_inner();
    assert_eq!(similar.items.len(), 500);
    assert!(ids(&similar.items)[..10].contains(&"21733"), "the red one goes with the white one");
    let users = pb::SimilarUsersRequest { user_id: "17850".into(), limit: 3 };
    let users = lists.similar_users(users).await.unwrap().into_inner().users;
    assert!(users.len() == 3 && users.iter().all(|u| u.user_id != "17850" && u.score <= 1.0));
    let basket = vec!["22423".to_owned(), "22699".to_owned()];
    let together = pb::BoughtTogetherRequest { item_ids: basket.clone(), limit: 5, filter: None };
    let together = lists.bought_together(together).await.unwrap().into_inner();
    assert!(together.items.iter().all(|i| !basket.contains(&i.item_id)));
    assert_eq!(together.items[0].source(), pb::Source::BoughtTogether);
    let popular = pb::PopularRequest { window: pb::Window::AllTime.into(), limit: 3, filter: None };
    let popular = lists.popular(popular).await.unwrap().into_inner();
    assert_eq!(ids(&popular.items)[0], "85123A");

    // A restart serves the same model and the same list without training.
    server.stop().await;
    let server = Server::start(&data, support::quiet()).await;
    let again = server.recommendations().recommend(ask("17850", 10)).await.unwrap().into_inner();
    assert_eq!(again.generation, 1);
    assert_eq!(again.items, list.items);
    let kept = server.models().list_models(pb::ListModelsRequest {}).await.unwrap().into_inner();
    assert!(kept.models.len() == 1 && kept.models[0].active);
    let model = server.models().get_model(pb::GetModelRequest { generation: 0 }).await.unwrap();
    let model = model.into_inner().model.unwrap();
    assert!(model.users > 500 && model.seed == 1);

    // Importing the same file again adds nothing.
    server.stop().await;
    let (ok, report, error) = support::run(&[
        "import",
        log.to_str().unwrap(),
        "--preset",
        "online-retail",
        "--data",
        data.to_str().unwrap(),
    ]);
    assert!(ok, "{error}");
    let taken = report.lines().find(|l| l.contains("events taken")).unwrap();
    assert_eq!(taken.split_whitespace().last(), Some("0"), "{report}");
}

/// Two tastes, each with a user who lacks the item the others have.
fn two_tastes() -> Vec<(&'static str, &'static str, i64)> {
    let mut rows = Vec::new();
    for user in ["t1", "t2", "t3", "t4"] {
        rows.extend([(user, "tea", 1), (user, "pot", 2), (user, "cup", 3)]);
    }
    for user in ["b1", "b2", "b3", "b4"] {
        rows.extend([(user, "bike", 1), (user, "bell", 2), (user, "lock", 3)]);
    }
    rows.extend([("anna", "tea", 4), ("anna", "pot", 4), ("ben", "bike", 4), ("ben", "bell", 4)]);
    rows
}

async fn tastes() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    server.engine.writer().record(purchases(&two_tastes())).await.unwrap();
    trained(&server.engine).await;
    (folder, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_counts_in_the_very_next_list() {
    let (_folder, server) = tastes().await;
    let mut lists = server.recommendations();
    let before = lists.recommend(ask("new", 3)).await.unwrap().into_inner();
    assert_eq!(before.basis(), pb::Basis::Popular);
    assert_eq!(before.items.len(), 3);
    let event = pb::Event {
        event_id: "e1".into(),
        kind: pb::EventKind::Purchase.into(),
        user_id: "new".into(),
        item_id: "bike".into(),
        ..Default::default()
    };
    let write = pb::WriteEventsRequest { events: vec![event] };
    let receipt = server.events().write_events(write.clone()).await.unwrap().into_inner();
    assert_eq!((receipt.recorded, receipt.duplicates), (1, 0));
    let after = lists.recommend(ask("new", 3)).await.unwrap().into_inner();
    assert_eq!(after.basis(), pb::Basis::History);
    assert!(!ids(&after.items).contains(&"bike"), "bought items are left out by default");
    let mut first_two = ids(&after.items)[..2].to_vec();
    first_two.sort_unstable();
    assert_eq!(first_two, ["bell", "lock"]);
    let receipt = server.events().write_events(write).await.unwrap().into_inner();
    assert_eq!((receipt.recorded, receipt.duplicates), (0, 1), "a retry adds nothing");
    let allow =
        pb::RecommendRequest { repeat_policy: pb::RepeatPolicy::Allow.into(), ..ask("ben", 3) };
    let repeated = lists.recommend(allow).await.unwrap().into_inner();
    assert!(ids(&repeated.items).contains(&"bike"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_answered_batch_by_batch() {
    let (_folder, server) = tastes().await;
    let (batches, sent) = tokio::sync::mpsc::channel(1);
    let mut events = server.events();
    let stream = events.stream_events(tokio_stream::wrappers::ReceiverStream::new(sent)).await;
    let mut answers = stream.unwrap().into_inner();
    let event = |event_id: &str, user_id: &str| pb::Event {
        event_id: event_id.into(),
        kind: pb::EventKind::Purchase.into(),
        user_id: user_id.into(),
        item_id: "bike".into(),
        ..Default::default()
    };
    let sent = [
        (vec![event("s1", "new"), event("s2", ""), event("s1", "new")], (1, 1, vec![1])),
        (vec![event("", "")], (0, 0, vec![0])),
        (vec![event("s1", "new"), event("s3", "newer")], (1, 1, vec![])),
    ];
    let mut lists = server.recommendations();
    for (number, (events, expected)) in (1..).zip(sent) {
        batches.send(pb::StreamEventsRequest { events }).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        let wrong: Vec<i32> = answer.errors.iter().map(|error| error.index).collect();
        assert_eq!(answer.batches, number);
        assert_eq!((answer.recorded, answer.duplicates, wrong), expected);
        assert_eq!(answer.offset, server.engine.live().offset());
        let list = lists.recommend(ask("new", 3)).await.unwrap().into_inner();
        assert_eq!(list.basis(), pb::Basis::History, "what is answered counts");
    }
    // A batch beyond every limit ends the stream; what was answered stays.
    batches.send(pb::StreamEventsRequest::default()).await.unwrap();
    let refusal = answers.message().await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::InvalidArgument);
    let kept = lists.recommend(ask("newer", 3)).await.unwrap().into_inner();
    assert_eq!(kept.basis(), pb::Basis::History);

    // An idle stream does not hold up the end of the server.
    let (_batches, sent) = tokio::sync::mpsc::channel::<pb::StreamEventsRequest>(1);
    let idle = events.stream_events(tokio_stream::wrappers::ReceiverStream::new(sent)).await;
    let mut idle = idle.unwrap().into_inner();
    server.engine.close();
    assert!(matches!(idle.message().await, Ok(None)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_filters_and_exclusions() {
    let (_folder, server) = tastes().await;
    let mut lists = server.recommendations();
    let session = pb::RecommendRequest {
        session_item_ids: vec!["tea".into(), "nonsense".into()],
        limit: 2,
        ..Default::default()
    };
    let list = lists.recommend(session.clone()).await.unwrap().into_inner();
    assert_eq!(list.basis(), pb::Basis::Session);
    let mut found = ids(&list.items);
    found.sort_unstable();
    assert_eq!(found, ["cup", "pot"]);
    let without = pb::RecommendRequest { exclude_item_ids: vec!["pot".into()], ..session };
    let list = lists.recommend(without).await.unwrap().into_inner();
    assert_eq!(ids(&list.items)[0], "cup");

    // A category that no history leads to is still filled, up to what it holds.
    let item = |id: &str, category: &str, availability: pb::Availability| pb::Item {
        item_id: id.into(),
        title: id.to_uppercase(),
        categories: vec![category.into()],
        availability: availability.into(),
        ..Default::default()
    };
    use pb::Availability::{Available, Unavailable};
    let items = vec![
        item("bell", "ride/small", Available),
        item("lock", "ride/small", Unavailable),
        item("helmet", "ride", Available),
    ];
    let written = server
        .catalog()
        .upsert_items(pb::UpsertItemsRequest { items, update_mask: None })
        .await
        .unwrap();
    assert_eq!(written.into_inner().upserted, 3);
    let ride = |include_unavailable| pb::RecommendRequest {
        filter: Some(pb::Filter {
            categories: vec!["ride".into()],
            include_unavailable,
            ..pb::Filter::default()
        }),
        ..ask("anna", 9)
    };
    let list = lists.recommend(ride(false)).await.unwrap().into_inner();
    assert_eq!(ids(&list.items), ["bell", "helmet"]);
    assert_eq!(list.items[1].source(), pb::Source::Catalog);
    let list = lists.recommend(ride(true)).await.unwrap().into_inner();
    assert_eq!(list.items.len(), 3);
    // Sold out is gone from every path at once.
    let popular = pb::PopularRequest { limit: 500, ..Default::default() };
    let popular = lists.popular(popular).await.unwrap().into_inner();
    assert!(!ids(&popular.items).contains(&"lock"));
    let similar = pb::SimilarItemsRequest { item_id: "bike".into(), limit: 500, filter: None };
    let similar = lists.similar_items(similar).await.unwrap().into_inner();
    assert!(!ids(&similar.items).contains(&"lock"));
    assert_eq!(similar.items.len(), 5, "all other items that are there");

    let got = server.catalog().get_item(pb::GetItemRequest { item_id: "bell".into() }).await;
    assert_eq!(got.unwrap().into_inner().item.unwrap().title, "BELL");
    let page = pb::ListItemsRequest { page_size: 5, page_token: String::new() };
    let page = server.catalog().list_items(page).await.unwrap().into_inner();
    assert_eq!((page.items.len(), page.total_size, page.next_page_token.as_str()), (5, 7, "5"));
    let rest = pb::ListItemsRequest { page_size: 5, page_token: page.next_page_token };
    let rest = server.catalog().list_items(rest).await.unwrap().into_inner();
    assert_eq!((rest.items.len(), rest.next_page_token.as_str()), (2, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_ranked_and_many_users_answered() {
    let (_folder, server) = tastes().await;
    let mut lists = server.recommendations();
    let item_ids = ["bike", "nowhere", "tea", "cup", "bike"].map(str::to_owned).to_vec();
    let rank = pb::RankRequest { user_id: "anna".into(), item_ids, ..Default::default() };
    let ranked = lists.rank(rank).await.unwrap().into_inner();
    let order = ids(&ranked.items);
    assert_eq!(order[2..], ["bike", "nowhere"], "{order:?}");
    assert!(ranked.items[1].score > 0.0 && ranked.items[3].score == 0.0);
    assert_eq!((ranked.generation, ranked.basis()), (1, pb::Basis::History));

    let user_ids: Vec<String> = (0..300).map(|n| ["ben", "nobody", "anna"][n % 3].into()).collect();
    let batch =
        pb::BatchRecommendRequest { user_ids: user_ids.clone(), limit: 3, ..Default::default() };
    let mut answers = lists.batch_recommend(batch).await.unwrap().into_inner();
    let mut answered = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let single = lists.recommend(ask(&answer.user_id, 3)).await.unwrap().into_inner();
        assert_eq!(answer.recommendation.unwrap().items, single.items, "{}", answer.user_id);
        answered.push(answer.user_id);
    }
    assert_eq!(answered, user_ids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_training_leaves_the_model_in_place_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let empty = server.recommendations().recommend(ask("anna", 3)).await.unwrap_err();
    assert_eq!(empty.code(), Code::FailedPrecondition);
    let last = support::watched(server.models()).await;
    assert_eq!(last.state(), pb::TrainingState::Failed);
    assert!(last.error.contains("no interaction"), "{}", last.error);
    assert_eq!(server.engine.generation(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_falls_back_to_the_one_before() {
    let (folder, server) = tastes().await;
    assert_eq!(trained(&server.engine).await, 2);
    server.stop().await;
    let arrays = folder.path().join("stores/default/snapshots/0000000002/model.safetensors");
    let mut bytes = std::fs::read(&arrays).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&arrays, bytes).unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(server.engine.generation(), 1);
    assert_eq!(trained(&server.engine).await, 3, "a damaged generation's number is not reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_young_store_trains_by_itself_and_catalogue_and_refunds_survive() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Default::default()).await;
    server.engine.writer().record(purchases(&two_tastes())).await.unwrap();
    let item = Item { title: "Bike".into(), ..Item::default() };
    server.engine.writer().upsert_items(vec![("bike".into(), item)]).await.unwrap();
    let mut generation = server.engine.models().watch();
    let waited = tokio::time::timeout(
        std::time::Duration::from_secs(60),
        generation.wait_for(|&generation| generation > 0),
    );
    waited.await.expect("trained within a minute").unwrap();
    let mut refund = purchases(&[("ben", "bike", 5)]);
    refund[0].kind = EventKind::Refund;
    server.engine.writer().record(refund).await.unwrap();
    let list = server.recommendations().recommend(ask("ben", 9)).await.unwrap().into_inner();
    assert!(ids(&list.items).contains(&"bike"), "given back, so it may be offered again");
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    let got = server.catalog().get_item(pb::GetItemRequest { item_id: "bike".into() }).await;
    assert_eq!(got.unwrap().into_inner().item.unwrap().title, "Bike");
    let list = server.recommendations().recommend(ask("ben", 9)).await.unwrap().into_inner();
    assert!(ids(&list.items).contains(&"bike"));
}
