//! What is looked at before something is let in, and what follows.

use serde::{Deserialize, Serialize};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What: "finite", "ann_recall", …
    pub name: String,
    /// What was measured.
    pub figure: f64,
    /// What is asked of it, in words.
    pub limit: String,
    /// What follows.
    pub verdict: Verdict,
}

/// What a check comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Passed,
    /// Not: refused.
    Failed,
    /// Not, but forced in.
    Overridden,
    /// It could not be measured, or not fairly, which refuses nothing.
    NotJudged,
}

impl Verdict {
    /// Name for people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Overridden => "overridden",
            Verdict::NotJudged => "not judged",
        }
    }
}

impl Check {
    /// A check that passes where `passes`.
    pub fn new(name: &str, figure: f64, limit: impl Into<String>, passes: bool) -> Self {
        let verdict = if passes { Verdict::Passed } else { Verdict::Failed };
        Self { name: name.to_owned(), figure, limit: limit.into(), verdict }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, figure, limit, verdict } = self;
        // Figures range from shares to counts: four decimals, without trailing noughts.
        let figure = format!("{figure:.4}");
        let figure = figure.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{name} {figure} ({limit}): {}", verdict.name())
    }
}
