//! `qianmian-bench`: measures a server on this machine, and makes up stores to measure.
//!
//! - [`run`]: a server and its ceiling in processes of their own, loaded over real sockets in one
//!   run; [`asked`]: its requests; [`active`]: users who have just clicked; [`server`]: its
//!   processes; [`load`]: the load generator
//! - [`secured`]: the cost of TLS and a key; [`observed`]: of metrics and the request log;
//!   [`json`]: of JSON in place of gRPC; [`lists`]: of reasons, variety and the record of what
//!   was shown; [`compared`]: two servers in turn
//! - [`cores`]: holds processes to cores of the machine
//! - [`backup`]: the cost of a backup to the callers
//! - [`writes`]: the cost of taking in events; [`effect`]: the time until an event shows;
//!   [`push`]: the time until a pushed model serves
//! - [`followers`]: how far servers that follow another are behind
//! - [`insight`]: portraits of users, and expected dates
//! - [`graph`]: the nearest-neighbour search alone; [`experiments`]: the statistics of
//!   experiments; [`off_policy`]: estimates of a file
//! - [`ceiling`]: the service with its answer ready, which shows what gRPC itself allows
//! - [`synth`]: a synthetic purchase log as a file; [`store`]: how its users behave; [`sheet`]:
//!   its rows as Parquet

mod active;
mod asked;
mod backup;
mod ceiling;
mod compared;
mod cores;
mod effect;
mod experiments;
mod followers;
mod graph;
mod insight;
mod json;
mod lists;
mod load;
mod observed;
mod off_policy;
mod push;
mod run;
mod secured;
mod server;
mod sheet;
mod store;
mod synth;
mod writes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use qianmian::cli::Failure;
use qianmian::config::Config;

// The same as the server's, so that both sides of a measurement allocate alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a Qianmian server on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "qianmian-bench",
    version,
    about = "Measures a Qianmian server on this machine, and makes up stores to measure",
    after_help = "Examples:\n  qianmian-bench run                 a synthetic store, made, trained and \
                  measured\n  qianmian-bench run --data DIR      the store in a data folder, with the \
                  model it has\n  qianmian-bench synth store.csv     the log of a synthetic store\n  \
                  qianmian-bench ceiling 127.0.0.1:50052"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Configuration file (TOML) of the measured server
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data folder to measure [default: a synthetic store in a temporary folder]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Secured(secured::Secured),
    Observed(observed::Observed),
    Json(json::Json),
    Lists(lists::Lists),
    Backup(backup::Backup),
    Followers(followers::Followers),
    Graph(graph::Graph),
    Insight(insight::Insight),
    Experiments(experiments::Experiments),
    OffPolicy(off_policy::Estimates),
    Synth(synth::Synth),
    Ceiling(ceiling::Serve),
}

fn main() -> ExitCode {
    match execute(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> Result<(), Failure> {
    let mut config = Config::load(cli.config.as_deref())?;
    let is_given = cli.data.is_some();
    if let Some(data) = cli.data {
        config.data = data;
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.verb {
        Verb::Run(verb) => verb.run(&config, is_given, &runtime),
        Verb::Secured(verb) => verb.run(&config, is_given),
        Verb::Observed(verb) => verb.run(&config, is_given),
        Verb::Json(verb) => verb.run(&config, is_given),
        Verb::Lists(verb) => verb.run(&config, is_given),
        Verb::Backup(verb) => verb.run(&config, is_given),
        Verb::Followers(verb) => verb.run(&runtime),
        Verb::Graph(verb) => verb.run(),
        Verb::Insight(verb) => verb.run(&config),
        Verb::Experiments(verb) => verb.run(),
        Verb::OffPolicy(verb) => verb.run(),
        Verb::Synth(verb) => verb.run(),
        Verb::Ceiling(verb) => runtime.block_on(verb.run()),
    }
}
