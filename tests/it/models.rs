//! Models under control: another answers, the one before, none is mixed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use qianmian::api::wire::pb;
use qianmian::engine::{Engine, RecommendRequest};
use qianmian::model::{Manifest, Source};
use qianmian::store::sealed;
use tokio::task::spawn_blocking;
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
        engine.writer().record(purchases(&rows)).await.unwrap();
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
    let newest = server.engine.recommender().recommend(&ask()).unwrap();
    let back = models.rollback_model(pb::RollbackModelRequest {}).await.unwrap().into_inner();
    assert_eq!((back.model.unwrap().generation, back.previous_generation), (1, 2));
    let older = server.engine.recommender().recommend(&ask()).unwrap();
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
    assert_eq!(server.engine.recommender().recommend(&ask()).unwrap().entries, older.entries);
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

async fn assign(server: &Server, generation: u64, role: pb::ModelRole, share: f64) -> pb::Model {
    let request = pb::AssignModelRequest { generation, role: role.into(), share };
    server.models().assign_model(request).await.unwrap().into_inner().model.unwrap()
}

fn generations_told(server: &Server) -> Vec<u64> {
    let told = |user| {
        let request = RecommendRequest { user_id: format!("shopper {user}"), ..ask() };
        server.engine.recommender().recommend(&request).unwrap().generation
    };
    (0..400).map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_answers_the_same_users_whoever_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    two_models(&server.engine).await;
    let canary = assign(&server, 1, pb::ModelRole::Canary, 0.25).await;
    assert_eq!((canary.role(), canary.share), (pb::ModelRole::Canary, 0.25));
    let told = generations_told(&server);
    let of_canary = told.iter().filter(|&&generation| generation == 1).count();
    assert!((60..140).contains(&of_canary), "{of_canary} of 400");
    assert_eq!(
        server.engine.recommender().recommend(&ask()).unwrap().generation,
        2,
        "strangers are not split"
    );
    let delete = server.models().delete_model(pb::DeleteModelRequest { generation: 1 }).await;
    assert_eq!(delete.unwrap_err().code(), Code::FailedPrecondition);
    server.stop().await;

    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(generations_told(&server), told);
    // More of them: nobody who had it loses it.
    assign(&server, 1, pb::ModelRole::Canary, 0.5).await;
    let more = generations_told(&server);
    assert!(told.iter().zip(&more).all(|(before, now)| *before == 2 || *now == 1));
    // A training continues beside it, and is rolled back past it.
    assert_eq!(trained(&server.engine).await, 3);
    assert!(generations_told(&server).contains(&1));
    let back = server.models().rollback_model(pb::RollbackModelRequest {}).await.unwrap();
    assert_eq!(back.into_inner().model.unwrap().generation, 2);
    let wrong = |role: pb::ModelRole, share| pb::AssignModelRequest {
        generation: 1,
        role: role.into(),
        share,
    };
    for (request, says) in [
        (wrong(pb::ModelRole::Canary, 0.0), "share: must be above 0 and up to 1"),
        (wrong(pb::ModelRole::Shadow, 1.5), "share: must be above 0 and up to 1"),
        (
            wrong(pb::ModelRole::Staged, 0.5),
            "share: must be above 0 and up to 1 of a SHADOW or CANARY, else 0",
        ),
        (wrong(pb::ModelRole::Retired, 0.0), "role: must be STAGED, SHADOW, CANARY or ACTIVE"),
    ] {
        let refused = server.models().assign_model(request).await.unwrap_err();
        assert!(refused.message().starts_with(says), "{refused:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_compared_and_shown_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    two_models(&server.engine).await;
    assign(&server, 1, pb::ModelRole::Shadow, 1.0).await;
    let request = pb::RecommendRequest {
        session_item_ids: vec!["cup".into()],
        limit: 2,
        ..Default::default()
    };
    let shadow = async || {
        let shadow = server.models().get_model(pb::GetModelRequest { generation: 1 }).await;
        shadow.unwrap().into_inner().model.unwrap().shadow.unwrap_or_default()
    };
    for _ in 0..200 {
        let answer = server.recommendations().recommend(request.clone()).await.unwrap();
        assert_eq!(answer.into_inner().generation, 2);
        if shadow().await.lists > 20 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let compared = shadow().await;
    assert!(compared.lists > 20 && compared.seconds > 0.0, "{compared:?}");
    // Both know two items to offer; the first model, tea, the second, spoon before tea.
    assert_eq!((compared.overlap, compared.same_first), (1.0, 0.0), "{compared:?}");

    let compare = pb::CompareModelsRequest { generation: 1, other_generation: 0, users: 0 };
    let differ = server.models().compare_models(compare).await.unwrap().into_inner();
    assert_eq!(differ.other.unwrap().generation, 2);
    assert!(differ.settings.is_empty() && differ.lists == 40, "{:?}", differ.settings);
    let unknown = pb::CompareModelsRequest { generation: 9, other_generation: 0, users: 0 };
    assert_eq!(server.models().compare_models(unknown).await.unwrap_err().code(), Code::NotFound);

    // Another shadow: the one before waits again.
    trained(&server.engine).await;
    assign(&server, 2, pb::ModelRole::Shadow, 0.5).await;
    let listed = server.models().list_models(pb::ListModelsRequest {}).await.unwrap().into_inner();
    let roles: Vec<_> = listed.models.iter().map(pb::Model::role).collect();
    use pb::ModelRole::{Active, Shadow, Staged};
    assert_eq!(roles, [Active, Shadow, Staged]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_kept_by_number_and_size_and_those_that_serve_always() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.models.keep = 2;
    let server = Server::start(folder.path(), options.clone()).await;
    let kept = |server: &Server| -> Vec<u64> {
        server.engine.models().list().unwrap().iter().map(|m| m.generation).collect()
    };
    two_models(&server.engine).await;
    assign(&server, 1, pb::ModelRole::Canary, 0.5).await;
    for expected in [vec![3, 2, 1], vec![4, 3, 2, 1], vec![5, 4, 3, 1]] {
        trained(&server.engine).await;
        assert_eq!(kept(&server), expected);
    }
    server.stop().await;
    options.models.keep_mib = 1;
    let server = Server::start(folder.path(), options).await;
    // Each of these takes a few kB.
    trained(&server.engine).await;
    assert_eq!(kept(&server), [6, 5, 4, 1]);
    let path = folder.path().join("stores/default/snapshots/0000000006/manifest.json");
    let mut manifest: Manifest = sealed::unseal(&std::fs::read(&path).unwrap()).unwrap();
    manifest.bytes = 2 << 20;
    std::fs::write(&path, sealed::seal(&manifest).unwrap()).unwrap();
    trained(&server.engine).await;
    assert_eq!(kept(&server), [7, 6, 1], "the way back stays, and takes all the room there is");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_leads_to_what_answered_before() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    two_models(&server.engine).await;
    let back = async |server: &Server| {
        let back = server.models().rollback_model(pb::RollbackModelRequest {}).await;
        back.map(|back| back.into_inner().model.unwrap().generation)
    };
    // The second disappoints, and so does the third: not back to the second.
    assert_eq!(back(&server).await.unwrap(), 1);
    trained(&server.engine).await;
    assert_eq!(back(&server).await.unwrap(), 1);
    assert_eq!(back(&server).await.unwrap_err().code(), Code::FailedPrecondition);
    // A canary that was given up never answered everybody.
    assign(&server, 3, pb::ModelRole::Canary, 0.5).await;
    assign(&server, 2, pb::ModelRole::Active, 0.0).await;
    assign(&server, 1, pb::ModelRole::Canary, 0.5).await;
    assert_eq!(back(&server).await.unwrap_err().code(), Code::FailedPrecondition);
    assign(&server, 3, pb::ModelRole::Active, 0.0).await;
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(back(&server).await.unwrap(), 2);
    server.stop().await;

    // What they are for is lost: the newest that was trained here answers.
    std::fs::remove_file(folder.path().join("stores/default/snapshots/ROLES")).unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(server.engine.generation(), 3);
    assert_eq!(back(&server).await.unwrap(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_says_what_is_left_and_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let rows: Vec<(String, String)> = (0..40)
        .flat_map(|u| [u % 5, 5 + u % 7].map(|i| (format!("u{u}"), format!("i{i}"))))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    let all = async || {
        let mut models = server.models();
        let started = models.train(pb::TrainRequest {}).await.unwrap().into_inner();
        let watch = pb::WatchTrainingRequest { training_id: started.training_id };
        let mut progress = models.watch_training(watch).await.unwrap().into_inner();
        let mut all = Vec::new();
        while let Some(message) = progress.message().await.unwrap() {
            all.push(message);
        }
        all
    };
    let running = |all: &[pb::WatchTrainingResponse]| -> Vec<Option<f64>> {
        let running = all.iter().filter(|m| m.state() == pb::TrainingState::Running);
        running.map(|m| m.progress).collect()
    };
    let first = all().await;
    assert!(running(&first).iter().all(Option::is_none), "nothing to go by: {first:?}");
    let second = all().await;
    let said = running(&second);
    assert!(!said.is_empty() && said.iter().all(|p| p.is_some_and(|p| (0.0..=1.0).contains(&p))));
    assert!(
        second
            .iter()
            .all(|m| m.stage_count as usize == qianmian::domain::progress::Stage::ALL.len())
    );
    let last = second.last().unwrap();
    assert_eq!((last.state(), last.progress), (pb::TrainingState::Succeeded, Some(1.0)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_stays_within_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let within = |memory_mib| {
        let mut options = support::quiet();
        options.train.memory_mib = memory_mib;
        options
    };

    // Item weights in closed form over 1,500 items take 27 MB, all else 20.
    let engine = Arc::new(Engine::open(folder.path(), within(24)).unwrap());
    let names: Vec<(String, String)> =
        (0..6_000).map(|n| (format!("u{}", n % 1_500), format!("i{}", n * 7 % 1_499))).collect();
    let rows: Vec<_> = names.iter().map(|(user, item)| (user.as_str(), item.as_str(), 1)).collect();
    engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&engine).await;
    let manifest = engine.models().active().unwrap().manifest.clone();
    assert_eq!(manifest.left_out, [Source::Ease]);
    drop(engine);

    let engine = Arc::new(Engine::open(folder.path(), within(1)).unwrap());
    let same = engine.clone();
    let training = spawn_blocking(move || same.trainer().train_blocking(true));
    let refused = training.await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("more than the 1 MiB it may take (train.memory_mib)"), "{refused}");
    assert_eq!(engine.generation(), manifest.generation, "the model before answers");
}
