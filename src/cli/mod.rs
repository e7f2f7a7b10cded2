//! The command line: one file a verb, the backend that verbs share, and the output.
//!
//! - [`serve`], [`demo`], [`import`], [`export`], [`log`], [`history`], [`check`]: work on a data
//!   folder; `reload`: a server that reads its configuration again; `process`: what serves;
//!   [`trainer`], `membership`: servers that share an object store
//! - [`plan`]: works on numbers alone; [`evaluate`], [`plot`]: on files alone; [`doctor`]: on a file or a data folder
//! - [`train`], [`recommend`], [`similar`], [`together`], [`popular`], [`users`], [`items`],
//!   [`models`], [`push`], [`rules`], [`placements`], [`experiments`], [`insight`], [`report`],
//!   [`replay`], [`simulate`]: work on a data folder or, with `--server`, on a running server
//! - [`backup`]: backup, restore and verify, on a data folder as a whole
//! - [`keys`], [`stores`]: work on a data folder or a running server as a whole
//! - [`backend`]: the data folder or the server behind one interface; `admin`: the same for keys and
//!   stores; [`remote`]: the connection to a server
//! - [`decisions`]: rules, placements and experiments, in files and calls; `curves`: drawn over time
//! - `dialect`: options for reading files
//! - [`output`]: tables for people, JSON for programs

mod admin;
pub mod backend;
pub mod backup;
pub mod check;
pub mod curves;
pub mod decisions;
pub mod demo;
mod dialect;
pub mod doctor;
pub mod evaluate;
pub mod experiments;
pub mod export;
pub mod history;
pub mod import;
pub mod insight;
pub mod items;
pub mod keys;
pub mod list;
pub mod log;
mod membership;
pub mod models;
pub mod output;
pub mod placements;
pub mod plan;
pub mod plot;
pub mod popular;
mod process;
pub mod push;
pub mod recommend;
mod reload;
pub mod remote;
pub mod replay;
pub mod report;
pub mod rules;
pub mod serve;
pub mod similar;
pub mod simulate;
pub mod stores;
pub mod together;
pub mod train;
pub mod trainer;
pub mod users;
pub mod why;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

pub use reload::SetLevel;

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

#[derive(Debug, Clone, Args)]
struct Common {
    /// Configuration file (TOML); qianmian.example.toml lists every key
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder [default: qianmian-data]; for `evaluate --holdout`, the log file to cut
    #[arg(long, global = true, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Store [default: the one that the API key opens, else "default"]; for servers, the URL of an object store
    /// that they share
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
    Trainer(trainer::Trainer),
    Import(Box<import::Import>),
    Train(train::Train),
    Recommend(recommend::Recommend),
    Similar(similar::Similar),
    Together(together::Together),
    Popular(popular::Popular),
    History(history::History),
    Users(users::Users),
    Items(items::Items),
    Models(models::Models),
    Rules(rules::Rules),
    Placements(placements::Placements),
    Experiments(experiments::Experiments),
    Insight(insight::Insight),
    Report(report::Report),
    Replay(replay::Replay),
    Simulate(simulate::Simulate),
    Push(push::Push),
    Plan(plan::Plan),
    Export(export::Export),
    Keys(keys::Keys),
    Stores(stores::Stores),
    Log(log::Log),
    Check(check::Check),
    Doctor(Box<doctor::Doctor>),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Verify(backup::Verify),
    Evaluate(Box<evaluate::Evaluate>),
}

impl Common {
    /// The configuration: defaults, file, environment, the flags of all verbs.
    fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }

        if let Some(url) = self.store.as_deref().filter(|store| is_object_store(store)) {
            config.object_store.url = url.to_owned();
        } else if let Some(store) = &self.store {
            limits::name("--store", store).map_err(|violation| violation.to_string())?;
            config.store.clone_from(store);
        }
        config.log.accept_loss = self.accept_log_loss;
        Ok(config)
    }
}

impl Cli {
    /// The configuration: defaults, file, environment, flags.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn config(&self) -> Result<Config, Failure> {
        let mut config = self.common.config()?;
        if let Some(serve) = self.server() {
            serve.configure(&mut config);
        } else {
            if self.common.store.as_deref().is_some_and(is_object_store) {
                return Err(
                    "--store: only servers share an object store; give the name of a store".into(),
                );
            }
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
        self.server().is_some()
    }

    /// The server that the verb is.
    fn server(&self) -> Option<&serve::Serve> {
        match &self.verb {
            Verb::Serve(serve) => Some(serve),
            Verb::Trainer(trainer) => Some(&trainer.serve),
            _ => None,
        }
    }

    /// Runs the verb; returns its exit code. `set_level` sets the level of log lines.
    ///
    /// The future is boxed so that it is compiled once, with the library, and not again in each
    /// program that awaits it.
    ///
    /// # Errors
    /// A sentence for the terminal.
    pub fn run(
        self,
        config: Config,
        set_level: SetLevel,
    ) -> Pin<Box<dyn Future<Output = Result<u8, Failure>>>> {
        Box::pin(async move {
            if let Verb::Check(verb) = self.verb {
                return tokio::task::block_in_place(|| verb.run(&config));
            }
            self.run_verb(config, set_level).await.map(|()| 0)
        })
    }

    /// The exit code where the verb fails, also before it runs.
    pub fn failure_code(&self) -> u8 {
        if matches!(self.verb, Verb::Check(_)) { check::ERRORS } else { 1 }
    }

    async fn run_verb(self, config: Config, set_level: SetLevel) -> Result<(), Failure> {
        match self.verb {
            // It has an exit code of its own.
            Verb::Check(_) => Ok(()),
            Verb::Serve(verb) => {
                let data_given = self.common.data.is_some();
                let read = reading(self.common, verb.clone());
                verb.run(config, data_given, (read, set_level)).await
            }

            Verb::Trainer(verb) => {
                let read = reading(self.common, verb.serve.clone());
                verb.run(config, (read, set_level)).await
            }

            Verb::Import(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Train(verb) => verb.run(config).await,
            Verb::Recommend(verb) => verb.run(config).await,
            Verb::Similar(verb) => verb.run(config).await,
            Verb::Together(verb) => verb.run(config).await,
            Verb::Popular(verb) => verb.run(config).await,
            Verb::History(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Users(verb) => verb.run(config).await,
            Verb::Items(verb) => verb.run(config).await,
            Verb::Log(verb) => tokio::task::block_in_place(|| verb.run(&config)),
            Verb::Models(verb) => verb.run(config).await,

            Verb::Rules(verb) => verb.run(config).await,
            Verb::Placements(verb) => verb.run(config).await,
            Verb::Insight(verb) => verb.run(config).await,
            Verb::Experiments(verb) => verb.run(config).await,
            Verb::Report(verb) => verb.run(config).await,
            Verb::Replay(verb) => verb.run(config).await,
            Verb::Simulate(verb) => verb.run(config).await,
            Verb::Push(verb) => verb.run(config).await,
            Verb::Plan(verb) => verb.run(),

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

/// Whether an address is the URL of an object store.
fn is_object_store(address: &str) -> bool {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let others = ["http", "https", "grpc", "grpcs"];
    scheme.is_some_and(|scheme| !others.contains(&scheme.as_str()))
}

/// Reads the configuration of a server as it was read at the start.
fn reading(common: Common, serve: serve::Serve) -> reload::Read {
    Arc::new(move || {
        let mut config = common.config()?;
        serve.configure(&mut config);
        Ok(config)
    })
}

/// Checks that there is a data folder with the store, for verbs that only read.
fn check_readable(config: &Config) -> Result<(), Failure> {
    if !config.data.is_dir() {
        return Err(format!("there is no data folder {}", config.data.display()).into());
    }
    check_store(config)
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
