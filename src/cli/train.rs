//! `qianmian train`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::backend::Target;
use super::models::SHOWN;
use super::{Failure, output};
use crate::api::wire::pb;
use crate::config::Config;

/// Resolution of the progress bar.
const STEPS: u64 = 1_000;

/// Train a model from the whole log and publish it
#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    target: Target,
}

impl Train {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        let mut display = Display::new();
        let last = backend.train(|progress| display.show(progress)).await;
        display.bar.finish_and_clear();
        let last = last.map_err(|s| s.message().to_owned())?;
        if last.state() != pb::TrainingState::Succeeded {
            return Err(format!("training failed: {}", last.error).into());
        }
        println!("generation {} after {:.1} s", last.generation, last.elapsed_seconds);
        compare(last.quality.into_iter().collect(), last.previous_quality.into_iter().collect());
        Ok(())
    }
}

/// A progress bar on a terminal, otherwise a line for each stage.
struct Display {
    bar: ProgressBar,
    stage: i32,
}

impl Display {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(STEPS)
        } else {
            ProgressBar::hidden()
        };
        let style = ProgressStyle::with_template("{elapsed:>4} {bar:30} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, stage: 0 }
    }

    fn show(&mut self, progress: &pb::WatchTrainingResponse) {
        if progress.state() != pb::TrainingState::Running {
            return;
        }

        let left = progress.remaining_seconds.map_or_else(String::new, |left| {
            let left = Duration::try_from_secs_f64(left).unwrap_or_default();
            format!(", {} left", indicatif::HumanDuration(left))
        });
        let pb::WatchTrainingResponse { stage, stage_number, stage_count, .. } = progress;
        let by_stages = f64::from(stage_number - 1) / f64::from(*stage_count).max(1.0);
        let done = progress.progress.unwrap_or(by_stages);
        self.bar.set_position((done * STEPS as f64) as u64);
        self.bar.set_message(format!("{stage}{left}"));

        if self.bar.is_hidden() && self.stage != *stage_number {
            let elapsed = progress.elapsed_seconds;
            eprintln!("{elapsed:>6.1} s  {stage_number}/{stage_count} {stage}{left}");
        }
        self.stage = *stage_number;
    }
}

/// Prints measured quality beside that of the model before.
fn compare(quality: BTreeMap<String, f64>, before: BTreeMap<String, f64>) {
    let figure = |of: &BTreeMap<String, f64>, name: &str| {
        of.get(name).map_or_else(String::new, |figure| format!("{figure:.4}"))
    };
    let measured = SHOWN.iter().filter(|name| quality.contains_key(**name));
    let rows: Vec<Vec<String>> = measured
        .map(|name| vec![(*name).to_owned(), figure(&before, name), figure(&quality, name)])
        .collect();
    if !rows.is_empty() {
        let header = ["quality", "before", "now"];
        println!("{}", output::table(&header, &header[1..], rows));
    }
}
