//! `qianmian import`

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::dialect::DialectArgs;
use super::doctor::print_finding;
use super::{Failure, check_store, output};
use crate::config::Config;
use crate::doctor::Finding;
use crate::domain::EventKind;
use crate::domain::quote::printable;
use crate::engine::Engine;
use crate::engine::import::report::{DROPPED, Reasons};
use crate::engine::import::{Content, Report};
use crate::import::{Plan, Refusal, Row, explained};

/// Findings of the doctor that are shown after an import.
const SHOWN_FINDINGS: usize = 3;

/// Import purchase logs, a catalogue, or users from files
#[derive(Debug, Args)]
#[command(
    after_long_help = "Formats, by the ending of the name: .csv, .tsv, .txt (any of tab, comma, semicolon, bar), \
.jsonl, .ndjson, each also .gz or .zst; .parquet.

A log has the columns user_id, item_id and timestamp; if it can: event, quantity, price, basket_id, \
session_id, event_id, rating, channel, recommendation_id, title, category, brand,
dwell_ms (of views), hide_scope and hide_reason (of hide), review and sentiment (of ratings).
Events are view, add_to_cart, favorite, purchase, refund, rating, impression, click or hide, or common \
synonyms of these; --event-map names others. Without an event column every row is a purchase, or a \
refund where its quantity is negative.
Times are epoch seconds, milliseconds or smaller, spreadsheet days, RFC 3339, 2010-12-01 08:26:00, \
2010/12/1, 20101201, 2010年12月1日, 1 Dec 2010, or 12/1/2010 8:26 PM, where the file's rows prove which \
of day and month comes first; otherwise use --time-format. Without a zone, times are UTC or of \
--time-zone.

With --items, a row is an item: item_id, and any of title, category (parts joined by \"/\", several separated by \"|\"), brand, price, available, tags (separated by \"|\"), valid_from, valid_until, attributes.NAME. \
With --users, a user: user_id, and any of consent, attributes.NAME. Fields without a column keep their values; an empty cell clears its field.

An optional field that cannot be read is dropped and counted, and the row taken. Importing a file again adds nothing; a file that has grown adds its new rows.

Examples:
  qianmian import log.csv --data DIR
  qianmian import log.csv.gz --data DIR --map user_id=CustomerID,item_id=StockCode,timestamp=InvoiceDate
  qianmian import online_retail.csv.gz --data DIR --preset online-retail --rejects rejects.txt
  qianmian import events.jsonl --data DIR --event-map ga4
  qianmian import products.parquet --items --data DIR --map item_id=product_id,category=department+aisle
  qianmian import all-products.csv --items --complete --data DIR
  qianmian import customers.csv --users --data DIR --map user_id=id,attributes.country=Country"
)]
pub struct Import {
    /// Files to import, in this order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    dialect: DialectArgs,
    /// Every row is an item of the catalogue
    #[arg(long, conflicts_with_all = ["preset", "exclude_items", "event_map"])]
    items: bool,
    /// The files hold the whole catalogue: items that no file names become unavailable
    #[arg(long, requires = "items")]
    complete: bool,
    /// Every row is a user
    #[arg(long, conflicts_with_all = ["items", "preset", "exclude_items", "event_map"])]
    users: bool,
    /// Write every refused line, and every dropped field, here, with its number and the reason
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

impl Import {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        let content = self.content();
        let plan = self.dialect.plan()?;
        // All files are checked before any is imported, so that a wrong name costs nothing.
        let plans: Result<Vec<Plan>, _> =
            self.files.iter().map(|path| plan.proven(path, content.required())).collect();
        let plans = plans?;
        let mut rejects = match &self.rejects {
            Some(path) => {
                let same = |file: &PathBuf| same_file(file, path);
                if let Some(file) = self.files.iter().find(|file| same(file)) {
                    return Err(format!("--rejects would overwrite {}", file.display()).into());
                }
                let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
                Some(BufWriter::new(file))
            }
            None => None,
        };

        check_store(config)?;
        let engine = Engine::open(&config.data, config.engine())?;
        let mut report = Report::default();
        let mut barren = Vec::new();

        // Whether every file had rows.
        let mut whole = true;
        let consumed = Arc::new(AtomicU64::new(0));
        let bar = progress_bar(&self.files, consumed.clone());

        for (path, plan) in self.files.iter().zip(&plans) {
            let mut of_file = Report::default();
            let outcome =
                import(&engine, path, content, plan, &consumed, &mut of_file, &mut rejects);
            whole &= of_file.rows > 0;

            if of_file.is_barren() {
                barren.push(path.display().to_string());
            }

            report.add(of_file);
            if let Err(error) = outcome {
                print_report(&report, content);
                return Err(format!("{}: {error}", path.display()).into());
            }
        }

        let completed = if self.complete {
            engine.importer().complete_catalogue(whole, &mut report)
        } else {
            Ok(())
        };

        bar.finish();
        if let Some(mut out) = rejects {
            out.flush().map_err(|e| format!("the rejects cannot be written: {e}"))?;
        }

        print_report(&report, content);
        completed?;
        if barren.is_empty() {
            return Ok(());
        }
        Err(format!("no row was taken from {}", barren.join(", ")).into())
    }

    fn content(&self) -> Content {
        if self.complete {
            Content::Catalogue
        } else if self.items {
            Content::Items
        } else if self.users {
            Content::Users
        } else {
            Content::Events
        }
    }
}

fn import(
    engine: &Engine,
    path: &Path,
    content: Content,
    plan: &Plan,
    consumed: &Arc<AtomicU64>,
    report: &mut Report,
    rejects: &mut Option<BufWriter<File>>,
) -> Result<(), Failure> {
    let required = content.required();
    let mut reader = crate::import::open(path, &plan.dialect, required, consumed.clone())?;
    let mut write_failed = None;
    let mut on_refusal = |row: &Row, refusal: &Refusal| {
        if let Some(out) = rejects
            && let Err(e) = write_reject(out, path, row, refusal)
        {
            write_failed = Some(e);
        }
    };

    engine.importer().import(&mut *reader, content, plan, report, &mut on_refusal)?;
    match write_failed {
        Some(error) => Err(format!("the rejects cannot be written: {error}").into()),
        None => Ok(()),
    }
}

/// Whether two paths name one file.
fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn write_reject(
    out: &mut impl std::io::Write,
    path: &Path,
    row: &Row,
    refusal: &Refusal,
) -> std::io::Result<()> {
    let Refusal { reason, detail, .. } = refusal;
    writeln!(out, "{}:{}\t{reason}\t{detail}\t{}", path.display(), row.line, row.text())
}

/// Prints the table at the end of an import.
pub fn print_report(report: &Report, content: Content) {
    let what = format!("{} taken", content.name());
    let mut rows = vec![("rows read".to_owned(), report.rows), (what, report.taken)];
    let kinds = EventKind::ALL.iter().zip(report.kinds).filter(|(_, n)| *n > 0);
    rows.extend(kinds.map(|(kind, n)| (format!("  read as {}", kind.name()), n)));

    if report.without_user > 0 {
        let share = 100.0 * report.without_user as f64 / report.rows.max(1) as f64;
        rows.push((format!("rows without a user ({share:.1} %)"), report.without_user));
    }

    let skipped = reasons(&report.skipped).map(|(why, _, n)| (format!("skipped: {why}"), n));
    rows.extend(skipped);
    let dropped = reasons(&report.dropped);
    rows.extend(dropped.map(|(why, help, n)| (explained(DROPPED, why, help), n)));
    let refused = reasons(&report.refused);
    rows.extend(refused.map(|(why, help, n)| (explained("refused", why, help), n)));
    let counts = [
        ("items described in the catalogue", report.described),
        ("items now unavailable: not in the whole catalogue", report.delisted),
    ];
    rows.extend(counts.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| (what.to_owned(), n)));

    let rows = rows.into_iter().map(|(what, n)| vec![what, n.to_string()]).collect();
    println!("{}", output::table(&["import", "count"], &["count"], rows));

    if let Some((first, last)) = report.span {
        let [first, last] =
            [first, last].map(|ms| Timestamp::from_millisecond(ms).unwrap_or_default());
        println!("\ntimes from {first} to {last}");
    }

    for ((column, id), n) in &report.suspicious {
        println!(
            "warning: {n} rows have the {column} {id:?}, which looks like a word for an empty \
             cell; read it so with --absent '{id}'"
        );
    }

    for notice in &report.notices {
        println!("note: {}", printable(notice));
    }
    print_findings(&report.findings);
}

/// Prints the worst of what the doctor found.
fn print_findings(findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    println!("\nthe worst of {} findings; qianmian doctor LOG shows all\n", findings.len());
    findings.iter().take(SHOWN_FINDINGS).for_each(print_finding);
}

/// Reasons with the option that helps and their count, most frequent first.
fn reasons(reasons: &Reasons) -> impl Iterator<Item = (&str, &'static str, u64)> {
    let mut all: Vec<_> =
        reasons.iter().map(|((why, help), n)| (why.as_str(), *help, *n)).collect();
    all.sort_by(|a, b| b.2.cmp(&a.2).then(a.0.cmp(b.0)));
    all.into_iter()
}

/// A progress bar over the bytes of all files, with rate and remaining time.
fn progress_bar(files: &[PathBuf], consumed: Arc<AtomicU64>) -> Bar {
    let total = files.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    let bar = ProgressBar::new(total);
    let style = "{bar:40} {percent:>3} %  {binary_bytes_per_sec}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }

    let done = Arc::new(AtomicBool::new(false));
    let watched = bar.clone();
    let ended = done.clone();
    let thread = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            watched.set_position(consumed.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(100));
        }
        watched.finish_and_clear();
    });
    Bar { done, thread: Some(thread) }
}

/// Updates the bar until it is dropped.
struct Bar {
    done: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Bar {
    fn finish(self) {}
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
