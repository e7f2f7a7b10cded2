//! What training jobs elsewhere start from: written beside the server that has the store
//! open, without who was erased or objects, and read back.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use qianmian::domain::{Event, EventKind, User, now_ms};
use qianmian::engine::{DEFAULT_STORE, Engine, Write};
use qianmian::store::{Entry, Record};

use crate::support::{self, Server, purchases, run, trained};

fn verb(arguments: &[&str], path: &Path, data: &str) -> String {
    let path = path.to_str().unwrap();
    let (ok, out, error) = run(&[&["export"], arguments, &[path, "--data", data]].concat());
    assert!(ok, "{error}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, support::quiet()).await;
    let rows: Vec<(String, String, i64)> = (0..30)
        .flat_map(|u| (0..3).map(move |n| (format!("u{u}"), format!("i{}", (u + n) % 12), n)))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i, d)| (u.as_str(), i.as_str(), *d)).collect();
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    let objects = User { consent: false, ..User::default() };
    server.engine.writer().upsert_users(vec![("u1".into(), objects)]).await.unwrap();
    server.engine.writer().erase_user("u2").await.unwrap();
    // The erasure starts a training of its own.
    let until = Instant::now() + Duration::from_secs(60);
    while server.engine.generation() < 2 {
        assert!(Instant::now() < until, "the erased user is still in the model");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let text = data.to_str().unwrap().to_owned();
    let (log, matrix) = (folder.path().join("log.parquet"), folder.path().join("matrix.parquet"));
    let model = folder.path().join("model.safetensors");
    // Two of thirty are not there; of the others, two of three days.
    let told = tokio::task::spawn_blocking(move || {
        let held_out = verb(&["log", "--hold-out", "1"], &log, &text);
        assert!(held_out.starts_with("56 rows until 2020-09-14"), "{held_out}");
        let cells = verb(&["matrix"], &matrix, &text);
        assert!(cells.starts_with("84 rows"), "{cells}");
        assert!(verb(&["model"], &model, &text).starts_with("generation 2"));
        verb(&["log"], &log, &text)
    });
    assert!(told.await.unwrap().starts_with("84 rows"));

    // Its own model, pushed back, is one that the gate lets in.
    let address = server.address.clone();
    let path = folder.path().join("model.safetensors").to_str().unwrap().to_owned();
    let pushed = tokio::task::spawn_blocking(move || {
        run(&["push", &path, "--server", &address, "--role", "staged"])
    });
    let (ok, out, error) = pushed.await.unwrap();
    assert!(ok && out.contains("generation 3 is staged"), "{out}{error}");
    server.stop().await;

    // Another store takes the log for what it is.
    let other = folder.path().join("other");
    let path = folder.path().join("log.parquet");
    let arguments = ["import", path.to_str().unwrap(), "--data", other.to_str().unwrap()];
    let (ok, _, error) = run(&arguments);
    assert!(ok, "{error}");
    assert!(other.join("stores").join(DEFAULT_STORE).is_dir());
    let engine = Engine::open(&other, support::quiet()).unwrap();
    assert_eq!(engine.live().events(), 84);
    assert!(engine.live().user("u1").is_none() && engine.live().user("u2").is_none());
    let of = |user: &str| {
        let user = engine.live().user(user).unwrap();
        engine.live().histories.of(user, |history| history.len())
    };
    assert_eq!((of("u0"), of("u29")), (3, 3));
}

/// Any event, as the protocol takes it.
fn any_event() -> impl Strategy<Value = Event> {
    // Shorter texts may be words for an empty field, such as NULL, which an import drops and counts.
    let id = "([ -~茶é]{5,12})?".prop_map(|id| match id.trim() {
        short if short.chars().count() < 5 => String::new(),
        id => id.to_owned(),
    });
    let words = (id.clone(), id.clone(), id.clone(), id);
    let number = || prop_oneof![Just(None), (0.0..1e9f64).prop_map(Some), Just(Some(0.1 + 0.2))];
    let facts = (0..8usize, 0..4_000_000_000_000i64, 1e-6..1e6f64, number(), number());
    ("[a-z\",;\n]{1,8}", "[0-9]{1,20}", facts, words).prop_map(|(user, item, facts, words)| {
        let (kind, time_ms, quantity, price, rating) = facts;
        let (basket_id, session_id, channel, recommendation_id) = words;
        let user = format!("u{}", user.replace('\n', " ").trim());
        let time_ms = time_ms.min(now_ms());
        Event {
            quantity,
            price,
            rating,
            basket_id,
            session_id,
            channel,
            recommendation_id,
            ..Event::new(EventKind::ALL[kind], &user, &item, time_ms)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// What is exported and imported again is the same log, to the last field.
    #[test]
    fn export_and_import_are_a_round_trip(
        events in prop::collection::vec(any_event(), 1..40),
        name in prop_oneof![Just("log.csv"), Just("log.parquet")],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut events = events;
        // Every other event has an id of its own, by which a retry is known.
        for (at, event) in events.iter_mut().enumerate().step_by(2) {
            event.event_id = format!("e{at}");
        }
        let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
        let engine = Engine::open(&first, support::quiet()).unwrap();
        engine.writer().submit_blocking(Write::Events(events)).unwrap().wait().unwrap();
        drop(engine);

        let [out, again] = ["out", "again"].map(|part| folder.path().join(format!("{part}-{name}")));
        verb(&["log"], &out, first.to_str().unwrap());
        let arguments = ["import", out.to_str().unwrap(), "--data", second.to_str().unwrap()];
        let (ok, report, error) = run(&arguments);
        prop_assert!(ok && !report.contains("dropped") && !report.contains("refused"), "{report}{error}");
        verb(&["log"], &again, second.to_str().unwrap());
        if name.ends_with("csv") {
            let read = |path| std::fs::read_to_string(path).unwrap();
            prop_assert_eq!(read(&out), read(&again));
        }
        let log = |data: &Path| {
            let engine = Engine::open(data, support::quiet()).unwrap();
            let mut events = Vec::new();
            engine
                .replay(&mut |entry| {
                    if let Entry::Record(_, Record::Event(event)) = entry {
                        events.push(format!("{event:?}"));
                    }
                })
                .unwrap();
            events
        };
        prop_assert_eq!(log(&first), log(&second));
        // Into the store that it came from it adds nothing.
        let arguments = ["import", out.to_str().unwrap(), "--data", first.to_str().unwrap()];
        let (ok, report, _) = run(&arguments);
        let taken = report.lines().find(|line| line.contains("events taken")).unwrap();
        prop_assert!(ok && taken.split_whitespace().last() == Some("0"), "{report}");
    }
}

#[test]
fn a_name_that_is_no_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(Engine::open(&data, support::quiet()).unwrap());
    let path = folder.path().join("log.xlsx");
    let arguments = ["export", "log", path.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let (ok, _, error) = run(&arguments);
    assert!(!ok && error.contains(".parquet or .csv") && !path.exists(), "{error}");
}
