//! What users may ask: no personalisation, no recording, what is held and believed of them, and how they are
//! recommended to.

use std::path::Path;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::insight_service_client::InsightServiceClient;
use qianmian::domain::{Event, EventKind};
use tonic::{Code, Status};

use crate::support::{self, Server, purchases, trained};

/// A shop of tea and cups with a model; anna buys tea alone.
async fn shop(data: &Path) -> Server {
    let server = Server::start(data, support::quiet()).await;
    let items = (0..40).map(|n| pb::Item {
        item_id: format!("i{n}"),
        categories: vec![if n < 20 { "tea/green" } else { "cups" }.into()],
        brand: if n < 20 { "Longjing" } else { "Kiln" }.into(),
        ..Default::default()
    });
    let request = pb::UpsertItemsRequest { items: items.collect(), ..Default::default() };
    server.catalog().upsert_items(request).await.unwrap();
    let names: Vec<(String, String)> = (0..1_200)
        .map(|n| (format!("u{}", n % 200), format!("i{}", (n % 2) * 20 + (n * 7 + n / 200) % 20)))
        .collect();
    let mut rows: Vec<_> =
        names.iter().map(|(user, item)| (user.as_str(), item.as_str(), 1)).collect();
    rows.extend([("anna", "i1", 2), ("anna", "i2", 3), ("anna", "i3", 4)]);
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    server
}

async fn personalise(
    server: &Server,
    user: &str,
    enabled: bool,
    record: bool,
) -> Result<(), Status> {
    let request = pb::SetPersonalisationRequest {
        user_id: user.into(),
        enabled,
        record_events: Some(record),
    };
    server.users().set_personalisation(request).await.map(drop)
}

async fn list(server: &Server, user: &str) -> pb::RecommendResponse {
    let request = pb::RecommendRequest { user_id: user.into(), limit: 5, ..Default::default() };
    server.recommendations().recommend(request).await.unwrap().into_inner()
}

async fn view(server: &Server, user: &str, item: &str) -> pb::WriteEventsResponse {
    let event = pb::Event {
        user_id: user.into(),
        item_id: item.into(),
        kind: pb::EventKind::View.into(),
        ..Default::default()
    };
    let request = pb::WriteEventsRequest { events: vec![event] };
    server.events().write_events(request).await.unwrap().into_inner()
}

async fn tags(server: &Server, user: &str) -> Result<pb::ListUserTagsResponse, Status> {
    let mut client = InsightServiceClient::new(server.channel.clone());
    let request = pb::ListUserTagsRequest { user_id: user.into() };
    client.list_user_tags(request).await.map(tonic::Response::into_inner)
}

async fn delete_tag(server: &Server, user: &str, tag: &str) -> Result<(), Status> {
    let mut client = InsightServiceClient::new(server.channel.clone());
    let request = pb::DeleteUserTagRequest { user_id: user.into(), tag: tag.into() };
    client.delete_user_tag(request).await.map(drop)
}

async fn data(server: &Server, user: &str) -> Result<serde_json::Value, Status> {
    let request = pb::GetUserDataRequest { user_id: user.into() };
    let mut parts = server.users().get_user_data(request).await?.into_inner();
    let mut text = String::new();
    while let Some(part) = parts.message().await? {
        text += &part.json_part;
    }
    Ok(serde_json::from_str(&text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn personalisation_off_holds_in_the_next_answer_and_against_the_shops_profile() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    assert_eq!(list(&server, "anna").await.basis(), pb::Basis::History);
    personalise(&server, "anna", false, true).await.unwrap();
    assert_ne!(list(&server, "anna").await.basis(), pb::Basis::History);
    assert_eq!(view(&server, "anna", "i4").await.recorded, 1, "it is still recorded");

    // The shop's nightly profiles do not turn it on again.
    let consent = pb::Consent::Given.into();
    let user = pb::User { user_id: "anna".into(), consent, ..Default::default() };
    server.users().upsert_users(pb::UpsertUsersRequest { users: vec![user] }).await.unwrap();
    assert_ne!(list(&server, "anna").await.basis(), pb::Basis::History);
    let known = pb::GetUserRequest { user_id: "anna".into() };
    let known = server.users().get_user(known).await.unwrap().into_inner();
    assert!(!known.personalised && known.records_events);

    // One who was never there before can object too, and is not recorded.
    personalise(&server, "new", false, false).await.unwrap();
    let answer = view(&server, "new", "i4").await;
    assert_eq!((answer.recorded, answer.declined), (0, 1));
    let refused = personalise(&server, "anna", true, false).await.unwrap_err();
    assert!(refused.message().contains("record_events"), "{refused}");

    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_ne!(list(&server, "anna").await.basis(), pb::Basis::History);
    assert_eq!(view(&server, "new", "i4").await.declined, 1);
    trained(&server.engine).await;
    assert_ne!(list(&server, "anna").await.basis(), pb::Basis::History);
    personalise(&server, "anna", true, true).await.unwrap();
    assert_eq!(list(&server, "anna").await.basis(), pb::Basis::History);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tag_is_believed_no_more_by_portrait_and_lists() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let believed = tags(&server, "anna").await.unwrap().tags;
    let category = believed.iter().find(|of| of.tag == "category:tea/green").unwrap();
    assert!(category.reason.contains("3 purchases"), "{}", category.reason);
    assert!(believed.iter().any(|of| of.tag == "brand:Longjing"));

    // Everything that anna did was tea: nothing is left to follow.
    delete_tag(&server, "anna", "category:tea").await.unwrap();
    let after = tags(&server, "anna").await.unwrap();
    assert!(!after.tags.iter().any(|of| of.tag.starts_with("category:")), "{:?}", after.tags);
    assert_eq!(after.deleted_tags, ["category:tea"]);
    let of_anna = list(&server, "anna").await;
    assert_ne!(of_anna.basis(), pb::Basis::History);
    // What she bought stays bought.
    let bought = ["i1", "i2", "i3"];
    assert!(!of_anna.items.iter().any(|item| bought.contains(&item.item_id.as_str())));
    trained(&server.engine).await;
    assert_ne!(list(&server, "anna").await.basis(), pb::Basis::History, "also after a training");
    assert!(tags(&server, "anna").await.unwrap().tags.iter().all(|of| of.tag != "brand:Longjing"));

    view(&server, "anna", "i25").await;
    assert_eq!(list(&server, "anna").await.basis(), pb::Basis::History, "of cups");
    let refused = delete_tag(&server, "anna", "colour:red").await.unwrap_err();
    assert!(refused.code() == Code::InvalidArgument && refused.message().contains("tag"));
    assert_eq!(delete_tag(&server, "no-one", "prices").await.unwrap_err().code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_held_is_one_json_until_the_erasure() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let seen = Event {
        channel: "app".into(),
        basket_id: "b-77".into(),
        ..Event::new(EventKind::Purchase, "anna", "i9", 5)
    };
    server.engine.writer().record(vec![seen]).await.unwrap();
    let held = data(&server, "anna").await.unwrap();
    let events = held["events"].as_array().unwrap();
    assert_eq!(events.len(), 4);
    assert_eq!((&events[3]["itemId"], &events[3]["basketId"]), (&"i9".into(), &"b-77".into()));
    assert_eq!(held["decisions"]["personalised"], true);
    assert_eq!(held["portrait"]["orders"]["count"], 4);

    personalise(&server, "anna", false, false).await.unwrap();
    let held = data(&server, "anna").await.unwrap();
    assert_eq!(
        (&held["decisions"]["eventsRecorded"], &held["portrait"]),
        (&false.into(), &serde_json::Value::Null)
    );
    let erase = pb::DeleteUserRequest { user_id: "anna".into() };
    server.users().delete_user(erase).await.unwrap();
    assert_eq!(data(&server, "anna").await.unwrap_err().code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_described_in_two_languages() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let describe = |language: i32| {
        let request = pb::DescribeRecommenderRequest { language };
        let mut client = server.recommendations();
        async move { client.describe_recommender(request).await }
    };
    let english = describe(pb::Language::English.into()).await.unwrap().into_inner();
    assert_eq!(english.generation, 1);
    assert!((english.sources.iter().map(|of| of.weight).sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(english.sentences[0].contains("201 users"), "{:?}", english.sentences);
    let chinese = describe(pb::Language::Chinese.into()).await.unwrap().into_inner();
    assert!(chinese.sentences.iter().any(|sentence| sentence.contains("关闭个性化推荐")));
    assert_eq!(describe(7).await.unwrap_err().code(), Code::InvalidArgument);
    server.stop().await;
}

/// A price cannot differ by who asks: answers of lists have none, and the catalogue's do not depend on the
/// caller.
#[test]
fn no_list_carries_a_price() {
    let pool = prost_reflect::DescriptorPool::decode(qianmian::api::wire::pb::DESCRIPTORS).unwrap();
    let service = pool.get_service_by_name("qianmian.v1.RecommendationService").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut open: Vec<_> = service.methods().map(|method| method.output()).collect();
    while let Some(message) = open.pop() {
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for field in message.fields() {
            assert!(!field.name().contains("price"), "{}", field.full_name());
            if let prost_reflect::Kind::Message(inner) = field.kind() {
                open.push(inner);
            }
        }
    }
    assert!(seen.len() > 10, "{seen:?}");
    let catalog = pool.get_service_by_name("qianmian.v1.CatalogService").unwrap();
    for method in catalog.methods().filter(|method| method.name().starts_with("Get")) {
        let named = method.input().fields().any(|field| field.name().contains("user"));
        assert!(!named, "{} asks who asks", method.full_name());
    }
}
