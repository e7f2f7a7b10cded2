//! A training that is stopped goes on where it was.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use qianmian::domain::{DAY_MS, Event, EventKind};
use qianmian::engine::{Engine, Write};

use crate::support::{Process, quiet};

/// Time that anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Keeps a training short.
const VISITS: (&str, &str) = ("QIANMIAN_TRAIN__SETTINGS__SEQUENCE__VISITS", "5000");

/// Users with eight baskets of three items each, which follow each other.
fn shop() -> Vec<Event> {
    let bought = |(user, basket, item): (i64, i64, i64)| {
        let item = (user * 7 + basket * 5 + item * item) % 100;
        let at = basket * 9 * DAY_MS + user * 1_000;
        Event::new(EventKind::Purchase, &format!("u{user}"), &format!("i{item}"), at)
    };
    let baskets = (0..200).flat_map(|user| (0..8).map(move |basket| (user, basket)));
    baskets.flat_map(|(user, basket)| (0..3).map(move |i| bought((user, basket, i)))).collect()
}

fn train(data: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qianmian"));
    command.args(["train", "--data"]).arg(data).env(VISITS.0, VISITS.1);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until a stage is finished whose name ends in this way.
fn wait_for_stage(data: &Path, ending: &str) {
    let began = Instant::now();
    let path = data.join("stores/default/UNFINISHED");
    let has_stage = || fs::read_to_string(&path).is_ok_and(|text| text.contains(ending));
    while !has_stage() {
        assert!(began.elapsed() < PATIENCE, "{ending} is not finished");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The message's field in the log of a process, once it is there.
fn logged(process: &Process, message: &str, field: &str) -> String {
    let began = Instant::now();
    loop {
        let lines = process.log();
        let line = lines.iter().find(|line| line["fields"]["message"] == message);
        if let Some(line) = line {
            return line["fields"][field].to_string();
        }
        assert!(began.elapsed() < PATIENCE, "{message} is not logged");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_training_goes_on_after_a_kill_and_after_an_orderly_stop() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path();
    let engine = Engine::open(data, quiet()).unwrap();
    engine.writer().submit_blocking(Write::Events(shop())).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    drop(engine);

    let mut killed = train(data);
    wait_for_stage(data, ": search\":");
    killed.kill().unwrap();
    killed.wait().unwrap();

    // With nothing new in the log, it begins again by itself all the same.
    let automatic = |command: &mut Command| {
        command.env("QIANMIAN_TRAIN__AUTOMATIC", "true").env(VISITS.0, VISITS.1);
    };
    let serve = || Process::start_with(data, automatic);
    let server = serve();
    let stages = logged(&server, "a training that was stopped goes on", "stages");
    assert_eq!(stages, "\"NextBasket(Auto): search\"");
    wait_for_stage(data, "\"NextBasket(Auto)\":");
    assert!(server.terminate());

    let server = serve();
    let stages = logged(&server, "a training that was stopped goes on", "stages");
    assert!(stages.starts_with("\"NextBasket(Auto), NextBasket(Auto): search"), "{stages}");
    assert_eq!(logged(&server, "model published", "generation"), "2");
    assert!(!data.join("stores/default/UNFINISHED").exists());
    drop(server);

    let engine = Engine::open(data, quiet()).unwrap();
    let model = engine.models().active().unwrap();
    assert!(model.manifest.tuning.as_ref().is_some_and(|tuning| tuning.trials > 0));
}
