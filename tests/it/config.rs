//! The configuration: the example file is the defaults; unknown keys are refused.

use qianmian::config::Config;
use qianmian::recommend::RepeatPolicy;

use crate::support;

#[test]
fn the_example_file_holds_every_default_and_nothing_else() {
    let text = include_str!("../../qianmian.example.toml");
    assert_eq!(toml::from_str::<Config>(text).unwrap(), Config::default());
    let file: toml::Value = toml::from_str(text).unwrap();
    let code = toml::Value::try_from(Config::default()).unwrap();
    assert_eq!(key_paths("", &file), key_paths("", &code));
    let keys = text.lines().filter(|l| !l.starts_with('#') && l.contains(" = ")).count();
    let comments = text.lines().filter(|l| l.starts_with('#')).count();
    assert!(comments > keys / 2, "the example explains what it sets");
}

#[test]
fn repeat_policies_are_read_with_their_days() {
    let of = |policy: &str| {
        let text = format!("[recommend]\nrepeat_policy = {policy}");
        toml::from_str::<Config>(&text).map(|config| config.recommend.repeat_policy)
    };
    assert_eq!(of("\"when-due\""), Ok(RepeatPolicy::WhenDue));
    assert_eq!(of("{ exclude-within = 30 }"), Ok(RepeatPolicy::ExcludeWithin(30)));
    assert!(of("{ exclude-within = -1 }").is_err() && of("\"exclude-within\"").is_err());
}

fn key_paths(prefix: &str, value: &toml::Value) -> Vec<String> {
    match value.as_table() {
        None => vec![prefix.to_owned()],
        Some(table) => {
            table.iter().flat_map(|(k, v)| key_paths(&format!("{prefix}.{k}"), v)).collect()
        }
    }
}

#[test]
fn unknown_keys_and_wrong_values_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.toml");
    let path = file.to_str().unwrap();
    for (text, says) in [
        ("[serve]\nlisten_on = \"x\"", "listen_on"),
        (
            "[train.settings.embedding]\ndimensions = 2",
            "train.settings.embedding.dimensions must be 8 to 1024, was 2",
        ),
        ("[log]\ndurability = \"hope\"", "durability"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (ok, _, error) = support::run(&["models", "--config", path]);
        assert!(!ok && error.contains(says), "{error}");
    }
    let (ok, _, error) = support::run(&["models", "--config", "/nowhere.toml"]);
    assert!(!ok && error.contains("does not exist"), "{error}");
}
