//! `qianmian recommend`

use clap::{Args, ValueEnum};

use super::Failure;
use super::backend::Target;
use super::list::List;
use crate::api::wire::pb;
use crate::config::Config;
use crate::domain::quote::printable;
use crate::model::Source;

/// Print a personalised list for a user
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian recommend 17850 --data DIR\n  \
                        qianmian recommend 17850 --server 127.0.0.1:50051 --limit 5 --json\n  \
                        qianmian recommend --session 85123A,22423 --data DIR")]
pub struct Recommend {
    /// The user; omit for an anonymous session
    user: Option<String>,
    /// Items of the running session, oldest first
    #[arg(long, value_name = "ITEM,…", value_delimiter = ',')]
    session: Vec<String>,
    /// Length of the list, 1 to 500 [default: 10, or as the placement says]
    #[arg(long, short = 'n', value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: Option<i32>,
    /// One source instead of the blend of all
    #[arg(long, value_name = "SOURCE", value_parser = source)]
    strategy: Option<Source>,
    /// Whether bought items may come back [default: the store's setting]
    #[arg(long, value_enum)]
    repeat: Option<Repeat>,
    /// Only items in this category, or below it; may be given several times
    #[arg(long = "category", value_name = "PATH")]
    categories: Vec<String>,
    /// A placement of the store; its title is shown above the list
    #[arg(long, value_name = "NAME")]
    placement: Option<String>,
    /// Category of the page, for rules
    #[arg(long, value_name = "PATH")]
    page_category: Option<String>,
    /// Items of the page: the one that is shown, or a basket
    #[arg(long, value_name = "ITEM,…", value_delimiter = ',')]
    page_items: Vec<String>,
    /// The branch, country or currency whose offers hold
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// An attribute of the user, e.g. country=SE; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// How much the items differ: the weight of relevance, 0 to 1; one item of a group is shown
    #[arg(long, value_name = "RELEVANCE")]
    variety: Option<f64>,
    /// Show why each item is in the list
    #[arg(long)]
    explain: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Repeat {
    Allow,
    Exclude,
    Due,
}

fn source(name: &str) -> Result<Source, String> {
    let names = || Source::BLENDED.map(|source| source.name().replace('_', "-")).join(", ");
    Source::named(&name.replace('-', "_")).ok_or_else(|| format!("must be one of {}", names()))
}

fn attribute(given: &str) -> Result<(String, String), String> {
    let (name, value) = given.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Recommend {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let names_no_one =
            self.user.is_none() && self.session.is_empty() && self.attributes.is_empty();
        if names_no_one && self.placement.is_none() {
            let words = "name a user, items with --session, an --attribute, or a --placement";
            return Err(words.into());
        }

        let backend = self.target.open(&config).await?;
        let strategy = self.strategy.map_or(0, Source::number);
        let repeat_policy = match self.repeat {
            None => pb::RepeatPolicy::Unspecified,
            Some(Repeat::Allow) => pb::RepeatPolicy::Allow,
            Some(Repeat::Exclude) => pb::RepeatPolicy::ExcludePurchased,
            Some(Repeat::Due) => pb::RepeatPolicy::WhenDue,
        };

        let request = pb::RecommendRequest {
            user_id: self.user.unwrap_or_default(),
            session_item_ids: self.session,
            limit: self.limit.unwrap_or(if self.placement.is_some() { 0 } else { 10 }),
            filter: Some(pb::Filter { categories: self.categories, ..pb::Filter::default() }),
            strategy,
            repeat_policy: repeat_policy.into(),
            attributes: self.attributes.into_iter().collect(),
            explain: self.explain,
            variety: self.variety.map(|relevance| pb::Variety {
                relevance: Some(relevance),
                one_of_group: true,
                ..pb::Variety::default()
            }),
            placement: self.placement.unwrap_or_default(),
            page_category: self.page_category.unwrap_or_default(),
            page_item_ids: self.page_items,
            context: self.context.unwrap_or_default(),
            ..pb::RecommendRequest::default()
        };

        let answer = backend.recommend(request).await.map_err(|s| s.message().to_owned())?;
        let basis = Some(answer.basis());
        let repeats = repeats(answer.repeat_policy(), answer.repeat_reason());
        if !answer.title.is_empty() && !self.json {
            println!("{}\n", printable(&answer.title));
        }
        let pb::RecommendResponse { recommendation_id, generation, items, .. } = answer;
        let list = List::new(&backend, recommendation_id, generation, basis, items).await;
        list.with_repeats(repeats).print(self.json)
    }
}

/// Whether bought items could come back, and why.
fn repeats(policy: pb::RepeatPolicy, reason: pb::RepeatReason) -> String {
    let what = match policy {
        pb::RepeatPolicy::Allow => "items bought before are offered",
        pb::RepeatPolicy::WhenDue => "items bought before are offered when they are due again",
        _ => "items bought before are excluded",
    };

    let why = match reason {
        pb::RepeatReason::Request => "as asked (--repeat)",
        pb::RepeatReason::Setting => "as set (recommend.repeat_policy)",
        pb::RepeatReason::Tuned => {
            "as the tuner found better on this store's held-out behaviour; override it by \
             recommend.repeat_policy or --repeat"
        }
        _ => "until a tuning has run (recommend.repeat_policy)",
    };
    format!("{what}, {why}")
}
