//! What training jobs elsewhere start from: written beside the server that has the store
//! open, without who was erased or objects, and read back.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use proptest::prelude::*;
use qianmian::domain::{Event, EventKind, User, now_ms};
use qianmian::engine::{DEFAULT_STORE, Engine, Write};
use qianmian::export::days::{DayList, LIST};
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

/// The users of all rows in the files that the list of a folder names, and the number of those files.
fn exported_users(folder: &Path) -> (Vec<String>, usize) {
    let list = std::fs::read(folder.join(LIST)).unwrap();
    let list: DayList = serde_json::from_slice(&list).unwrap();
    let files: Vec<_> = list.days.values().flat_map(|day| &day.files).collect();
    let mut users = Vec::new();
    for file in &files {
        let reader = SerializedFileReader::new(File::open(folder.join(file)).unwrap()).unwrap();
        let rows = reader.get_row_iter(None).unwrap();
        users.extend(rows.map(|row| row.unwrap().get_string(0).unwrap().clone()));
    }
    assert_eq!(users.len() as u64, list.days.values().map(|day| day.rows).sum::<u64>());
    users.sort();
    (users, files.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_export_by_day_appends_what_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("days"));
    let engine = Engine::open(&data, support::quiet()).unwrap();
    let export = || verb(&["days"], &out, data.to_str().unwrap());
    let writer = engine.writer();
    let first = purchases(&[("ada", "a", 0), ("bob", "b", 0), ("ada", "b", 1), ("eve", "b", 2)]);
    writer.record(first).await.unwrap();
    assert!(export().starts_with("4 rows of 3 days, and of 0 days written anew"));
    assert!(export().starts_with("0 rows of 0 days, and of 0 days written anew"));

    // A new day, and an event that comes late to an old one; what an export that was cut off has left.
    writer.record(purchases(&[("eve", "c", 0), ("ada", "c", 3)])).await.unwrap();
    std::fs::write(out.join("day=2020-09-14/part-1-2.parquet"), "nothing").unwrap();
    std::fs::create_dir(out.join("_new")).unwrap();
    assert!(export().starts_with("2 rows of 2 days, and of 0 days written anew"));
    assert_eq!(
        exported_users(&out),
        (["ada", "ada", "ada", "bob", "eve", "eve"].map(String::from).into(), 5)
    );
    let left: usize = std::fs::read_dir(&out)
        .unwrap()
        .map(|day| day.unwrap().path())
        .filter(|day| day.is_dir())
        .map(|day| std::fs::read_dir(day).unwrap().count())
        .sum();
    assert_eq!(left, 5, "only what the list names");

    // Days of an erased user, and of one who withdrew their consent, are written anew; linked ids are one user.
    writer.erase_user("bob").await.unwrap();
    assert!(export().starts_with("2 rows of 0 days, and of 1 days written anew"));
    assert_eq!(
        exported_users(&out),
        (["ada", "ada", "ada", "eve", "eve"].map(String::from).into(), 4)
    );
    writer.link("ada", vec!["eve".into()]).await.unwrap();
    export();
    assert_eq!(exported_users(&out).0, vec!["ada".to_owned(); 5]);
    writer
        .upsert_users(vec![("ada".into(), User { consent: false, ..User::default() })])
        .await
        .unwrap();
    assert!(export().starts_with("0 rows of 0 days, and of 4 days written anew"));
    assert_eq!(exported_users(&out), (Vec::new(), 0));

    // One at a time, and of one store.
    let lock = File::open(out.join("_lock")).unwrap();
    lock.lock().unwrap();
    let arguments = ["export", "days", out.to_str().unwrap(), "--data", data.to_str().unwrap()];
    assert!(run(&arguments).2.contains("another export writes there"));
    lock.unlock().unwrap();
    let other = folder.path().join("other");
    drop(Engine::open(&other, support::quiet()).unwrap());
    let arguments = ["export", "days", out.to_str().unwrap(), "--data", other.to_str().unwrap()];
    assert!(run(&arguments).2.contains("is of another store"));
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
