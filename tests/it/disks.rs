//! Disks that fail once, at every kind of call in turn, while a server opens, writes, trains,
//! publishes, erases and takes in a model: nothing acknowledged is lost, no model is deleted that
//! was to stay, and the error is named.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;
use qianmian::api::wire::pb::push_model_request::Part;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;
use qianmian::engine::Engine;
use qianmian::store::{Entry, Record, replay};
use tonic::Status;
use tonic::transport::Channel;

use crate::parcel::{Parcel, chunk, commit, header, push_as, store};
use crate::support::{self, Process};

/// Kinds of calls, by the numbers that the shim knows them by.
const CALLS: [(&str, u32); 6] =
    [("open", 1), ("list", 2), ("read", 3), ("write", 4), ("rename", 5), ("fsync", 6)];
const PHASES: [&str; 6] = ["open", "write", "train", "publish", "erase", "push"];

/// The library that lets calls fail; none, with a word, where it cannot be built.
fn shim(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("libfaults.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([library.to_str().unwrap(), source, "-ldl"])
        .status();
    if cfg!(target_os = "linux") && built.is_ok_and(|status| status.success()) {
        return Some(library);
    }
    eprintln!("skipped: no C compiler to build the library that lets a disk fail");
    None
}

/// The file by which a process is told what fails.
struct Control(PathBuf);

impl Control {
    fn arm(&self, call: u32, nth: u32) {
        let words = [call, nth, 0].map(u32::to_le_bytes).concat();
        // In place: the process has it mapped.
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&self.0);
        std::io::Write::write_all(&mut file.unwrap(), &words).unwrap();
    }

    fn fired(&self) -> bool {
        fs::read(&self.0).unwrap()[8] == 1
    }
}

pub(crate) fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// A store with a trained model, an older one, and one that was pushed and waits: generation 3.
async fn prepared(folder: &Path) {
    let server = store(folder, support::quiet()).await;
    support::trained(&server.engine).await;
    let bytes = Parcel::embeddings().bytes();
    let staged = pb::PushHeader { role: pb::ModelRole::Staged.into(), ..header(&bytes) };
    let model = push_as(&server, &bytes, staged).await.unwrap();
    assert_eq!((model.generation, server.engine.generation()), (3, 2));
    server.stop().await;
}

/// Every event of a log, by its user's and item's names.
fn events(data: &Path) -> BTreeMap<String, usize> {
    let (mut users, mut items) = (Vec::new(), Vec::new());
    let mut counts = BTreeMap::new();
    replay(&data.join("stores/default/log"), u64::MAX, &mut |entry| match entry {
        Entry::User(name) => users.push(name.to_owned()),
        Entry::Item(name) => items.push(name.to_owned()),
        Entry::Record(_, Record::Event(event)) => {
            let (user, item) = (&users[event.user as usize], &items[event.item as usize]);
            *counts.entry(format!("{user} {item} {}", event.event_id)).or_default() += 1;
        }
        Entry::Record(..) => {}
    })
    .unwrap();
    counts
}

fn event(id: usize) -> pb::Event {
    pb::Event {
        event_id: format!("late-{id}"),
        kind: pb::EventKind::Purchase.into(),
        user_id: format!("u{}", id % 3),
        item_id: "i1".into(),
        ..Default::default()
    }
}

/// What a phase does over the wire: which events were acknowledged, and what errors said.
async fn perform(phase: &str, channel: &Channel) -> (Vec<usize>, Vec<String>) {
    let (mut acknowledged, mut said) = (Vec::new(), Vec::new());
    let mut models = ModelServiceClient::new(channel.clone());
    let mut note = |outcome: Result<(), Status>| said.extend(outcome.err().map(|e| e.to_string()));
    match phase {
        "write" => {
            for id in 0..4 {
                let request = pb::WriteEventsRequest { events: vec![event(id)] };
                let wrote = EventServiceClient::new(channel.clone()).write_events(request).await;
                acknowledged.extend(wrote.is_ok().then_some(id));
                note(wrote.map(drop));
            }
        }
        "train" => {
            let last = support::watched(models).await;
            let failed = || Err(Status::unavailable(last.error.clone()));
            note(if last.error.is_empty() { Ok(()) } else { failed() });
        }
        "publish" => {
            let activate = pb::ActivateModelRequest { generation: 3 };
            note(models.activate_model(activate).await.map(drop));
            note(models.rollback_model(pb::RollbackModelRequest {}).await.map(drop));
        }
        "erase" => {
            let request = pb::DeleteUserRequest { user_id: "u15".into() };
            let mut users = UserServiceClient::new(channel.clone());
            note(users.delete_user(request).await.map(drop));
            // The training that follows by itself.
            tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        }
        "push" => {
            let bytes = Parcel::of_every_kind().bytes();
            let staged = pb::PushHeader { role: pb::ModelRole::Staged.into(), ..header(&bytes) };
            let parts = vec![Part::Header(staged), chunk(0, &bytes), commit(&bytes)];
            let messages = parts.into_iter().map(|part| pb::PushModelRequest { part: Some(part) });
            note(models.push_model(tokio_stream::iter(messages)).await.map(drop));
        }
        _ => {}
    }
    (acknowledged, said)
}

/// Lets the `nth` call of a kind fail in a phase, on a copy of the store; whether there was such a
/// call.
async fn fail_once(
    world: &Path,
    library: &Path,
    phase: &str,
    (name, call): (&str, u32),
    nth: u32,
) -> bool {
    let place = format!("{phase}, {name} {nth}");
    let data = world.join(format!("{phase}-{name}-{nth}"));
    copied(&world.join("prepared"), &data);
    let before = events(&data);
    let control = Control(world.join(format!("{phase}-{name}-{nth}.control")));
    control.arm(if phase == "open" { call } else { 0 }, nth);

    let with_shim = |command: &mut Command| {
        command
            .env("LD_PRELOAD", library)
            .env("FAULTS_UNDER", &data)
            .env("FAULTS_CONTROL", &control.0)
            .env("QIANMIAN_TRAIN__TUNE", "false");
    };
    let (acknowledged, said) = if phase == "open" {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qianmian"));
        // A verb that opens the store and ends.
        command.args(["models", "--data"]).arg(&data).stdout(Stdio::null());
        with_shim(&mut command);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains("panicked"), "{place}: {said}");
        (Vec::new(), if output.status.success() { Vec::new() } else { vec![said] })
    } else {
        let server = Process::start_with(&data, with_shim);
        let channel = server.channel().await;
        control.arm(call, nth);
        let done = perform(phase, &channel).await;
        server.kill();
        done
    };
    let fired = control.fired();

    // Whoever was told of an error was told where.
    for words in &said {
        let named = ["stores", "snapshot", "log", "model", "pushed file", "disk", "write"];
        assert!(named.iter().any(|name| words.contains(name)), "{place}: {words}");
    }
    // Nothing acknowledged is lost, and nobody has another's events.
    let after = events(&data);
    for (key, count) in &before {
        let erased = phase == "erase" && key.starts_with("u15 ");
        assert!(erased || after.get(key) == Some(count), "{place}: {key} is lost");
    }
    for id in acknowledged {
        let key = format!("u{} i1 late-{id}", id % 3);
        assert_eq!(after.get(&key), Some(&1), "{place}: {key} was acknowledged");
    }
    // The models that were there are there, and one answers.
    let engine = Engine::open(&data, support::quiet())
        .unwrap_or_else(|error| panic!("{place}: it does not open again: {error}"));
    let kept: Vec<u64> = engine.models().list().unwrap().iter().map(|m| m.generation).collect();
    let pushed = engine.models().list().unwrap().iter().any(|m| m.is_pushed());
    assert!(engine.generation() > 0 && pushed, "{place}: {kept:?}");
    if phase != "erase" {
        assert!([1, 2, 3].iter().all(|g| kept.contains(g)), "{place}: {kept:?}");
    }
    drop(engine);
    fs::remove_dir_all(&data).unwrap();
    fired
}

async fn fail_everywhere(nth: impl Iterator<Item = u32> + Clone) {
    let world = tempfile::tempdir().unwrap();
    let Some(library) = shim(world.path()) else { return };
    prepared(&world.path().join("prepared")).await;
    let mut fired = BTreeMap::new();
    for phase in PHASES {
        for call in CALLS {
            for nth in nth.clone() {
                if !fail_once(world.path(), &library, phase, call, nth).await {
                    break;
                }
                *fired.entry(call.0).or_insert(0) += 1;
            }
        }
    }
    println!("failures injected: {fired:?}");
    assert_eq!(fired.len(), CALLS.len(), "every kind of call failed once: {fired:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_once_loses_nothing() {
    fail_everywhere([1, 4].into_iter()).await;
}

/// Every call that there is, one after the other.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_disk_that_fails_once_anywhere_loses_nothing() {
    fail_everywhere(1..200).await;
}

/// A model is not deleted because the folder of models, or one of them, could not be read.
#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_listed_is_an_error_and_not_empty() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let snapshots = folder.path().join("snapshots");
    fs::create_dir(&snapshots).unwrap();
    fs::write(snapshots.join("0000000001"), "no folder").unwrap();
    let error = qianmian::model::disk::list(&snapshots).unwrap_err().to_string();
    assert!(error.contains("0000000001"), "{error}");
    let removed = qianmian::model::disk::remove_where(&snapshots, |_| true);
    assert!(removed.is_err() && snapshots.join("0000000001").exists());
    let gone = qianmian::model::disk::list(&folder.path().join("nowhere"));
    assert!(gone.unwrap_err().to_string().contains("nowhere"));

    // What the store makes is for its owner alone.
    drop(Engine::open(folder.path(), support::quiet()).unwrap());
    let mode =
        |path: &str| fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o777;
    for path in ["stores/default", "stores/default/log", "stores/default/snapshots"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    for path in ["LOCK", "FORMAT", "log/00000000000000000000.log", "log/SEGMENTS", "log/DURABLE"] {
        assert_eq!(mode(&format!("stores/default/{path}")), 0o600, "{path}");
    }
}

/// Flips every bit, one at a time, of the small files that say what models are and are for.
#[test]
fn a_flipped_bit_of_a_small_file_is_noticed_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    let rows = [("a", "x", 1), ("b", "x", 1), ("b", "y", 1), ("c", "y", 2), ("c", "z", 2)];
    let write = qianmian::engine::Write::Events(support::purchases(&rows));
    engine.writer().submit_blocking(write).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    drop(engine);

    let snapshots = folder.path().join("stores/default/snapshots");
    let manifest = || qianmian::model::disk::list(&snapshots).unwrap();
    let (manifests, roles) = (manifest(), qianmian::model::disk::roles(&snapshots).unwrap());
    for name in ["0000000001/manifest.json", "ROLES"] {
        let path = snapshots.join(name);
        let good = fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bad).unwrap();
            let found = manifest();
            assert!(found == manifests || found.is_empty(), "bit {bit} of {name}");
            let found = qianmian::model::disk::roles(&snapshots).unwrap();
            let guessed = found.active.is_none_or(|active| active == 1);
            assert!(found == roles || guessed && found.canary.is_none(), "bit {bit} of {name}");
        }
        fs::write(&path, &good).unwrap();
    }
}

/// What is out of range is not served, whatever its checksum says.
#[test]
fn what_cannot_be_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    drop(Engine::open(data, support::quiet()).unwrap());
    let refused = || Engine::open(data, support::quiet()).map(drop).unwrap_err().to_string();
    let highest = data.join("stores/default/snapshots/HIGHEST");
    for number in ["18446744073709551615", "9223372036854775807", "many"] {
        fs::write(&highest, number).unwrap();
        assert!(refused().contains("HIGHEST"), "{}", refused());
    }
    fs::remove_file(&highest).unwrap();

    let pseudonyms = data.join("stores/default/log/PSEUDONYMS");
    let held = fs::read(&pseudonyms).unwrap();
    fs::remove_file(&pseudonyms).unwrap();
    assert!(refused().contains("PSEUDONYMS"), "{}", refused());
    fs::write(&pseudonyms, held).unwrap();
    Engine::open(data, support::quiet()).unwrap();
}

/// A log that lost files beside models that know them: the start says so, and continues where that
/// is asked for, without giving anybody another's events.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_lost_its_log_says_so() {
    let world = tempfile::tempdir().unwrap();
    let whole = world.path().join("prepared");
    prepared(&whole).await;
    let log = "stores/default/log";
    let before = events(&whole);

    // All files, with and without what lists them: as an older backup would leave them.
    for forget in [vec![], vec!["SEGMENTS", "DURABLE", "PSEUDONYMS", "../FORMAT"]] {
        let data = world.path().join(format!("lost-{}", forget.len()));
        copied(&whole, &data);
        fs::remove_file(data.join(log).join("00000000000000000000.log")).unwrap();
        forget.iter().for_each(|name| fs::remove_file(data.join(log).join(name)).unwrap());
        let error = Engine::open(&data, support::quiet()).map(drop).unwrap_err().to_string();
        assert!(error.contains("--accept-log-loss"), "{error}");
        if forget.is_empty() {
            // An export would be of less than there was.
            let reading = qianmian::export::Reading::open(&data, qianmian::engine::DEFAULT_STORE);
            assert!(reading.map(drop).unwrap_err().to_string().contains("has lost"));
        }

        let mut options = support::quiet();
        options.log.accept_loss = true;
        let engine = Engine::open(&data, options).unwrap();
        assert_eq!((engine.live().events(), engine.generation()), (0, 0));
        let snapshots = data.join("stores/default/snapshots");
        assert!(
            snapshots.join("0000000003.beyond-the-log").is_dir(),
            "it is kept for whoever asks"
        );
        // Numbers are not given out again.
        engine
            .writer()
            .record(support::purchases(&[("bob", "x", 1), ("eve", "x", 1)]))
            .await
            .unwrap();
        let engine = std::sync::Arc::new(engine);
        assert_eq!(support::trained(&engine).await, 4);
        drop(engine);
        Engine::open(&data, support::quiet()).unwrap();
    }
    assert_eq!(events(&whole), before);
}
