//! Saved segments with live membership, in rules, placements and experiments, and audiences.

use std::path::Path;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::insight_service_client::InsightServiceClient;
use qianmian::domain::{DAY_MS, Event, EventKind, now_ms};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::experiments::{experiment, home, place, running, variant};
use crate::support::{self, Server, trained};

fn client(server: &Server) -> InsightServiceClient<Channel> {
    InsightServiceClient::new(server.channel.clone())
}

fn of(kind: pb::user_condition::Kind) -> Option<pb::UserCondition> {
    Some(pb::UserCondition { kind: Some(kind) })
}

fn figure(figure: pb::UserFigure, min: Option<f64>, max: Option<f64>) -> Option<pb::UserCondition> {
    let figure = pb::FigureCondition { figure: figure.into(), min, max };
    of(pb::user_condition::Kind::Figure(figure))
}

fn segment(name: &str, condition: Option<pb::UserCondition>) -> pb::UserSegment {
    pb::UserSegment { name: name.into(), condition }
}

async fn apply(server: &Server, segments: Vec<pb::UserSegment>) -> Result<(), Status> {
    let settings = Some(pb::InsightSettings { segments, ..Default::default() });
    let request = pb::ApplyInsightSettingsRequest { settings, ..Default::default() };
    client(server).apply_insight_settings(request).await.map(drop)
}

/// "big": who spent 50 or more; "lapsed": who bought, but not in 30 days; "small": who is not big.
async fn segments(server: &Server) {
    let big = figure(pb::UserFigure::Spend, Some(50.0), None);
    let not_big = pb::UserConditions {
        conditions: vec![of(pb::user_condition::Kind::Segment("big".into())).unwrap()],
    };
    let lapsed = figure(pb::UserFigure::DaysSinceLastOrder, Some(30.0), None);
    let small = of(pb::user_condition::Kind::NoneOf(not_big));
    let all = vec![segment("big", big), segment("lapsed", lapsed), segment("small", small)];
    apply(server, all).await.unwrap();
}

fn buy(user: &str, item: &str, days_ago: i64, price: f64) -> Event {
    let morning = now_ms() / DAY_MS * DAY_MS - 14 * 3_600_000;
    let time_ms = morning - days_ago * DAY_MS;
    Event { price: Some(price), ..Event::new(EventKind::Purchase, user, item, time_ms) }
}

/// Tea drinkers t0 to t9, of whom only the first five bought "rare" tea; cup buyers c0 to c9; all with
/// small orders. t0 bought last 60 days ago.
async fn shop(data: &Path) -> Server {
    let server = Server::start(data, support::quiet()).await;
    let item = |id: &str, category: &str| pb::Item {
        item_id: id.into(),
        categories: vec![category.into()],
        price: Some(4.0),
        ..Default::default()
    };
    let items = vec![
        item("green", "tea"),
        item("black", "tea"),
        item("rare", "tea"),
        item("cup", "cups"),
        item("mug", "cups"),
        item("gift", "cups"),
    ];
    let request = pb::UpsertItemsRequest { items, ..Default::default() };
    server.catalog().upsert_items(request).await.unwrap();

    let mut events = Vec::new();
    for n in 0..10 {
        let age = if n == 0 { 60 } else { 0 };
        let tea = format!("t{n}");
        events.extend([buy(&tea, "green", age + n + 20, 4.0), buy(&tea, "black", age + n, 4.0)]);
        if n < 5 {
            events.push(buy(&tea, "rare", age + n + 10, 4.0));
        }
        let cup = format!("c{n}");
        events.extend([buy(&cup, "cup", n + 20, 4.0), buy(&cup, "mug", n, 4.0)]);
    }
    server.engine.writer().record(events).await.unwrap();
    trained(&server.engine).await;
    server
}

async fn segments_of(server: &Server, user: &str) -> Vec<String> {
    let request = pb::GetPortraitRequest { user_id: user.into() };
    let portrait = client(server).get_portrait(request).await.unwrap().into_inner().portrait;
    portrait.unwrap().segments
}

async fn audience(
    server: &Server,
    request: pb::ExportAudienceRequest,
) -> Result<Vec<pb::AudienceMember>, Status> {
    let mut parts = client(server).export_audience(request).await?.into_inner();
    let mut members = Vec::new();
    while let Some(part) = parts.message().await? {
        members.extend(part.members);
    }
    Ok(members)
}

fn ids(members: &[pb::AudienceMember]) -> Vec<&str> {
    members.iter().map(|member| member.user_id.as_str()).collect()
}

fn offer(item: &str) -> Option<pb::AudienceOffer> {
    let items = pb::ItemSelection { item_ids: vec![item.into()], ..Default::default() };
    Some(pb::AudienceOffer { items: Some(items), discount: 0.25 })
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_follows_every_event_and_steers_rules_and_placements() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    segments(&server).await;
    assert_eq!(segments_of(&server, "t0").await, ["lapsed", "small"]);
    assert_eq!(segments_of(&server, "t1").await, ["small"]);
    let sizes = client(&server).list_segments(pb::ListSegmentsRequest {}).await.unwrap();
    let sizes: Vec<u64> = sizes.into_inner().segments.iter().map(|of| of.users).collect();
    assert_eq!(sizes, [0, 1, 20]);

    let rule = pb::Rule {
        name: "for the big".into(),
        items: Some(pb::ItemSelection { item_ids: vec!["gift".into()], ..Default::default() }),
        when: Some(pb::RuleCondition { segments: vec!["big".into()], ..Default::default() }),
        action: Some(pb::rule::Action::Pin(pb::Pin { place: 1 })),
        ..Default::default()
    };
    let rules = Some(pb::RuleSet { rules: vec![rule], ..Default::default() });
    let request = pb::ApplyRulesRequest { rules, ..Default::default() };
    server.rules().apply_rules(request).await.unwrap();
    let for_segment =
        pb::PlacementForSegment { segment: "lapsed".into(), placement: "back".into() };
    let placement = |name: &str, title: &str| pb::Placement {
        name: name.into(),
        title: title.into(),
        ..Default::default()
    };
    let front = pb::Placement { for_segments: vec![for_segment], ..placement("home", "For you") };
    place(&server, vec![front, placement("back", "Welcome back")]).await.unwrap();

    assert_eq!(home(&server, "t0").await.title, "Welcome back");
    let before = home(&server, "t7").await;
    assert_eq!(before.title, "For you");
    assert_ne!(before.items[0].item_id, "gift");
    // One order over the threshold, and the next list is that of the segment.
    server.engine.writer().record(vec![buy("t7", "green", 0, 60.0)]).await.unwrap();
    assert_eq!(home(&server, "t7").await.items[0].item_id, "gift");
    assert_eq!(segments_of(&server, "t7").await, ["big"]);
    server.engine.writer().record(vec![buy("t0", "green", 0, 4.0)]).await.unwrap();
    assert_eq!(home(&server, "t0").await.title, "For you");

    // Who objects is in no segment.
    let request = pb::SetPersonalisationRequest { user_id: "t7".into(), ..Default::default() };
    server.users().set_personalisation(request).await.unwrap();
    assert_ne!(home(&server, "t7").await.items[0].item_id, "gift");

    // What lists ask for cannot be taken from them.
    let refused = apply(&server, Vec::new()).await.unwrap_err();
    assert!(refused.message().contains("must hold \"big\", which the rule \"for the big\" names"));
    // The way back is open, and says what it takes.
    let request = pb::RollbackInsightSettingsRequest { version: 0 };
    let back = client(&server).rollback_insight_settings(request).await.unwrap().into_inner();
    assert!(back.warnings[0].contains("must hold \"big\", which the rule"), "{:?}", back.warnings);
    segments(&server).await;
    let own = of(pb::user_condition::Kind::Segment("own".into()));
    let refused = apply(&server, vec![segment("own", own)]).await.unwrap_err();
    assert!(refused.message().contains("settings.segments[0].condition.segment: refers to itself"));
    let unknown = pb::PlacementForSegment { segment: "none".into(), placement: "back".into() };
    let wrong = pb::Placement { for_segments: vec![unknown], ..placement("home", "") };
    let refused = place(&server, vec![wrong, placement("back", "")]).await.unwrap_err();
    assert!(refused.message().contains("placements[0].for_segments[0].segment: must be a saved"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_concerns_the_users_of_its_segments_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    segments(&server).await;
    let named = |name: &str| pb::Placement { name: name.into(), ..Default::default() };
    place(&server, vec![named("home"), named("bestsellers")]).await.unwrap();
    let variants = vec![variant("blend", 0.5, ""), variant("popular", 0.5, "bestsellers")];
    let of_lapsed =
        pb::Experiment { segments: vec!["lapsed".into()], variants, ..experiment("come-back") };
    running(&server, of_lapsed).await;
    assert!(home(&server, "t0").await.variant.starts_with("come-back/"));
    assert_eq!(home(&server, "t1").await.variant, "");
    let refused = apply(&server, Vec::new()).await.unwrap_err();
    assert!(refused.message().contains("which the experiment \"come-back\" names"), "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audience_is_those_of_whom_most_is_expected() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    segments(&server).await;
    let request = pb::ExportAudienceRequest { offer: offer("rare"), ..Default::default() };
    let members = audience(&server, request.clone()).await.unwrap();
    let best = ids(&members);
    assert!(best[..4].iter().all(|user| ["t1", "t2", "t3", "t4"].contains(user)), "{best:?}");
    let place = |user: &str| best.iter().position(|other| *other == user).unwrap_or(99);
    assert!(place("t9") < place("c9"), "those who buy other tea before those who buy cups");
    let first = &members[0];
    assert!((first.gain - first.purchases * 3.0).abs() < 1e-9, "a quarter of 4 is given away");
    assert_eq!((first.own_purchases, first.affinity > 1.0), (1, true));

    // Segments, a cap, and a rest for those who were sent something, which outlasts a restart.
    let few = pb::ExportAudienceRequest {
        segments: vec!["small".into()],
        except_segments: vec!["lapsed".into()],
        max_users: 3,
        not_contacted_days: 7,
        ..request.clone()
    };
    let members = audience(&server, few.clone()).await.unwrap();
    let sent: Vec<String> = ids(&members).into_iter().map(str::to_owned).collect();
    assert_eq!((sent.len(), sent.contains(&"t0".to_owned())), (3, false));
    let mut user_ids = sent.clone();
    user_ids.push("nobody-known".into());
    let contacts = pb::RecordContactsRequest { user_ids, time: None };
    let recorded = client(&server).record_contacts(contacts).await.unwrap().into_inner().recorded;
    assert_eq!(recorded, 3);
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    let rest = audience(&server, few.clone()).await.unwrap();
    assert!(!rest.is_empty() && ids(&rest).iter().all(|user| !sent.contains(&(*user).to_owned())));

    // The rest is counted from the contact on, whenever that was.
    let time_ms = now_ms() - 10 * DAY_MS;
    let time = Some(prost_types::Timestamp { seconds: time_ms / 1_000, nanos: 0 });
    let contacts = pb::RecordContactsRequest { user_ids: vec!["t9".into()], time };
    client(&server).record_contacts(contacts).await.unwrap();
    for (not_contacted_days, is_in) in [(7, true), (14, false)] {
        let request = pb::ExportAudienceRequest { not_contacted_days, ..request.clone() };
        assert_eq!(ids(&audience(&server, request).await.unwrap()).contains(&"t9"), is_in);
    }

    // Without an offer: the users of segments.
    let lapsed =
        pb::ExportAudienceRequest { segments: vec!["lapsed".into()], ..Default::default() };
    assert_eq!(ids(&audience(&server, lapsed).await.unwrap()), ["t0"]);

    // Who objects, and who is erased, is in none; what is held of a user names their contacts.
    let request = pb::GetUserDataRequest { user_id: sent[0].clone() };
    let mut data = server.users().get_user_data(request).await.unwrap().into_inner();
    let part = data.message().await.unwrap().unwrap().json_part;
    assert!(part.contains("\"contacts\":[\"20"), "{part}");
    let off = pb::SetPersonalisationRequest { user_id: "t1".into(), ..Default::default() };
    server.users().set_personalisation(off).await.unwrap();
    let erased = pb::DeleteUserRequest { user_id: "t2".into() };
    server.users().delete_user(erased).await.unwrap();
    let request = pb::ExportAudienceRequest { offer: offer("rare"), ..Default::default() };
    let members = audience(&server, request).await.unwrap();
    assert!(ids(&members).iter().all(|user| !["t1", "t2", ""].contains(user)), "{members:?}");

    let unknown = pb::ExportAudienceRequest { offer: offer("nothing"), ..Default::default() };
    let refused = audience(&server, unknown).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::InvalidArgument, "offer: means no item of the store")
    );
    let unknown = pb::ExportAudienceRequest { segments: vec!["none".into()], ..Default::default() };
    let refused = audience(&server, unknown).await.unwrap_err();
    assert!(
        refused.message().contains("segments[0]: must be a saved segment (big, lapsed, small)")
    );
    server.stop().await;
}
