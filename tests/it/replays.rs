//! Replays over the wire, and what placements have of their own.

use std::time::Duration;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::report_service_client::ReportServiceClient;

use crate::experiments::{event, place, placement, recorded, shop, show, single, write};
use crate::merchandise::recommend;
use crate::rules::{apply, pin, rule};
use crate::support::{self, trained};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_values_placements_by_what_a_slot_showed() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    let slot = Some(pb::RandomSlot { position: 1, candidates: 10 });
    let weight = |source: pb::Source| pb::SourceWeight { source: source.into(), weight: 1.0 };
    let placements = vec![
        pb::Placement { slot, ..placement("home") },
        pb::Placement { weights: vec![weight(pb::Source::ItemCf)], ..placement("items") },
        single("bestsellers", pb::Source::Popular),
    ];
    place(&server, placements).await.unwrap();
    let mut reports = ReportServiceClient::new(server.channel.clone());
    let ask = |candidate: &str| pb::ReplayPlacementRequest {
        placement: "home".into(),
        candidate: candidate.into(),
        ..Default::default()
    };
    let nothing = reports.replay_placement(ask("home")).await.unwrap_err();
    assert!(nothing.message().starts_with("placement: must have shown lists"), "{nothing:?}");

    // Users click an item at the slot that has an even number.
    let mut clicks = Vec::new();
    let mut drawn = 0;
    for round in 0..2 {
        for (user, list) in show(&server, 400).await.into_values().flatten() {
            let first = &list.items[0];
            drawn += u32::from(list.items[1..].iter().any(|item| item.score > first.score));
            let number: u32 = first.item_id[1..].parse().unwrap();
            if number.is_multiple_of(2) {
                clicks.push(event(pb::EventKind::Click, &user, &list));
            }
        }
        assert!(drawn > 100 * (round + 1), "{drawn}");
    }
    recorded(&server, 800).await;
    let clicked = clicks.len() as f64 / 800.0;
    write(&server, clicks).await;

    // The same placement would have earned what it did.
    let same = reports.replay_placement(ask("home")).await.unwrap().into_inner();
    assert_eq!((same.slots, same.left_out, same.refusal.as_str()), (800, 0, ""));
    assert!((same.logged.unwrap().value - clicked).abs() < 1e-9);
    assert!((same.effective_slots - 800.0).abs() < 1.0, "{}", same.effective_slots);
    for (estimate, off) in [(same.ips, 0.001), (same.snips, 0.001), (same.dr, 0.03)] {
        assert!((estimate.unwrap().value - clicked).abs() < off, "{estimate:?} {clicked}");
    }
    let other = reports.replay_placement(ask("items")).await.unwrap().into_inner();
    assert!(other.effective_slots < 800.0 && other.dr.unwrap().low < other.dr.unwrap().high);
    let none = reports.replay_placement(ask("gone")).await.unwrap_err();
    assert!(none.message().starts_with("candidate: must be a placement"), "{none:?}");

    let both = pb::Placement {
        variety: Some(pb::Variety { exploration: 0.2, ..Default::default() }),
        slot,
        ..placement("home")
    };
    let refused = place(&server, vec![both, single("bestsellers", pb::Source::Popular)]).await;
    assert!(refused.unwrap_err().message().starts_with("placements[0].slot: must be absent"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_placement_has_weights_rules_and_a_model_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path(), support::quiet()).await;
    assert_eq!(trained(&server.engine).await, 2);
    let weight = |source: pb::Source, weight| pb::SourceWeight { source: source.into(), weight };
    let placements = vec![
        placement("home"),
        pb::Placement { weights: vec![weight(pb::Source::Popular, 2.0)], ..placement("weighted") },
        pb::Placement { generation: 1, ..placement("before") },
        pb::Placement { rules: pb::RuleChoice::Without.into(), ..placement("bare") },
        pb::Placement { generation: 9, ..placement("gone") },
    ];
    place(&server, placements).await.unwrap();
    apply(&server, vec![rule("first", &["i39"], pin(1))]).await.unwrap();
    // Models that placements name are read within seconds.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let ask = |placement: &str| pb::RecommendRequest {
        user_id: "u1".into(),
        placement: placement.into(),
        ..Default::default()
    };
    assert_eq!(recommend(&server, ask("home")).await.items[0].item_id, "i39");
    let weighted = recommend(&server, ask("weighted")).await;
    assert!(weighted.items[1..].iter().all(|item| item.source() == pb::Source::Popular));
    assert_eq!(recommend(&server, ask("before")).await.generation, 1);
    assert_eq!(recommend(&server, ask("gone")).await.generation, 2, "the one that answers");
    assert_ne!(recommend(&server, ask("bare")).await.items[0].item_id, "i39");
    let twice = vec![weight(pb::Source::Popular, 1.0), weight(pb::Source::Popular, 2.0)];
    let refused = place(&server, vec![pb::Placement { weights: twice, ..placement("home") }]).await;
    assert_eq!(refused.unwrap_err().message(), "placements[0].weights[1].source: is given twice");
    server.stop().await;
}
