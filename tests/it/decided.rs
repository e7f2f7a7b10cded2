//! Rules and placements from files: applied, listed, tried and taken back.

use std::path::Path;

use crate::merchandise::shop;
use crate::support;

fn verb(data: &Path, arguments: &[&str]) -> (bool, String) {
    let data = data.to_str().unwrap();
    let (ok, out, err) = support::run(&[arguments, &["--data", data]].concat());
    (ok, out + &err)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_files_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path()).await.stop().await;
    let data = folder.path();
    let (ok, said) = verb(data, &["placements", "apply", "examples/placements.toml"]);
    assert!(ok, "{said}");
    let (ok, said) = verb(data, &["rules", "apply", "examples/rules.toml"]);
    assert!(ok && said.contains("matches no item of today's catalogue"), "{said}");
    let (ok, said) = verb(data, &["recommend", "u1", "--placement", "because"]);
    assert!(ok && said.starts_with("Because you took"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_applied_listed_tried_and_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    server.stop().await;
    let data = folder.path();
    let file = folder.path().join("rules.toml");
    let text = r#"
time_zone = "Asia/Shanghai"

[[rules]]
name = "Friday evening"
boost = { factor = 2.5 }
items = { condition = { brand = "brand1" } }
when.placements = ["recommend"]
when.schedule.weekly = [{ days = ["fri"], start = "17:00", end = "23:00" }]
when.schedule.dates = [{ name = "new year", first = 2099-02-06, last = 2099-02-12 }]

[[rules]]
name = "mug first"
pin = { place = 1 }
items = { item_ids = ["i10"] }
"#;
    std::fs::write(&file, text).unwrap();
    let path = file.to_str().unwrap();
    let (ok, said) = verb(data, &["rules", "dry-run", path]);
    assert!(ok && said.contains(" of 24 lists change"), "{said}");
    let (ok, said) = verb(data, &["rules", "apply", path, "--note", "a try"]);
    assert!(ok && said.contains("version 1 is in force"), "{said}");
    let (ok, said) = verb(data, &["recommend", "u1", "--explain"]);
    assert!(ok && said.contains("mug first"), "{said}");
    let (ok, said) = verb(data, &["rules", "list"]);
    assert!(ok && said.contains("boost by 2.5") && said.contains("a try"), "{said}");

    // What is listed as a file is a file of the same rules.
    let (ok, toml) = verb(data, &["rules", "list", "--toml"]);
    assert!(ok);
    let again = folder.path().join("again.toml");
    std::fs::write(&again, &toml).unwrap();
    let (ok, said) = verb(data, &["rules", "apply", again.to_str().unwrap()]);
    assert!(ok, "{said}");
    assert_eq!(verb(data, &["rules", "list", "--toml"]).1, toml);
    let (ok, said) = verb(data, &["rules", "rollback"]);
    assert!(ok && said.contains("version 3 is in force"), "{said}");

    std::fs::write(&file, text.replace("factor = 2.5", "faktor = 2.5")).unwrap();
    let (ok, said) = verb(data, &["rules", "apply", path]);
    assert!(!ok && said.contains("rules[0].boost.faktor: is not a field of Boost"), "{said}");

    let placements = folder.path().join("placements.toml");
    std::fs::write(&placements, "[[placements]]\nname = \"home\"\ntitle = \"For you\"\n").unwrap();
    let (ok, said) = verb(data, &["placements", "apply", placements.to_str().unwrap()]);
    assert!(ok && said.contains("version 1 is in force"), "{said}");
    let (ok, said) = verb(data, &["recommend", "u1", "--placement", "home"]);
    assert!(ok && said.starts_with("For you"), "{said}");
    let (ok, said) = verb(data, &["placements", "list"]);
    assert!(ok && said.contains("For you"), "{said}");
    let (ok, _) = verb(data, &["placements", "rollback"]);
    let (known, said) = verb(data, &["recommend", "u1", "--placement", "home"]);
    assert!(ok && !known && said.contains("of which the store has none"), "{said}");
}
