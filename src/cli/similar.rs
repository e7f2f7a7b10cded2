//! `qianmian similar`

use clap::Args;

use super::Failure;
use super::backend::Target;
use super::list::List;
use crate::api::wire::pb;
use crate::config::Config;

/// Print items similar to an item
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  qianmian similar 85123A --data DIR")]
pub struct Similar {
    /// The item
    item: String,
    /// Length of the list, 1 to 500
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl Similar {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        let request =
            pb::SimilarItemsRequest { item_id: self.item, limit: self.limit, filter: None };
        let answer = backend.similar_items(request).await.map_err(|s| s.message().to_owned())?;
        List::new(&backend, answer.recommendation_id, answer.generation, None, answer.items)
            .await
            .print(self.json)
    }
}
