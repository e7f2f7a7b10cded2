//! `qianmian replay`

use clap::{Args, ValueEnum};

use super::backend::Target;
use super::output::table;
use super::{Failure, decisions, output};
use crate::api::wire::pb;
use crate::config::Config;
use crate::domain::now_ms;

/// Estimate what another placement would have earned, from a randomised slot that was shown
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        qianmian replay --placement home --candidate home-new --data DIR\n  \
                        qianmian replay --placement home --candidate home-new --reward revenue \\\n    \
                        --days 14 --server 127.0.0.1:50051\n\n\
                        docs/src/experiments.md says how a placement gets a slot.")]
pub struct Replay {
    /// The placement that was shown, with a slot
    #[arg(long, value_name = "NAME")]
    placement: String,
    /// The placement that would have been shown: another blend, strategy, rules or model
    #[arg(long, value_name = "NAME")]
    candidate: String,
    /// Lists of this many days until now
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(i64).range(1..=400))]
    days: i64,
    /// What a slot earns
    #[arg(long, value_enum, default_value_t = Reward::Clicks)]
    reward: Reward,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Reward {
    Clicks,
    Purchases,
    Revenue,
}

impl Replay {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let reward = match self.reward {
            Reward::Clicks => pb::ReplayReward::Clicks,
            Reward::Purchases => pb::ReplayReward::Purchases,
            Reward::Revenue => pb::ReplayReward::Revenue,
        };
        let request = pb::ReplayPlacementRequest {
            placement: self.placement,
            candidate: self.candidate,
            reward: reward.into(),
            ..Default::default()
        };
        let backend = self.target.open(&config).await?;
        let replayed = backend.replay_placement(request, self.days, now_ms() / 1_000).await;
        let replayed = replayed.map_err(|status| status.message().to_owned())?;
        if self.json {
            return output::json(&decisions::as_json(&replayed)?);
        }

        print(&replayed);
        if replayed.refusal.is_empty() { Ok(()) } else { Err(replayed.refusal.into()) }
    }
}

fn print(replayed: &pb::ReplayPlacementResponse) {
    let row = |name: &str, estimate: Option<pb::ReplayEstimate>| {
        let estimate = estimate?;
        let figures = [estimate.value, estimate.low, estimate.high];
        let figures = figures.iter().map(|figure| format!("{figure:.5}"));
        Some(std::iter::once(name.to_owned()).chain(figures).collect())
    };
    let rows = [
        row("as shown", replayed.logged),
        row("candidate, IPS", replayed.ips),
        row("candidate, SNIPS", replayed.snips),
        row("candidate, doubly robust", replayed.dr),
    ];
    let header = ["earned by slot", "estimate", "95 % from", "to"];
    println!("{}\n", table(&header, &header[1..], rows.into_iter().flatten().collect()));
    println!(
        "{} slots, as good as {:.0} of the candidate's own; {} left out, whose model is not kept",
        replayed.slots, replayed.effective_slots, replayed.left_out
    );
}
