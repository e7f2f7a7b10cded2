//! `qianmian items`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::json;

use super::backend::Target;
use super::{Failure, output};
use crate::api::wire::pb;
use crate::config::Config;

/// Show an item of the catalogue, or change fields of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian items get 85123A --data DIR\n  \
                  qianmian items set 85123A --available false --server 127.0.0.1:50051\n  \
                  qianmian items set 85123A --title \"White heart\" --price 2.95 --category home/decor --data DIR")]
pub struct Items {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print an item
    Get {
        /// The item
        item: String,
    },
    /// Create an item, or change the named fields of it
    Set {
        /// The item
        item: String,
        #[command(flatten)]
        fields: Fields,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Fields {
    /// Title
    #[arg(long)]
    title: Option<String>,
    /// Category, its parts joined by "/"; may be given several times, and replaces all
    #[arg(long = "category", value_name = "PATH")]
    categories: Vec<String>,
    /// Brand
    #[arg(long)]
    brand: Option<String>,
    /// Price
    #[arg(long, allow_negative_numbers = true)]
    price: Option<f64>,
    /// Tag; may be given several times, and replaces all
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// Whether it can be bought
    #[arg(long, value_name = "true|false")]
    available: Option<bool>,
}

impl Fields {
    /// The item with these fields, and their names.
    fn of(self, item_id: String) -> (pb::Item, Vec<String>) {
        let named = [
            ("title", self.title.is_some()),
            ("categories", !self.categories.is_empty()),
            ("brand", self.brand.is_some()),
            ("price", self.price.is_some()),
            ("tags", !self.tags.is_empty()),
            ("availability", self.available.is_some()),
        ];
        let names = named.into_iter().filter(|(_, given)| *given);
        let names = names.map(|(name, _)| name.to_owned()).collect();

        let availability = match self.available {
            None => pb::Availability::Unspecified,
            Some(true) => pb::Availability::Available,
            Some(false) => pb::Availability::Unavailable,
        };
        let item = pb::Item {
            item_id,
            title: self.title.unwrap_or_default(),
            categories: self.categories,
            brand: self.brand.unwrap_or_default(),
            price: self.price,
            tags: self.tags,
            availability: availability.into(),
            ..pb::Item::default()
        };
        (item, names)
    }
}

impl Items {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        let id = match self.action {
            Action::Get { item } => item,
            Action::Set { item, fields } => {
                let (changed, names) = fields.of(item.clone());
                let set = backend.set_item(changed, names).await;
                set.map_err(|s| s.message().to_owned())?;
                item
            }
        };
        let found = backend.item_and_reputation(id).await.map_err(|s| s.message().to_owned())?;
        print(&found.item.unwrap_or_default(), found.reputation.as_ref(), self.json)
    }
}

fn print(
    item: &pb::Item,
    reputation: Option<&pb::Reputation>,
    as_json: bool,
) -> Result<(), Failure> {
    let available = item.availability() != pb::Availability::Unavailable;
    let attributes: BTreeMap<_, _> = item.attributes.iter().collect();
    if as_json {
        return output::json(&json!({
            "item_id": item.item_id,
            "title": item.title,
            "categories": item.categories,
            "brand": item.brand,
            "price": item.price,
            "tags": item.tags,
            "available": available,
            "attributes": attributes,
            "reputation": reputation.map(|of| json!({
                "ratings": of.ratings,
                "mean_rating": of.mean_rating,
                "reviews": of.reviews,
                "mean_sentiment": of.mean_sentiment,
                "quality": of.quality,
            })),
        }));
    }

    let own = [
        ("item", item.item_id.clone()),
        ("title", item.title.clone()),
        ("categories", item.categories.join(", ")),
        ("brand", item.brand.clone()),
        ("price", item.price.map(|price| price.to_string()).unwrap_or_default()),
        ("tags", item.tags.join(", ")),
        ("available", available.to_string()),
    ];
    let with_mean = |count: u32, mean: Option<f64>| {
        mean.map_or_else(|| count.to_string(), |mean| format!("{count}, mean {mean:.2}"))
    };
    let of_users = reputation.into_iter().flat_map(|of| {
        [
            ("ratings", with_mean(of.ratings, of.mean_rating)),
            ("reviews", with_mean(of.reviews, of.mean_sentiment)),
            ("quality", format!("{:+.2} standard deviations", of.quality)),
        ]
    });
    let own = own.into_iter().chain(of_users).map(|(name, value)| vec![name.to_owned(), value]);
    let rows =
        own.chain(attributes.into_iter().map(|(name, value)| vec![name.clone(), value.clone()]));
    println!("{}", output::table(&["field", "value"], &[], rows.collect()));
    Ok(())
}
