//! Measures the style of a tree of Rust files, their tests cut: blank lines and comments in the
//! bodies of functions, long functions without a paragraph, matches on bool, tuple lets.
//!
//! `cargo run --example style -- src`
//!
//! A body is what stands between the line that opens a function and the brace that closes it at the
//! same indentation. Text that rustfmt has formatted is taken for granted.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines from which a function counts as long, its first and last included.
const LONG_LINES: usize = 25;

#[derive(Default)]
struct Tally {
    files: usize,
    lines: usize,
    body_lines: usize,
    blank_lines: usize,
    comment_lines: usize,
    functions: usize,
    long: usize,
    /// Place and length of each long function without a blank line.
    solid: Vec<String>,
    bool_arms: usize,
    tuple_lets: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("usage: style DIR")?;
    let mut tally = Tally::default();
    for path in rust_files(Path::new(&root))? {
        let text = fs::read_to_string(&path)?;
        tally.count(&path, text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default());
    }

    let of = |part: usize, whole: usize| 100.0 * part as f64 / whole.max(1) as f64;
    let per_10_000 = |count: usize| 10_000.0 * count as f64 / tally.lines.max(1) as f64;
    println!("{} files, {} lines, {} functions", tally.files, tally.lines, tally.functions);
    println!("blank lines in bodies       {:6.2} %", of(tally.blank_lines, tally.body_lines));
    println!("comments in bodies          {:6.2} %", of(tally.comment_lines, tally.body_lines));
    println!("long functions without one  {:6.2} %", of(tally.solid.len(), tally.long));
    println!("match bool arms             {:6.2} per 10,000 lines", per_10_000(tally.bool_arms));
    println!("value-only tuple lets       {:6.2} per 10,000 lines", per_10_000(tally.tuple_lets));
    for place in &tally.solid {
        println!("  {place}");
    }
    Ok(())
}

/// The Rust files below a folder that are no tests, in order of their paths.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_name().is_some_and(|name| name != "tests.rs")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl Tally {
    fn count(&mut self, path: &Path, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        self.files += 1;
        self.lines += lines.len();
        self.bool_arms += lines.iter().filter(|line| is_bool_arm(line)).count();
        self.tuple_lets += lines.iter().filter(|line| is_tuple_let(line)).count();

        let mut at = 0;
        while at < lines.len() {
            let Some((opens, closes)) = body(&lines, at) else {
                at += 1;
                continue;
            };
            self.function(path, at, &lines[opens + 1..closes], closes + 1 - at);
            at = closes;
        }
    }

    /// Counts a function of a number of lines that begins at line `at`.
    fn function(&mut self, path: &Path, at: usize, body: &[&str], lines: usize) {
        let blank_lines = body.iter().filter(|line| line.trim().is_empty()).count();
        self.functions += 1;
        self.body_lines += body.len();
        self.blank_lines += blank_lines;
        self.comment_lines += body.iter().filter(|line| line.trim().starts_with("//")).count();

        if lines >= LONG_LINES {
            self.long += 1;
            if blank_lines == 0 {
                self.solid.push(format!("{}:{}: {lines} lines", path.display(), at + 1));
            }
        }
    }
}

/// The lines that open and close the body of the function that begins at line `at`, if one does.
fn body(lines: &[&str], at: usize) -> Option<(usize, usize)> {
    let start = lines[at].trim_start();
    let indentation = &lines[at][..lines[at].len() - start.len()];
    let signature = ["pub ", "const ", "async ", "unsafe "].iter().fold(
        start.split_once(") ").filter(|_| start.starts_with("pub(")).map_or(start, |(_, s)| s),
        |rest, word| rest.strip_prefix(word).unwrap_or(rest),
    );
    if !signature.starts_with("fn ") {
        return None;
    }

    let opens = (at..lines.len()).find(|&n| lines[n].trim_end().ends_with(['{', ';', '}']))?;
    if !lines[opens].trim_end().ends_with('{') {
        return None;
    }
    let closes = (opens..lines.len())
        .find(|&n| lines[n].strip_prefix(indentation).is_some_and(|rest| rest == "}"))?;
    Some((opens, closes))
}

fn is_bool_arm(line: &str) -> bool {
    let line = line.trim_start();
    let arm = line.strip_prefix("true ").or_else(|| line.strip_prefix("false "));
    arm.is_some_and(|rest| rest.starts_with("=>") || rest.starts_with("if "))
}

fn is_tuple_let(line: &str) -> bool {
    let line = line.trim_start();
    let Some((names, value)) = line.strip_prefix("let (").and_then(|l| l.split_once(") =")) else {
        return false;
    };
    !names.contains('(') && value.trim_start().starts_with('(')
}
