//! `qianmian evaluate` on logs small enough to compute by hand.

use crate::support::{self, run};

fn evaluate(folder: &std::path::Path, more: &[&str]) -> serde_json::Value {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (json, plot) = (path("out.json"), path("out.svg"));
    let mut arguments = vec!["evaluate", "--json", &json, "--plot", &plot, "--no-tune"];
    // The times of these logs count from 1.
    arguments.extend(["--time-format", "unix"]);
    arguments.extend(more);
    let (ok, out, error) = run(&arguments);
    assert!(ok, "{error}");
    assert!(out.contains("popularity_30d"), "{out}");
    assert!(std::fs::read_to_string(&plot).unwrap().starts_with("<svg"));
    serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap()
}

fn metric(report: &serde_json::Value, method: &str, name: &str) -> f64 {
    let rows = report["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["method"] == method).unwrap();
    row["metrics"][name].as_f64().unwrap()
}

#[track_caller]
fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
}

/// Item a has three buyers, b two, c one; u0 and u1 come back, and a stranger.
fn logs(folder: &std::path::Path) -> (String, String) {
    let (train, test) = (folder.join("train.csv"), folder.join("test.csv"));
    let text =
        "user_id,item_id,timestamp\nu0,a,1\nu0,a,2\nu0,c,2\nu1,a,3\nu1,b,4\nu2,a,5\nu2,b,5\n";
    std::fs::write(&train, text).unwrap();
    let text = "user_id,item_id,timestamp\nu0,b,10\nu0,c,10\nu0,new,10\nu1,a,11\nstranger,a,12\n";
    std::fs::write(&test, text).unwrap();
    (train.to_str().unwrap().to_owned(), test.to_str().unwrap().to_owned())
}

#[test]
fn allowing_repeats_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = logs(folder.path());
    let arguments = ["--train", &train, "--test", &test, "--seen", "allow", "--k", "2"];
    let report = evaluate(folder.path(), &arguments);
    assert_eq!((report["users"].as_u64(), report["unknown_users"].as_u64()), (Some(3), Some(1)));
    // Everyone gets a, b. u0 wants b, c and an item nobody knows: a hit at rank 2 of
    // three wanted; u1 wants a: a hit at rank 1 of one wanted.
    close(metric(&report, "popularity", "recall@2"), (1.0 / 3.0 + 1.0) / 2.0);
    let second = 1.0 / 3f64.log2();
    close(metric(&report, "popularity", "ndcg@2"), (second / (1.0 + second) + 1.0) / 2.0);
    close(metric(&report, "popularity", "mrr@2"), (0.5 + 1.0) / 2.0);
    close(metric(&report, "popularity", "precision@2"), 0.5);
    close(metric(&report, "popularity", "coverage@2"), 2.0 / 3.0);
    // u0 bought a twice and c once; u1 a and b once each.
    close(metric(&report, "personal_frequency", "recall@2"), (1.0 / 3.0 + 1.0) / 2.0);
    close(metric(&report, "repeat", "hit_rate@2"), 1.0);
}

#[test]
fn masking_what_was_seen_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = logs(folder.path());
    let arguments = ["--train", &train, "--test", &test, "--seen", "mask", "--k", "1"];
    let report = evaluate(folder.path(), &arguments);
    // u1's truth is all seen and leaves; u0 has seen a and c, gets b, and wants b
    // and the item nobody knows.
    assert_eq!(report["lists"].as_u64(), Some(1));
    close(metric(&report, "popularity", "recall@1"), 0.5);
    close(metric(&report, "popularity", "ndcg@1"), 1.0);
    close(metric(&report, "blend", "recall@1"), 0.5);
}

#[test]
fn next_items_of_sessions_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (train, _) = logs(folder.path());
    let test = folder.path().join("sessions.csv");
    // Out of order on purpose: the session is a, b, c.
    std::fs::write(&test, "user_id,item_id,timestamp\ns,b,11\ns,c,12.5\ns,a,10\n").unwrap();
    let test = test.to_str().unwrap();
    let arguments = ["--train", &train, "--test", test, "--protocol", "next-item", "--k", "2"];
    let report = evaluate(folder.path(), &arguments);
    assert_eq!(report["lists"].as_u64(), Some(2));
    // After a: b, c; b comes next. After a, b: a, c; c comes next, at rank 2.
    close(metric(&report, "popularity", "mrr@2"), (1.0 + 0.5) / 2.0);
    close(metric(&report, "popularity", "hit_rate@2"), 1.0);
    close(metric(&report, "popularity", "recall@2"), 1.0);
    close(metric(&report, "popularity", "precision@2"), (1.0 + 0.5) / 2.0);
}

#[test]
fn rows_that_cannot_be_read_are_named_and_a_length_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = logs(folder.path());
    let rows = std::fs::read_to_string(&test).unwrap() + "u0,b,never\nu0,,10\nu1,b,soon\n";
    std::fs::write(&test, rows).unwrap();
    let fixed = ["evaluate", "--train", &train, "--test", &test, "--no-tune"];
    let (ok, out, error) =
        run(&[&fixed[..], &["--time-format", "unix", "--k", "10,2,10"]].concat());
    assert!(ok && out.matches("at 10").count() == 1, "{out}{error}");
    assert!(out.find("at 2") < out.find("at 10"), "{out}");
    assert!(error.contains("test.csv: 2 rows refused: timestamp cannot be read"), "{error}");
    assert!(error.contains("test.csv: 1 rows refused: item_id is empty"), "{error}");
}

#[test]
fn a_log_can_be_cut_and_bad_arguments_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = logs(folder.path());
    let arguments = ["--data", &train, "--holdout", "after:1970-01-01T00:00:03Z", "--k", "2"];
    let report = evaluate(folder.path(), &arguments);
    assert_eq!(report["lists"].as_u64(), Some(1), "u1's b; u2 is unknown");
    let (ok, _, error) = run(&["evaluate", "--train", &train]);
    assert!(!ok && error.contains("--test"), "{error}");
    let unix = ["--time-format", "unix", "--methods", "magic"];
    let (ok, _, error) =
        run(&[&["evaluate", "--train", &train, "--test", &test][..], &unix].concat());
    assert!(!ok && error.contains("no method \"magic\"") && error.contains("blend"), "{error}");
    for length in ["0", "501", "ten"] {
        let (ok, _, error) = run(&["evaluate", "--train", &train, "--test", &test, "--k", length]);
        assert!(!ok && error.contains("1 to 500"), "{error}");
    }
}

#[test]
fn a_made_up_store_is_the_same_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let reports: Vec<serde_json::Value> = ["store.csv", "store.csv.gz", "store.parquet"]
        .iter()
        .map(|name| {
            let path = folder.path().join(name).to_str().unwrap().to_owned();
            let numbers = ["--users", "50", "--items", "80", "--events", "900", "--seed", "3"];
            support::synth(&[&[&path[..]][..], &numbers].concat());
            let arguments = ["--data", &path, "--holdout", "last-basket", "--seen", "allow"];
            evaluate(
                folder.path(),
                &[&arguments[..], &["--methods", "popularity_30d,item_cf,repeat"]].concat(),
            )
        })
        .collect();
    let hits = |report: &serde_json::Value| {
        let of = |method| metric(report, method, "ndcg@10");
        (report["interactions"].clone(), of("item_cf"), of("repeat"), of("popularity_30d"))
    };
    assert!(hits(&reports[0]).2 > 0.0);
    assert_eq!(hits(&reports[0]), hits(&reports[1]));
    assert_eq!(hits(&reports[0]), hits(&reports[2]));
}

#[test]
fn a_new_item_has_room_in_long_lists_by_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let bought = |(user, n): (usize, usize)| format!("u{user},lamp{},{}\n", (user + n) % 45, n + 1);
    let pairs = (0..30).flat_map(|user| (0..25).map(move |n| (user, n)));
    let head = "user_id,item_id,timestamp\n";
    let log = head.to_owned() + &pairs.map(bought).collect::<String>();
    std::fs::write(path("train.csv"), log).unwrap();
    std::fs::write(path("test.csv"), head.to_owned() + "u0,new,99\nu7,new,99\n").unwrap();
    let known: String = (0..45).map(|n| format!("lamp{n},lamp of kind {n}\n")).collect();
    let items = format!("item_id,title\n{known}new,lamp of a new kind\n");
    std::fs::write(path("items.csv"), items).unwrap();

    let (train, test, items) = (path("train.csv"), path("test.csv"), path("items.csv"));
    let logs = ["--train", &train, "--test", &test, "--items", &items, "--fewer-than", "3"];
    let asked = ["--seen", "mask", "--k", "10,20", "--methods", "popularity_30d,blend"];
    let reached = |more: &[&str]| {
        let report = evaluate(folder.path(), &[&logs[..], &asked, more].concat());
        [10, 20].map(|k| metric(&report, "blend", &format!("recall@{k}")))
    };
    assert_eq!(reached(&[]), [0.0, 1.0]);
    assert_eq!(reached(&["--no-content"]), [0.0, 0.0]);
}

#[test]
fn reasons_are_faithful_and_variety_makes_lists_differ() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("out.json").to_str().unwrap().to_owned();
    let log = ["evaluate", "--data", "data/online_retail.csv.gz", "--preset", "online-retail"];
    let cut = ["--holdout", "last-basket", "--seen", "mask", "--k", "10", "--no-tune"];
    let asked =
        ["--methods", "blend", "--sample", "60", "--faithful", "--variety", "--json", &json];
    let (ok, out, error) = run(&[&log[..], &cut, &asked].concat());
    assert!(ok && out.contains("lose more by the events that are named"), "{out}{error}");
    assert!(out.contains("variety at 10") && out.contains("mmr 0.3"), "{out}");

    let report = std::fs::read_to_string(&json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let count = |name: &str| report["reasons"][name].as_f64().unwrap();
    assert!(count("explained") > 300.0, "{}", report["reasons"]);
    assert!(count("faithful") / count("explained") > 0.9, "{}", report["reasons"]);

    let at = |name: &str, figure: &str| {
        let all = report["variety"].as_array().unwrap();
        let found = all.iter().find(|varied| varied["variety"] == name).unwrap();
        found["at"][0][figure].as_f64().unwrap()
    };
    for varied in ["mmr 0.3", "dpp 0.3"] {
        assert!(at(varied, "alike_by_behaviour") < 0.7 * at("none", "alike_by_behaviour"), "{out}");
        assert!(at(varied, "ndcg") > 0.5 * at("none", "ndcg"), "{out}");
    }
}
