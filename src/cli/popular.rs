//! `qianmian popular`

use clap::{Args, ValueEnum};

use super::Failure;
use super::backend::Target;
use super::list::List;
use crate::api::wire::pb;
use crate::config::Config;

/// Print the most bought items
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  qianmian popular --window week --category home --data DIR")]
pub struct Popular {
    /// The time that is counted
    #[arg(long, value_enum, default_value = "month")]
    window: Window,
    /// Only items in this category, or below it; may be given several times
    #[arg(long = "category", value_name = "PATH")]
    categories: Vec<String>,
    /// Length of the list, 1 to 500
    #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Window {
    Week,
    Month,
    All,
}

impl Popular {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        let window = match self.window {
            Window::Week => pb::Window::Window7Days,
            Window::Month => pb::Window::Window30Days,
            Window::All => pb::Window::AllTime,
        };
        let filter = pb::Filter { categories: self.categories, ..pb::Filter::default() };
        let request =
            pb::PopularRequest { window: window.into(), limit: self.limit, filter: Some(filter) };
        let answer = backend.popular(request).await.map_err(|s| s.message().to_owned())?;
        List::new(&backend, answer.recommendation_id, answer.generation, None, answer.items)
            .await
            .print(self.json)
    }
}
