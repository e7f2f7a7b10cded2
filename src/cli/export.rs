//! `qianmian export`

use std::fs::File;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, check_store};
use crate::config::Config;
use crate::export::days::WrittenDays;
use crate::export::{Format, Reading, Written, WrittenUbi};

/// Write the log, the matrix or a model to a file, for training jobs elsewhere
#[derive(Debug, Args)]
#[command(after_help = "A server may have the data folder open at the same time.\n\n\
                  Examples:\n  qianmian export log log.parquet --data DIR --hold-out 14\n  \
                  qianmian export log log.csv --data DIR\n  \
                  qianmian export days FOLDER --data DIR\n  \
                  qianmian export matrix matrix.parquet --data DIR\n  \
                  qianmian export ubi FOLDER --data DIR\n  \
                  qianmian export model model.safetensors --data DIR")]
pub struct Export {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every event that may be trained on, as Parquet or CSV; import reads it back
    Log(Rows),
    /// The log as Parquet files by day; appends what is new since the last time
    Days {
        /// Folder for the files and their list, _days.json
        folder: PathBuf,
    },
    /// The user-item matrix, a row for each cell, as Parquet or CSV
    Matrix(Rows),
    /// What was shown and what users did, as User Behavior Insights (UBI) 1.3 of OpenSearch
    Ubi {
        /// Folder for ubi_queries.ndjson and ubi_events.ndjson; files there are overwritten
        folder: PathBuf,
    },
    /// A model's embeddings, item neighbours and popularity, in the layout of a push
    Model {
        /// Output file, overwritten if it exists
        file: PathBuf,
        /// Its generation [default: the newest]
        #[arg(long)]
        generation: Option<u64>,
    },
}

#[derive(Debug, Args)]
struct Rows {
    /// Output file, overwritten if it exists: NAME.parquet or NAME.csv
    file: PathBuf,
    /// Omit the newest days, by which a pushed model is judged
    #[arg(long, value_name = "DAYS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=36_500))]
    hold_out: u32,
}

impl Export {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        check_store(config)?;
        let reading = Reading::open(&config.data, &config.store)?;
        let create =
            |path: &PathBuf| File::create(path).map_err(|e| format!("{}: {e}", path.display()));
        let told = |rows: &Rows, written: Written| {
            let until = jiff::Timestamp::from_millisecond(written.until_ms).unwrap_or_default();
            let Written { rows: count, log_offset, .. } = written;
            println!(
                "{count} rows until {until}, of the log before offset {log_offset}, in {}",
                rows.file.display()
            );
        };

        match &self.what {
            What::Log(rows) => {
                let format = Format::of(&rows.file)?;
                told(rows, reading.log(create(&rows.file)?, format, rows.hold_out)?);
            }
            What::Days { folder } => {
                let WrittenDays { added, rewritten, rows, log_offset } = reading.days(folder)?;
                println!(
                    "{rows} rows of {added} days, and of {rewritten} days written anew, of the log before offset \
                     {log_offset}, in {}",
                    folder.display()
                );
            }
            What::Matrix(rows) => {
                let format = Format::of(&rows.file)?;
                told(rows, reading.matrix(create(&rows.file)?, format, rows.hold_out)?);
            }
            What::Ubi { folder } => {
                std::fs::create_dir_all(folder)
                    .map_err(|error| format!("{}: {error}", folder.display()))?;
                let [queries, events] = ["ubi_queries.ndjson", "ubi_events.ndjson"];
                let files = (create(&folder.join(queries))?, create(&folder.join(events))?);
                let WrittenUbi { queries, events } = reading.ubi(files.0, files.1)?;
                println!("{queries} lists and {events} events in {}", folder.display());
            }
            What::Model { file, generation } => {
                let generation = reading.model(create(file)?, *generation)?;
                println!("generation {generation} in {}", file.display());
            }
        }
        Ok(())
    }
}
