//! Several ids of one user: linked, taken back, erased; live, after restarts and in trainings.

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::insight_service_client::InsightServiceClient;
use qianmian::domain::{DAY_MS, Event, EventKind, now_ms};
use serde_json::Value;
use tonic::Status;

use crate::merchandise::{ask, ids, recommend};
use crate::support::{self, Server, trained};

fn event(kind: EventKind, user: &str, item: &str, days_ago: i64) -> Event {
    let morning = now_ms() / DAY_MS * DAY_MS - 14 * 3_600_000;
    let (price, channel) = (Some(10.0), "app".to_owned());
    Event { price, channel, ..Event::new(kind, user, item, morning - days_ago * DAY_MS) }
}

fn buy(user: &str, item: &str, days_ago: i64) -> Event {
    event(EventKind::Purchase, user, item, days_ago)
}

async fn link(server: &Server, user: &str, aliases: &[&str]) -> Result<u32, Status> {
    let alias_ids = aliases.iter().map(|&alias| alias.to_owned()).collect();
    let request = pb::LinkUsersRequest { user_id: user.into(), alias_ids };
    Ok(server.users().link_users(request).await?.into_inner().linked)
}

async fn unlink(server: &Server, aliases: &[&str]) -> u32 {
    let alias_ids = aliases.iter().map(|&alias| alias.to_owned()).collect();
    let request = pb::UnlinkUsersRequest { alias_ids };
    server.users().unlink_users(request).await.unwrap().into_inner().unlinked
}

async fn portrait(server: &Server, user: &str) -> pb::Portrait {
    let mut client = InsightServiceClient::new(server.channel.clone());
    let request = pb::GetPortraitRequest { user_id: user.into() };
    client.get_portrait(request).await.unwrap().into_inner().portrait.unwrap()
}

/// What the store says of a user, but for what compares users, which is made from time to time.
async fn facts(server: &Server, user: &str) -> pb::Portrait {
    let whole = portrait(server, user).await;
    pb::Portrait {
        rfm: None,
        forecast: None,
        next_order_time: None,
        due_items: Vec::new(),
        ..whole
    }
}

async fn get(server: &Server, user: &str) -> pb::GetUserResponse {
    let request = pb::GetUserRequest { user_id: user.into() };
    server.users().get_user(request).await.unwrap().into_inner()
}

async fn held(server: &Server, user: &str) -> Value {
    let request = pb::GetUserDataRequest { user_id: user.into() };
    let mut parts = server.users().get_user_data(request).await.unwrap().into_inner();
    let mut text = String::new();
    while let Some(part) = parts.message().await.unwrap() {
        text += &part.json_part;
    }
    serde_json::from_str(&text).unwrap()
}

/// Anna by her account, her phone and her card; and others.
async fn shop(data: &std::path::Path) -> Server {
    let server = Server::start(data, support::quiet()).await;
    let mut events = vec![
        buy("anna", "tea", 30),
        buy("phone", "tea", 20),
        buy("phone", "cup", 10),
        event(EventKind::Refund, "phone", "cup", 5),
        event(EventKind::Hide, "phone", "mug", 4),
        event(EventKind::View, "card", "pot", 3),
    ];
    for n in 0..8 {
        events.extend(["tea", "cup", "pot", "mug"].map(|item| buy(&format!("u{n}"), item, n + 2)));
    }
    server.engine.writer().record(events).await.unwrap();
    let user = |id: &str, name: &str, value: &str| pb::User {
        user_id: id.into(),
        attributes: [(name.to_owned(), value.to_owned())].into(),
        ..Default::default()
    };
    let users = vec![user("anna", "country", "SE"), user("phone", "device", "phone")];
    server.users().upsert_users(pb::UpsertUsersRequest { users }).await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn linked_ids_are_one_user_and_parted_ones_are_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let apart = [facts(&server, "anna").await, facts(&server, "phone").await];
    assert_eq!(link(&server, "anna", &["phone", "card"]).await.unwrap(), 2);
    assert_eq!(link(&server, "anna", &["phone"]).await.unwrap(), 0, "it is linked already");

    let check_one = async |server: &Server| {
        let anna = portrait(server, "anna").await;
        assert_eq!(portrait(server, "phone").await, anna);
        let orders = anna.orders.unwrap();
        assert_eq!((orders.count, orders.spend, orders.refunded), (2, 20.0, 10.0));
        assert_eq!((anna.user_id.as_str(), anna.channels[0].events), ("anna", 5));
        let found = get(server, "card").await;
        assert_eq!(found.alias_ids, ["phone", "card"]);
        let user = found.user.unwrap();
        assert_eq!((user.user_id.as_str(), user.attributes.len()), ("anna", 2));
        let listed = server.users().list_users(pb::ListUsersRequest::default()).await.unwrap();
        assert_eq!(listed.into_inner().users.len(), 9, "aliases are not listed");
    };
    check_one(&server).await;

    // Also after a restart; and lists follow all ids, and hide what any of them hides.
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    check_one(&server).await;
    trained(&server.engine).await;
    let list = recommend(&server, ask("card")).await;
    assert_eq!((list.basis(), ids(&list.items).contains(&"mug")), (pb::Basis::History, false));
    // The training knows one user: her tea counts once.
    let users = server.engine.live().buyers()[0];
    assert_eq!(users, 9, "anna, and eight others bought tea");

    // An event under an alias is the user's.
    server.engine.writer().record(vec![buy("card", "tea", 0)]).await.unwrap();
    assert_eq!(portrait(&server, "anna").await.orders.unwrap().count, 3);
    assert_eq!(held(&server, "anna").await["events"].as_array().unwrap().len(), 7);

    // Taken back, each id has what came under it, as if it had never been linked.
    assert_eq!(unlink(&server, &["phone", "card", "u1"]).await, 2);
    let check_apart = async |server: &Server| {
        for (user, before) in ["anna", "phone"].iter().zip(&apart) {
            let as_of = portrait(server, user).await.as_of;
            let next_categories = Vec::new();
            let now = pb::Portrait { next_categories, ..facts(server, user).await };
            assert_eq!(now, pb::Portrait { as_of, ..before.clone() });
        }
        assert_eq!(portrait(server, "card").await.orders.unwrap().count, 1);
        assert!(get(server, "anna").await.alias_ids.is_empty());
        assert_eq!(server.engine.live().buyers()[0], 11, "anna, her phone, her card and eight");
    };
    check_apart(&server).await;
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    check_apart(&server).await;
    server.stop().await;
}

async fn personalised(server: &Server, user: &str, enabled: bool) {
    let request =
        pb::SetPersonalisationRequest { user_id: user.into(), enabled, record_events: None };
    server.users().set_personalisation(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_of_links_loses_an_objection_or_counts_an_event_twice() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let consent = async |server: &Server, user: &str, consent: pb::Consent| {
        let attributes = [("of".to_owned(), user.to_owned())].into();
        let user = pb::User { user_id: user.into(), attributes, consent: consent.into() };
        let request = pb::UpsertUsersRequest { users: vec![user] };
        server.users().upsert_users(request).await.unwrap();
    };
    // From one user to another: what came before the first link is not written over the second user.
    link(&server, "anna", &["phone"]).await.unwrap();
    unlink(&server, &["phone"]).await;
    personalised(&server, "phone", false).await;
    personalised(&server, "phone", true).await;
    link(&server, "u1", &["phone"]).await.unwrap();
    server.engine.writer().record(vec![buy("phone", "tea", 0)]).await.unwrap();
    let spend = portrait(&server, "u1").await.orders.unwrap().spend;
    consent(&server, "u1", pb::Consent::Denied).await;
    personalised(&server, "u1", false).await;

    // Another alias is taken back: what was decided under the others stays.
    link(&server, "anna", &["card", "new"]).await.unwrap();
    personalised(&server, "card", false).await;
    assert_eq!(unlink(&server, &["new", "new", "new"]).await, 1);
    consent(&server, "anna", pb::Consent::Given).await;

    let check = async |server: &Server| {
        for user in ["u1", "phone", "anna", "card", "new"] {
            assert!(!get(server, user).await.personalised, "{user} objected");
        }
        assert_eq!(get(server, "u1").await.user.unwrap().consent(), pb::Consent::Denied);
        assert_eq!(get(server, "u2").await.user.unwrap().consent(), pb::Consent::Given);
    };
    check(&server).await;
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    check(&server).await;

    // One who objected is objecting still when the link is taken back; and nothing counts twice.
    personalised(&server, "phone", true).await;
    consent(&server, "u1", pb::Consent::Given).await;
    assert_eq!(portrait(&server, "phone").await.orders.unwrap().spend, spend);
    personalised(&server, "phone", false).await;
    assert_eq!(unlink(&server, &["phone"]).await, 1);
    assert!(!get(&server, "u1").await.personalised && !get(&server, "phone").await.personalised);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_refused_by_name_and_erasure_takes_all_ids() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let refused = async |user: &str, aliases: &[&str]| {
        link(&server, user, aliases).await.unwrap_err().message().to_owned()
    };
    link(&server, "anna", &["phone"]).await.unwrap();
    assert_eq!(
        refused("u1", &["phone"]).await,
        "alias_ids[0]: is an alias of \"anna\": unlink it first"
    );
    assert_eq!(refused("phone", &["u2"]).await, "user_id: is an alias of \"anna\": link to that");
    assert!(
        refused("u1", &["u2", "anna"]).await.starts_with("alias_ids[1]: has aliases of its own")
    );
    assert_eq!(refused("u1", &["u1"]).await, "alias_ids[0]: is the user, \"u1\"");
    assert!(get(&server, "u1").await.alias_ids.is_empty(), "nothing of a refused link is made");
    assert!(refused("u1", &[]).await.starts_with("alias_ids: "));

    // No objection is overruled by a link.
    let off = pb::SetPersonalisationRequest { user_id: "card".into(), ..Default::default() };
    server.users().set_personalisation(off).await.unwrap();
    let said = refused("anna", &["card"]).await;
    assert!(
        said.starts_with("alias_ids[0]: has another consent than the user: it objected"),
        "{said}"
    );
    // Nor by a profile that comes under an alias.
    let consent = |user: &str, consent: pb::Consent| pb::User {
        user_id: user.into(),
        consent: consent.into(),
        ..Default::default()
    };
    for user in [consent("anna", pb::Consent::Denied), consent("phone", pb::Consent::Given)] {
        server.users().upsert_users(pb::UpsertUsersRequest { users: vec![user] }).await.unwrap();
    }
    let kept = get(&server, "phone").await.user.unwrap();
    assert_eq!(kept.consent(), pb::Consent::Denied);
    let given = consent("anna", pb::Consent::Given);
    server.users().upsert_users(pb::UpsertUsersRequest { users: vec![given] }).await.unwrap();
    // One of a linked id holds for all.
    let off = pb::SetPersonalisationRequest { user_id: "phone".into(), ..Default::default() };
    server.users().set_personalisation(off).await.unwrap();
    assert!(!get(&server, "anna").await.personalised);
    link(&server, "anna", &["card"]).await.unwrap();

    let erased = pb::DeleteUserRequest { user_id: "card".into() };
    server.users().delete_user(erased).await.unwrap();
    for id in ["anna", "phone", "card"] {
        let request = pb::GetUserRequest { user_id: id.into() };
        assert!(server.users().get_user(request).await.is_err(), "{id} is erased");
    }
    // The ids may come back, as users of their own.
    server.engine.writer().record(vec![buy("phone", "tea", 0)]).await.unwrap();
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(portrait(&server, "phone").await.orders.unwrap().count, 1);
    let request = pb::GetUserRequest { user_id: "anna".into() };
    assert!(server.users().get_user(request).await.is_err());
    trained(&server.engine).await;
    server.stop().await;
}
