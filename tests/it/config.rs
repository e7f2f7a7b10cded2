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

#[test]
fn old_keys_are_read_and_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("old.toml");
    let text =
        "[push]\nleast_quality = 0.5\n[train.settings.item_cf]\na = 0.7\nuser_exponent = 0.9\n";
    std::fs::write(&file, text).unwrap();

    let config = Config::load(Some(&file)).unwrap();
    assert_eq!(config.push.min_quality, 0.5);
    let item_cf = &config.train.settings.item_cf;
    assert_eq!((item_cf.source_exponent, item_cf.user_exponent), (0.7, 0.9));
    assert_eq!(
        config.renamed,
        [
            "push.least_quality is now push.min_quality",
            "train.settings.item_cf.a is now train.settings.item_cf.source_exponent"
        ]
    );
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

/// Whatever is wrong with the file, what it holds is not repeated.
#[test]
fn no_error_shows_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("q.toml");
    let path = file.to_str().unwrap();
    const SECRET: &str = "12345678901234567";
    for (text, says) in [
        (format!("[privacy]\npseudonym_key = {SECRET}"), "line 2, pseudonym_key: a secret must"),
        (format!("[privacy]\npseudonym_key = {SECRET}000000"), "line 2, pseudonym_key"),
        (format!("[privacy]\npseudonym_key = {SECRET}.5"), "line 2, pseudonym_key"),
        (format!("[privacy]\npseudonym_key: \"{SECRET}\""), "line 2"),
        (format!("[privacy]\npseudonym_key =\n {SECRET}x"), "line"),
        (format!("[privacy]\npseudonym_key = \"\"\"\n{SECRET}\\q\n\"\"\""), "line"),
        (format!("[privacy]\npseudonym_key = [\n\"{SECRET}\", @ ]"), "line"),
        (format!("privacy = '{SECRET}'"), "line 1, privacy"),
        (format!("privacy = {SECRET}"), "line 1, privacy"),
        (format!("[log]\ndurability = \"{SECRET}\""), "line 2, durability"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let (ok, _, error) = support::run(&["models", "--config", path]);
        assert!(!ok && error.contains(says), "{text}: {error}");
        assert!(!error.contains(&SECRET[..12]), "{text}: {error}");
    }

    let with = |name: &str, value: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_qianmian"));
        let data = folder.path().join("nowhere");
        command.args(["models", "--data"]).arg(data).env(name, value);
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    // All digits are a key like any other.
    let said = with("QIANMIAN_PRIVACY__PSEUDONYM_KEY", SECRET);
    assert!(said.contains("there is no data folder") && !said.contains(SECRET), "{said}");
    for name in ["LOG__DURABILITY", "RECOMMEND__REPEAT_POLICY", "TRAIN__SEED", "PRIVACY", "NOTHING"]
    {
        let name = format!("QIANMIAN_{name}");
        let said = with(&name, &format!("x{SECRET}"));
        assert!(said.contains(&name) && !said.contains(SECRET), "{said}");
    }
    // Kubernetes sets these beside a Service of this name.
    for name in ["QIANMIAN_PORT", "QIANMIAN_SERVICE_HOST", "QIANMIAN_PORT_50051_TCP_ADDR"] {
        assert!(with(name, "tcp://10.0.0.1:50051").contains("there is no data folder"));
    }
}
