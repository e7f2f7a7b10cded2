//! The data doctor: finds what is planted, and nothing where nothing is.

use std::fmt::Write as _;
use std::path::Path;

use crate::support::run;

const HEADER: &str = "user_id,item_id,event,timestamp,quantity,basket_id\n";
const DAY: i64 = 86_400;
/// Monday 2024-03-04.
const BEGIN: i64 = 1_709_510_400;

/// A row of a log.
fn row(user: &str, item: &str, event: &str, at: i64, quantity: u32, basket: &str) -> String {
    format!("{user},{item},{event},{at},{quantity},{basket}\n")
}

/// A clean log: 60 days of 80 views and 40 purchases in orders of two, by 400 users.
fn clean() -> Vec<String> {
    let mut rows = Vec::new();
    for day in 0..60 {
        for n in 0..80_i64 {
            let (user, item) = ((day * 37 + n * 11) % 400, (day * 13 + n * 7) % 150);
            let at = BEGIN + day * DAY + 30_000 + n * 400;
            rows.push(row(&format!("u{user}"), &format!("item {item}"), "view", at, 1, ""));
            if n % 2 == 0 {
                let basket = format!("o{}", day * 100 + n / 4);
                let buyer = format!("u{}", (day * 31 + n / 4 * 17) % 400);
                rows.push(row(&buyer, &format!("item {item}"), "purchase", at + 60, 1, &basket));
            }
        }
    }
    rows
}

/// The findings of a log: kind, what, example, mend.
fn findings(rows: &[String], options: &[&str]) -> Vec<[String; 4]> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, HEADER.to_owned() + &rows.concat()).unwrap();
    examined(&path, options)
}

fn examined(path: &Path, options: &[&str]) -> Vec<[String; 4]> {
    let (ok, output, error) =
        run(&[&["doctor", path.to_str().unwrap(), "--json"], options].concat());
    assert!(ok, "{error}");
    let found: Vec<serde_json::Value> = serde_json::from_str(&output).unwrap();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    found.iter().map(|f| ["kind", "what", "example", "mend"].map(|key| text(f, key))).collect()
}

#[test]
fn a_clean_log_has_no_findings() {
    assert_eq!(findings(&clean(), &[]), Vec::<[String; 4]>::new());
}

#[test]
fn the_bundled_log_has_its_wholesaler_and_no_other() {
    let log = concat!(env!("CARGO_MANIFEST_DIR"), "/data/online_retail.csv.gz");
    let found = examined(Path::new(log), &["--preset", "online-retail"]);
    let kinds: Vec<&str> = found.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert_eq!(kinds, ["reseller"], "{found:?}");
}

/// A fault: its name, what it does to the rows, and the kind that must be found, with a word of it.
type Fault = (&'static str, fn(&mut Vec<String>), &'static str, &'static str);

/// A time from now, in seconds since 1970.
fn from_now(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs() as i64 + seconds
}

/// A user's whole days of events.
fn busy(rows: &mut Vec<String>, user: &str, event: &str, events: i64, apart: i64) {
    let one = |n: i64| {
        let basket = if event == "purchase" { format!("{user}-{}", n / 4) } else { String::new() };
        let at = BEGIN + 20 * DAY + n * apart;
        row(user, &format!("item {}", n % 150), event, at, 1, &basket)
    };
    rows.extend((0..events).map(one));
}

fn renamed(rows: &mut [String], from: &str, to: &str, every: usize) {
    let with = rows.iter_mut().filter(|row| row.contains(from));
    with.step_by(every).for_each(|row| *row = row.replace(from, to));
}

const FAULTS: [Fault; 20] = [
    (
        "a scraper that views an item every two seconds",
        |r| busy(r, "scraper", "view", 2_000, 2),
        "bot",
        "scraper",
    ),
    ("a monitor that views all day", |r| busy(r, "monitor", "view", 3_000, 300), "bot", "monitor"),
    ("a reseller", |r| busy(r, "trader", "purchase", 900, 900), "reseller", "trader"),
    (
        "an order export that ran twice",
        |r| r.extend_from_within(1_000..2_000),
        "duplicate",
        "repeat",
    ),
    (
        "orders sent again under another number",
        |r| {
            for n in 0..40 {
                for part in ["", "-again"] {
                    for item in 0..4 {
                        let at = BEGIN + n * DAY + if part.is_empty() { 0 } else { 120 };
                        let item = format!("item {}", n + item);
                        r.push(row(
                            &format!("u{n}"),
                            &item,
                            "purchase",
                            at,
                            1,
                            &format!("twice{n}{part}"),
                        ));
                    }
                }
            }
        },
        "duplicate_order",
        "repeat one",
    ),
    (
        "a clock that is hours ahead",
        |r| {
            r.extend(
                (0..30)
                    .map(|n| row("u1", &format!("item {n}"), "view", from_now(20_000 + n), 1, "")),
            );
        },
        "future",
        "30 events",
    ),
    (
        "dates of next year",
        |r| {
            r.extend(
                (0..30).map(|n| {
                    row("u1", &format!("item {n}"), "view", from_now(400 * DAY + n), 1, "")
                }),
            );
        },
        "impossible_date",
        "cannot be read",
    ),
    (
        "times of 1970",
        |r| {
            r.extend((0..30).map(|n| row("u1", &format!("item {n}"), "view", 86_400 + n, 1, "")));
        },
        "impossible_date",
        "1990",
    ),
    (
        "a default date of a system",
        |r| {
            r.extend((0..3).map(|n| row("u1", &format!("item {n}"), "view", 946_684_800, 1, "")));
        },
        "impossible_date",
        "before all others",
    ),
    ("items that the catalogue does not know", |_| (), "orphan", "not in the catalogue"),
    ("item ids in lower case", |r| renamed(r, "item 7,", "ITEM 7,", 2), "id_drift", "item 7"),
    (
        "user ids with leading zeros",
        |r| {
            renamed(r, "u17,", "000171,", 2);
            renamed(r, "u17,", "171,", 1);
        },
        "id_drift",
        "000171",
    ),
    ("user ids in upper case", |r| renamed(r, "u20,", "U20,", 3), "id_drift", "U20"),
    ("a week that is missing", |r| without(r, 30, 7), "gap", "2024-04-03"),
    ("five days that are missing", |r| without(r, 12, 5), "gap", "2024-03-16"),
    (
        "one event that dates everything",
        |r| {
            r.push(row("u1", "item 1", "view", BEGIN + 200 * DAY, 1, ""));
        },
        "dates_everything",
        "1 events come",
    ),
    ("half of the last week", |r| halved(r), "missing_volume", "the seven before"),
    (
        "an export's time for every event",
        |r| {
            r.extend((0..1_500).map(|n| {
                row(
                    &format!("u{}", n % 400),
                    &format!("item {}", n % 150),
                    "view",
                    BEGIN + 10 * DAY,
                    1,
                    &format!("n{n}"),
                )
            }));
        },
        "one_moment",
        "2024-03-14",
    ),
    ("guests under one id", |r| renamed(r, "u5,", "guest,", 1), "placeholder", "guest"),
    (
        "order numbers that begin anew each week",
        |r| {
            for week in 0..8 {
                for n in 0..10 {
                    let at = BEGIN + week * 7 * DAY + n * 100;
                    r.push(row("u3", &format!("item {n}"), "purchase", at, 1, &format!("w{n}")));
                }
            }
        },
        "scattered_order",
        "more than a day apart",
    ),
];

fn without(rows: &mut Vec<String>, from: i64, days: i64) {
    let span = BEGIN + from * DAY..BEGIN + (from + days) * DAY;
    rows.retain(|row| !span.contains(&row.split(',').nth(3).unwrap().parse().unwrap()));
}

fn halved(rows: &mut Vec<String>) {
    let last = BEGIN + 53 * DAY;
    let mut n = 0;
    rows.retain(|row| {
        n += 1;
        row.split(',').nth(3).unwrap().parse::<i64>().unwrap() < last || n % 3 == 0
    });
}

#[test]
fn every_planted_fault_is_found_with_an_example_and_what_mends_it() {
    let mut missed = String::new();
    for (name, plant, kind, word) in FAULTS {
        if kind == "orphan" {
            continue;
        }
        let mut rows = clean();
        plant(&mut rows);
        let found = findings(&rows, &[]);
        let hit = found.iter().find(|[of, what, ..]| of == kind && what.contains(word));
        match hit {
            Some([_, _, example, mend]) => {
                assert!(!example.is_empty() && !mend.is_empty(), "{name}")
            }
            None => writeln!(missed, "{name}: {kind} {word:?} not in {found:?}").unwrap(),
        }
    }
    assert!(missed.is_empty(), "{missed}");
}

#[test]
fn one_fault_hides_no_other() {
    let mut rows = clean();
    without(&mut rows, 30, 7);
    busy(&mut rows, "scraper", "view", 2_000, 2);
    rows.push(row("u1", "item 1", "view", BEGIN + 300 * DAY, 1, ""));
    rows.push(row("u1", "item 2", "view", 946_684_800, 1, ""));
    let found = findings(&rows, &[]);
    let kinds: Vec<&str> = found.iter().map(|[kind, ..]| kind.as_str()).collect();
    assert_eq!(kinds, ["dates_everything", "gap", "bot", "impossible_date"], "{found:?}");
}

#[test]
fn orphans_are_found_in_a_data_folder_and_the_options_mend() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut rows = clean();
    busy(&mut rows, "scraper", "view", 2_000, 2);
    renamed(&mut rows, "item 7,", "ITEM 7,", 2);
    rows.extend_from_within(1_000..2_000);
    rows.push(row("u1", "item 1", "view", BEGIN + 200 * DAY, 1, ""));
    let log = write("log.csv", HEADER.to_owned() + &rows.concat());
    let items: String = (0..140).map(|n| format!("item {n},A thing\n")).collect();
    let items = write("items.csv", "item_id,title\n".to_owned() + &items);

    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let (ok, output, error) = run(&["import", &log, "--data", data]);
    assert!(ok, "{error}");
    assert!(output.contains("the worst of 4 findings"), "{output}");
    assert!(output.contains("1 events come"), "the one that dates everything first: {output}");
    assert!(run(&["import", &items, "--items", "--data", data]).0);
    let (ok, output, error) = run(&["doctor", "--data", data]);
    assert!(ok, "{error}");
    assert!(output.contains("11 items with events are not in the catalogue"), "{output}");

    // As each finding says.
    let options =
        ["--exclude-users", "scraper", "--unify-ids", "--drop-duplicates", "--until", "2024-08-01"];
    assert_eq!(examined(Path::new(&log), &options), Vec::<[String; 4]>::new());
    let mended = folder.path().join("mended");
    let mended = mended.to_str().unwrap();
    let (ok, output, error) = run(&[&["import", &log, "--data", mended][..], &options].concat());
    assert!(ok, "{error}");
    assert!(!output.contains("findings"), "{output}");
    assert!(output.contains("user of --exclude-users"), "{output}");
}

#[tokio::test]
async fn a_training_on_broken_data_is_held_back() {
    use qianmian::domain::{Error, Event, EventKind};
    use qianmian::engine::{DoctorPolicy, Engine};

    let folder = tempfile::tempdir().unwrap();
    let mut options = crate::support::quiet();
    options.train.doctor = DoctorPolicy::Hold;
    let engine = std::sync::Arc::new(Engine::open(folder.path(), options.clone()).unwrap());
    let now_ms = from_now(0) * 1_000;
    let event = |n: i64, days: i64| {
        let at = now_ms - days * DAY * 1_000 - n;
        Event::new(EventKind::Purchase, &format!("u{}", n % 50), &format!("i{}", n % 20), at)
    };
    let whole = (0..400).map(|n| event(n, 1 + n % 14)).collect();
    engine.writer().record(whole).await.unwrap();
    assert_eq!(crate::support::trained(&engine).await, 1);

    // Last week goes missing: many more events of the week before come in late.
    let late = (1_000..3_000).map(|n| event(n, 8 + n % 6)).collect();
    engine.writer().record(late).await.unwrap();
    let train = |engine: std::sync::Arc<Engine>| {
        tokio::task::spawn_blocking(move || engine.trainer().train_blocking(true))
    };
    let held = train(engine.clone()).await.unwrap().unwrap_err();
    assert!(matches!(held, Error::Training(_)), "{held:?}");
    assert!(
        held.to_string().contains("held back, because the data is broken: the last seven days"),
        "{held}"
    );
    assert_eq!(engine.generation(), 1, "the model before answers");
    assert_eq!(engine.stats().trainings.each_ref().map(|count| count.get()), [1, 0, 1]);

    // The default says it and trains.
    options.train.doctor = DoctorPolicy::Warn;
    engine.set_train_options(options.train);
    assert_eq!(train(engine).await.unwrap().unwrap(), 2);
}
