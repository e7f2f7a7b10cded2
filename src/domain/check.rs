//! Checks that decide whether something is accepted, and their verdicts.

use serde::{Deserialize, Serialize};

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: "finite", "ann_recall", …
    pub name: String,
    /// The measured figure.
    pub figure: f64,
    /// The limit, in words.
    pub limit: String,
    /// The verdict.
    pub verdict: Verdict,
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within the limit.
    Passed,
    /// Beyond the limit: refused.
    Failed,
    /// Beyond the limit, but accepted by force.
    Overridden,
    /// Not measurable, or not fairly; refuses nothing.
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
    /// A check that passes if `passes`.
    pub fn new(name: &str, figure: f64, limit: impl Into<String>, passes: bool) -> Self {
        let verdict = if passes { Verdict::Passed } else { Verdict::Failed };
        Self { name: name.to_owned(), figure, limit: limit.into(), verdict }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, figure, limit, verdict } = self;
        // Figures range from shares to counts: four decimals, without trailing zeros.
        let figure = format!("{figure:.4}");
        let figure = figure.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{name} {figure} ({limit}): {}", verdict.name())
    }
}
