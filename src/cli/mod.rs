//! The command line: one file a verb, the backend that verbs share, and the output.
//!
//! - [`serve`], [`demo`], [`import`], [`export`]: work on a data folder
//! - [`evaluate`], [`plot`]: work on files alone; [`doctor`]: on a file or a data folder
//! - [`train`], [`recommend`], [`similar`], [`models`], [`push`]: work on a data folder or, with
//!   `--server`, on a running server
//! - [`backup`]: backup, restore and verify, on a data folder as a whole
//! - [`keys`], [`stores`]: work on a data folder or a running server as a whole
//! - [`backend`]: the data folder or the server behind one interface; `admin`: the same for keys and
//!   stores; [`remote`]: the connection to a server
//! - `dialect`: options for reading files
//! - [`output`]: tables for people, JSON for programs

mod admin;
pub mod backend;
pub mod backup;
pub mod demo;
mod dialect;
pub mod doctor;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod keys;
pub mod models;
pub mod output;
pub mod plot;
pub mod push;
pub mod recommend;
pub mod remote;
pub mod serve;
pub mod similar;
pub mod stores;
pub mod train;

use std::path::PathBuf;
use std::pin::Pin;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;
use crate::domain::limits;
use crate::host;
use crate::telemetry::version;

/// Why a verb failed: a sentence for the terminal.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "qianmian",
    version = version::LINE,
    about = "A recommendation engine server: personalised lists over gRPC, trained in the background from \
             your store's own purchase log",
    after_help = "Start with:\n  qianmian serve --demo                       a server with real data\n  \
                  qianmian import log.csv --data DIR          your own log\n  qianmian serve --data DIR"
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// Configuration file (TOML); qianmian.example.toml lists every key
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder [default: qianmian-data]; for `evaluate --holdout`, the log file to cut
    #[arg(long, global = true, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Store [default: the one that the API key opens, else "default"]
    #[arg(long, global = true, value_name = "NAME")]
    store: Option<String>,
    /// Start once without the lost files of the log: their events are gone, and models trained on
    /// later events are set aside
    #[arg(long, global = true)]
    accept_log_loss: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Serve),
    Import(Box<import::Import>),
    Train(train::Train),
    Recommend(recommend::Recommend),
    Similar(similar::Similar),
    Models(models::Models),
    Push(push::Push),
    Export(export::Export),
    Keys(keys::Keys),
    Stores(stores::Stores),
    Doctor(Box<doctor::Doctor>),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Verify(backup::Verify),
    Evaluate(Box<evaluate::Evaluate>),
}

impl Cli {
    /// The configuration: defaults, file, environment, flags.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::load(self.common.config.as_deref())?;
        if let Some(data) = &self.common.data {
            config.data.clone_from(data);
        }

        if let Some(store) = &self.common.store {
            limits::name("--store", store).map_err(|violation| violation.to_string())?;
            config.store.clone_from(store);
        }
        config.log.accept_loss = self.common.accept_log_loss;
        if let Verb::Serve(serve) = &self.verb {
            serve.configure(&mut config);
        } else {
            // Only a server trains by itself, and tables need no log lines around them.
            config.train.automatic = false;
            if config.logging.level == "info" {
                config.logging.level = "warn".to_owned();
            }
        }
        Ok(config)
    }

    /// Whether the verb is a server, which runs until it is stopped.
    pub fn serves(&self) -> bool {
        matches!(self.verb, Verb::Serve(_))
    }

    /// Runs the verb.
    ///
    /// The future is boxed so that it is compiled once, with the library, and not again in each
    /// program that awaits it.
    ///
    /// # Errors
    /// A sentence for the terminal.
    pub fn run(self, config: Config) -> Pin<Box<dyn Future<Output = Result<(), Failure>>>> {
        Box::pin(self.run_verb(config))
    }

    async fn run_verb(self, config: Config) -> Result<(), Failure> {
        match self.verb {
            Verb::Serve(verb) => verb.run(config, self.common.data.is_some()).await,
            Verb::Import(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Train(verb) => verb.run(config).await,
            Verb::Recommend(verb) => verb.run(config).await,
            Verb::Similar(verb) => verb.run(config).await,
            Verb::Models(verb) => verb.run(config).await,
            Verb::Push(verb) => verb.run(config).await,
            Verb::Keys(verb) => verb.run(config, self.common.store).await,
            Verb::Stores(verb) => verb.run(config).await,
            Verb::Export(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Doctor(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Backup(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Restore(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Verify(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Evaluate(verb) => tokio::task::block_in_place(|| verb.run(&config)),
        }
    }
}

/// Checks that the data folder has the store that a verb works on: a name that is mistyped must not
/// create one.
fn check_store(config: &Config) -> Result<(), Failure> {
    if host::exists(&config.data, &config.store) {
        return Ok(());
    }
    let Config { data, store, .. } = config;
    Err(format!(
        "there is no store {store} in {}; create it: qianmian stores create {store}",
        data.display()
    )
    .into())
}
