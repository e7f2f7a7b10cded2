//! `qianmian push`

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::backend::{Refused, Target};
use super::{Failure, output};
use crate::api::wire::pb;
use crate::config::Config;
use crate::domain::hex;

/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// Push a model that was trained elsewhere: embeddings, neighbours, scores of items
#[derive(Debug, Args)]
#[command(
    after_help = "The file is safetensors; docs/src/models.md shows its layout and how numpy writes it.\n\n\
                  Examples:\n  qianmian push model.safetensors --server ADDR\n  \
                  qianmian push model.safetensors --server ADDR --role canary --share 0.05"
)]
pub struct Push {
    /// The model
    file: PathBuf,
    /// The role it gets
    #[arg(long, value_enum, default_value_t = Role::Active)]
    role: Role,
    /// Share of the requests of a shadow, or of the users of a canary
    #[arg(long, default_value_t = 0.0)]
    share: f64,
    /// The author of the model
    #[arg(long, default_value = "")]
    by: String,
    /// A comment
    #[arg(long, default_value = "")]
    note: String,
    /// Accept it even where lists are worse with it
    #[arg(long)]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

/// The role of a model.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Role {
    /// Kept
    Staged,
    /// Compared on a share of the requests, not shown
    Shadow,
    /// Answers a share of the users
    Canary,
    /// Answers
    Active,
}

impl From<Role> for pb::ModelRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Staged => pb::ModelRole::Staged,
            Role::Shadow => pb::ModelRole::Shadow,
            Role::Canary => pb::ModelRole::Canary,
            Role::Active => pb::ModelRole::Active,
        }
    }
}

#[derive(Debug, Serialize)]
struct Outcome {
    generation: u64,
    role: String,
    seconds: f64,
    quality: BTreeMap<String, f64>,
    checks: Vec<CheckJson>,
}

/// Prints the gate's checks.
#[derive(Debug, Serialize)]
pub(super) struct CheckJson {
    name: String,
    figure: f64,
    limit: String,
    verdict: String,
}

impl Push {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let unreadable = |e| format!("{}: {e}", self.file.display());
        let mut file = File::open(&self.file).map_err(unreadable)?;
        let (size_bytes, sha256) = tokio::task::block_in_place(|| digest(&mut file))?;
        let backend = self.target.open(&config).await?;
        let header = pb::PushHeader {
            // The id is derived from the file, so that pushing the file again resumes.
            push_id: format!("sha256:{sha256}"),
            size_bytes,
            pushed_by: self.by.clone(),
            note: self.note.clone(),
            role: pb::ModelRole::from(self.role).into(),
            share: self.share,
            force: self.force,
        };

        let model = backend.push(header, sha256, &file).await.map_err(|s| refusal(&s))?;
        let outcome = Outcome {
            generation: model.generation,
            role: output::name(model.role().as_str_name(), "MODEL_ROLE_"),
            seconds: model.train_seconds,
            checks: model
                .lineage
                .unwrap_or_default()
                .checks
                .into_iter()
                .map(CheckJson::from)
                .collect(),
            quality: model.quality.into_iter().collect(),
        };

        if self.json {
            return output::json(&outcome);
        }

        let rows = outcome.checks.iter().map(|c| {
            vec![c.name.clone(), format!("{:.4}", c.figure), c.verdict.clone(), c.limit.clone()]
        });
        let header = ["check", "figure", "verdict", "limit"];
        println!("{}\n", output::table(&header, &["figure"], rows.collect()));
        let Outcome { generation, role, seconds, .. } = outcome;
        println!("generation {generation} is {role} after {seconds:.1} s");
        Ok(())
    }
}

impl From<pb::ModelCheck> for CheckJson {
    fn from(check: pb::ModelCheck) -> Self {
        let verdict = output::name(check.verdict().as_str_name(), "VERDICT_");
        Self { name: check.name, figure: check.figure, limit: check.limit, verdict }
    }
}

/// A refusal as a sentence: where checks failed, all of them.
fn refusal(refused: &Refused) -> Failure {
    let mut words = refused.message().to_owned();
    for check in super::backend::checks(refused) {
        words += &format!("\n  {check}");
    }
    words.into()
}

/// Size and SHA-256 of a file, which is rewound afterwards.
fn digest(file: &mut File) -> Result<(u64, String), Failure> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        hash.update(&buffer[..read]);
    }

    file.rewind()?;
    Ok((size, hex(&hash.finalize())))
}
