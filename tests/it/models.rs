//! Models under control: another answers, the one before, none is mixed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use qianmian::api::pb;
use qianmian::engine::{Engine, RecommendRequest};
use tonic::Code;

use crate::support::{self, Server, purchases, trained};

/// Swaps under load.
const SWAPS: u64 = 1_000;

/// A store with two models that answer differently: between them, everyone bought.
async fn two_models(engine: &Arc<Engine>) {
    let rows = |tastes: [&'static str; 2], day| -> Vec<(String, &'static str, i64)> {
        (0..20).flat_map(|u| tastes.map(|item| (format!("{day}u{u}"), item, day))).collect()
    };
    for (tastes, day) in [(["tea", "cup"], 1), (["cup", "spoon"], 2)] {
        let rows = rows(tastes, day);
        let rows: Vec<_> = rows.iter().map(|(u, i, d)| (u.as_str(), *i, *d)).collect();
        engine.record(purchases(&rows)).await.unwrap();
        trained(engine).await;
    }
}

fn ask() -> RecommendRequest {
    RecommendRequest { session: vec!["cup".into()], limit: 2, ..RecommendRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_answers_until_the_next_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    two_models(&server.engine).await;
    let mut models = server.models();
    let newest = server.engine.recommend(&ask()).unwrap();
    let back = models.rollback_model(pb::RollbackModelRequest {}).await.unwrap().into_inner();
    assert_eq!((back.model.unwrap().generation, back.previous_generation), (1, 2));
    let older = server.engine.recommend(&ask()).unwrap();
    assert_eq!((newest.generation, older.generation), (2, 1));
    assert_ne!(newest.entries, older.entries);
    // Nothing is older than the first, and what answers is not deleted.
    let none = models.rollback_model(pb::RollbackModelRequest {}).await.unwrap_err();
    assert_eq!(none.code(), Code::FailedPrecondition);
    let delete = |generation| pb::DeleteModelRequest { generation };
    let active = models.delete_model(delete(1)).await.unwrap_err();
    assert_eq!(active.code(), Code::FailedPrecondition);
    let activate = |generation| pb::ActivateModelRequest { generation };
    let unknown = models.activate_model(activate(7)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    drop(models);
    server.stop().await;

    // The choice outlives a restart, and ends with the next training.
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(server.engine.recommend(&ask()).unwrap().entries, older.entries);
    let mut models = server.models();
    models.delete_model(delete(2)).await.unwrap();
    assert_eq!(models.delete_model(delete(2)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(trained(&server.engine).await, 3, "a deleted model's number is not given out");
    assert_eq!(server.engine.generation(), 3);
    drop(models);
    server.stop().await;
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    assert_eq!(engine.generation(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_or_is_mixed_while_models_are_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    two_models(&server.engine).await;
    let mut models = server.models();
    let ask = pb::RecommendRequest {
        session_item_ids: vec!["cup".into()],
        limit: 2,
        ..Default::default()
    };
    let mut lists = server.recommendations();
    let mut expected = Vec::new();
    for generation in [1, 2] {
        models.activate_model(pb::ActivateModelRequest { generation }).await.unwrap();
        expected.push(lists.recommend(ask.clone()).await.unwrap().into_inner().items);
    }
    assert_ne!(expected[0], expected[1]);
    let (done, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (mut lists, ask, expected) =
                (server.recommendations(), ask.clone(), expected.clone());
            let (done, answered) = (done.clone(), answered.clone());
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let answer = lists.recommend(ask.clone()).await.unwrap().into_inner();
                    assert_eq!(answer.items, expected[answer.generation as usize - 1]);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for swap in 0..SWAPS {
        let generation = swap % 2 + 1;
        models.activate_model(pb::ActivateModelRequest { generation }).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) > 100);
}
