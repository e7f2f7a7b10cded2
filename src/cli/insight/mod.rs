//! `qianmian insight`
//!
//! - `audience`: saved segments and audiences
//! - `calls`: the calls; `print`: their answers for people; `heatmap`: cohorts as SVG; `rows`: portraits
//!   as rows of a file

mod audience;
mod calls;
mod heatmap;
mod print;
mod rows;

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use calls::{Message, Moment};

use super::backend::{Backend, Refused, Target};
use super::rules::print_warnings;
use super::{Failure, decisions, output};
use crate::api::wire::pb;
use crate::config::Config;
use crate::export::Format;
use crate::export::portraits::PortraitFile;

/// Know the users: portraits, value, churn, tiers, cohorts
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        qianmian insight portrait 17850 --data DIR\n  \
                        qianmian insight overview --server 127.0.0.1:50051\n  \
                        qianmian insight cohorts --by month --plot cohorts.svg --data DIR\n  \
                        qianmian insight activity --by week --days 365 --plot active.svg --data DIR\n  \
                        qianmian insight backtest --cut 2011-09-01 --days 90 --data DIR\n  \
                        qianmian insight export users.parquet --data DIR\n  \
                        qianmian insight audience --item 85123A --max 500 --output mail.csv --data DIR\n  \
                        qianmian insight apply tiers.toml --server 127.0.0.1:50051\n\n\
                        docs/src/insight.md explains the figures and shows the file.")]
pub struct Insight {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print what the store knows of a user
    Portrait {
        /// The user
        user: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print how lists are made, in words
    Describe {
        /// The language
        #[arg(long, value_enum, default_value = "english")]
        language: Language,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the buyers by segment and tier, and how right forecasts are
    Overview {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print how many of the users who came in a period came again
    Cohorts {
        /// The period
        #[arg(long, value_enum, default_value = "month")]
        by: By,
        /// Count every behaviour, not orders alone
        #[arg(long)]
        activity: bool,
        /// Number of periods, 1 to 120
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=120))]
        periods: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Draw the shares as SVG
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// Print active users, orders and revenue by period
    Activity {
        /// The period
        #[arg(long, value_enum, default_value = "week")]
        by: By,
        /// The days until the newest event
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_600))]
        days: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Draw active users as SVG
        #[arg(long, value_name = "FILE")]
        plot: Option<PathBuf>,
    },
    /// Print how right forecasts made on an earlier day would have been
    Backtest {
        /// The day (UTC) at whose start they are made
        #[arg(long, value_name = "DATE")]
        cut: jiff::civil::Date,
        /// The days from then on that they are compared on
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
        days: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the portraits of all users, a row each, as Parquet or CSV
    Export {
        /// Output file, overwritten if it exists: NAME.parquet or NAME.csv
        file: PathBuf,
    },
    /// Print the saved segments with the number of users in each
    Segments {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Find the users to whom items are worth most, or those of saved segments
    Audience(audience::Audience),
    /// Record that the users of a CSV file were sent something
    Contacted {
        /// The file, with a header; its column "user_id", or else its first
        file: PathBuf,
    },
    /// Put the segments and tiers of a file in force, in place of all others
    Apply {
        /// TOML file with the segments and tiers
        file: PathBuf,
        /// Why, for those who read the versions
        #[arg(long, default_value = "")]
        note: String,
        /// Refuse unless this version is in force; 0: none
        #[arg(long, value_name = "VERSION")]
        expected_version: Option<u32>,
    },
    /// Print the segments and tiers in force as a TOML file
    Settings {
        /// An earlier version instead
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        version: u32,
    },
    /// Put an earlier version of the segments and tiers in force again
    Rollback {
        /// The version [default: the one before the newest]
        #[arg(default_value_t = 0, hide_default_value = true)]
        version: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    English,
    Chinese,
}

impl Language {
    fn number(self) -> i32 {
        match self {
            Language::English => pb::Language::English.into(),
            Language::Chinese => pb::Language::Chinese.into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
    Week,
    Month,
}

impl By {
    fn period(self) -> pb::Period {
        match self {
            By::Day => pb::Period::Day,
            By::Week => pb::Period::Week,
            By::Month => pb::Period::Month,
        }
    }
}

impl Insight {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        // Files are read, and refused, before a store is opened.
        let settings = match &self.action {
            Action::Apply { file, .. } => Some(decisions::read(file)?),
            _ => None,
        };
        let format = match &self.action {
            Action::Export { file } => Some(Format::of(file)?),
            _ => None,
        };
        let backend = self.target.open(&config).await?;

        match self.action {
            Action::Portrait { user, json } => {
                let asked = backend.portrait(pb::GetPortraitRequest { user_id: user });
                show(&said(asked.await)?, json, print::portrait)
            }
            Action::Describe { language, json } => {
                let language = language.number();
                let asked = pb::DescribeRecommenderRequest { language };
                show(&said(backend.describe_recommender(asked).await)?, json, print::description)
            }
            Action::Overview { json } => {
                let asked = backend.overview(pb::GetOverviewRequest {});
                show(&said(asked.await)?, json, print::overview)
            }
            Action::Cohorts { by, activity, periods, json, plot } => {
                let (basis, period) = (basis(activity).into(), by.period().into());
                let asked = backend.cohorts(pb::GetCohortsRequest { basis, period, periods });
                let cohorts = said(asked.await)?;
                draw(plot.as_deref(), || heatmap::draw(&cohorts.cohorts))?;
                show(&cohorts, json, print::cohorts)
            }
            Action::Activity { by, days, json, plot } => {
                let (period, start_time, end_time) = (by.period().into(), None, None);
                let asked = pb::GetActivityRequest { period, start_time, end_time, days };
                let activity = said(backend.activity(asked).await)?;
                draw(plot.as_deref(), || print::activity_curves(&activity))?;
                show(&activity, json, print::activity)
            }
            Action::Backtest { cut, days, json } => {
                let moment = cut.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp();
                let cut_time = Some(Moment { seconds: moment.as_second(), nanos: 0 });
                let asked = backend.backtest(pb::BacktestForecastsRequest { cut_time, days });
                show(&said(asked.await)?, json, print::backtest)
            }
            Action::Segments { json } => audience::segments(&backend, json).await,
            Action::Audience(asked) => asked.run(&backend).await,
            Action::Contacted { file } => audience::contacted(&backend, &file).await,
            Action::Export { file } => export(&backend, &file, format).await,
            Action::Apply { note, expected_version, .. } => {
                let request = pb::ApplyInsightSettingsRequest { settings, note, expected_version };
                in_force(said(backend.apply_insight(request).await)?.version)
            }
            Action::Settings { version } => {
                let asked = backend.insight_settings(pb::GetInsightSettingsRequest { version });
                let answer = said(asked.await)?;
                print!("{}", decisions::as_toml(&answer.settings.unwrap_or_default())?);
                Ok(())
            }
            Action::Rollback { version } => {
                let request = pb::RollbackInsightSettingsRequest { version };
                let done = said(backend.roll_back_insight(request).await)?;
                print_warnings(&done.warnings);
                in_force(done.version)
            }
        }
    }
}

fn said<T>(answer: Result<T, Refused>) -> Result<T, Failure> {
    answer.map_err(|status| status.message().to_owned().into())
}

fn basis(activity: bool) -> pb::CohortBasis {
    if activity { pb::CohortBasis::Activity } else { pb::CohortBasis::Orders }
}

fn in_force(version: u32) -> Result<(), Failure> {
    println!("version {version} is in force");
    Ok(())
}

/// Prints an answer, for people or as JSON.
fn show<M: Message>(answer: &M, json: bool, print: fn(&M)) -> Result<(), Failure> {
    if json {
        return output::json(&decisions::as_json(answer)?);
    }
    print(answer);
    Ok(())
}

fn draw(file: Option<&Path>, svg: impl FnOnce() -> String) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, svg()).map_err(|error| format!("{}: {error}", file.display()).into())
}

async fn export(backend: &Backend, path: &Path, format: Option<Format>) -> Result<(), Failure> {
    let Some(format) = format else { return Ok(()) };
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut file = PortraitFile::create(file, format)?;
    let mut failure = None;
    let done = backend.portraits(|portrait| {
        if failure.is_none() {
            failure = file.push(&rows::row(portrait)).err();
        }
    });
    said(done.await)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    println!("{} users in {}", file.finish()?, path.display());
    Ok(())
}
