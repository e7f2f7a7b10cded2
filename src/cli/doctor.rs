//! `qianmian doctor`

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::dialect::DialectArgs;
use super::{Failure, check_readable, output};
use crate::config::Config;
use crate::doctor::{Examination, Finding, subject};
use crate::domain::now_ms;
use crate::domain::quote::printable;
use crate::engine::import::Content;

/// Find what is wrong with a log: bots, repeated orders, impossible dates, gaps, ids that drift
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian doctor log.csv\n  \
                  qianmian doctor online_retail.csv.gz --preset online-retail\n  \
                  qianmian doctor --data DIR")]
pub struct Doctor {
    /// The log, read as import reads it [default: the log of the data folder]
    log: Option<PathBuf>,
    #[command(flatten)]
    dialect: DialectArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        let now_ms = now_ms();
        let mut examination = Examination::new(now_ms);
        match &self.log {
            Some(path) => {
                let required = Content::Events.required();
                let plan = self.dialect.plan()?.proven(path, required)?;
                let mut reader =
                    crate::import::open(path, &plan.dialect, required, Arc::default())?;
                let examined = subject::examine_file(&mut *reader, &plan, now_ms, &mut examination);
                examined.map_err(|e| format!("{}: {e}", path.display()))?;
            }
            None => {
                check_readable(config)?;
                subject::examine_store(&config.data, &config.store, &mut examination)?;
            }
        }

        let findings = examination.findings();
        if self.json {
            return output::json(&findings);
        }
        findings.iter().for_each(print_finding);
        println!("{} events examined, {} findings", examination.events(), findings.len());
        Ok(())
    }
}

/// Prints what is wrong, an example, what it does, and what mends it.
pub(super) fn print_finding(finding: &Finding) {
    let Finding { what, example, effect, mend, .. } = finding;
    println!("{}", printable(what));
    println!("  as in   {}", printable(example));
    println!("  effect  {effect}");
    println!("  mend    {}\n", printable(mend));
}
