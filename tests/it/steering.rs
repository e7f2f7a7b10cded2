//! What a merchandiser decides: rules and placements, over gRPC and from files, in versions, with
//! what they do to lists.

use std::path::Path;
use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::rule::Action;
use tonic::Code;

use crate::merchandise::{ask, ids, recommend, shop, similar, upsert};
use crate::support::{self, Server};

fn rule(name: &str, items: &[&str], action: Action) -> pb::Rule {
    pb::Rule {
        name: name.into(),
        items: Some(pb::ItemSelection {
            item_ids: items.iter().map(|&id| id.into()).collect(),
            ..Default::default()
        }),
        action: Some(action),
        ..Default::default()
    }
}

fn of_brand(name: &str, brand: &str, action: Action) -> pb::Rule {
    let kind = Some(pb::condition::Kind::Brand(brand.into()));
    let condition = Some(pb::Condition { kind });
    let items = Some(pb::ItemSelection { condition, ..Default::default() });
    pb::Rule { items, ..rule(name, &[], action) }
}

fn pin(place: i32) -> Action {
    Action::Pin(pb::Pin { place })
}

const EXCLUDE: Action = Action::Exclude(pb::Exclude {});
const INCLUDE: Action = Action::Include(pb::Include {});

fn boost(factor: f64) -> Action {
    Action::Boost(pb::Boost { factor })
}

async fn apply(
    server: &Server,
    rules: Vec<pb::Rule>,
) -> Result<pb::ApplyRulesResponse, tonic::Status> {
    let rules = Some(pb::RuleSet { rules, ..Default::default() });
    let request = pb::ApplyRulesRequest { rules, ..Default::default() };
    server.rules().apply_rules(request).await.map(tonic::Response::into_inner)
}

async fn list(server: &Server, user: &str) -> Vec<String> {
    let list = recommend(server, ask(user)).await;
    assert!(list.items.is_sorted_by(|a, b| a.score >= b.score), "{list:?}");
    ids(&list.items).into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_change_the_next_list_whatever_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    // A user with a prepared list, one who was active since, and one whom the store does not know.
    let seen = pb::Event {
        kind: pb::EventKind::View.into(),
        user_id: "u2".into(),
        item_id: "i1".into(),
        ..Default::default()
    };
    server.events().write_events(pb::WriteEventsRequest { events: vec![seen] }).await.unwrap();
    let users = ["u1", "u2", "stranger"];
    let mut before = Vec::new();
    for user in users {
        before.push(list(&server, user).await);
    }

    apply(&server, vec![rule("mug first", &["i10"], pin(1))]).await.unwrap();
    for user in users {
        assert_eq!(list(&server, user).await[0], "i10", "{user}");
    }
    // Excluded beats pinned; where rules include, nothing else is offered.
    let rules = vec![rule("mug first", &["i10"], pin(1)), rule("no mug", &["i10"], EXCLUDE)];
    apply(&server, rules).await.unwrap();
    for user in users {
        assert!(!list(&server, user).await.contains(&"i10".to_owned()), "{user}");
    }
    apply(&server, vec![of_brand("one brand", "brand1", INCLUDE)]).await.unwrap();
    for user in users {
        let list = list(&server, user).await;
        assert!(!list.is_empty() && list.iter().all(|id| id[1..].parse::<u32>().unwrap() % 3 == 1));
    }

    apply(&server, vec![of_brand("brand up", "brand2", boost(100.0))]).await.unwrap();
    for user in users {
        assert!(list(&server, user).await[0][1..].parse::<u32>().unwrap() % 3 == 2, "{user}");
    }
    let quota = Action::Quota(pb::SlotQuota { min: 2, of: 3 });
    apply(&server, vec![of_brand("two of three", "brand0", quota)]).await.unwrap();
    for user in users {
        let list = list(&server, user).await;
        let of_brand = |id: &&String| id[1..].parse::<u32>().unwrap() % 3 == 0;
        assert!(list[..3].iter().filter(of_brand).count() >= 2, "{user} {list:?}");
    }

    // Related lists follow them too, and an empty set leaves everything as it was.
    apply(&server, vec![rule("no red", &["i6"], EXCLUDE)]).await.unwrap();
    assert!(!ids(&similar(&server, "i7").await).contains(&"i6"));
    apply(&server, Vec::new()).await.unwrap();
    for (user, before) in users.iter().zip(&before) {
        assert_eq!(&list(&server, user).await, before);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_for_their_placement_user_page_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let gold = pb::AttributeValues { name: "tier".into(), values: vec!["gold".into()] };
    let for_gold = pb::RuleCondition { user_attributes: vec![gold], ..Default::default() };
    let on_tea = pb::RuleCondition { page_categories: vec!["tea".into()], ..Default::default() };
    let over = prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 };
    let later = pb::RuleCondition {
        schedule: Some(pb::Schedule { start_time: Some(over), ..Default::default() }),
        ..Default::default()
    };
    let popular = pb::RuleCondition { placements: vec!["popular".into()], ..Default::default() };
    apply(
        &server,
        vec![
            pb::Rule { when: Some(for_gold), ..rule("gold", &["i0"], pin(1)) },
            pb::Rule { when: Some(on_tea), ..rule("tea pages", &["i2"], pin(2)) },
            pb::Rule { when: Some(later), ..rule("later", &["i3"], pin(3)) },
            pb::Rule { when: Some(popular), ..rule("popular", &["i4"], pin(1)) },
        ],
    )
    .await
    .unwrap();

    let plain = recommend(&server, ask("u1")).await;
    let gold = pb::RecommendRequest {
        attributes: [("tier".to_owned(), "gold".to_owned())].into(),
        ..ask("u1")
    };
    let list = recommend(&server, gold.clone()).await;
    assert_ne!(ids(&plain.items)[0], "i0");
    assert_eq!(ids(&list.items)[0], "i0");
    let page = pb::RecommendRequest { page_category: "/tea/green".into(), ..gold };
    let list = recommend(&server, page).await;
    assert_eq!(ids(&list.items)[..2], ["i0", "i2"]);
    let mugs = pb::RecommendRequest { page_category: "teapots".into(), ..ask("u1") };
    assert_eq!(ids(&recommend(&server, mugs).await.items), ids(&plain.items));
    let request = pb::PopularRequest { limit: 3, ..Default::default() };
    let popular = server.recommendations().popular(request).await.unwrap().into_inner();
    assert_eq!(ids(&popular.items)[0], "i4");

    // A stored attribute counts as one that is sent.
    let user = pb::User {
        user_id: "u1".into(),
        attributes: [("tier".to_owned(), "gold".to_owned())].into(),
        ..Default::default()
    };
    server.users().upsert_users(pb::UpsertUsersRequest { users: vec![user] }).await.unwrap();
    assert_eq!(ids(&recommend(&server, ask("u1")).await.items)[0], "i0");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_says_what_it_moved_and_parts_sum_to_the_score() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let bury = Action::Bury(pb::Bury { factor: 0.5 });
    let rules = vec![
        rule("mug first", &["i0"], pin(1)),
        of_brand("up", "brand1", boost(3.0)),
        of_brand("down", "brand2", bury),
    ];
    apply(&server, rules).await.unwrap();
    let variety = Some(pb::Variety { relevance: Some(0.6), ..Default::default() });
    let request = pb::RecommendRequest { explain: true, variety, ..ask("u1") };
    let list = recommend(&server, request.clone()).await;
    let mut moving = std::collections::BTreeSet::new();
    for item in &list.items {
        let why = item.explanation.as_ref().unwrap();
        let rules: f64 = why.rules.iter().map(|part| part.part).sum();
        let sum = why.blend_score + why.second_stage + why.variety + rules;
        assert!((sum - item.score).abs() < 1e-4, "{item:?}");
        moving.extend(why.rules.iter().map(|part| part.rule.clone()));
    }
    assert_eq!(list.items[0].item_id, "i0");
    assert!(moving.contains("mug first") && moving.contains("up"), "{moving:?}");

    let diagnosed = pb::DiagnoseRequest { request: Some(request) };
    let diagnosed = server.recommendations().diagnose(diagnosed).await.unwrap().into_inner();
    assert!(diagnosed.stages.iter().any(|stage| stage.name == "boost"));
    assert!(diagnosed.restrictions.iter().any(|restriction| restriction.name == "rules"));
    let found = diagnosed.findings.join("\n");
    assert!(found.contains("rule \"up\" moved"), "{found}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_kept_over_a_restart_and_one_call_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let first = apply(&server, vec![rule("first", &["i10"], pin(1))]).await.unwrap();
    let second = apply(&server, vec![rule("second", &["i11"], pin(1))]).await.unwrap();
    assert_eq!((first.version, second.version), (1, 2));
    let set = pb::RuleSet::default();
    let stale =
        pb::ApplyRulesRequest { rules: Some(set), expected_version: Some(1), ..Default::default() };
    let refused = server.rules().apply_rules(stale).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert!(refused.message().contains("of version 2, not 1"), "{refused:?}");
    server.stop().await;

    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(list(&server, "u1").await[0], "i11");
    let back = server.rules().rollback_rules(pb::RollbackRulesRequest { version: 0 }).await;
    assert_eq!(back.unwrap().into_inner().version, 3);
    assert_eq!(list(&server, "u1").await[0], "i10");
    let known = server.rules().get_rules(pb::GetRulesRequest { version: 2 }).await.unwrap();
    let known = known.into_inner();
    assert_eq!(known.rules.unwrap().rules[0].name, "second");
    assert_eq!(known.versions.iter().map(|v| v.version).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(known.versions[0].note, "back to version 1");
    let unknown = server.rules().get_rules(pb::GetRulesRequest { version: 9 }).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "version \"9\" is not known"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_match_is_refused_by_name_and_what_matches_nothing_today_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let elsewhere = pb::RuleCondition { placements: vec!["hom".into()], ..Default::default() };
    let past = prost_types::Timestamp { seconds: 1, nanos: 0 };
    let over = pb::RuleCondition {
        schedule: Some(pb::Schedule { end_time: Some(past), ..Default::default() }),
        ..Default::default()
    };
    let cases = [
        (
            vec![pb::Rule { when: Some(elsewhere), ..rule("a", &["i0"], EXCLUDE) }],
            "rules[0] \"a\".when.placements[0]: must be a placement of the store",
        ),
        (
            vec![pb::Rule { when: Some(over), ..rule("a", &["i0"], EXCLUDE) }],
            "rules[0] \"a\".when.schedule: is over: the rule can never match",
        ),
        (
            vec![rule("only", &["i0"], INCLUDE), rule("none", &["i0"], EXCLUDE)],
            "rules[0] \"only\".include: includes what \"none\" excludes",
        ),
        (
            vec![rule("a", &["i0"], boost(f64::NAN))],
            "rules[0] \"a\".boost.factor: must be 1 to 100",
        ),
        (vec![rule("a", &["i0"], pin(-1))], "rules[0].pin.place: must be 1 to 500, was -1"),
    ];
    for (rules, why) in cases {
        let refused = apply(&server, rules).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(why), "{refused:?}");
    }

    let rules = vec![
        of_brand("brand of tomorrow", "brand9", boost(2.0)),
        rule("some", &["i1", "nothing", "none"], boost(2.0)),
    ];
    let applied = apply(&server, rules).await.unwrap();
    assert_eq!(
        applied.warnings,
        [
            "\"brand of tomorrow\" matches no item of today's catalogue: it does nothing until one comes",
            "\"some\" names 2 items that the store does not know: \"nothing\", \"none\"",
        ]
    );

    // Tomorrow comes: the rule follows the catalogue within seconds.
    let new = pb::Item {
        item_id: "tomorrow".into(),
        title: "red mug".into(),
        brand: "brand9".into(),
        categories: vec!["mugs".into()],
        ..Default::default()
    };
    apply(&server, vec![of_brand("brand of tomorrow", "brand9", EXCLUDE)]).await.unwrap();
    upsert(&server, vec![new]).await.unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while ids(&similar(&server, "i6").await).contains(&"tomorrow") {
        assert!(Instant::now() < until, "the rule does not follow the catalogue");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_held_and_a_dry_run_shows_what_rules_cost() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let target = Action::Target(pb::ShareTarget { share: 0.4 });
    let rules = vec![of_brand("brand of the week", "brand0", target)];
    let set = pb::RuleSet { rules: rules.clone(), ..Default::default() };
    apply(&server, rules).await.unwrap();
    for round in 0..30 {
        for user in 0..24 {
            let user = format!("u{}", (user + round) % 24);
            recommend(&server, pb::RecommendRequest { limit: 5, ..ask(&user) }).await;
        }
    }
    let known = server.rules().get_rules(pb::GetRulesRequest::default()).await.unwrap();
    let report = &known.into_inner().targets[0];
    assert_eq!((report.lists, report.wanted), (720, 0.4));
    assert!((report.shown - 0.4).abs() < 0.01, "{report:?}");

    apply(&server, Vec::new()).await.unwrap();
    let asked = pb::DryRunRulesRequest { rules: Some(set), limit: 3, ..Default::default() };
    let run = server.rules().dry_run_rules(asked.clone()).await.unwrap().into_inner();
    assert_eq!((run.users, run.changed, run.cost_before), (24, 0, 0.0));
    assert!(run.cost_after.abs() < 1e-6, "{run:?}");
    let rules = vec![rule("out", &["i0"], EXCLUDE), rule("in", &["i11"], pin(1))];
    let set = Some(pb::RuleSet { rules, ..Default::default() });
    let asked = pb::DryRunRulesRequest { rules: set, ..asked };
    let run = server.rules().dry_run_rules(asked).await.unwrap().into_inner();
    assert!(run.users == 24 && run.changed >= 12, "{run:?}");
    assert!(run.cost_after > 0.0 && run.cost_before == 0.0, "{run:?}");
    assert!(run.entering.iter().any(|change| change.item_id == "i11"), "{run:?}");
    assert!(!list(&server, "u1").await.is_empty(), "nothing is in force");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_pins_of_many_items_and_quotas_find_new_arrivals_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let many = ["i9", "i10", "i11", "i4", "i5"];
    apply(&server, vec![rule("many", &many, pin(1))]).await.unwrap();
    let mut request = pb::RecommendRequest { limit: 2, paged: true, ..ask("u1") };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let page = recommend(&server, request.clone()).await;
        seen.extend(ids(&page.items).into_iter().map(str::to_owned));
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen[..5], many);

    // A new arrival that no user took is among the popular items where a quota asks for it.
    let from = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 };
    let new = pb::Item { item_id: "new".into(), valid_from: Some(from), ..Default::default() };
    upsert(&server, vec![new]).await.unwrap();
    let quota = Action::Quota(pb::SlotQuota { min: 1, of: 3 });
    let items = Some(pb::ItemSelection { arrived_within_days: 36_500, ..Default::default() });
    apply(&server, vec![pb::Rule { items, ..rule("new", &[], quota) }]).await.unwrap();
    let request = pb::PopularRequest { limit: 5, ..Default::default() };
    let popular = server.recommendations().popular(request).await.unwrap().into_inner();
    assert!(ids(&popular.items)[..3].contains(&"new"), "{popular:?}");
    let quoted = list(&server, "stranger").await;
    assert_eq!((quoted.len(), quoted[..3].contains(&"new".to_owned())), (6, true));
    server.stop().await;
}

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
        ..crate::merchandise::item(number)
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
        let sum = why.blend_score + why.second_stage + why.objective;
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
async fn a_list_goes_on_without_repeats_and_pins_stay_on_its_first_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    apply(&server, vec![rule("mug first", &["i10"], pin(1))]).await.unwrap();
    let whole = recommend(&server, pb::RecommendRequest { limit: 9, ..ask("u1") }).await;
    assert_eq!(whole.next_page_token, "", "not asked for");
    let mut seen = Vec::new();
    let mut request = pb::RecommendRequest { limit: 4, paged: true, ..ask("u1") };
    loop {
        let page = recommend(&server, request.clone()).await;
        seen.extend(ids(&page.items).into_iter().map(str::to_owned));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ids(&whole.items), "every item once, in the order of one long list");
    let wrong = pb::RecommendRequest { page_token: "4".into(), ..request };
    let refused = server.recommendations().recommend(wrong).await.unwrap_err();
    assert_eq!(refused.message(), "page_token: must be a next_page_token of an answer");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_decide_availability_and_price_in_their_context() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let offer = |available: pb::Availability, price| pb::Offer {
        availability: available.into(),
        price: Some(price),
    };
    let offers = [
        ("SE".to_owned(), offer(pb::Availability::Unavailable, 50.0)),
        ("DK".to_owned(), offer(pb::Availability::Available, 30.0)),
    ];
    let item = pb::Item {
        item_id: "i9".into(),
        price: Some(10.0),
        offers: offers.into(),
        ..Default::default()
    };
    upsert(&server, vec![item]).await.unwrap();
    let shown = |context: &str, max: Option<f64>| {
        let price = max.map(|max| pb::PriceRange { min: None, max: Some(max) });
        let condition =
            price.map(|price| pb::Condition { kind: Some(pb::condition::Kind::Price(price)) });
        let filter = Some(pb::Filter { condition, ..Default::default() });
        let request =
            pb::RecommendRequest { limit: 20, filter, context: context.into(), ..ask("u1") };
        let server = &server;
        async move { ids(&recommend(server, request).await.items).contains(&"i9") }
    };
    assert!(shown("", None).await && shown("DK", None).await && shown("NO", None).await);
    assert!(!shown("SE", None).await);
    assert!(shown("", Some(20.0)).await && !shown("DK", Some(20.0)).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_shown_again_and_again_fades_until_the_user_turns_to_it() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path()).await.stop().await;
    let mut options = support::quiet();
    options.recommend.fatigue_after = 3;
    options.recommend.fatigue_factor = 0.1;
    let server = Server::start(folder.path(), options).await;
    let before = list(&server, "u1").await;
    let event = |kind: pb::EventKind| pb::Event {
        kind: kind.into(),
        user_id: "u1".into(),
        item_id: before[0].clone(),
        ..Default::default()
    };
    let write = |events: Vec<pb::Event>| {
        let mut client = server.events();
        async move { client.write_events(pb::WriteEventsRequest { events }).await.unwrap() }
    };
    write(vec![event(pb::EventKind::Impression); 2]).await;
    assert_eq!(list(&server, "u1").await, before);
    write(vec![event(pb::EventKind::Impression); 2]).await;
    let request = pb::RecommendRequest { explain: true, limit: 12, ..ask("u1") };
    let faded = recommend(&server, request).await;
    assert_ne!(faded.items[0].item_id, before[0]);
    let tired = faded.items.iter().find(|item| item.item_id == before[0]).unwrap();
    let why = tired.explanation.as_ref().unwrap();
    let sum = why.blend_score + why.second_stage + why.fatigue;
    assert!(why.fatigue < 0.0 && (sum - tired.score).abs() < 1e-4, "{tired:?}");
    write(vec![event(pb::EventKind::Click)]).await;
    let request = pb::RecommendRequest { explain: true, limit: 12, ..ask("u1") };
    let rested = recommend(&server, request).await;
    let fatigue = |item: &pb::ScoredItem| item.explanation.as_ref().unwrap().fatigue;
    assert!(rested.items.iter().all(|item| fatigue(item) == 0.0), "{rested:?}");
    server.stop().await;
}

fn verb(data: &Path, arguments: &[&str]) -> (bool, String) {
    let data = data.to_str().unwrap();
    let (ok, out, err) = support::run(&[arguments, &["--data", data]].concat());
    (ok, out + &err)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_files_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path()).await.stop().await;
    let data = folder.path();
    let (ok, said) = verb(data, &["placements", "apply", "examples/placements.toml"]);
    assert!(ok, "{said}");
    let (ok, said) = verb(data, &["rules", "apply", "examples/rules.toml"]);
    assert!(ok && said.contains("matches no item of today's catalogue"), "{said}");
    let (ok, said) = verb(data, &["recommend", "u1", "--placement", "because"]);
    assert!(ok && said.starts_with("Because you took"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_applied_listed_tried_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    server.stop().await;
    let data = folder.path();
    let file = folder.path().join("rules.toml");
    let text = r#"
time_zone = "Asia/Shanghai"

[[rules]]
name = "Friday evening"
boost = { factor = 2.5 }
items = { condition = { brand = "brand1" } }
when.placements = ["recommend"]
when.schedule.weekly = [{ days = ["fri"], start = "17:00", end = "23:00" }]
when.schedule.dates = [{ name = "new year", first = 2099-02-06, last = 2099-02-12 }]

[[rules]]
name = "mug first"
pin = { place = 1 }
items = { item_ids = ["i10"] }
"#;
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let (ok, said) = verb(data, &["rules", "dry-run", path]);
    assert!(ok && said.contains(" of 24 lists change"), "{said}");
    let (ok, said) = verb(data, &["rules", "apply", path, "--note", "a try"]);
    assert!(ok && said.contains("version 1 is in force"), "{said}");
    let (ok, said) = verb(data, &["recommend", "u1", "--explain"]);
    assert!(ok && said.contains("mug first"), "{said}");
    let (ok, said) = verb(data, &["rules", "list"]);
    assert!(ok && said.contains("boost by 2.5") && said.contains("a try"), "{said}");

    // What is listed as a file is a file of the same rules.
    let (ok, toml) = verb(data, &["rules", "list", "--toml"]);
    assert!(ok);
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &toml).unwrap();
    let (ok, said) = verb(data, &["rules", "apply", again.to_str().unwrap()]);
    assert!(ok, "{said}");
    assert_eq!(verb(data, &["rules", "list", "--toml"]).1, toml);
    let (ok, said) = verb(data, &["rules", "rollback"]);
    assert!(ok && said.contains("version 3 is in force"), "{said}");

    std::fs::write(&file, text.replace("factor = 2.5", "faktor = 2.5")).unwrap();
    let (ok, said) = verb(data, &["rules", "apply", path]);
    assert!(!ok && said.contains("rules[0].boost.faktor: is not a field of Boost"), "{said}");

    let placements = folder.path().join("placements.toml");
    std::fs::write(&placements, "[[placements]]\nname = \"home\"\ntitle = \"For you\"\n").unwrap();
    let (ok, said) = verb(data, &["placements", "apply", placements.to_str().unwrap()]);
    assert!(ok && said.contains("version 1 is in force"), "{said}");
    let (ok, said) = verb(data, &["recommend", "u1", "--placement", "home"]);
    assert!(ok && said.starts_with("For you"), "{said}");
    let (ok, said) = verb(data, &["placements", "list"]);
    assert!(ok && said.contains("For you"), "{said}");
    let (ok, _) = verb(data, &["placements", "rollback"]);
    let (known, said) = verb(data, &["recommend", "u1", "--placement", "home"]);
    assert!(ok && !known && said.contains("of which the store has none"), "{said}");
}
