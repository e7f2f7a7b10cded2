//! `qianmian train`

use clap::Args;

use super::Failure;
use super::backend::Target;
use crate::api::pb;
use crate::config::Config;

/// Train a model from the whole log and publish it
#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    target: Target,
}

impl Train {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        let last = backend.train(print).await.map_err(|s| s.message().to_owned())?;
        match last.state() {
            pb::TrainingState::Succeeded => {
                println!("generation {} after {:.1} s", last.generation, last.elapsed_seconds);
                Ok(())
            }
            _ => Err(format!("training failed: {}", last.error).into()),
        }
    }
}

fn print(progress: &pb::WatchTrainingResponse) {
    if progress.state() == pb::TrainingState::Running {
        eprintln!(
            "{:>6.1} s  {}/{} {}",
            progress.elapsed_seconds, progress.stage_number, progress.stage_count, progress.stage
        );
    }
}
