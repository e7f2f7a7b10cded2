//! Insight over the wire: portraits with their evidence, tiers, the users as a whole, and what is refused.

use std::path::Path;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::insight_service_client::InsightServiceClient;
use qianmian::domain::{DAY_MS, Event, EventKind, now_ms};
use qianmian::engine::EngineOptions;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::support::{self, Server};

fn client(server: &Server) -> InsightServiceClient<Channel> {
    InsightServiceClient::new(server.channel.clone())
}

async fn portrait(server: &Server, user: &str) -> Result<pb::Portrait, Status> {
    let request = pb::GetPortraitRequest { user_id: user.into() };
    let answer = client(server).get_portrait(request).await?;
    Ok(answer.into_inner().portrait.unwrap())
}

async fn apply(server: &Server, settings: pb::InsightSettings) -> Result<u32, Status> {
    let settings = Some(settings);
    let request = pb::ApplyInsightSettingsRequest { settings, ..Default::default() };
    Ok(client(server).apply_insight_settings(request).await?.into_inner().version)
}

fn club(window_days: Option<u32>, at_least: [f64; 2]) -> pb::InsightSettings {
    let level = |(name, at_least): (&str, f64)| pb::TierLevel { name: name.into(), at_least };
    let levels = ["silver", "gold"].into_iter().zip(at_least).map(level).collect();
    let program =
        pb::TierProgram { name: "club".into(), window_days, levels, ..Default::default() };
    pb::InsightSettings { tier_programs: vec![program], ..Default::default() }
}

/// An event some days before the newest, at 10 in the morning of UTC.
fn event(kind: EventKind, user: &str, item: &str, days_ago: i64) -> Event {
    let morning = now_ms() / DAY_MS * DAY_MS - 14 * 3_600_000;
    Event { channel: "app".into(), ..Event::new(kind, user, item, morning - days_ago * DAY_MS) }
}

/// Tea every ten days for anna, with a cup that she gives back; and some others.
async fn shop(data: &Path) -> Server {
    let server = Server::start(data, EngineOptions { ..support::quiet() }).await;
    let item = |id: &str, category: &str, brand: &str| pb::Item {
        item_id: id.into(),
        categories: vec![category.into()],
        brand: brand.into(),
        price: Some(8.0),
        ..Default::default()
    };
    let items = vec![item("tea", "tea/green", "Longjing"), item("cup", "cups", "Kiln")];
    let request = pb::UpsertItemsRequest { items, ..Default::default() };
    server.catalog().upsert_items(request).await.unwrap();

    let buy = |user: &str, item: &str, days_ago: i64, price: f64| Event {
        price: Some(price),
        basket_id: format!("{user}{days_ago}"),
        ..event(EventKind::Purchase, user, item, days_ago)
    };
    let mut events: Vec<Event> = (0..6).map(|n| buy("anna", "tea", 10 * n, 100.1)).collect();
    events.push(buy("anna", "cup", 20, 30.0));
    // Without a price: what was paid for it is paid back.
    events.push(event(EventKind::Refund, "anna", "cup", 15));
    for n in 0..20 {
        events.push(buy(&format!("u{n}"), "cup", n + 3, 5.0));
    }
    events.push(event(EventKind::View, "viewer", "cup", 1));
    server.engine.writer().record(events).await.unwrap();
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portrait_shows_what_a_user_did_and_follows_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    apply(&server, club(None, [500.0, 1_000.0])).await.unwrap();

    let anna = portrait(&server, "anna").await.unwrap();
    let orders = anna.orders.unwrap();
    // 6 × 100.1 + 30 − 30; the history holds the price of the cup to a thirtieth of a percent.
    assert!((orders.spend - 600.6).abs() < 0.02 && orders.count == 6, "{orders:?}");
    assert!((orders.refunded - 30.0).abs() < 0.02, "{orders:?}");
    assert_eq!(anna.categories[0].name, "tea/green");
    assert_eq!((anna.categories[0].purchases, anna.brands[0].name.as_str()), (6, "Longjing"));
    assert_eq!((anna.hours[10], anna.weekdays.iter().sum::<u32>(), anna.events), (8, 8, 8));
    assert_eq!((anna.channels[0].channel.as_str(), anna.channels[0].events), ("app", 8));
    let usual = &anna.usual_items[0];
    assert_eq!((usual.item_id.as_str(), usual.orders, usual.of_orders), ("tea", 6, 6));
    let due = &anna.due_items[0];
    assert!(due.item_id == "tea" && (9.0..11.0).contains(&due.usual_days), "{due:?}");
    assert!(anna.next_order_time.unwrap().seconds > anna.as_of.unwrap().seconds);
    let rfm = anna.rfm.unwrap();
    assert_eq!((rfm.frequency, rfm.frequency_score, rfm.monetary_score), (6, 5, 5));
    let tier = &anna.tiers[0];
    assert_eq!((tier.level.as_str(), tier.next_level.as_str()), ("silver", "gold"));
    assert!((tier.missing - 399.4).abs() < 0.02, "{tier:?}");
    let forecast = anna.forecast.unwrap();
    assert_eq!(forecast.horizons.iter().map(|of| of.days).collect::<Vec<_>>(), [30, 90, 365]);
    for of in &forecast.horizons {
        let figures = [of.churn_risk, of.purchases, of.spend, of.spend_low, of.spend_high];
        assert!(figures.iter().all(|figure| figure.is_finite() && *figure >= 0.0), "{of:?}");
        assert!(f64::from(of.purchases_low) <= of.purchases + 1.0, "{of:?}");
        let middle = of.purchases_low..=of.purchases_high;
        assert!(middle.contains(&of.purchases_median) && of.purchases_median > 0, "{of:?}");
    }

    // One who bought nothing has a portrait, and no orders.
    let viewer = portrait(&server, "viewer").await.unwrap();
    assert_eq!((viewer.orders, viewer.forecast, viewer.events), (None, None, 1));
    assert_eq!(viewer.tiers[0].level, "");

    let one_more = Event { price: Some(399.4), ..event(EventKind::Purchase, "anna", "tea", 0) };
    server.engine.writer().record(vec![one_more]).await.unwrap();
    let anna = portrait(&server, "anna").await.unwrap();
    assert_eq!((anna.orders.unwrap().count, anna.tiers[0].level.as_str()), (7, "gold"));

    // The log alone makes them: after a restart they are the same.
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    let again = portrait(&server, "anna").await.unwrap();
    assert_eq!(again.tiers[0].level, "gold");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_objects_or_is_erased_has_no_portrait() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let user = pb::User {
        user_id: "anna".into(),
        consent: pb::Consent::Denied.into(),
        ..Default::default()
    };
    server.users().upsert_users(pb::UpsertUsersRequest { users: vec![user] }).await.unwrap();
    assert_eq!(portrait(&server, "anna").await.unwrap_err().code(), Code::FailedPrecondition);
    let erased = pb::DeleteUserRequest { user_id: "u3".into() };
    server.users().delete_user(erased).await.unwrap();
    assert_eq!(portrait(&server, "u3").await.unwrap_err().code(), Code::NotFound);

    let mut exported = Vec::new();
    let request = pb::ExportPortraitsRequest {};
    let mut answer = client(&server).export_portraits(request).await.unwrap().into_inner();
    while let Some(message) = answer.message().await.unwrap() {
        exported.extend(message.portraits.into_iter().map(|portrait| portrait.user_id));
    }
    assert_eq!(exported.len(), 20, "{exported:?}");
    assert!(!exported.iter().any(|user| user == "anna" || user == "u3"));

    let overview = client(&server).get_overview(pb::GetOverviewRequest {}).await.unwrap();
    let segments = overview.into_inner().segments;
    assert_eq!(segments.iter().map(|segment| segment.buyers).sum::<u64>(), 19);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_users_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let request = pb::GetCohortsRequest { period: pb::Period::Day.into(), ..Default::default() };
    let request = pb::GetCohortsRequest { periods: 60, ..request };
    let cohorts = client(&server).get_cohorts(request).await.unwrap().into_inner().cohorts;
    // Anna, and one user on each of twenty days.
    assert_eq!(cohorts.len(), 21);
    assert_eq!((cohorts[0].users, cohorts[0].came.iter().sum::<u32>()), (1, 6));

    let request = pb::GetActivityRequest { period: pb::Period::Day.into(), ..Default::default() };
    let days = client(&server).get_activity(request).await.unwrap().into_inner().periods;
    assert_eq!(days.iter().map(|day| day.orders).sum::<u32>(), 26);
    let revenue: f64 = days.iter().map(|day| day.revenue - day.refunded).sum();
    assert!((revenue - 700.6).abs() < 0.02, "{revenue}");
    assert_eq!(days.iter().map(|day| day.new_users).sum::<u64>(), 22);

    let backwards = pb::GetActivityRequest {
        start_time: Some(prost_types::Timestamp { seconds: 9, nanos: 0 }),
        end_time: Some(prost_types::Timestamp { seconds: 8, nanos: 0 }),
        ..request
    };
    let refused = client(&server).get_activity(backwards).await.unwrap_err();
    assert!(refused.message().contains("end_time"), "{refused}");
    let periods = pb::GetCohortsRequest { periods: 121, ..Default::default() };
    let refused = client(&server).get_cohorts(periods).await.unwrap_err();
    assert!(refused.message().contains("periods"), "{refused}");
    let none = pb::BacktestForecastsRequest { cut_time: None, days: 30 };
    let refused = client(&server).backtest_forecasts(none).await.unwrap_err();
    assert!(refused.message().contains("cut_time"), "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_versions_and_disorder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let refused = |settings: pb::InsightSettings| async {
        let status = apply(&server, settings).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    };
    let message = refused(club(None, [5_000.0, 1_000.0])).await;
    assert!(message.contains("settings.tier_programs[0].levels[1].at_least"), "{message}");
    let message = refused(club(Some(0), [1.0, 2.0])).await;
    assert!(message.contains("settings.tier_programs[0].window_days"), "{message}");
    let mut twice = club(None, [1.0, 2.0]);
    twice.tier_programs.push(twice.tier_programs[0].clone());
    let message = refused(twice).await;
    assert!(message.contains("settings.tier_programs[1].name"), "{message}");
    let range = Some(pb::ScoreRange { lowest: 300, highest: 5 });
    let segment = pb::RfmSegment { name: "vip".into(), recency: range, ..Default::default() };
    let segments = pb::InsightSettings { rfm_segments: vec![segment], ..Default::default() };
    let message = refused(segments).await;
    assert!(message.contains("settings.rfm_segments[0].recency"), "{message}");
    let mut unknown = club(None, [1.0, 2.0]);
    unknown.tier_programs[0].measure = 9;
    assert!(refused(unknown).await.contains("tier_programs[0].measure"));

    assert_eq!(apply(&server, club(None, [1.0, 2.0])).await.unwrap(), 1);
    assert_eq!(apply(&server, club(Some(30), [1.0, 2.0])).await.unwrap(), 2);
    let request = pb::RollbackInsightSettingsRequest { version: 0 };
    let back = client(&server).rollback_insight_settings(request).await.unwrap().into_inner();
    assert_eq!(back.version, 3);
    let request = pb::GetInsightSettingsRequest { version: 0 };
    let now = client(&server).get_insight_settings(request).await.unwrap().into_inner();
    assert_eq!(now.settings.unwrap().tier_programs[0].window_days, None);
    assert_eq!(now.versions.len(), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_prints_draws_and_writes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = support::online_retail(&folder, 60_000);
    let data = data.to_str().unwrap();
    let import = ["import", log.to_str().unwrap(), "--preset", "online-retail", "--data", data];
    assert!(support::run(&import).0);
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let verb = |arguments: &[&str]| {
        let (ok, out, error) = support::run(&[&["insight"], arguments, &["--data", data]].concat());
        assert!(ok, "{arguments:?}: {out}{error}");
        out
    };
    assert!(verb(&["apply", "examples/insight.toml"]).contains("version 1"));
    assert!(verb(&["settings"]).contains("diamond"));
    let portrait = verb(&["portrait", "17850"]);
    for part in ["prices", "usual time", "orders", "RFM", "tier loyalty", "churn risk"] {
        assert!(portrait.contains(part), "{part}: {portrait}");
    }
    let overview = verb(&["overview"]);
    assert!(overview.contains("champions") && overview.contains("membership"), "{overview}");
    let (svg, curves) = (file("cohorts.svg"), file("active.svg"));
    assert!(verb(&["cohorts", "--by", "week", "--plot", &svg]).contains("2010-11-29"));
    assert!(verb(&["activity", "--by", "day", "--plot", &curves]).contains("revenue"));
    for drawn in [svg, curves] {
        assert!(std::fs::read_to_string(drawn).unwrap().ends_with("</svg>\n"));
    }
    let json: serde_json::Value =
        serde_json::from_str(&verb(&["cohorts", "--activity", "--json"])).unwrap();
    assert!(json["cohorts"][0]["users"].as_u64().unwrap() > 0, "{json}");

    let users = file("users.csv");
    assert!(verb(&["export", &users]).contains(" users in "));
    let users = std::fs::read_to_string(users).unwrap();
    assert!(users.lines().any(|line| line.starts_with("17850,")), "{}", &users[..300]);
    let (ok, _, error) = support::run(&["insight", "export", "users.txt", "--data", data]);
    assert!(!ok && error.contains(".parquet or .csv"), "{error}");
}
