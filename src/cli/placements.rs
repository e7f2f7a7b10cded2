//! `qianmian placements`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::backend::{Backend, Target};
use super::output::{name, table};
use super::rules::{print_versions, print_warnings};
use super::{Failure, decisions};
use crate::api::wire::pb;
use crate::config::Config;
use crate::domain::quote::printable;

/// Name what lists are made of, so that a storefront asks for a placement
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        qianmian placements apply placements.toml --server 127.0.0.1:50051\n  \
                        qianmian placements trade-off --margin 0.5 --data DIR\n  \
                        qianmian placements list --data DIR\n  \
                        qianmian placements rollback --data DIR\n\n\
                        docs/src/merchandising.md shows the file.")]
pub struct Placements {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put the placements of a file in force, in place of all others
    Apply {
        /// TOML file with the placements
        file: PathBuf,
        /// Why, for those who read the versions
        #[arg(long, default_value = "")]
        note: String,
        /// Refuse unless this version is in force; 0: none
        #[arg(long, value_name = "VERSION")]
        expected_version: Option<u32>,
    },
    /// Print the placements in force, and the versions that are kept
    List {
        /// An earlier version instead
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        version: u32,
        /// Print the placements as a TOML file
        #[arg(long)]
        toml: bool,
    },
    /// Show what an objective would cost and bring, on users of the store's own log
    TradeOff {
        /// Weight of a purchase
        #[arg(long, default_value_t = 1.0)]
        buy: f64,
        /// Weight of clicks
        #[arg(long, default_value_t = 0.0)]
        click: f64,
        /// Weight of margin
        #[arg(long, default_value_t = 0.0)]
        margin: f64,
        /// Weight against returns
        #[arg(long, default_value_t = 0.0)]
        returns: f64,
        /// Number of users, 1 to 2000
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i32).range(1..=2000))]
        users: i32,
        /// Length of the lists, 1 to 500
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=500))]
        limit: i32,
    },
    /// Put an earlier version in force again
    Rollback {
        /// The version [default: the one before the newest]
        #[arg(default_value_t = 0, hide_default_value = true)]
        version: u32,
    },
}

impl Placements {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        match self.action {
            Action::Apply { file, note, expected_version } => {
                let placements = Some(decisions::read(&file)?);
                let backend = self.target.open(&config).await?;
                print_objectives(&backend, placements.as_ref()).await?;

                let request = pb::ApplyPlacementsRequest { placements, note, expected_version };
                let applied = backend.apply_placements(request).await;
                let applied = applied.map_err(|status| status.message().to_owned())?;
                print_warnings(&applied.warnings);
                println!("version {} is in force", applied.version);
            }
            Action::List { version, toml } => {
                let backend = self.target.open(&config).await?;
                list(&backend, version, toml).await?;
            }
            Action::TradeOff { buy, click, margin, returns, users, limit } => {
                let backend = self.target.open(&config).await?;
                let objective = Some(pb::Objective { buy, click, margin, returns });
                trade_off(&backend, pb::TradeOffRequest { objective, users, limit }).await?;
            }
            Action::Rollback { version } => {
                let backend = self.target.open(&config).await?;
                let done = backend.roll_back_placements(version).await;
                let done = done.map_err(|status| status.message().to_owned())?;
                print_warnings(&done.warnings);
                println!("version {} is in force", done.version);
            }
        }
        Ok(())
    }
}

/// Prints what the objectives of a file would cost and bring.
async fn print_objectives(
    backend: &Backend,
    set: Option<&pb::PlacementSet>,
) -> Result<(), Failure> {
    for placement in set.iter().flat_map(|set| &set.placements) {
        let Some(objective) = placement.objective else { continue };
        println!("objective of {}:", printable(&placement.name));
        let limit = placement.limit;
        let asked = pb::TradeOffRequest { objective: Some(objective), users: 0, limit };
        trade_off(backend, asked).await?;
    }
    Ok(())
}

/// Prints what an objective would cost and bring.
async fn trade_off(backend: &Backend, asked: pb::TradeOffRequest) -> Result<(), Failure> {
    let answer = backend.trade_off(asked).await.map_err(|status| status.message().to_owned())?;
    let change = |ratio: f64| format!("{:+.1} %", 100.0 * (ratio - 1.0));
    let rows = answer.points.iter().map(|point| {
        let margin = point.margin.map_or_else(|| "no margins".to_owned(), change);
        let strength = point.strength.to_string();
        vec![strength, change(point.conversions), margin, change(point.returns)]
    });
    let header = ["strength", "purchases", "margin", "returns"];
    println!("{}", table(&header, &header, rows.collect()));
    println!("expected in the lists of {} users\n", answer.users);
    Ok(())
}

async fn list(backend: &Backend, version: u32, toml: bool) -> Result<(), Failure> {
    let answer = backend.placements(version).await.map_err(|status| status.message().to_owned())?;
    let set = answer.placements.unwrap_or_default();
    if toml {
        print!("{}", decisions::as_toml(&set)?);
        return Ok(());
    }

    let rows = set.placements.iter().map(|placement| {
        let shows = name(placement.shows().as_str_name(), "SHOWS_").replace('_', " ");
        let limit = if placement.limit == 0 { 20 } else { placement.limit };
        vec![placement.name.clone(), shows, limit.to_string(), placement.title.clone()]
    });
    println!("{}", table(&["placement", "shows", "limit", "title"], &["limit"], rows.collect()));
    print_versions(&answer.versions);
    Ok(())
}
