//! `qianmian models`

use std::collections::{BTreeMap, HashMap};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::backend::{Backend, Refused, Target};
use super::push::{CheckJson, Role};
use super::{Failure, output};
use crate::api::wire::pb;
use crate::config::Config;

/// Measures that fit into the table.
pub(super) const SHOWN: [&str; 4] =
    ["ann_recall@10", "validation_ndcg@10_blend", "validation_ndcg@10_stage", "pushed_ndcg@10"];

/// List the kept models, newest first; or change their roles
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  qianmian models --data DIR                 the models in a data folder\n  \
                  qianmian models --server ADDR rollback     return to the model before\n  \
                  qianmian models --server ADDR diff 3 4     what changed from one to the other"
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
    /// Make a kept model active, until a training publishes the next
    Activate {
        /// Its generation
        generation: u64,
    },
    /// Make the model active that was active before
    Rollback,
    /// Give a kept model another role
    Assign {
        /// Its generation
        generation: u64,
        /// The new role
        #[arg(value_enum)]
        role: Role,
        /// Share of the requests of a shadow, or of the users of a canary
        #[arg(long, default_value_t = 0.0)]
        share: f64,
    },
    /// Compare two kept models: settings, quality, lists of sample users
    Diff {
        /// The generation of one
        one: u64,
        /// The generation of the other
        other: u64,
        /// Sample users
        #[arg(long, default_value_t = 200)]
        users: i32,
    },
    /// Remove a kept model that takes no part in serving
    Delete {
        /// Its generation
        generation: u64,
    },
}

#[derive(Debug, Serialize)]
struct Model {
    generation: u64,
    role: String,
    offset: u64,
    erased_to_offset: u64,
    created: String,
    train_seconds: f64,
    users: i64,
    items: i64,
    interactions: i64,
    seed: u64,
    settings: serde_json::Value,
    quality: BTreeMap<String, f64>,
    size_bytes: i64,
    left_out: Vec<String>,
    lineage: Option<Lineage>,
    shadow: Option<ShadowJson>,
}

/// Compares a shadow's lists with those that were shown.
#[derive(Debug, Serialize)]
struct ShadowJson {
    lists: u64,
    overlap: f64,
    same_first: f64,
    seconds: f64,
}

impl From<&pb::ShadowComparison> for ShadowJson {
    fn from(shadow: &pb::ShadowComparison) -> Self {
        let pb::ShadowComparison { lists, overlap, same_first, seconds } = *shadow;
        Self { lists, overlap, same_first, seconds }
    }
}

/// The lineage of a model's pushed part.
#[derive(Debug, Serialize)]
struct Lineage {
    generation: u64,
    base_generation: u64,
    pushed_by: String,
    note: String,
    contents: Vec<String>,
    sha256: String,
    pushed: String,
    trained_until: String,
    forced: bool,
    checks: Vec<CheckJson>,
}

impl From<&pb::ModelLineage> for Lineage {
    fn from(lineage: &pb::ModelLineage) -> Self {
        let lineage = lineage.clone();
        Self {
            generation: lineage.generation,
            base_generation: lineage.base_generation,
            pushed_by: lineage.pushed_by,
            note: lineage.note,
            contents: lineage.contents,
            sha256: lineage.sha256,
            pushed: output::moment(lineage.push_time.map(|time| time.seconds)),
            trained_until: output::moment(lineage.trained_until_time.map(|time| time.seconds)),
            checks: lineage.checks.into_iter().map(CheckJson::from).collect(),
            forced: lineage.forced,
        }
    }
}

impl From<pb::Model> for Model {
    fn from(model: pb::Model) -> Self {
        Self {
            generation: model.generation,
            role: role_of(&model),
            lineage: model.lineage.as_ref().map(Lineage::from),
            shadow: model.shadow.as_ref().map(ShadowJson::from),
            offset: model.offset,
            erased_to_offset: model.erased_to_offset,
            created: output::moment(model.create_time.map(|time| time.seconds)),
            train_seconds: model.train_seconds,
            users: model.users,
            items: model.items,
            interactions: model.interactions,
            seed: model.seed,
            settings: serde_json::from_str(&model.settings_json).unwrap_or_default(),
            quality: model.quality.into_iter().collect(),
            size_bytes: model.size_bytes,
            left_out: model.left_out,
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
        Action::Assign { generation, role, share } => {
            let role = pb::ModelRole::from(role).into();
            let request = pb::AssignModelRequest { generation, role, share };
            let model = backend.assign(request).await?;
            println!("generation {generation} is {}", role_of(&model));
            return Ok(());
        }
        Action::Diff { one, other, users } => {
            let request =
                pb::CompareModelsRequest { generation: one, other_generation: other, users };
            print_difference(backend.compare(request).await?);
            return Ok(());
        }
    };

    let (active, previous) = backend.activate(wanted).await?;
    println!("generation {active} is active, {previous} was before");
    Ok(())
}

/// A model's role, with its share and the shadow's comparison.
fn role_of(model: &pb::Model) -> String {
    let mut role = output::name(model.role().as_str_name(), "MODEL_ROLE_");
    if model.share > 0.0 {
        role += &format!(" {}", model.share);
    }
    if let Some(shadow) = &model.shadow {
        role += &format!(", {:.2} overlap in {} lists", shadow.overlap, shadow.lists);
    }
    role
}

fn print_difference(difference: pb::CompareModelsResponse) {
    let one = difference.model.unwrap_or_default();
    let other = difference.other.unwrap_or_default();
    let first = one.generation.to_string();
    let second = other.generation.to_string();
    let figure = |quality: &HashMap<String, f64>, name: &String| {
        quality.get(name).map_or_else(String::new, |figure| format!("{figure:.4}"))
    };
    let mut measures: Vec<&String> = one.quality.keys().chain(other.quality.keys()).collect();
    measures.sort();
    measures.dedup();

    let quality = measures
        .into_iter()
        .map(|name| vec![name.clone(), figure(&one.quality, name), figure(&other.quality, name)]);
    let header = ["quality", &first, &second];
    println!("{}\n", output::table(&header, &header[1..], quality.collect()));
    let settings = difference.settings.into_iter();
    let settings = settings.map(|d| vec![d.path, d.value_json, d.other_value_json]);
    let header = ["setting", &first, &second];
    println!("{}\n", output::table(&header, &header[1..], settings.collect()));
    println!(
        "of {} users' lists: {:.1} % of the first 10 items in both, the same first item in {:.1} %",
        difference.lists,
        100.0 * difference.overlap,
        100.0 * difference.same_first
    );
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
            // The tuner's measurements of single sources are in the JSON.
            let of_all = |name: &str| SHOWN.contains(&name);
            let shown = m.quality.iter().filter(|(name, _)| of_all(name));
            let quality: Vec<String> =
                shown.map(|(name, value)| format!("{name} {value:.4}")).collect();
            vec![
                m.generation.to_string(),
                m.role.clone(),
                m.lineage.as_ref().map_or_else(String::new, |l| l.generation.to_string()),
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
            "role",
            "pushed",
            "created",
            "seconds",
            "offset",
            "users",
            "items",
            "interactions",
            "quality",
            "MB",
        ];

        let right = ["pushed", "seconds", "offset", "users", "items", "interactions", "MB"];
        println!("{}", output::table(&header, &right, rows.collect()));
        Ok(())
    }
}
