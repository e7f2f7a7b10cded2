//! `qianmian models`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::backend::{Backend, Refused, Target};
use super::{Failure, output};
use crate::api::pb;
use crate::config::Config;

/// Measures that the table has room for.
const SHOWN: [&str; 3] = ["ann_recall@10", "validation_ndcg@10_blend", "validation_ndcg@10_stage"];

/// List the models kept, newest first; or let another answer
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  qianmian models --data DIR                 the models in a data folder\n  \
                  qianmian models --server ADDR rollback     let the one before answer"
)]
pub struct Models {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON, settings included
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Let a kept model answer, until a training publishes the next
    Activate {
        /// Its generation
        generation: u64,
    },
    /// Let the newest kept model answer that is older than the one that does
    Rollback,
    /// Remove a kept model that does not answer
    Delete {
        /// Its generation
        generation: u64,
    },
}

#[derive(Debug, Serialize)]
struct Model {
    generation: u64,
    active: bool,
    offset: u64,
    created: String,
    train_seconds: f64,
    users: i64,
    items: i64,
    interactions: i64,
    seed: u64,
    settings: serde_json::Value,
    quality: BTreeMap<String, f64>,
    size_bytes: i64,
}

impl From<pb::Model> for Model {
    fn from(model: pb::Model) -> Self {
        let created = model.create_time.unwrap_or_default();
        let created = jiff::Timestamp::new(created.seconds, 0).unwrap_or_default();
        Self {
            generation: model.generation,
            active: model.active,
            offset: model.offset,
            created: created.to_string(),
            train_seconds: model.train_seconds,
            users: model.users,
            items: model.items,
            interactions: model.interactions,
            seed: model.seed,
            settings: serde_json::from_str(&model.settings_json).unwrap_or_default(),
            quality: model.quality.into_iter().collect(),
            size_bytes: model.size_bytes,
        }
    }
}

async fn act(backend: &Backend, action: Action) -> Result<(), Refused> {
    let wanted = match action {
        Action::Activate { generation } => Some(generation),
        Action::Rollback => None,
        Action::Delete { generation } => {
            backend.delete_model(generation).await?;
            println!("generation {generation} is removed");
            return Ok(());
        }
    };
    let (active, previous) = backend.activate(wanted).await?;
    println!("generation {active} answers, {previous} did before");
    Ok(())
}

impl Models {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        if let Some(action) = self.action {
            return act(&backend, action).await.map_err(|s| s.message().to_owned().into());
        }
        let models = backend.models().await.map_err(|s| s.message().to_owned())?;
        let models: Vec<Model> = models.into_iter().map(Model::from).collect();
        if self.json {
            return output::json(&models);
        }
        if models.is_empty() {
            println!("no model yet; make one with: qianmian train");
            return Ok(());
        }
        let rows = models.iter().map(|m| {
            // What a tuner measured of single sources is in the JSON.
            let of_all = |name: &str| SHOWN.contains(&name);
            let shown = m.quality.iter().filter(|(name, _)| of_all(name));
            let quality: Vec<String> =
                shown.map(|(name, value)| format!("{name} {value:.4}")).collect();
            vec![
                format!("{}{}", m.generation, if m.active { " *" } else { "" }),
                m.created.clone(),
                format!("{:.1}", m.train_seconds),
                m.offset.to_string(),
                m.users.to_string(),
                m.items.to_string(),
                m.interactions.to_string(),
                quality.join(", "),
                format!("{:.1}", m.size_bytes as f64 / 1e6),
            ]
        });
        let header = [
            "generation",
            "created",
            "seconds",
            "offset",
            "users",
            "items",
            "interactions",
            "quality",
            "MB",
        ];
        let right = ["seconds", "offset", "users", "items", "interactions", "MB"];
        println!("{}\n\n* answers now", output::table(&header, &right, rows.collect()));
        Ok(())
    }
}
