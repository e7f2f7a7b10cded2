//! Placements: what a request leaves open, objectives, and pages.

use qianmian::api::wire::pb;

use crate::merchandise::{ask, ids, item, recommend, shop, similar, upsert};
use crate::rules::{apply, pin, rule};
use crate::support::Server;

fn placement(name: &str, shows: pb::Shows) -> pb::Placement {
    pb::Placement { name: name.into(), shows: shows.into(), ..Default::default() }
}

async fn place(server: &Server, placements: Vec<pb::Placement>) -> Result<u32, tonic::Status> {
    let placements = Some(pb::PlacementSet { placements });
    let request = pb::ApplyPlacementsRequest { placements, ..Default::default() };
    let applied = server.placements().apply_placements(request).await;
    applied.map(|applied| applied.into_inner().version)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placement_decides_what_a_request_leaves_open() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let tea = Some(pb::Condition { kind: Some(pb::condition::Kind::Category("tea".into())) });
    let placements = vec![
        pb::Placement {
            limit: 2,
            condition: tea,
            title: "For you".into(),
            repeat_policy: pb::RepeatPolicy::Allow.into(),
            ..placement("home", pb::Shows::Personal)
        },
        placement("product", pb::Shows::SimilarItems),
        placement("cart", pb::Shows::BoughtTogether),
        pb::Placement {
            title: "Because you took {item}".into(),
            ..placement("because", pb::Shows::BecauseYouTook)
        },
        placement("liked", pb::Shows::Favorites),
        placement("sale", pb::Shows::PriceDrops),
        placement("best", pb::Shows::Popular),
    ];
    assert_eq!(place(&server, placements).await.unwrap(), 1);

    let at = |placement: &str| pb::RecommendRequest {
        user_id: "u0".into(),
        placement: placement.into(),
        ..Default::default()
    };
    let home = recommend(&server, at("home")).await;
    assert_eq!(
        (home.items.len(), home.title.as_str(), home.placement.as_str()),
        (2, "For you", "home")
    );
    assert_eq!(home.repeat_policy(), pb::RepeatPolicy::Allow);
    assert!(home.items.iter().all(|item| item.item_id[1..].parse::<u32>().unwrap() < 6));
    let longer = recommend(&server, pb::RecommendRequest { limit: 4, ..at("home") }).await;
    assert_eq!(longer.items.len(), 4);

    let page = |placement: &str| pb::RecommendRequest {
        page_item_ids: vec!["i6".into()],
        ..at(placement)
    };
    let product = recommend(&server, page("product")).await;
    assert_eq!(product.items[..5], similar(&server, "i6").await[..], "as SimilarItems");
    assert!(recommend(&server, page("cart")).await.items.len() > 3);
    let refused = server.recommendations().recommend(at("product")).await.unwrap_err();
    assert!(refused.message().starts_with("page_item_ids: must name an item"), "{refused:?}");
    let refused = server.recommendations().recommend(at("hom")).await.unwrap_err();
    assert!(refused.message().contains("(home, product, cart,"), "{refused:?}");

    let because = recommend(&server, at("because")).await;
    assert!(["i0", "i1", "i2"].contains(&because.about_item_id.as_str()), "{because:?}");
    assert!(because.title.starts_with("Because you took ") && because.title.contains("tea"));
    assert!(!ids(&because.items).contains(&because.about_item_id.as_str()));

    let liked = |item: &str, seconds| pb::Event {
        kind: pb::EventKind::Favorite.into(),
        user_id: "u0".into(),
        item_id: item.into(),
        time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        ..Default::default()
    };
    let events = vec![liked("i7", 1_700_000_000), liked("i9", 1_700_000_100)];
    server.events().write_events(pb::WriteEventsRequest { events }).await.unwrap();
    assert_eq!(ids(&recommend(&server, at("liked")).await.items), ["i9", "i7"]);

    assert!(recommend(&server, at("sale")).await.items.is_empty());
    for price in [9.0, 7.0] {
        let cheaper = pb::Item { item_id: "i10".into(), price: Some(price), ..Default::default() };
        upsert(&server, vec![cheaper]).await.unwrap();
    }
    assert_eq!(ids(&recommend(&server, at("sale")).await.items), ["i10"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_objective_trades_purchases_for_margin_and_says_so_before() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let margins = (0..12).map(|number| pb::Item {
        margin: Some(if number % 3 == 0 { 9.0 } else { 1.0 }),
        ..item(number)
    });
    upsert(&server, margins.collect()).await.unwrap();
    let objective = pb::Objective { buy: 1.0, margin: 1.0, ..Default::default() };
    let asked = pb::TradeOffRequest { objective: Some(objective), users: 24, limit: 3 };
    let curve = server.placements().trade_off(asked).await.unwrap().into_inner();
    assert_eq!((curve.users, curve.points[0].conversions), (24, 1.0));
    for (weak, strong) in curve.points.iter().zip(&curve.points[1..]) {
        assert!(strong.conversions <= weak.conversions + 1e-6, "{curve:?}");
        assert!(strong.margin() >= weak.margin() - 1e-6, "{curve:?}");
    }
    let last = curve.points.last().unwrap();
    assert!(last.margin() > 1.001 && last.conversions < 0.999, "{curve:?}");

    let rich =
        pb::Placement { objective: Some(objective), ..placement("rich", pb::Shows::Personal) };
    place(&server, vec![rich, placement("plain", pb::Shows::Personal)]).await.unwrap();
    let at = |placement: &str| pb::RecommendRequest {
        placement: placement.into(),
        explain: true,
        ..ask("u1")
    };
    let (rich, plain) =
        (recommend(&server, at("rich")).await, recommend(&server, at("plain")).await);
    assert_ne!(ids(&rich.items), ids(&plain.items));
    for item in &rich.items {
        let why = item.explanation.as_ref().unwrap();
        let sum = why.blend_score + why.second_stage + why.room + why.objective;
        assert!((sum - item.score).abs() < 1e-4, "{item:?}");
    }
    let none = pb::Placement {
        objective: Some(pb::Objective::default()),
        ..placement("p", pb::Shows::Personal)
    };
    let refused = place(&server, vec![none]).await.unwrap_err();
    assert!(refused.message().starts_with("placements[0].objective.buy: must be above 0"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_no_item_twice_and_rules_know_its_placements() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let short = |name: &str, shows| pb::Placement { limit: 3, ..placement(name, shows) };
    let both = vec![short("home", pb::Shows::Personal), short("best", pb::Shows::Popular)];
    place(&server, both).await.unwrap();
    let in_best = pb::RuleCondition { placements: vec!["best".into()], ..Default::default() };
    let rules = vec![pb::Rule { when: Some(in_best), ..rule("best first", &["i5"], pin(1)) }];
    apply(&server, rules).await.unwrap();

    let request = pb::RecommendPageRequest {
        request: Some(pb::RecommendRequest { user_id: "u1".into(), ..Default::default() }),
        placements: vec!["home".into(), "best".into(), "home".into()],
    };
    let page = server.recommendations().recommend_page(request.clone()).await.unwrap().into_inner();
    let lists: Vec<Vec<&str>> = page.lists.iter().map(|list| ids(&list.items)).collect();
    assert_eq!(lists.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 3]);
    let distinct: std::collections::HashSet<&str> = lists.concat().into_iter().collect();
    assert_eq!(distinct.len(), 9, "{lists:?}");
    assert_eq!((page.lists[1].placement.as_str(), lists[1][0]), ("best", "i5"));

    // A placement that a rule names stays; going back takes the placements as they were.
    let refused = place(&server, Vec::new()).await.unwrap_err();
    assert!(refused.message().contains("must hold \"best\", which the rule \"best first\" names"));
    let named =
        pb::RecommendRequest { placement: "home".into(), ..request.request.clone().unwrap() };
    let wrong = pb::RecommendPageRequest { request: Some(named), ..request };
    let refused = server.recommendations().recommend_page(wrong).await.unwrap_err();
    assert!(refused.message().starts_with("request.placement: must be empty"), "{refused:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_is_open_to_what_would_be_refused_today() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let home = placement("home", pb::Shows::Personal);
    place(&server, vec![home]).await.unwrap();
    let at_home = pb::RuleCondition { placements: vec!["home".into()], ..Default::default() };
    let first = pb::Rule { when: Some(at_home), ..rule("first", &["i10"], pin(1)) };
    apply(&server, vec![first]).await.unwrap();
    let refused = place(&server, vec![]).await.unwrap_err();
    assert!(refused.message().contains("must hold \"home\""), "{refused:?}");
    apply(&server, vec![]).await.unwrap();
    place(&server, vec![]).await.unwrap();

    let back = server.rules().rollback_rules(pb::RollbackRulesRequest { version: 1 }).await;
    let back = back.unwrap().into_inner();
    let why = "would be refused today: rules[0] \"first\".when.placements[0]: must be a placement";
    assert!(back.warnings[0].starts_with(why), "{back:?}");
    let known = server.rules().get_rules(pb::GetRulesRequest::default()).await.unwrap();
    assert_eq!(known.into_inner().rules.unwrap().rules[0].name, "first");
    // What is gone already is not asked for again.
    let other = placement("other", pb::Shows::Personal);
    place(&server, vec![other]).await.unwrap();
    server.stop().await;
}
