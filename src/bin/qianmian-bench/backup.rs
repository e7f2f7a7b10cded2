//! What a backup costs the callers: the latency of lists while events come in, with and without
//! backups of the same store that follow each other.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args;
use qianmian::backup;
use qianmian::cli::{Failure, output};
use qianmian::config::Config;
use qianmian::store::priority::{self, step_back};

use crate::asked::Asked;
use crate::load::{self, Calls, Outcome, Pace, STEADY};
use crate::server::{Server, copy_folder};
use crate::writes::{self, BATCH, WRITERS};

/// Measure lists and writes during backups: latency, relative to quiet, in the same run
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Events per second that come in
    #[arg(long, default_value_t = 50_000.0)]
    events: f64,
    /// Seconds of each load
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Loads of each kind, in turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
}

impl Backup {
    pub(crate) fn run(self, config: &Config, data_given: bool) -> Result<(), Failure> {
        if !data_given {
            return Err("name a data folder with a model: --data DIR".into());
        }
        let asked = Asked::of(&config.data, config)?;
        let calls = asked.calls(20);
        let (_, lists) =
            calls.into_iter().find(|(name, _)| name == "Recommend").ok_or("no call")?;
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        copy_folder(&config.data, &data)?;
        let server = Server::serve::<&str>(&data, &[])?;
        let address = server.address.to_string();

        println!("{}; {STEADY} lists/s, {} events/s\n", asked.store, self.events);
        let mut rows = Vec::new();
        let mut ratios = Vec::new();
        self.load(&address, &lists)?;
        for round in 0..self.rounds {
            let (quiet, _) = self.load(&address, &lists)?;
            let done = AtomicBool::new(false);
            let made = AtomicUsize::new(0);
            let (busy, written) = std::thread::scope(|scope| {
                scope.spawn(|| {
                    // As the command does. It is not started anew for each, as its start is no part
                    // of a long backup.
                    step_back();
                    while !done.load(Ordering::Relaxed) {
                        let to =
                            folder.path().join(format!("backup-{}", made.load(Ordering::Relaxed)));
                        let backed_up = back_up(&data, &to);
                        made.fetch_add(usize::from(backed_up), Ordering::Relaxed);
                        let _ = std::fs::remove_dir_all(&to);
                    }
                });
                let outcome = self.load(&address, &lists);
                done.store(true, Ordering::Relaxed);
                outcome
            })?;

            let made = made.load(Ordering::Relaxed);
            let events = written.rate() * BATCH as f64;
            if made == 0 || events < 0.95 * self.events {
                return Err(
                    format!("{made} backups, {events:.0} events/s: nothing is shown").into()
                );
            }

            let ratio = busy.quantile(0.99) / quiet.quantile(0.99);
            ratios.push(ratio);
            let figures = [quiet.quantile(0.99), busy.quantile(0.99), ratio, events];
            let mut row = vec![(round + 1).to_string()];
            row.extend(figures[..3].iter().map(|figure| format!("{figure:.2}")));
            row.extend([format!("{events:.0}"), made.to_string()]);
            rows.push(row);
        }

        let header = ["round", "quiet p99 ms", "backup p99 ms", "ratio", "events/s", "backups"];
        println!("{}", output::table(&header, &header, rows));
        ratios.sort_by(f64::total_cmp);
        println!("\nmedian ratio {:.2}", ratios[ratios.len() / 2]);
        Ok(())
    }

    /// Lists at a steady rate while events come in.
    fn load(&self, address: &str, lists: &Calls) -> Result<(Outcome, Outcome), Failure> {
        let duration = Duration::from_secs(self.seconds);
        let steady = Pace { duration, concurrency: 64, rate: Some(STEADY) };
        let rate = Some(self.events / BATCH as f64);
        let writing = Pace { duration, concurrency: 2 * WRITERS, rate };
        std::thread::scope(|scope| {
            let written = scope.spawn(|| {
                load::run(address, &writes::calls(BATCH), writing).map_err(|e| e.to_string())
            });
            let listed = load::run(address, lists, steady)?;
            let written = written.join().map_err(|_| "the writer panicked")??;
            Ok((listed, written))
        })
    }
}

/// Makes a backup; whether it succeeded.
fn back_up(data: &Path, to: &Path) -> bool {
    backup::create(data, to, 1, &priority::Pace::gentle()).is_ok()
}
