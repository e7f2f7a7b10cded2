//! Arguments, configuration, log lines, then the verb.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use qianmian::api::LogFormat;
use qianmian::cli::{Cli, Failure, SetLevel};
use qianmian::config::Config;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time that work on other threads may take to end.
const LAST_WORK: Duration = Duration::from_secs(5);

/// The allocator's setting by which freed memory goes back to the system, in milliseconds: by its
/// own default it keeps what a burst took for as long as the process lives.
const PURGE_DELAY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "0");

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.serves() {
        give_memory_back();
    }
    let failed = cli.failure_code();
    end_with_the_reader();
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(failed)
        }
    }
}

/// Ends the process where its output cannot be written, instead of a panic: without a word where the
/// reader has gone, as `head` does, else with the reason.
fn end_with_the_reader() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>();
        let message = text.map_or("", String::as_str);
        if message.starts_with("failed printing to stdout") {
            if message.contains("Broken pipe") {
                std::process::exit(0);
            }
            eprintln!("error: {message}");
            std::process::exit(1);
        }
        before(panic);
    }));
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let config = cli.config()?;
    let set_level = start_logging(&config)?;
    for renamed in &config.renamed {
        tracing::warn!("configuration: {renamed}; the old name will be removed");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(cli.run(config, set_level));
    // A thread that waits for a file does not notice the shutdown.
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// Begins to log; returns what sets the level later on.
fn start_logging(config: &Config) -> Result<SetLevel, Failure> {
    let (filters, level) = reload::Layer::new(filter(&config.logging.level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.logging.format {
        LogFormat::Text => {
            lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed()
        }
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(filters).with(lines).init();
    Ok(Arc::new(move |given| level.reload(filter(given)?).map_err(|e| e.to_string())))
}

/// The filter of a level, as `logging.level` is written.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("logging.level {level:?}: {e}");
    let mut filter = EnvFilter::try_new(level).map_err(|e| wrong(&e))?;
    // They report every graph that is built, and every request that is tried again, at info.
    for quiet in ["hnsw_rs=warn", "object_store=warn"] {
        filter = filter.add_directive(quiet.parse().map_err(|e| wrong(&e))?);
    }
    Ok(filter)
}

/// Begins anew as the same process with the allocator's setting, which it reads before any code of
/// ours runs; where that is refused, or it is set already, continues.
#[cfg(unix)]
fn give_memory_back() {
    use std::os::unix::process::CommandExt;

    let (name, value) = PURGE_DELAY;
    if std::env::var_os(name).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut again = std::process::Command::new(program);
    let error = again.args(std::env::args_os().skip(1)).env(name, value).exec();
    eprintln!("freed memory is returned to the system late: {error}");
}

#[cfg(not(unix))]
fn give_memory_back() {}
