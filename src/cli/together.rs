//! `qianmian together`

use clap::Args;

use super::Failure;
use super::backend::Target;
use super::list::List;
use crate::api::wire::pb;
use crate::config::Config;

/// Print items bought together with the items of a basket
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  qianmian together 85123A 22423 --data DIR")]
pub struct Together {
    /// The items of the basket
    #[arg(required = true, value_name = "ITEM")]
    items: Vec<String>,
    /// Length of the list, 1 to 500
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Together {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        let request =
            pb::BoughtTogetherRequest { item_ids: self.items, limit: self.limit, filter: None };
        let answer = backend.bought_together(request).await.map_err(|s| s.message().to_owned())?;
        List::new(&backend, answer.recommendation_id, answer.generation, None, answer.items)
            .await
            .print(self.json)
    }
}
