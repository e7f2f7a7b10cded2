//! The invariants of `lib.rs` that can be read off the source.

use std::fs;
use std::path::{Path, PathBuf};

use crate::imports;

/// The modules from top to bottom: imports point down only.
const HOUSE: [&str; 27] = [
    "cli",
    "api",
    "shared",
    "host",
    "engine",
    "backup",
    "export",
    "plan",
    "tune",
    "evaluate",
    "experiment",
    "insight",
    "recommend",
    "sources",
    "rules",
    "live",
    "train",
    "model",
    "matrix",
    "content",
    "doctor",
    "import",
    "access",
    "objects",
    "store",
    "telemetry",
    "domain",
];
const MAX_FUNCTION_LINES: usize = 70;
const MAX_FILE_LINES: usize = 450;
/// Functions of this many lines or more are separated into paragraphs.
const MIN_PARAGRAPHED_LINES: usize = 25;

/// Phrases that were this project's own dialect; the comment says what to write instead.
const DIALECT: [&str; 30] = [
    "nobody",                // no user, no caller
    "everybody",             // all users
    "somebody",              // a user, a client
    "anybody",               // any user
    "shopper",               // user
    "so many",               // the number
    "of itself",             // by itself
    "at the most",           // at most
    "at the least",          // at least
    "made ahead",            // prepared
    "for want of",           // for lack of
    "is told",               // receives, is notified
    "when told to stop",     // when cancelled
    "the disk refuses",      // the disk fails
    "ever heard of",         // knows
    "was heard of",          // is known
    "what is known of",      // name the data
    "what is said of",       // name the data
    "what was said",         // name the data
    "what came of",          // the outcome, the result
    "what became of",        // the outcome
    "goes by the name",      // is named
    "all goes on as before", // nothing is changed
    "looked at by",          // read by, checked by
    "as much as it pleases", // without limit
    "none of ours",          // none of the store's
    "to no end",             // without limit
    "in vain",               // without result
    "on its own account",    // by itself
    "walk over the ground",  // traversal of the base layer
];

/// Every source file: its path below `src`, and its text up to its tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
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
    let may = ["api", "bin"];
    let client = [
        "cli/admin.rs",
        "cli/backend.rs",
        "cli/decisions.rs",
        "cli/insight/calls.rs",
        "cli/remote.rs",
    ];
    nothing(naming(&words, |name| !may.contains(&module(name)) && !client.contains(&name)));
}

#[test]
fn only_some_modules_touch_files() {
    let may =
        ["access", "store", "import", "export", "backup", "cli", "bin", "config.rs", "main.rs"];
    let words = ["std::fs", "fs::", "File::", "tempfile::"];
    nothing(naming(&words, |name| {
        !may.contains(&module(name))
            && ![
                "content/text_model.rs",
                "model/copied.rs",
                "model/disk.rs",
                "model/frozen.rs",
                "model/pushed/upload.rs",
                "api/tls.rs",
                "objects/folder.rs",
            ]
            .contains(&name)
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
        " static ",
    ];
    let is_pure = |name: &str| ["recommend", "sources"].contains(&module(name));
    nothing(naming(&words, is_pure));

    // A list is made on a thread of a pool with the catalogue read: a thread that waits for parts of
    // it would begin another request, and read the catalogue twice. Prepared lists read none.
    let parallel = ["rayon", "par_iter"];
    nothing(naming(&parallel, |name| is_pure(name) && name != "recommend/prepared.rs"));
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

/// A function: its line, its length, and the lines of its body.
struct Function<'t> {
    line: usize,
    length: usize,
    body: &'t [&'t str],
}

/// The functions of a file, by rustfmt's layout.
fn functions<'t>(lines: &'t [&'t str]) -> Vec<Function<'t>> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let head = line.split('(').next().unwrap();
        let is_function = head.split_whitespace().any(|word| word == "fn");
        if !is_function || line.trim_start().starts_with("//") {
            continue;
        }

        let end = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[start..].iter().position(|l| *l == end) else { continue };
        let signature = lines[start..start + length].iter().position(|l| l.ends_with('{'));
        let Some(signature) = signature else { continue };
        let body = &lines[start + signature + 1..start + length];
        found.push(Function { line: start + 1, length: length + 1, body });
    }
    found
}

#[test]
fn files_and_functions_are_short() {
    let mut violations = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > MAX_FILE_LINES {
            violations.push(format!("src/{name}: {} lines", lines.len()));
        }
        for function in functions(&lines) {
            let Function { line, length, .. } = function;
            if length > MAX_FUNCTION_LINES {
                violations.push(format!("src/{name}:{line}: a function of {length} lines"));
            }
        }
    }
    nothing(violations);
}

#[test]
fn long_functions_have_paragraphs() {
    let mut violations = Vec::new();
    for (name, text) in sources() {
        let lines: Vec<&str> = without_tests(&text).lines().collect();
        for Function { line, length, body } in functions(&lines) {
            let is_one_block = body.iter().all(|line| !line.trim().is_empty());
            if length >= MIN_PARAGRAPHED_LINES && is_one_block && !is_a_single_expression(body) {
                violations.push(format!("src/{name}:{line}: {length} lines without a blank one"));
            }
        }
    }
    nothing(violations);
}

/// Whether a body is one expression, such as a match or a table, which has no steps to separate.
fn is_a_single_expression(body: &[&str]) -> bool {
    let indent = body[0].len() - body[0].trim_start().len();
    let of_body = |line: &&&str| line.len() - line.trim_start().len() == indent;
    let starts = body.iter().filter(of_body).filter(|line| {
        let code = line.trim_start();
        !code.starts_with(['}', ')', ']', '.']) && !code.starts_with("//")
    });
    starts.count() <= 1
}

#[test]
fn no_phrase_of_the_dialect_comes_back() {
    let mut violations = Vec::new();
    // The tour names words that are not to be used.
    for (name, text) in sources().into_iter().filter(|(name, _)| name != "lib.rs") {
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            if let Some(phrase) = DIALECT.iter().find(|phrase| lower.contains(**phrase)) {
                violations.push(format!("src/{name}:{}: {phrase:?}", number + 1));
            }
        }
    }
    nothing(violations);
}

/// The nodes of a folder are its files and folders, and `mod` for its own `mod.rs`. An edge is a
/// `use` path from one to another. Re-exports of a `mod.rs` are resolved, and are no edges: they
/// tell the folder's story.
#[test]
fn no_folder_has_a_circle_of_files() {
    let graph = imports::Graph::of(&sources());
    nothing(graph.circles());
}

#[test]
fn the_tour_names_every_module() {
    let tour = include_str!("../../src/lib.rs");
    for module in HOUSE {
        assert!(tour.contains(&format!("| [`{module}`] |")), "lib.rs does not introduce {module}");
    }
}
