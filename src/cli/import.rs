//! `qianmian import`

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, output};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::import::{Content, Report};
use crate::import::{ColumnMap, Preset, Refusal, Row};

/// Import purchase logs, or a catalogue, from files
#[derive(Debug, Args)]
#[command(
    after_long_help = "Formats, by the ending of the name: .csv, .tsv, .txt (any of tab, comma, semicolon, bar), \
.jsonl, .ndjson, each also .gz or .zst; .parquet.

A log has the columns user_id, item_id and timestamp; if it can: event, quantity, price, basket_id, \
session_id, event_id, rating, title, category, brand. Without an event column every row is a purchase. \
Times are epoch seconds or milliseconds, RFC 3339, 2010-12-01 08:26:00, or 12/1/2010 8:26; without a zone, UTC.

Importing a file again adds nothing; a file that has grown adds what is new.

Examples:
  qianmian import log.csv --data DIR
  qianmian import log.csv.gz --data DIR --map user_id=CustomerID,item_id=StockCode,timestamp=InvoiceDate
  qianmian import online_retail.csv.gz --data DIR --preset online-retail --rejects rejects.txt
  qianmian import products.parquet --items --data DIR --map item_id=product_id,category=department+aisle"
)]
pub struct Import {
    /// Files to import, in this order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Names of columns, where they differ: user_id=CustomerID,item_id=StockCode; "a+b" joins two with "/"
    #[arg(long, value_name = "COLUMN=NAME,…", value_parser = str::parse::<ColumnMap>)]
    map: Option<ColumnMap>,
    /// Mapping and cleaning for a known log: online-retail
    #[arg(long, value_name = "NAME", value_parser = Preset::named, conflicts_with = "map")]
    preset: Option<Preset>,
    /// The files hold a catalogue: every row is an item
    #[arg(long, conflicts_with = "preset")]
    items: bool,
    /// Write every refused line here, with its number and the reason
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

impl Import {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        let content = if self.items { Content::Items } else { Content::Events };
        let map = self.map.clone().or(self.preset.map(Preset::columns)).unwrap_or_default();
        let mut rejects = match &self.rejects {
            Some(path) => {
                let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
                Some(BufWriter::new(file))
            }
            None => None,
        };
        let consumed = Arc::new(AtomicU64::new(0));
        // Every file is opened once before any is imported: a wrong name costs nothing then.
        for path in &self.files {
            crate::import::open(path, &map, content.required(), Arc::default())?;
        }
        let engine = Engine::open(&config.data, config.engine())?;
        let mut report = Report::default();
        let bar = progress_bar(&self.files, consumed.clone());
        for path in &self.files {
            let mut reader = crate::import::open(path, &map, content.required(), consumed.clone())?;
            let mut write_failed = None;
            let mut on_refusal = |row: &Row, refusal: &Refusal| {
                if let Some(out) = &mut rejects
                    && let Err(e) = write_reject(out, path, row, refusal)
                {
                    write_failed = Some(e);
                }
            };
            let outcome =
                engine.import(&mut *reader, content, self.preset, &mut report, &mut on_refusal);
            if let Err(error) = outcome {
                print_report(&report, content);
                return Err(format!("{}: {error}", path.display()).into());
            }
            if let Some(error) = write_failed {
                return Err(format!("the rejects cannot be written: {error}").into());
            }
        }
        bar.finish();
        if let Some(mut out) = rejects {
            out.flush()?;
        }
        print_report(&report, content);
        Ok(())
    }
}

fn write_reject(
    out: &mut impl std::io::Write,
    path: &Path,
    row: &Row,
    refusal: &Refusal,
) -> std::io::Result<()> {
    let Refusal { reason, detail } = refusal;
    writeln!(out, "{}:{}\t{reason}\t{detail}\t{}", path.display(), row.line, row.text())
}

/// The table at the end of an import.
pub fn print_report(report: &Report, content: Content) {
    let what = match content {
        Content::Events => "events taken",
        Content::Items => "items taken",
    };
    let mut rows = vec![("rows read".to_owned(), report.rows), (what.to_owned(), report.taken)];
    for (verdict, reasons) in [("skipped", &report.skipped), ("refused", &report.refused)] {
        let mut reasons: Vec<_> = reasons.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        rows.extend(reasons.into_iter().map(|(why, n)| (format!("{verdict}: {why}"), *n)));
    }
    if report.described > 0 {
        rows.push(("items described in the catalogue".to_owned(), report.described));
    }
    let rows = rows.into_iter().map(|(what, n)| vec![what, n.to_string()]).collect();
    println!("{}", output::table(&["import", "count"], &["count"], rows));
}

/// A bar over the bytes of all files, with rate and remaining time.
fn progress_bar(files: &[PathBuf], consumed: Arc<AtomicU64>) -> Bar {
    let total = files.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    let bar = ProgressBar::new(total);
    let style = "{bar:40} {percent:>3} %  {binary_bytes_per_sec}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let done = Arc::new(AtomicBool::new(false));
    let (watched, ended) = (bar.clone(), done.clone());
    let thread = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            watched.set_position(consumed.load(Ordering::Relaxed));
            std::thread::sleep(Duration::from_millis(100));
        }
        watched.finish_and_clear();
    });
    Bar { done, thread: Some(thread) }
}

/// Moves the bar until it is dropped.
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
