//! A list, as a table for people and as JSON for programs.

use serde::Serialize;

use super::Failure;
use super::backend::Backend;
use super::output::{json, name, table};
use super::why::Why;
use crate::api::wire::pb;
use crate::domain::quote::printable;

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
    /// Why it is in the list, where that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
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
                why: item.explanation.map(Why::of),
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
        self.print_reasons();
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

impl List {
    /// Prints why each item is in the list, where that was asked.
    fn print_reasons(&self) {
        let whys = || self.items.iter().filter_map(|item| item.why.as_ref());
        let largest = whys().map(Why::largest).fold(0.0, f64::max);
        for (at, item) in self.items.iter().enumerate() {
            if let Some(why) = &item.why {
                println!("\n{:>2} {}", at + 1, printable(&item.title));
                why.print(largest);
            }
        }
    }
}
