//! Tables for people, JSON for programs.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::Failure;
use super::backend::Backend;
use crate::api::wire::pb;
use crate::domain::quote::printable;

/// A plain table; columns named in `right` are right-aligned. Control characters are replaced:
/// titles and ids come from outside.
pub fn table(header: &[&str], right: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.to_vec());

    for (i, name) in header.iter().enumerate() {
        if right.contains(name)
            && let Some(column) = table.column_mut(i)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }

    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| printable(cell))));
    table
}

/// Prints a value as JSON.
///
/// # Errors
/// Where it cannot be written.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A list in JSON.
#[derive(Debug, Serialize)]
pub struct List {
    /// The answer's id.
    pub recommendation_id: String,
    /// Generation of the model.
    pub generation: u64,
    /// What it is based on, where the answer states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<String>,
    /// Whether bought items could come back, and why, where the answer states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<String>,
    /// Best first.
    pub items: Vec<ListItem>,
}

/// An item of a list.
#[derive(Debug, Serialize)]
pub struct ListItem {
    /// The item.
    pub item_id: String,
    /// Its title; empty where it has none.
    pub title: String,
    /// Its score.
    pub score: f64,
    /// The source that contributed most.
    pub source: String,
}

impl List {
    /// Looks up titles.
    pub async fn new(
        backend: &Backend,
        recommendation_id: String,
        generation: u64,
        basis: Option<pb::Basis>,
        items: Vec<pb::ScoredItem>,
    ) -> Self {
        let mut listed = Vec::with_capacity(items.len());
        for item in items {
            listed.push(ListItem {
                title: backend.title(&item.item_id).await,
                source: name(item.source().as_str_name(), "SOURCE_"),
                item_id: item.item_id,
                score: item.score,
            });
        }
        let basis = basis.map(|b| name(b.as_str_name(), "BASIS_"));
        Self { recommendation_id, generation, basis, repeats: None, items: listed }
    }

    /// Adds the repeat policy and its reason.
    pub fn with_repeats(self, repeats: String) -> Self {
        Self { repeats: Some(repeats), ..self }
    }

    /// Prints it, as a table or as JSON.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn print(&self, as_json: bool) -> Result<(), Failure> {
        if as_json {
            return json(self);
        }

        let rows = self.items.iter().enumerate().map(|(i, item)| {
            vec![
                (i + 1).to_string(),
                item.item_id.clone(),
                item.title.clone(),
                format!("{:.4}", item.score),
                item.source.clone(),
            ]
        });

        if self.items.is_empty() {
            println!("no item to offer: none passes the filter, or all were bought before");
        }

        let header = ["#", "item", "title", "score", "source"];
        println!("{}", table(&header, &["#", "score"], rows.collect()));
        let basis = self.basis.as_ref().map(|b| format!(", based on {b}")).unwrap_or_default();
        println!(
            "\ngeneration {}{basis}; recommendation {}",
            self.generation, self.recommendation_id
        );

        if let Some(repeats) = &self.repeats {
            println!("{repeats}");
        }
        Ok(())
    }
}

/// A protocol constant in lower case, without its prefix.
pub fn name(constant: &str, prefix: &str) -> String {
    constant.strip_prefix(prefix).unwrap_or(constant).to_ascii_lowercase()
}

/// A time, to the second; empty where there is none.
pub fn moment(seconds: Option<i64>) -> String {
    let time = seconds.map(|seconds| jiff::Timestamp::new(seconds, 0).unwrap_or_default());
    time.map_or_else(String::new, |time| time.to_string())
}
