//! Rules: what they do to lists, when they hold, and what is refused.

use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::rule::Action;
use tonic::Code;

use crate::merchandise::{ask, ids, recommend, shop, similar, upsert};
use crate::support::{self, Server};

pub(crate) fn rule(name: &str, items: &[&str], action: Action) -> pb::Rule {
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

pub(crate) fn of_brand(name: &str, brand: &str, action: Action) -> pb::Rule {
    let kind = Some(pb::condition::Kind::Brand(brand.into()));
    let condition = Some(pb::Condition { kind });
    let items = Some(pb::ItemSelection { condition, ..Default::default() });
    pb::Rule { items, ..rule(name, &[], action) }
}

pub(crate) fn pin(place: i32) -> Action {
    Action::Pin(pb::Pin { place })
}

const EXCLUDE: Action = Action::Exclude(pb::Exclude {});
const INCLUDE: Action = Action::Include(pb::Include {});

fn boost(factor: f64) -> Action {
    Action::Boost(pb::Boost { factor })
}

pub(crate) async fn apply(
    server: &Server,
    rules: Vec<pb::Rule>,
) -> Result<pb::ApplyRulesResponse, tonic::Status> {
    let rules = Some(pb::RuleSet { rules, ..Default::default() });
    let request = pb::ApplyRulesRequest { rules, ..Default::default() };
    server.rules().apply_rules(request).await.map(tonic::Response::into_inner)
}

pub(crate) async fn list(server: &Server, user: &str) -> Vec<String> {
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
        let sum = why.blend_score + why.second_stage + why.room + why.variety + rules;
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
            "rules[0] \"a\".when.schedule: holds at no time from now on: the rule can never match",
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

    // Every item is of brand0, brand1 or brand2: nothing is left for those in Paris.
    let paris = pb::AttributeValues { name: "city".into(), values: vec!["paris".into()] };
    let there = pb::RuleCondition { user_attributes: vec![paris], ..Default::default() };
    let only = pb::Rule { when: Some(there), ..rule("only", &["i0", "i3"], INCLUDE) };
    let rules_of = [0, 1, 2].map(|n| of_brand(&format!("no {n}"), &format!("brand{n}"), EXCLUDE));
    let applied = apply(&server, vec![only.clone(), rules_of[0].clone()]).await.unwrap();
    let what = "shows nothing: the rules leave it no item of today's catalogue";
    assert_eq!(applied.warnings, [format!("\"recommend\" where \"only\" asks {what}")]);
    let applied = apply(&server, rules_of.to_vec()).await.unwrap();
    assert_eq!(applied.warnings.len(), 5, "one for the lists of every method: {applied:?}");
    assert_eq!(applied.warnings[0], format!("\"recommend\" {what}"));

    // A rule that begins later is looked at as of then.
    let begins = Some(prost_types::Timestamp { seconds: 4_070_908_800, nanos: 0 });
    let schedule = Some(pb::Schedule { start_time: begins, ..Default::default() });
    let cities = ["rome", "paris"].map(str::to_owned).to_vec();
    let city = pb::AttributeValues { name: "city".into(), values: cities };
    let later = pb::RuleCondition { schedule, user_attributes: vec![city], ..Default::default() };
    let later = pb::Rule { when: Some(later), ..of_brand("later", "brand1", EXCLUDE) };
    let others = [rules_of[0].clone(), rules_of[2].clone(), later];
    let applied = apply(&server, others.to_vec()).await.unwrap();
    let then = "shows nothing from 2099-01-01 00:00 on: the rules leave it no item of today's \
                catalogue";
    assert_eq!(applied.warnings, [format!("\"recommend\" where \"later\" asks {then}")]);

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
