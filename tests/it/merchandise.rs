//! What a merchandiser asks of lists: likeness by what items are, reasons, variety, hidden items,
//! diagnoses, and the record of what was shown.

use std::path::Path;
use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::engine::{Engine, RecommendRequest, Write};
use qianmian::store::{Entry, Record, replay};
use tonic::Code;

use crate::support::{self, Server, purchases};

/// Teas and mugs that users of either kind buy.
const TITLES: [&str; 12] = [
    "green tea leaves",
    "black tea leaves",
    "white tea leaves",
    "herbal tea bags",
    "oolong tea bags",
    "龙井绿茶 礼盒",
    "red stoneware mug",
    "blue stoneware mug",
    "glass mug",
    "travel mug",
    "enamel mug",
    "porcelain mug",
];

pub(crate) fn item(number: usize) -> pb::Item {
    pb::Item {
        item_id: format!("i{number}"),
        title: TITLES[number].into(),
        categories: vec![if number < 6 { "tea" } else { "mugs" }.into()],
        brand: format!("brand{}", number % 3),
        group_id: format!("g{}", number / 2),
        ..Default::default()
    }
}

/// A trained store in which users buy three teas or three mugs each.
pub(crate) async fn shop(data: &Path) -> Server {
    let server = Server::start(data, support::quiet()).await;
    let rows: Vec<(String, String)> = (0..24usize)
        .flat_map(|u| (0..3).map(move |n| (format!("u{u}"), u % 2 * 6 + (u / 2 + n) % 6)))
        .map(|(user, number)| (user, format!("i{number}")))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    let items: Vec<pb::Item> = (0..TITLES.len()).map(item).collect();
    upsert(&server, items).await.unwrap();
    let write = Write::Events(purchases(&rows));
    let engine = server.engine.clone();
    let written = tokio::task::spawn_blocking(move || {
        engine.writer().submit_blocking(write).unwrap().wait().unwrap();
    });
    written.await.unwrap();
    support::trained(&server.engine).await;
    server
}

pub(crate) async fn upsert(server: &Server, items: Vec<pb::Item>) -> Result<(), tonic::Status> {
    let request = pb::UpsertItemsRequest { items, update_mask: None };
    server.catalog().upsert_items(request).await.map(drop)
}

pub(crate) async fn similar(server: &Server, item_id: &str) -> Vec<pb::ScoredItem> {
    let request = pb::SimilarItemsRequest { item_id: item_id.into(), limit: 5, filter: None };
    server.recommendations().similar_items(request).await.unwrap().into_inner().items
}

pub(crate) fn ask(user: &str) -> pb::RecommendRequest {
    pb::RecommendRequest { user_id: user.into(), limit: 6, ..Default::default() }
}

pub(crate) async fn recommend(
    server: &Server,
    request: pb::RecommendRequest,
) -> pb::RecommendResponse {
    server.recommendations().recommend(request).await.unwrap().into_inner()
}

pub(crate) fn ids(items: &[pb::ScoredItem]) -> Vec<&str> {
    items.iter().map(|item| item.item_id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_item_is_among_those_it_is_alike_to_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let new = pb::Item { item_id: "new".into(), title: "yellow stoneware mug".into(), ..item(6) };
    upsert(&server, vec![new]).await.unwrap();
    let acknowledged = Instant::now();
    let list = similar(&server, "i6").await;
    assert!(acknowledged.elapsed() < Duration::from_secs(1));
    let found = list.iter().find(|item| item.item_id == "new").expect("the new mug");
    assert_eq!(found.source(), pb::Source::Content);
    assert!(!ids(&similar(&server, "i0").await)[..3].contains(&"new"));

    // And the other way round; a user of mugs sees it, without any training.
    assert!(ids(&similar(&server, "new").await)[..3].contains(&"i6"));
    let offered = recommend(&server, pb::RecommendRequest { limit: 12, ..ask("u1") }).await;
    let new = offered.items.iter().find(|item| item.item_id == "new").expect("offered");
    assert_eq!(new.source(), pb::Source::Content);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let with = |id: &str, name: &str, values: Vec<f32>| pb::Item {
        item_id: id.into(),
        embeddings: [(name.to_owned(), pb::Embedding { values })].into(),
        ..Default::default()
    };
    upsert(&server, vec![with("a", "image", vec![1.0, 0.0])]).await.unwrap();
    let cases = [
        (with("b", "image", vec![1.0]), "must have 2 values, as the store's other vectors"),
        (with("b", "image", vec![0.0; 2]), "must not all be 0"),
        (with("b", "image", vec![f32::NAN, 0.0]), "must be finite numbers"),
        (with("b", "image", Vec::new()), "must have 1 to 1024 entries"),
        (with("b", "Image", vec![1.0]), "must be 1 to 64 of a to z"),
        (
            pb::Item { description: "x".repeat(65_537), ..with("b", "image", vec![1.0, 2.0]) },
            "65536",
        ),
    ];
    for (item, why) in cases {
        let refused = upsert(&server, vec![item]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(why), "{refused:?}");
    }
    // Within one write too; and text of any kind passes.
    let two = vec![with("b", "text", vec![1.0]), with("c", "text", vec![1.0, 2.0])];
    assert!(upsert(&server, two).await.unwrap_err().message().contains("items[1].embeddings"));
    let description = "🎉 ünïcode 绿茶 ".repeat(2_500);
    let long = pb::Item { item_id: "long".into(), description, ..Default::default() };
    upsert(&server, vec![long.clone()]).await.unwrap();
    let request = pb::GetItemRequest { item_id: "long".into() };
    let stored = server.catalog().get_item(request).await.unwrap().into_inner().item.unwrap();
    assert_eq!(stored.description, long.description);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reasons_sum_to_the_score_and_say_what_led_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let list = recommend(&server, pb::RecommendRequest { explain: true, ..ask("u1") }).await;
    let plain = recommend(&server, ask("u1")).await;
    assert_eq!(ids(&list.items), ids(&plain.items));
    for item in &list.items {
        let why = item.explanation.as_ref().unwrap();
        let shares: f64 = why.shares.iter().map(|share| share.share).sum();
        assert!((shares - why.blend_score).abs() < 1e-4, "{why:?}");
        let sum = why.blend_score + why.second_stage + why.room + why.variety;
        assert!((sum - item.score).abs() < 1e-4, "{item:?}");
        assert!(why.shares.is_sorted_by(|a, b| a.share >= b.share) && !why.sentence_zh.is_empty());
    }

    // Bought mugs lead to mugs.
    let why = list.items[0].explanation.as_ref().unwrap();
    assert!(!why.led_by.is_empty() && why.led_by.len() <= 5 && why.similar_users > 0, "{why:?}");
    let own: Vec<&str> = why.led_by.iter().map(|led| led.item_id.as_str()).collect();
    assert!(own.iter().all(|id| ["i6", "i7", "i8"].contains(id)), "{own:?}");
    assert!(why.led_by.iter().all(|led| led.kind() == pb::EventKind::Purchase));
    assert!(why.sentence_en.starts_with("Because you bought “"), "{}", why.sentence_en);
    assert_eq!(why.shared[0].value, "mugs");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variety_holds_its_caps_and_fills_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let vary = |variety: pb::Variety| pb::RecommendRequest {
        variety: Some(variety),
        repeat_policy: pb::RepeatPolicy::Allow.into(),
        ..ask("u1")
    };
    let number = |item: &pb::ScoredItem| item.item_id[1..].parse::<usize>().unwrap();

    let list =
        recommend(&server, vary(pb::Variety { one_of_group: true, ..Default::default() })).await;
    let mut groups: Vec<usize> = list.items.iter().map(|item| number(item) / 2).collect();
    groups.sort_unstable();
    assert_eq!(groups, [0, 1, 2, 3, 4, 5]);
    assert!(list.items.is_sorted_by(|a, b| a.score >= b.score));

    let capped = vary(pb::Variety { max_of_brand: 1, relevance: Some(1.0), ..Default::default() });
    assert_eq!(recommend(&server, capped).await.items.len(), 3);
    let capped = vary(pb::Variety { max_of_category: 3, diversifier: 2, ..Default::default() });
    let list = recommend(&server, capped).await;
    assert_eq!(list.items.iter().filter(|item| number(item) < 6).count(), 3);
    assert_eq!(list.items.len(), 6);

    for (variety, field) in [
        (pb::Variety { relevance: Some(1.5), ..Default::default() }, "variety.relevance"),
        (pb::Variety { exploration: 0.6, ..Default::default() }, "variety.exploration"),
        (pb::Variety { max_of_brand: -1, ..Default::default() }, "variety.max_of_brand"),
        (pb::Variety { diversifier: 9, ..Default::default() }, "variety.diversifier"),
    ] {
        let refused = server.recommendations().recommend(vary(variety)).await.unwrap_err();
        assert!(refused.message().starts_with(field), "{refused:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exploration_shows_rare_items_with_their_propensities() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let rare: Vec<pb::Item> = (0..4)
        .map(|n| pb::Item {
            item_id: format!("rare{n}"),
            title: format!("thing {n}"),
            ..Default::default()
        })
        .collect();
    upsert(&server, rare).await.unwrap();
    let variety = pb::Variety { exploration: 0.5, relevance: Some(1.0), ..Default::default() };
    let (mut shown, mut expected, mut places) = (0, 0.0, 0);
    for _ in 0..300 {
        let request = pb::RecommendRequest { variety: Some(variety), ..ask("u1") };
        let items = recommend(&server, request).await.items;
        assert_eq!(items[0].propensity, 1.0);
        let all_shown = items.iter().filter(|item| item.item_id.starts_with("rare")).count() == 4;
        for item in &items[1..] {
            places += 1;
            let is_rare = item.item_id.starts_with("rare");
            shown += i32::from(is_rare);
            // Where every rare item is shown, nothing is left to draw.
            let is_certain = all_shown && item.propensity == 1.0;
            assert!(is_certain || (0.01..=0.5).contains(&item.propensity), "{item:?}");
            expected += if is_rare { 0.0 } else { item.propensity };
        }
    }
    let share = f64::from(shown) / f64::from(places);
    assert!((0.3..0.55).contains(&share), "{share}");
    assert!(expected > 0.0);
    server.stop().await;
}

fn hide(user: &str, item: &str, scope: pb::HideScope) -> pb::Event {
    pb::Event {
        kind: pb::EventKind::Hide.into(),
        user_id: user.into(),
        item_id: item.into(),
        hide: Some(pb::Hide { scope: scope.into(), reason: "have it".into() }),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_hides_is_gone_from_their_next_list_and_from_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let offered = || async {
        let request = pb::RecommendRequest {
            limit: 50,
            repeat_policy: pb::RepeatPolicy::Allow.into(),
            ..ask("u1")
        };
        let list = recommend(&server, request).await;
        let mut numbers: Vec<usize> =
            list.items.iter().map(|item| item.item_id[1..].parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    let write = |events: Vec<pb::Event>| {
        let mut client = server.events();
        async move { client.write_events(pb::WriteEventsRequest { events }).await.unwrap() }
    };

    write(vec![hide("u1", "i0", pb::HideScope::Item)]).await;
    assert_eq!(offered().await, (1..12).collect::<Vec<_>>());
    write(vec![hide("u1", "i2", pb::HideScope::Group)]).await;
    assert_eq!(offered().await, [1, 4, 5, 6, 7, 8, 9, 10, 11]);
    write(vec![hide("u1", "i4", pb::HideScope::Category)]).await;
    assert_eq!(offered().await, [6, 7, 8, 9, 10, 11]);
    let others = recommend(&server, pb::RecommendRequest { limit: 50, ..ask("u0") }).await;
    assert!(ids(&others.items).contains(&"i4"));

    // What is taken after all shows again, also after a restart; others stay hidden.
    let taken = pb::Event {
        kind: pb::EventKind::AddToCart.into(),
        hide: None,
        ..hide("u1", "i4", pb::HideScope::Item)
    };
    write(vec![taken]).await;
    assert_eq!(offered().await, [1, 4, 5, 6, 7, 8, 9, 10, 11]);
    let wrong =
        pb::Event { kind: pb::EventKind::View.into(), ..hide("u1", "i1", pb::HideScope::Item) };
    let request = pb::WriteEventsRequest { events: vec![wrong] };
    let refused = server.events().write_events(request).await.unwrap_err();
    assert!(refused.message().contains("hide: is of events of the kind HIDE only"), "{refused:?}");
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    let list = recommend(&server, pb::RecommendRequest { limit: 50, ..ask("u1") }).await;
    assert!(!ids(&list.items).contains(&"i3"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diagnosis_says_what_was_removed_and_what_stands_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let filter = Some(pb::Filter { categories: vec!["tea".into()], ..Default::default() });
    let request = pb::RecommendRequest { filter, limit: 20, ..ask("u1") };
    let request = pb::DiagnoseRequest { request: Some(request) };
    let told = server.recommendations().diagnose(request).await.unwrap().into_inner();
    assert_eq!(told.items, 12);
    let removed = |name: &str| {
        told.restrictions.iter().find(|restriction| restriction.name == name).unwrap().removed
    };
    assert_eq!((removed("filter"), removed("repeat policy")), (6, 0));
    let stages: Vec<&str> = told.stages.iter().map(|stage| stage.name.as_str()).collect();
    for stage in ["restrict", "retrieve", "blend", "fill", "reasons"] {
        assert!(stages.contains(&stage), "{stages:?}");
    }
    assert!(told.stages.iter().all(|stage| stage.micros >= 0.0));
    let findings = told.findings.join("; ");
    assert!(
        findings.contains("6 of 12 items may be offered; filter removes most, 6"),
        "{findings}"
    );
    assert!(findings.contains("shorter than asked"), "{findings}");
    assert!(told.recommendation.unwrap().items[0].explanation.is_some());

    let unsaid = pb::DiagnoseRequest { request: None };
    let refused = server.recommendations().diagnose(unsaid).await.unwrap_err();
    assert!(refused.message().starts_with("request: must be given"), "{refused:?}");
    server.stop().await;
}

/// The exposures of a store's log: user idx, placement, number of items.
fn exposures(data: &Path) -> Vec<(Option<u32>, String, usize)> {
    let mut all = Vec::new();
    replay(&data.join("stores/default/log"), u64::MAX, &mut |entry| {
        if let Entry::Record(_, Record::Exposure(exposure)) = entry {
            let placement = exposure.placement.to_string();
            all.push((exposure.user, placement, exposure.items.len()));
        }
    })
    .unwrap();
    all
}

#[test]
fn what_is_shown_is_recorded_and_erased_with_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = shop(folder.path()).await;
        recommend(&server, ask("u1")).await;
        recommend(&server, ask("stranger")).await;
        similar(&server, "i0").await;
        server.stop().await;
    });
    let mut shown = exposures(folder.path());
    shown.sort();
    let expected = [(None, "recommend", 6), (None, "similar_items", 5), (Some(1), "recommend", 6)];
    let expected = expected.map(|(user, placement, items)| (user, placement.to_owned(), items));
    assert_eq!(shown, expected);

    // A later list of an erased user names no one, and the log keeps nothing of theirs.
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    engine.writer().submit_blocking(Write::Erase(vec!["u1".into()], 1)).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    let request = RecommendRequest { user_id: "u1".into(), limit: 3, ..Default::default() };
    engine.recommender().recommend(&request).unwrap();
    drop(engine);
    assert!(exposures(folder.path()).iter().all(|(user, ..)| user.is_none()));
}
