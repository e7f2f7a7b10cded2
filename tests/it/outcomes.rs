//! Outcomes of lists over the wire: what is counted, once and where it belongs.

use std::time::Duration;

use qianmian::api::wire::pb;
use serde_json::{Value, json};

use crate::experiments::{
    client, event, experiment, home, metrics, recorded, report, running, shop, write,
};
use crate::support::{self, Server};

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_counted_once_and_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.experiments.exclude = vec!["role=staff".into()];
    let server = shop(folder.path(), options).await;
    let staff = pb::User {
        user_id: "u9".into(),
        attributes: [("role".into(), "staff".into())].into(),
        ..Default::default()
    };
    let users = pb::UpsertUsersRequest { users: vec![staff] };
    server.users().upsert_users(users).await.unwrap();

    let (list, of_staff) = (home(&server, "u1").await, home(&server, "u9").await);
    let other = home(&server, "u2").await;
    recorded(&server, 2).await;
    let of = |kind| event(kind, "u1", &list);
    let unnamed = |kind| pb::Event { recommendation_id: String::new(), ..of(kind) };
    let unknown = pb::Event {
        recommendation_id: "00000000-0000-0000-0000-000000000000".into(),
        ..of(pb::EventKind::Click)
    };
    let view = pb::Event { dwell_ms: Some(3_000), ..of(pb::EventKind::View) };
    let storm = (0..50).map(|_| of(pb::EventKind::Click));
    let mut events: Vec<pb::Event> = storm.collect();
    events.extend([
        of(pb::EventKind::AddToCart),
        // Without an answer's id it belongs to the list that showed the item to the user.
        unnamed(pb::EventKind::Purchase),
        unknown,
        view,
        event(pb::EventKind::Click, "u9", &of_staff),
        event(pb::EventKind::Click, "u2", &other),
    ]);
    write(&server, events).await;
    write(&server, vec![unnamed(pb::EventKind::Refund)]).await;

    let groups = metrics(&server, &[pb::MetricDimension::Placement]).await;
    let of_home = groups.iter().find(|group| group.placement == "home").unwrap();
    let plain = groups.iter().find(|group| group.placement.is_empty()).unwrap();
    assert_eq!((of_home.lists, of_home.shown, of_home.clicks), (2, 12, 2));
    assert_eq!((of_home.carts, of_home.purchases, of_home.refunds), (1, 1, 1));
    assert_eq!((of_home.revenue, of_home.refunded), (10.0, 10.0));
    assert_eq!((of_home.revenue_per_thousand, of_home.dwell_ms), (0.0, Some(3_000.0)));
    assert!((of_home.click_through_rate - 2.0 / 12.0).abs() < 1e-12);
    assert_eq!(plain.unattributed, 1);
    assert!(of_home.items_shown.unwrap() >= 6 && of_home.catalogue_share.unwrap() <= 1.0);

    let by = [pb::MetricDimension::Source, pb::MetricDimension::Day];
    let clicks: i64 = metrics(&server, &by).await.iter().map(|group| group.clicks).sum();
    assert_eq!(clicks, 2);
    let impressions = vec![of(pb::EventKind::Impression), of(pb::EventKind::Impression)];
    write(&server, impressions).await;
    let groups = metrics(&server, &[pb::MetricDimension::Placement]).await;
    let of_home = groups.iter().find(|group| group.placement == "home").unwrap();
    assert_eq!((of_home.impressions, of_home.click_through_rate), (1, 2.0), "by what was seen");

    // The same in the fields of User Behavior Insights.
    let ubi = folder.path().join("ubi");
    let data = folder.path().to_str().unwrap();
    let exported = support::run(&["export", "ubi", ubi.to_str().unwrap(), "--data", data]);
    assert!(exported.0, "{}", exported.2);
    let lines = |name: &str| {
        let text = std::fs::read_to_string(ubi.join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let queries = lines("ubi_queries.ndjson");
    let query = queries.iter().find(|q| q["query_id"] == list.recommendation_id.as_str()).unwrap();
    assert_eq!((&query["client_id"], &query["user_query"]), (&json!("u1"), &json!("home")));
    assert_eq!(query["query_response_hit_ids"][0], list.items[0].item_id.as_str());
    let carts = lines("ubi_events.ndjson");
    let cart = carts.iter().find(|event| event["action_name"] == "add_to_cart").unwrap();
    assert_eq!(cart["query_id"], list.recommendation_id.as_str());
    assert_eq!(cart["event_attributes"]["position"]["ordinal"], 1);
    assert_eq!(cart["event_attributes"]["object"]["object_id"], list.items[0].item_id.as_str());

    // Nothing of a user survives their erasure.
    let erase = pb::DeleteUserRequest { user_id: "u1".into() };
    server.users().delete_user(erase).await.unwrap();
    write(&server, vec![event(pb::EventKind::Purchase, "u3", &list)]).await;
    let groups = metrics(&server, &[pb::MetricDimension::Placement]).await;
    let of_home = groups.iter().find(|group| group.placement == "home").unwrap();
    assert_eq!(of_home.purchases, 1, "the erased user's list is known no longer");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_finds_its_list_however_soon_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    for user in (0..100).map(|n| format!("u{n}")) {
        let list = home(&server, &user).await;
        write(&server, vec![event(pb::EventKind::Click, &user, &list)]).await;
    }
    let counted = |groups: &[pb::MetricGroup]| (groups[0].clicks, groups[0].unattributed);
    let groups = metrics(&server, &[]).await;
    assert_eq!(counted(&groups), (100, 0));
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(metrics(&server, &[]).await, groups, "in the log too");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_count_from_their_first_list_whoever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    running(&server, experiment("first")).await;

    // The store does not know these users before they buy.
    for user in (0..20).map(|n| format!("new{n}")) {
        let list = home(&server, &user).await;
        write(&server, vec![event(pb::EventKind::Purchase, &user, &list)]).await;
        home(&server, &user).await;
    }
    let counted = |report: &pb::GetExperimentReportResponse| {
        let users: i64 = report.variants.iter().map(|variant| variant.users).sum();
        let revenue = report.variants.iter().map(|v| v.figures[1].value * v.users as f64);
        (users, revenue.sum::<f64>().round(), report.mixed_users)
    };
    recorded(&server, 40).await;
    assert_eq!(counted(&report(&server, "first").await), (20, 200.0, 0));

    // Answers of others, and more than was paid, are not to be had.
    let list = home(&server, "new1").await;
    let claimed = event(pb::EventKind::Purchase, "new2", &list);
    let bought = event(pb::EventKind::Purchase, "new1", &list);
    let refund = pb::Event { price: Some(1e6), ..event(pb::EventKind::Refund, "new1", &list) };
    write(&server, vec![claimed, bought, refund.clone(), refund]).await;
    let groups = metrics(&server, &[]).await;
    assert_eq!((groups[0].unattributed, groups[0].refunds, groups[0].refunded), (1, 1, 10.0));

    // Nothing after the end counts.
    let before = report(&server, "first").await;
    let stop = pb::StopExperimentRequest { name: "first".into(), reason: "enough".into() };
    client(&server).stop_experiment(stop).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    write(&server, vec![event(pb::EventKind::Purchase, "new3", &list)]).await;
    assert_eq!(report(&server, "first").await.variants, before.variants);
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(counted(&report(&server, "first").await), counted(&before));
    server.stop().await;
}
