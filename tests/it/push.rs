//! Models that were trained elsewhere: they take part, are weighed, carried on, renewed.

use std::path::Path;

use qianmian::api::wire::pb;
use qianmian::engine::RecommendRequest;
use qianmian::model::Source;
use safetensors::Dtype;
use tonic_types::StatusExt;

use crate::parcel::{Parcel, floats, header, item, push, push_as, store, verdicts};
use crate::support::{self, Server, purchases, trained};

fn list(server: &Server, user: &str, source: Option<Source>) -> Vec<(String, Source)> {
    let request = RecommendRequest {
        user_id: user.into(),
        limit: 4,
        strategy: source,
        ..RecommendRequest::default()
    };
    let entries = server.engine.recommender().recommend(&request).unwrap().entries;
    entries.into_iter().map(|item| (item.item_id, item.source)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_embedding_takes_part_until_it_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let model = push(&server, &Parcel::embeddings()).await.unwrap();
    assert_eq!((model.generation, model.role()), (2, pb::ModelRole::Active));
    let lineage = model.lineage.clone().unwrap();
    assert_eq!((lineage.generation, lineage.base_generation), (2, 1));
    assert_eq!(lineage.pushed_by, "the test");
    assert_eq!(lineage.contents, ["item_embeddings 12 x 3 F32"]);
    let verdicts = verdicts(&model);
    assert_eq!(verdicts["quality"], pb::Verdict::NotJudged);
    assert!(verdicts.values().filter(|v| **v == pb::Verdict::Passed).count() >= 8);
    // The longest vector is of items 2, 5, 8 and 11; u4 has i4, i6 and i8.
    let nearest = list(&server, "u4", Some(Source::PushedEmbedding));
    assert_eq!(nearest[0], ("i2".to_owned(), Source::PushedEmbedding));
    assert!(serde_json::from_str::<serde_json::Value>(&model.settings_json).unwrap()["blend"]
        ["pushed_embedding"]
        .as_f64()
        .is_some_and(|weight| weight == 0.25));
    let blended = list(&server, "u4", None);

    // It outlives a restart and the server's own trainings.
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(list(&server, "u4", None), blended);
    assert_eq!(list(&server, "u4", Some(Source::PushedEmbedding)), nearest);
    assert_eq!(trained(&server.engine).await, 3);
    assert_eq!(list(&server, "u4", Some(Source::PushedEmbedding)), nearest);
    let carried = server.models().get_model(pb::GetModelRequest { generation: 3 }).await.unwrap();
    assert_eq!(carried.into_inner().model.unwrap().lineage.unwrap(), lineage);
    server.stop().await;

    let mut options = support::quiet();
    options.push.keep_days = 0;
    let server = Server::start(folder.path(), options).await;
    trained(&server.engine).await;
    let without = list(&server, "u4", Some(Source::PushedEmbedding));
    assert!(without.iter().all(|(_, source)| *source != Source::PushedEmbedding), "{without:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_part_is_asked_as_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let parcel = Parcel::of_every_kind();
    push(&server, &parcel).await.unwrap();
    // The user's own vector points at items 1, 4, 7 and 10, of which u4 has i4.
    let own = list(&server, "u4", Some(Source::PushedEmbedding));
    assert_eq!(own[0].0, "i1");
    assert_eq!(
        list(&server, "u4", Some(Source::PushedItems))[0],
        ("i7".into(), Source::PushedItems)
    );
    let theirs = list(&server, "u4", Some(Source::PushedUsers));
    let of_u1 = ["i1", "i3", "i5"];
    assert!(
        theirs[..3]
            .iter()
            .all(|(id, source)| of_u1.contains(&id.as_str()) && *source == Source::PushedUsers)
    );
    assert_eq!(list(&server, "u4", Some(Source::PushedPrior))[0].0, "i11");

    // What the user does now counts more than the vector that they came with.
    let mut now = purchases(&[("u4", "i11", 1)]);
    now[0].time_ms = qianmian::domain::now_ms() + 1_000;
    server.engine.writer().record(now).await.unwrap();
    assert_ne!(list(&server, "u4", Some(Source::PushedEmbedding)), own);

    // Who is erased leaves with their vector.
    server.engine.writer().erase_user("u3").await.unwrap();
    trained(&server.engine).await;
    let snapshot = server.engine.models().active().unwrap();
    let pushed = &snapshot.parts.pushed;
    assert_eq!(pushed.user_vectors.users, [0, 1, 2, 4]);
    assert!(pushed.users.row(3).0.is_empty() && pushed.users.row(4).0 == [1]);
    drop(snapshot);
    server.stop().await;
}

/// Sixty users of twenty tastes, whose next basket is always 40 items further on; a few are a
/// basket ahead of the others, by which those lists know what comes.
async fn habitual(folder: &Path) -> Server {
    let mut options = support::quiet();
    options.push.min_quality = 2.0;
    let server = Server::start(folder, options).await;
    let baskets = |u: usize| if u < 5 { 6 } else { 5 };
    let rows: Vec<(String, String, i64)> = (0..60)
        .flat_map(|u| (0..baskets(u)).map(move |basket| (u, basket)))
        .flat_map(|(u, basket)| {
            let number = |n| (u % 20 * 2 + n + 40 * basket) % 200;
            [0, 1].map(|n| (format!("u{u}"), item(number(n)), basket as i64 * 10))
        })
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i, d)| (u.as_str(), i.as_str(), *d)).collect();
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn worse_lists_are_refused_unless_forced_and_better_ones_weigh_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = habitual(folder.path()).await;
    // What comes next is 40 further on: one job knows, another says the contrary.
    let neighbours = |step: i64| {
        let targets = (0..200i64).map(|i| (i + step).rem_euclid(200));
        Parcel::default()
            .ids("item", 200, item)
            .with(
                "item_neighbours",
                Dtype::I64,
                &[200, 1],
                targets.flat_map(i64::to_le_bytes).collect(),
            )
            .with("item_neighbours.scores", Dtype::F32, &[200, 1], floats(&[1.0; 200]))
            // The fifth baskets came on day 40.
            .says("trained_until", &(1_600_000_000_000i64 + 35 * 86_400_000).to_string())
    };
    let bad = neighbours(7).bytes();
    let mut forced = header(&bad);
    let refused = push_as(&server, &bad, forced.clone()).await.unwrap_err();
    let info = refused.get_error_details().error_info().unwrap().clone();
    assert!(
        info.metadata["quality"].ends_with("held-out baskets, at least 2): failed"),
        "{info:?}"
    );
    forced.force = true;
    let model = push_as(&server, &bad, forced).await.unwrap();
    assert_eq!(verdicts(&model)["quality"], pb::Verdict::Overridden);
    assert!(model.lineage.unwrap().forced);
    server.models().rollback_model(pb::RollbackModelRequest {}).await.unwrap();

    let model = push(&server, &neighbours(40)).await.unwrap();
    assert_eq!(verdicts(&model)["quality"], pb::Verdict::Passed);
    assert!(model.quality["pushed_ndcg@10"] > model.quality["pushed_ndcg@10_before"]);
    let settings: serde_json::Value = serde_json::from_str(&model.settings_json).unwrap();
    assert!(settings["blend"]["pushed_items"].as_f64().unwrap() >= 0.5, "{settings}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_renewed_beside_what_the_server_trains() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let users = Parcel::embeddings().ids("user", 5, |u| format!("u{u}")).with(
        "user_embeddings",
        Dtype::F32,
        &[5, 3],
        floats(&[0.0, 1.0, 0.0].repeat(5)),
    );
    let bytes = users.bytes();
    let staged = pb::PushHeader { role: pb::ModelRole::Staged.into(), ..header(&bytes) };
    let staged = push_as(&server, &bytes, staged).await.unwrap();
    assert_eq!((staged.generation, staged.role()), (2, pb::ModelRole::Staged));
    assert_eq!(server.engine.generation(), 1);
    server.engine.writer().record(purchases(&[("u1", "i11", 2)])).await.unwrap();
    trained(&server.engine).await;
    let request =
        pb::AssignModelRequest { generation: 2, role: pb::ModelRole::Canary.into(), share: 1.0 };
    let canary = server.models().assign_model(request).await.unwrap().into_inner().model.unwrap();
    assert_eq!((canary.generation, canary.role()), (4, pb::ModelRole::Canary));
    assert_eq!(canary.offset, 49, "beside what the third knows");
    assert_eq!(canary.lineage.unwrap().pushed_by, "the test");

    // Whoever is erased leaves the canary, which continues under another number.
    server.engine.writer().erase_user("u3").await.unwrap();
    trained(&server.engine).await;
    let answer = server.engine.recommender().recommend(&RecommendRequest {
        user_id: "u4".into(),
        limit: 4,
        ..RecommendRequest::default()
    });
    let generation = answer.unwrap().generation;
    assert!(generation > 5, "{generation}");
    let canary = server.engine.models().load(generation).unwrap();
    assert_eq!(canary.parts.pushed.user_vectors.users, [0, 1, 2, 4]);
    let kept: Vec<u64> =
        server.engine.models().list().unwrap().iter().map(|m| m.generation).collect();
    assert_eq!(kept, [generation, 5]);
    server.stop().await;
}
