//! The invariants of `lib.rs` that can be read off the source.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules from top to bottom: imports point down only.
const HOUSE: [&str; 14] = [
    "cli",
    "api",
    "engine",
    "export",
    "tune",
    "evaluate",
    "recommend",
    "live",
    "train",
    "model",
    "matrix",
    "import",
    "store",
    "domain",
];
const MAX_FUNCTION_LINES: usize = 70;
const MAX_FILE_LINES: usize = 450;

/// Every source file: its path below `src`, and its text up to its tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if !path.ends_with("tests.rs") {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(found.len() > 40, "the sources are where this test looks for them");
    found
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text)
}

fn module(name: &str) -> &str {
    name.split('/').next().unwrap()
}

#[track_caller]
fn nothing(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// Lines of code (no comments) that name one of `words`, in files for which `forbidden` holds.
fn naming(words: &[&str], forbidden: impl Fn(&str) -> bool) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, text) in sources().iter().filter(|(name, _)| forbidden(name)) {
        for (number, line) in without_tests(text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                violations.push(format!("src/{name}:{}: names {word}", number + 1));
            }
        }
    }
    violations
}

#[test]
fn imports_point_down_only() {
    let place = |module: &str| HOUSE.iter().position(|m| *m == module);
    let mut violations = Vec::new();
    for (name, text) in sources() {
        let Some(own) = place(module(&name)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for after in line.split("crate::").skip(1) {
                let used = after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                let config_below_cli = used == "config" && own > 0;
                if place(used).is_some_and(|p| p < own) || config_below_cli {
                    violations.push(format!("src/{name}:{}: uses {used}", number + 1));
                }
            }
        }
    }
    nothing(violations);
}

#[test]
fn only_the_api_and_the_client_know_the_wire() {
    let words = ["tonic::", "tonic_", "prost::", "prost_types"];
    nothing(naming(&words, |name| module(name) != "api" && name != "cli/backend.rs"));
}

#[test]
fn only_some_modules_touch_files() {
    let may = ["store", "import", "export", "cli", "config.rs", "main.rs"];
    let words = ["std::fs", "fs::", "File::", "tempfile::"];
    nothing(naming(&words, |name| {
        !may.contains(&module(name)) && !["model/disk.rs", "model/pushed/upload.rs"].contains(&name)
    }));
}

#[test]
fn recommend_is_pure() {
    let words = [
        "now_ms()",
        "SystemTime",
        "Instant",
        ".lock()",
        ".read()",
        ".write()",
        "rand::",
        "std::fs",
        "RwLock",
        "Mutex",
        "thread_local",
        "static ",
    ];
    nothing(naming(&words, |name| module(name) == "recommend"));
}

#[test]
fn there_are_no_globals() {
    let words = ["static mut", "OnceLock", "LazyLock", "thread_local!", "lazy_static"];
    nothing(naming(&words, |_| true));
}

#[test]
fn nothing_can_panic_lightly() {
    let words = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "#[allow("];
    nothing(naming(&words, |_| true));
}

#[test]
fn every_file_opens_with_what_it_is() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//!"));
    nothing(silent.map(|(name, _)| format!("src/{name} has no opening comment")).collect());
}

#[test]
fn files_and_functions_are_short() {
    let mut violations = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > MAX_FILE_LINES {
            violations.push(format!("src/{name}: {} lines", lines.len()));
        }
        for (start, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            let is_function = [
                "fn ",
                "pub fn ",
                "async fn ",
                "pub async fn ",
                "pub(super) fn ",
                "pub(crate) fn ",
            ]
            .iter()
            .any(|head| code.starts_with(head));
            if !is_function {
                continue;
            }
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|l| *l == end).unwrap_or(0) + 1;
            if length > MAX_FUNCTION_LINES {
                violations.push(format!("src/{name}:{}: a function of {length} lines", start + 1));
            }
        }
    }
    nothing(violations);
}

#[test]
fn the_tour_names_every_module() {
    let tour = include_str!("../../src/lib.rs");
    for module in HOUSE {
        assert!(tour.contains(&format!("| [`{module}`] |")), "lib.rs does not introduce {module}");
    }
}
