//! What `evaluate` prints, writes and draws.

use std::path::Path;

use serde_json::json;

use crate::cli::plot::bars;
use crate::cli::{Failure, output};
use crate::evaluate::faithful::Faithfulness;
use crate::evaluate::harness::AtK;
use crate::evaluate::variety::Varied;
use crate::evaluate::{Metrics, Row};
use crate::model::Snapshot;
use crate::recommend::{Diversifier, Variety};

/// What an evaluation measured.
pub(super) struct Measured<'a> {
    /// The names of the protocol, and of what it does with items of the user's past.
    pub protocol: String,
    pub seen: String,
    pub seed: u64,
    pub snapshot: &'a Snapshot,
    /// Number of lists.
    pub lists: usize,
    /// Test users that the training part does not know.
    pub unknown: usize,
    pub rows: &'a [Row],
    /// The blend with variety; empty where it is not asked for.
    pub varied: &'a [Varied],
    pub faithfulness: Option<Faithfulness>,
    pub train_seconds: f64,
}

impl Measured<'_> {
    /// Prints every row, at each of `ks`; writes them as JSON and draws them, where files are named.
    pub(super) fn print(
        &self,
        ks: &[usize],
        json: Option<&Path>,
        plot: Option<&Path>,
    ) -> Result<(), Failure> {
        let Measured { snapshot, lists, unknown, rows, train_seconds, .. } = *self;
        let manifest = &snapshot.manifest;
        println!(
            "{} users, {} items, {} interactions; {} lists, {unknown} test users unknown to training; \
             trained in {train_seconds:.1} s",
            manifest.users, manifest.items, manifest.interactions, lists,
        );

        if let Some(found) = self.faithfulness {
            println!(
                "of {} explained items, {:.1} % lose more by the events that are named than by others",
                found.explained,
                100.0 * found.share()
            );
        }
        for (at, k) in ks.iter().enumerate() {
            println!("\nat {k}\n{}", table(rows, at));
            if !self.varied.is_empty() {
                println!("\nvariety at {k}\n{}", variety_table(self.varied, at));
            }
        }

        if let Some(path) = json {
            let report = json!({
                "protocol": self.protocol,
                "seen": self.seen,
                "users": manifest.users,
                "items": manifest.items,
                "interactions": manifest.interactions,
                "lists": lists,
                "unknown_users": unknown,
                "seed": self.seed,
                "settings": manifest.settings,
                "quality": manifest.quality,
                "tuning": manifest.tuning,
                "reasons": self.faithfulness.map(|found| json!({
                    "explained": found.explained,
                    "faithful": found.faithful,
                })),
                "rows": rows.iter().map(|row| json_row(row, train_seconds)).collect::<Vec<_>>(),
                "variety": self.varied.iter().map(json_varied).collect::<Vec<_>>(),
            });
            std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")
                .map_err(|e| format!("{}: {e}", path.display()))?;
        }

        if let Some(path) = plot {
            std::fs::write(path, bars(rows)).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(())
    }
}

fn table(rows: &[Row], at: usize) -> comfy_table::Table {
    let mut header = vec!["method"];
    header.extend(Metrics::NAMES);
    header.extend(["coverage", "novelty", "gini", "µs/list"]);
    let lines = rows.iter().map(|row| {
        let at = &row.at[at];
        let mut line = vec![row.method.name().to_owned()];
        let system = at.system;
        line.extend(at.means.iter().map(|value| format!("{value:.4}")));
        line.extend([system.coverage, system.novelty, system.gini].map(|v| format!("{v:.3}")));
        line.push(format!("{:.0}", row.micros_per_list_p50));
        line
    });

    let right = header[1..].to_vec();
    output::table(&header, &right, lines.collect())
}

fn json_row(row: &Row, train_seconds: f64) -> serde_json::Value {
    let mut metrics = serde_json::Map::new();
    let mut ci95 = serde_json::Map::new();
    for at in &row.at {
        let k = at.k;
        let system = at.system;
        for ((name, mean), (low, high)) in Metrics::NAMES.iter().zip(at.means).zip(at.intervals) {
            metrics.insert(format!("{name}@{k}"), json!(mean));
            ci95.insert(format!("{name}@{k}"), json!([low, high]));
        }
        metrics.insert(format!("coverage@{k}"), json!(system.coverage));
        metrics.insert(format!("novelty@{k}"), json!(system.novelty));
        metrics.insert(format!("gini@{k}"), json!(system.gini));
    }

    json!({
        "method": row.method.name(),
        "metrics": metrics,
        "ci95": ci95,
        "train_seconds": train_seconds,
        "micros_per_list_p50": row.micros_per_list_p50,
    })
}

/// What variety loses in NDCG and gains, against the blend's own lists.
fn variety_table(varied: &[Varied], at: usize) -> comfy_table::Table {
    let header = ["variety", "ndcg", "kept", "recall", "coverage", "gini", "behaviour", "content"];
    let without = varied.iter().find(|varied| varied.variety.is_none());
    let ndcg = |at: &AtK| at.means[Metrics::NDCG];
    let lines = varied.iter().map(|varied| {
        let AtK { means, system, .. } = &varied.at[at];
        let of_blend = without.map_or(0.0, |without| ndcg(&without.at[at]));
        // Of nothing, all is kept.
        let kept = if of_blend > 0.0 { ndcg(&varied.at[at]) / of_blend } else { 1.0 };
        let (behaviour, content) = varied.alike[at];
        vec![
            named(varied.variety.as_ref()),
            format!("{:.4}", means[Metrics::NDCG]),
            format!("{kept:.3}"),
            format!("{:.4}", means[Metrics::RECALL]),
            format!("{:.3}", system.coverage),
            format!("{:.3}", system.gini),
            format!("{behaviour:.3}"),
            format!("{content:.3}"),
        ]
    });
    output::table(&header, &header[1..], lines.collect())
}

/// A variety in tables: `mmr 0.7`.
fn named(variety: Option<&Variety>) -> String {
    match variety {
        None => "none".to_owned(),
        Some(Variety { by: Diversifier::Mmr, lambda, .. }) => format!("mmr {lambda}"),
        Some(Variety { by: Diversifier::Dpp, lambda, .. }) => format!("dpp {lambda}"),
    }
}

fn json_varied(varied: &Varied) -> serde_json::Value {
    let at = varied.at.iter().zip(&varied.alike).map(|(at, (behaviour, content))| {
        json!({
            "k": at.k,
            "ndcg": at.means[Metrics::NDCG],
            "recall": at.means[Metrics::RECALL],
            "coverage": at.system.coverage,
            "gini": at.system.gini,
            "alike_by_behaviour": behaviour,
            "alike_by_content": content,
        })
    });
    json!({"variety": named(varied.variety.as_ref()), "at": at.collect::<Vec<_>>()})
}
