//! Users as data: what they say of themselves, what they are called, and their erasure.

use std::path::Path;
use std::time::Duration;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;
use qianmian::domain::{DAY_MS, Event, EventKind, Secret, User};
use qianmian::engine::serve::ScoredUser;
use qianmian::engine::{Engine, RecommendRequest, Write};
use qianmian::live::Filter;
use qianmian::model::{Source, disk};
use qianmian::recommend::Basis;
use qianmian::store::replay;
use tonic::Code;

use crate::support::{self, Server, purchases};

const USERS: usize = 12;

/// Users who share their items with their neighbours.
fn log() -> Vec<Event> {
    let rows: Vec<(String, String)> =
        (0..USERS).flat_map(|u| (u..u + 4).map(move |i| (user(u), format!("i{i}")))).collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    let mut events = purchases(&rows);
    for (at, event) in events.iter_mut().enumerate() {
        event.event_id = format!("event-{at}-{}", event.user_id);
        event.basket_id = format!("basket of {}", event.user_id);
    }
    events
}

fn user(number: usize) -> String {
    if number == 5 { "Erika".to_owned() } else { format!("u{number}") }
}

/// Everything that the log's blocks hold, as text.
fn decoded(data: &Path) -> String {
    let mut text = String::new();
    let log = data.join("stores/default/log");
    replay(&log, u64::MAX, &mut |entry| text += &format!("{entry:?}\n")).unwrap();
    text
}

fn snapshots(data: &Path) -> std::path::PathBuf {
    data.join("stores/default/snapshots")
}

fn generations(data: &Path) -> Vec<u64> {
    disk::list(&snapshots(data)).unwrap().iter().map(|manifest| manifest.generation).collect()
}

async fn wait_for_generation(engine: &Engine, generation: u64) {
    for _ in 0..400 {
        if engine.generation() == generation && engine.models().list().unwrap().len() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("generation {generation} did not come: {:?}", engine.generation());
}

fn ask(user: &str) -> RecommendRequest {
    RecommendRequest { user_id: user.into(), limit: 5, ..RecommendRequest::default() }
}

fn write(engine: &Engine, write: Write) {
    engine.writer().submit_blocking(write).unwrap().wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_is_gone_from_answers_at_once_and_from_every_file_soon() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let engine = server.engine.clone();
    let mut users = UserServiceClient::new(server.channel.clone());
    engine.writer().record(log()).await.unwrap();
    let erika = pb::User {
        user_id: "Erika".into(),
        attributes: [("city".to_owned(), "Musterstadt".to_owned())].into(),
        ..Default::default()
    };
    let upsert = pb::UpsertUsersRequest { users: vec![erika.clone()] };
    assert_eq!(users.upsert_users(upsert).await.unwrap().into_inner().upserted, 1);
    for _ in 0..2 {
        let training = engine.clone();
        let train = move || training.trainer().train_blocking(false).unwrap();
        tokio::task::spawn_blocking(train).await.unwrap();
    }
    assert!(generations(folder.path()) == [2, 1] && decoded(folder.path()).contains("Musterstadt"));
    let neighbours = engine.recommender().similar_users("u4", 9).unwrap();
    assert!(neighbours.entries.iter().any(|e| e.user_id == "Erika"));
    let get = || pb::GetUserRequest { user_id: "Erika".into() };
    let got = users.get_user(get()).await.unwrap().into_inner().user.unwrap();
    assert_eq!(got, pb::User { consent: pb::Consent::Given.into(), ..erika });

    let delete = || pb::DeleteUserRequest { user_id: "Erika".into() };
    let offset = users.delete_user(delete()).await.unwrap().into_inner().offset;
    assert_eq!(users.get_user(get()).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(users.delete_user(delete()).await.unwrap_err().code(), Code::NotFound);
    let listed = users.list_users(pb::ListUsersRequest::default()).await.unwrap().into_inner();
    assert!(listed.users.len() == USERS - 1 && listed.users.iter().all(|u| u.user_id != "Erika"));
    assert_eq!(engine.recommender().recommend(&ask("Erika")).unwrap().basis, Basis::Popular);
    let neighbours = engine.recommender().similar_users("u4", 9).unwrap();
    assert!(neighbours.entries.iter().all(|e| e.user_id != "Erika" && !e.user_id.is_empty()));

    // The training begins by itself, though trainings are to be asked for.
    wait_for_generation(&engine, 3).await;
    assert_eq!(generations(folder.path()), [3]);
    let snapshot = disk::load(&snapshots(folder.path()), 3).unwrap();
    assert!(snapshot.manifest.unlearned_to >= offset && snapshot.manifest.offset < offset);
    assert_eq!(snapshot.parts.user_cf.by_user.degree(5), 0);
    assert!(snapshot.parts.user_cf.by_user.degree(4) > 0);
    let text = decoded(folder.path());
    for word in ["Erika", "Musterstadt", "event-20-", "user: 5,"] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(text.contains("Erased(5, ") && text.contains("event-19-u4"));

    // Nor does it come back with a restart; who comes back under the name is somebody else.
    drop((users, engine));
    server.stop().await;
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    assert!(engine.live().user("Erika").is_none() && engine.live().user("u4") == Some(4));
    engine.writer().record(purchases(&[("Erika", "i9", 3)])).await.unwrap();
    assert_eq!(engine.live().user("Erika"), Some(USERS as u32));
    assert_eq!(engine.recommender().recommend(&ask("Erika")).unwrap().basis, Basis::History);
}

/// Found by the soak: a model whose training an erasure had interrupted was removed as soon
/// as it answered.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_during_a_training_leaves_its_model_until_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let engine = std::sync::Arc::new(Engine::open(folder.path(), support::quiet()).unwrap());
    engine.writer().record(log()).await.unwrap();
    support::trained(&engine).await;
    for user in ["u1", "u2", "u3", "u7", "u8"] {
        engine.writer().erase_user(user).await.unwrap();
        // Whatever the trainer is at, a model answers.
        for _ in 0..40 {
            assert!(engine.recommender().recommend(&ask("u4")).unwrap().generation > 0);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for _ in 0..400 {
        let model = engine.models().active().unwrap();
        // Older models go a moment after it answers.
        if model.manifest.erased_to() >= engine.live().offset()
            && engine.models().list().unwrap().len() == 1
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(engine.models().list().unwrap().len(), 1);
    let text = decoded(folder.path());
    assert!(!text.contains("User(\"u7\")") && text.contains("User(\"u4\")"), "{text}");
}

/// Views, carts, purchases, refunds and ratings. Users and items come the less often the higher their number;
/// the items are so many that a few users have less than a quarter of them, beyond which every row is computed.
fn busy_log() -> Vec<Event> {
    let mut state = 7u64;
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let kinds = [
        EventKind::Purchase,
        EventKind::Purchase,
        EventKind::View,
        EventKind::AddToCart,
        EventKind::Refund,
        EventKind::Rating,
    ];
    let event = |_| {
        let user = draw(60).min(draw(60));
        let item = draw(1_500).min(draw(1_500));
        let mut event = purchases(&[(&format!("u{user}"), &format!("i{item}"), 1)]).remove(0);
        event.kind = kinds[draw(6) as usize];
        event.time_ms += draw(90) as i64 * DAY_MS;
        event
    };
    (0..2_500).map(event).collect()
}

/// The checksum of the model's arrays, once no erased user is owed anything.
fn unlearned(engine: &Engine) -> String {
    for _ in 0..600 {
        let model = engine.models().active();
        let is_clean = model.is_some_and(|m| m.manifest.erased_to() >= engine.live().offset());
        if is_clean && engine.trainer().pending() == 0 {
            return engine.models().active().unwrap().manifest.checksum.clone();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the users are still in the model");
}

/// What erased users leave is what a training without them makes, to the last bit: also where the
/// newest event was theirs, where others' events changed hands in between, and twice in a row.
#[test]
fn a_model_without_erased_users_equals_one_trained_without_them() {
    let erase = |engine: &Engine, users: &[u32]| {
        users.iter().for_each(|u| write(engine, Write::Erase(vec![format!("u{u}")], 1)));
    };
    let link = |engine: &Engine| write(engine, Write::Link("u1".into(), vec!["u2".into()]));
    let mut events = busy_log();
    events[9].time_ms += 100 * DAY_MS;
    let newest: u32 = events[9].user_id[1..].parse().unwrap();
    for (users, linked) in [(vec![3, 17, 40], false), (vec![newest], false), (vec![8], true)] {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path(), support::quiet()).unwrap();
        write(&engine, Write::Events(events.clone()));
        engine.trainer().train_blocking(true).unwrap();
        let with_them = engine.models().active().unwrap().manifest.checksum.clone();
        if linked {
            link(&engine);
        }
        erase(&engine, &users);
        let first = unlearned(&engine);
        erase(&engine, &[21]);
        let second = unlearned(&engine);
        assert!(with_them != first && first != second);

        for (gone, expected) in [(users.clone(), first), ([users, vec![21]].concat(), second)] {
            let folder = tempfile::tempdir().unwrap();
            let engine = Engine::open(folder.path(), support::quiet()).unwrap();
            write(&engine, Write::Events(events.clone()));
            if linked {
                link(&engine);
            }
            // Keeps the trainer from starting between two erasures.
            let _hold = engine.trainer().hold();
            erase(&engine, &gone);
            engine.trainer().train_blocking(true).unwrap();
            let trained = engine.models().active().unwrap().manifest.checksum.clone();
            assert_eq!(trained, expected, "without {gone:?}, linked: {linked}");
        }
    }
}

/// Once some of the log's files are rewritten and others are not, the log no longer says which items were
/// the user's.
#[test]
fn a_rewrite_cut_short_leaves_no_item_of_the_user_in_the_model() {
    let erase = |engine: &Engine| write(engine, Write::Erase(vec!["u3".into()], 1));
    let opened = |folder: &Path, trained: bool| {
        let engine = Engine::open(folder, support::quiet()).unwrap();
        for part in busy_log().chunks(800) {
            write(&engine, Write::Events(part.to_vec()));
            write(&engine, Write::Seal);
        }
        if trained {
            engine.trainer().train_blocking(true).unwrap();
        }
        engine
    };

    let folder = tempfile::tempdir().unwrap();
    let engine = opened(folder.path(), true);
    let hold = engine.trainer().hold();
    erase(&engine);
    // The newest files come first; the oldest cannot be written.
    let obstacle = folder.path().join("stores/default/log/00000000000000000000.rewriting");
    std::fs::create_dir(&obstacle).unwrap();
    engine.trainer().train_blocking(true).unwrap_err();
    std::fs::remove_dir(&obstacle).unwrap();
    assert!(decoded(folder.path()).contains("Gone"));
    drop(hold);
    let found = unlearned(&engine);
    drop(engine);

    let other = tempfile::tempdir().unwrap();
    let engine = opened(other.path(), false);
    let _hold = engine.trainer().hold();
    erase(&engine);
    engine.trainer().train_blocking(true).unwrap();
    assert_eq!(engine.models().active().unwrap().manifest.checksum, found);
}

/// What the model was made of is gone, but others have come since.
#[test]
fn a_model_of_erased_users_alone_is_followed_by_one_of_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    write(&engine, Write::Events(purchases(&[("tester", "tea", 1), ("tester", "cup", 1)])));
    engine.trainer().train_blocking(true).unwrap();
    write(&engine, Write::Events(purchases(&[("anna", "tea", 2), ("anna", "pot", 2)])));
    write(&engine, Write::Erase(vec!["tester".into()], 1));
    unlearned(&engine);
    let users = engine.models().active().unwrap().manifest.users;
    assert_eq!((users, generations(folder.path())), (1, vec![2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_user_takes_the_model_along() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    engine.writer().record(purchases(&[("Erika", "tea", 1), ("Erika", "cup", 1)])).await.unwrap();
    let engine = std::sync::Arc::new(engine);
    support::trained(&engine).await;
    engine.writer().erase_user("Erika").await.unwrap();
    for _ in 0..400 {
        // And the training that did it has ended: the next one is another.
        let ended = engine.trainer().pending() == 0;
        if engine.generation() == 0 && generations(folder.path()).is_empty() && ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((engine.generation(), generations(folder.path())), (0, vec![]));
    engine.writer().record(purchases(&[("Fritz", "tea", 2)])).await.unwrap();
    assert_eq!(support::trained(&engine).await, 2, "a number is not given out twice");
    let text = decoded(folder.path());
    assert!(!text.contains("Erika") && text.contains("Item(\"tea\")"), "{text}");
}

#[test]
fn an_erasure_cut_short_by_a_crash_is_finished_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    write(&engine, Write::Events(log()));
    engine.trainer().train_blocking(true).unwrap();
    write(&engine, Write::Erase(vec!["Erika".into()], 1));
    // Closed before a training could begin.
    engine.close();
    drop(engine);
    assert!(decoded(folder.path()).contains("Erika"));
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    assert!(engine.live().user("Erika").is_none());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(wait_for_generation(&engine, 2));
    assert!(!decoded(folder.path()).contains("Erika"));
}

#[test]
fn behaviour_that_may_not_be_used_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    write(&engine, Write::Events(log()));
    engine.trainer().train_blocking(true).unwrap();
    assert_eq!(engine.recommender().recommend(&ask("Erika")).unwrap().basis, Basis::History);
    let known = |user: &str| {
        let found = engine.recommender().similar_users(user, 9).unwrap();
        found.entries.iter().any(|entry| entry.user_id == "Erika")
    };
    assert!(known("u4"));
    let denied = User { consent: false, ..User::default() };
    write(&engine, Write::Users(vec![("Erika".into(), denied)]));
    assert_eq!(engine.recommender().recommend(&ask("Erika")).unwrap().basis, Basis::Popular);
    assert!(
        !known("u4") && engine.recommender().similar_users("Erika", 9).unwrap().entries.is_empty()
    );
    engine.trainer().train_blocking(true).unwrap();
    let trained = engine.models().active().unwrap();
    assert_eq!(trained.parts.user_cf.by_user.degree(5), 0);
    // Nor does what they do from now on count for others.
    write(&engine, Write::Events(purchases(&[("Erika", "i3", 2), ("Erika", "strange", 2)])));
    let beside = engine
        .recommender()
        .similar_items("strange", &crate::support::asked(&Filter::default(), 3))
        .unwrap();
    assert!(beside.entries.iter().all(|e| e.source != Source::Fresh), "{beside:?}");
    write(&engine, Write::Events(purchases(&[("u0", "strange", 2)])));
    let beside = engine
        .recommender()
        .similar_items("strange", &crate::support::asked(&Filter::default(), 3))
        .unwrap();
    assert!(beside.entries.iter().any(|e| e.source == Source::Fresh), "{beside:?}");
    // Consent given again brings it all back.
    write(&engine, Write::Users(vec![("Erika".into(), User::default())]));
    assert_eq!(engine.recommender().recommend(&ask("Erika")).unwrap().basis, Basis::History);
}

#[test]
fn with_a_key_no_id_of_a_user_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let with = |key: &str| {
        let mut options = support::quiet();
        options.privacy.pseudonym_key = Secret::new(key);
        Engine::open(folder.path(), options)
    };
    let engine = with("a secret of sixteen bytes").unwrap();
    let mut events = log();
    events.iter_mut().for_each(|event| {
        event.basket_id.clear();
        event.event_id.clear();
    });
    write(&engine, Write::Events(events));
    engine.trainer().train_blocking(true).unwrap();
    let answer = engine.recommender().recommend(&ask("Erika")).unwrap();
    assert_eq!(answer.basis, Basis::History);
    let neighbours = engine.recommender().similar_users("u4", 9).unwrap().entries;
    let hash = |user: &ScoredUser| user.user_id.len() == 32 && !user.user_id.starts_with('u');
    assert!(!neighbours.is_empty() && neighbours.iter().all(hash), "{neighbours:?}");
    assert!(
        engine
            .recommender()
            .similar_items("i5", &crate::support::asked(&Filter::default(), 3))
            .is_ok()
    );
    drop(engine);
    assert!(!decoded(folder.path()).contains("Erika"));
    for other in ["another secret of sixteen", ""] {
        let error = with(other).map(drop).unwrap_err().to_string();
        assert!(error.contains("privacy.pseudonym_key"), "{error}");
    }
    let engine = with("a secret of sixteen bytes").unwrap();
    let listed = |answer: &qianmian::engine::Answer| answer.entries.clone();
    assert_eq!(listed(&engine.recommender().recommend(&ask("Erika")).unwrap()), listed(&answer));
}
