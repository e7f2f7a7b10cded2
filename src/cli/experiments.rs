//! `qianmian experiments`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::backend::{Backend, Refused, Target};
use super::curves::{Curve, draw};
use super::output::{moment, name, table};
use super::{Failure, decisions, output};
use crate::api::wire::pb;
use crate::config::Config;

/// Compare variants of a placement on real users, and read the verdict any day
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        qianmian experiments put experiment.toml --server 127.0.0.1:50051\n  \
                        qianmian experiments start home-blend --server 127.0.0.1:50051\n  \
                        qianmian experiments report home-blend --server 127.0.0.1:50051\n  \
                        qianmian experiments adopt home-blend popular --server 127.0.0.1:50051\n\n\
                        docs/src/experiments.md shows the file.")]
pub struct Experiments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create an experiment as a draft, or change it
    Put {
        /// TOML file with the experiment
        file: PathBuf,
        /// Why, for those who read the versions
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Start a draft
    Start {
        /// The experiment
        name: String,
    },
    /// Stop a running experiment
    Stop {
        /// The experiment
        name: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Give the tested placement the settings of a variant, and stop the experiment
    Adopt {
        /// The experiment
        name: String,
        /// The variant
        variant: String,
    },
    /// Remove an experiment that does not run
    Delete {
        /// The experiment
        name: String,
    },
    /// Set the share of users that no experiment concerns
    Holdout {
        /// 0 to 0.5
        share: f64,
    },
    /// Print all experiments
    List,
    /// Print what an experiment found, with intervals that may be read daily
    Report {
        /// The experiment
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Draw the conversion of every variant by day, as SVG
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
}

impl Experiments {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let given = match &self.action {
            Action::Put { file, .. } => Some(decisions::read(file)?),
            _ => None,
        };
        let backend = self.target.open(&config).await?;
        let done = act(&backend, self.action, given).await?;
        done.map_err(|status| status.message().to_owned().into())
    }
}

async fn act(
    backend: &Backend,
    action: Action,
    given: Option<pb::Experiment>,
) -> Result<Result<(), Refused>, Failure> {
    let changed = match action {
        Action::Put { note, .. } => backend.put_experiment(given, note).await,
        Action::Start { name } => backend.start_experiment(name).await,
        Action::Stop { name, reason } => backend.stop_experiment(name, reason).await,
        Action::Adopt { name, variant } => backend.adopt_variant(name, variant).await,

        Action::Delete { name } => {
            return Ok(backend.delete_experiment(name.clone()).await.map(|()| {
                println!("{name} is removed");
            }));
        }
        Action::Holdout { share } => {
            return Ok(backend.set_holdout(share).await.map(|()| {
                println!("{:.1} % of the users see no experiment", 100.0 * share);
            }));
        }
        Action::List => return Ok(backend.experiments().await.map(|all| print_all(&all))),
        Action::Report { name, json, plot } => {
            return match backend.experiment_report(name).await {
                Ok(report) => print_report(&report, json, plot.as_deref()).map(Ok),
                Err(refused) => Ok(Err(refused)),
            };
        }
    };
    Ok(changed.map(|experiment| {
        if let Some(experiment) = experiment {
            println!("{} is {}", experiment.name, state(&experiment));
        }
    }))
}

fn state(experiment: &pb::Experiment) -> String {
    name(experiment.state().as_str_name(), "EXPERIMENT_STATE_")
}

fn print_all(all: &pb::ListExperimentsResponse) {
    let rows = all.experiments.iter().map(|experiment| {
        let variants: Vec<String> = experiment
            .variants
            .iter()
            .map(|variant| format!("{} {:.0} %", variant.name, 100.0 * variant.share))
            .collect();
        vec![
            experiment.name.clone(),
            state(experiment),
            experiment.placement.clone(),
            variants.join(", "),
            format!("{:.1} %", 100.0 * experiment.traffic),
            moment(experiment.start_time.as_ref().map(|time| time.seconds)),
            experiment.stop_reason.clone(),
        ]
    });
    let header =
        ["experiment", "state", "placement", "variants", "traffic", "since", "ended because"];
    println!("{}", table(&header, &["traffic"], rows.collect()));
    if all.holdout > 0.0 {
        println!("{:.1} % of the users see no experiment", 100.0 * all.holdout);
    }
}

fn print_report(
    report: &pb::GetExperimentReportResponse,
    json: bool,
    plot: Option<&Path>,
) -> Result<(), Failure> {
    if let Some(file) = plot {
        let svg = draw("conversion by day", &curves(report));
        std::fs::write(file, svg).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    if json {
        return output::json(&decisions::as_json(report)?);
    }

    let experiment = report.experiment.clone().unwrap_or_default();
    let metric = experiment.metric();
    println!("{}, {}\n", experiment.name, state(&experiment));
    for variant in &report.variants {
        for figure in &variant.figures {
            let decides = if figure.metric() == metric { " (decides)" } else { "" };
            println!("{}{decides}", figure.sentence);
        }
        println!();
    }
    if let Some(preference) = &report.preference {
        let clicks = preference.clicks.unwrap_or_default();
        println!(
            "{} users prefer {} by clicks: {:+.3} (95 % certain: {:+.3} to {:+.3})\n",
            preference.users,
            experiment.variants.get(1).map_or("", |variant| &variant.name),
            clicks.value,
            clicks.always_valid_low,
            clicks.always_valid_high
        );
    }

    if report.mixed_users > 0 {
        println!("{} users saw two variants, and count for none", report.mixed_users);
    }
    if let Some(needed) = report.users_needed {
        println!("each variant needs {needed:.0} users to find the smallest effect worth having");
    }
    println!("{}", report.sentence);
    Ok(())
}

/// A curve for every variant.
fn curves(report: &pb::GetExperimentReportResponse) -> Vec<Curve> {
    let variants = report.experiment.iter().flat_map(|experiment| &experiment.variants);
    let curve = |(at, variant): (usize, &pb::ExperimentVariant)| {
        let point =
            |day: &pb::DayReport| Some((day.day.as_ref()?.seconds, *day.conversions.get(at)?));
        let points = report.days.iter().filter_map(point).collect();
        Curve { name: variant.name.clone(), points }
    };
    variants.enumerate().map(curve).collect()
}
