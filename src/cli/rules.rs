//! `qianmian rules`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::backend::{Backend, Target};
use super::output::{moment, table};
use super::{Failure, decisions};
use crate::api::wire::{convert, pb};
use crate::config::Config;
use crate::domain::quote::printable;

/// Decide what lists show: pin, boost, bury, include, exclude, quotas and exposure targets
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian rules dry-run rules.toml --data DIR\n  \
                        qianmian rules apply rules.toml --note \"Friday\" --server 127.0.0.1:50051\n  \
                        qianmian rules list --data DIR\n  \
                        qianmian rules rollback --data DIR\n\n\
                        docs/src/merchandising.md shows the file.")]
pub struct Rules {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put the rules of a file in force, in place of all others
    Apply {
        /// TOML file with the rules
        file: PathBuf,
        /// Why, for those who read the versions
        #[arg(long, default_value = "")]
        note: String,
        /// Refuse unless this version is in force; 0: none
        #[arg(long, value_name = "VERSION")]
        expected_version: Option<u32>,
    },
    /// Print the rules in force, and the versions that are kept
    List {
        /// An earlier version instead
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        version: u32,
        /// Print the rules as a TOML file
        #[arg(long)]
        toml: bool,
    },
    /// Show what the rules of a file would change, on users of the store's own log
    DryRun {
        /// TOML file with the rules
        file: PathBuf,
        /// The placement
        #[arg(long, default_value = "recommend")]
        placement: String,
        /// Number of users, 1 to 2000
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i32).range(1..=2000))]
        users: i32,
        /// Length of the lists, 1 to 500
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=500))]
        limit: i32,
        /// The time for the schedules, e.g. 2026-11-27T17:00:00+08:00 [default: now]
        #[arg(long, value_name = "TIME")]
        at: Option<Timestamp>,
    },
    /// Put an earlier version in force again
    Rollback {
        /// The version [default: the one before the newest]
        #[arg(default_value_t = 0, hide_default_value = true)]
        version: u32,
    },
}

impl Rules {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        match self.action {
            Action::Apply { file, note, expected_version } => {
                let rules = Some(decisions::read(&file)?);
                let backend = self.target.open(&config).await?;
                let request = pb::ApplyRulesRequest { rules, note, expected_version };
                let applied = backend.apply_rules(request).await;
                let applied = applied.map_err(|status| status.message().to_owned())?;
                print_warnings(&applied.warnings);
                println!("version {} is in force", applied.version);
            }
            Action::List { version, toml } => {
                let backend = self.target.open(&config).await?;
                list(&backend, version, toml).await?;
            }
            Action::DryRun { file, placement, users, limit, at } => {
                let rules = Some(decisions::read(&file)?);
                let backend = self.target.open(&config).await?;

                let time = at.map(|at| convert::timestamp(at.as_millisecond()));
                let request = pb::DryRunRulesRequest { rules, placement, users, limit, time };
                let run = backend.dry_run_rules(request).await;
                print_run(&backend, run.map_err(|status| status.message().to_owned())?).await;
            }
            Action::Rollback { version } => {
                let backend = self.target.open(&config).await?;
                let done = backend.roll_back_rules(version).await;
                let done = done.map_err(|status| status.message().to_owned())?;
                print_warnings(&done.warnings);
                println!("version {} is in force", done.version);
            }
        }
        Ok(())
    }
}

async fn list(backend: &Backend, version: u32, toml: bool) -> Result<(), Failure> {
    let answer = backend.rules(version).await.map_err(|status| status.message().to_owned())?;
    let set = answer.rules.unwrap_or_default();
    if toml {
        print!("{}", decisions::as_toml(&set)?);
        return Ok(());
    }

    let rows = set.rules.iter().map(|rule| {
        let state = if rule.disabled { "off" } else { "" };
        let name = rule.name.clone();
        vec![name, does(rule), with(rule), when(rule), rule.priority.to_string(), state.to_owned()]
    });
    let header = ["rule", "does", "with", "when", "priority", ""];
    println!("{}", table(&header, &["priority"], rows.collect()));
    if !set.time_zone.is_empty() {
        println!("times are of {}", printable(&set.time_zone));
    }

    for target in &answer.targets {
        println!(
            "{}: {:.1} % of the places of {} lists shown, {:.1} % wanted; factor {:.2}; the rules \
             cost {:.1} % of the model's own score",
            printable(&target.rule),
            100.0 * target.shown,
            target.lists,
            100.0 * target.wanted,
            target.factor,
            100.0 * target.cost,
        );
    }
    print_versions(&answer.versions);
    Ok(())
}

/// Prints the versions that are kept, newest first.
pub(super) fn print_versions(versions: &[pb::DecisionVersion]) {
    for version in versions {
        let time = moment(version.time.map(|time| time.seconds));
        println!("version {}  {time}  {}", version.version, printable(&version.note));
    }
}

/// Prints what stands out.
pub(super) fn print_warnings(warnings: &[String]) {
    for warning in warnings {
        println!("warning: {}", printable(warning));
    }
}

fn does(rule: &pb::Rule) -> String {
    use pb::rule::Action;
    match &rule.action {
        Some(Action::Pin(pin)) => format!("pin to place {}", pin.place),
        Some(Action::Boost(boost)) => format!("boost by {}", boost.factor),
        Some(Action::Bury(bury)) => format!("bury by {}", bury.factor),
        Some(Action::Include(_)) => "include".to_owned(),
        Some(Action::Exclude(_)) => "exclude".to_owned(),
        Some(Action::Quota(quota)) => format!("at least {} of {}", quota.min, quota.of),
        Some(Action::Target(target)) => format!("{} % of all places", 100.0 * target.share),
        None => String::new(),
    }
}

fn with(rule: &pb::Rule) -> String {
    let Some(items) = &rule.items else { return String::new() };
    let mut parts = Vec::new();
    match &items.item_ids[..] {
        [] => {}
        [one] => parts.push(one.clone()),
        [first, ..] => parts.push(format!("{} items ({first}, …)", items.item_ids.len())),
    }
    if items.condition.is_some() {
        parts.push("a condition".to_owned());
    }
    if items.arrived_within_days > 0 {
        parts.push(format!("new of {} days", items.arrived_within_days));
    }
    parts.join(", ")
}

fn when(rule: &pb::Rule) -> String {
    let Some(when) = &rule.when else { return "always".to_owned() };
    let mut parts = Vec::new();
    if !when.placements.is_empty() {
        parts.push(format!("in {}", when.placements.join(", ")));
    }
    for attribute in &when.user_attributes {
        parts.push(format!("{} = {}", attribute.name, attribute.values.join(" | ")));
    }
    if !when.segments.is_empty() {
        parts.push(format!("for {}", when.segments.join(" | ")));
    }
    if !when.page_categories.is_empty() {
        parts.push(format!("on {}", when.page_categories.join(", ")));
    }
    if when.schedule.is_some() {
        parts.push("at times".to_owned());
    }
    parts.join("; ")
}

async fn print_run(backend: &Backend, run: pb::DryRunRulesResponse) {
    print_warnings(&run.warnings);
    println!("{} of {} lists change", run.changed, run.users);
    println!(
        "the rules cost {:.2} % of the model's own score; those in force {:.2} %",
        100.0 * run.cost_after,
        100.0 * run.cost_before
    );

    for (what, changes) in [("entering", &run.entering), ("leaving", &run.leaving)] {
        let mut rows = Vec::new();
        for change in changes {
            let title = backend.title(&change.item_id).await;
            rows.push(vec![change.item_id.clone(), title, change.lists.to_string()]);
        }
        if !rows.is_empty() {
            println!("\n{}", table(&[what, "title", "lists"], &["lists"], rows));
        }
    }
}
