//! What the doctor found.

use serde::Serialize;

/// A fault of a log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// What is wrong, with the number.
    pub what: String,
    /// Events that it concerns.
    pub events: u64,
    /// One of them.
    pub example: String,
    /// What it does to lists.
    pub effect: &'static str,
    /// What mends it.
    pub mend: String,
}

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Events after now.
    Future,
    /// Dates that no shop had.
    ImpossibleDate,
    /// A few events, long after all others, by which all others look old.
    DatesEverything,
    /// The last week has less than half of the week before.
    MissingVolume,
    /// Days without events, where there should be some.
    Gap,
    /// Very many events at the same moment.
    OneMoment,
    /// A user that no person could be.
    Bot,
    /// A user that buys for others.
    Reseller,
    /// A word that stands for no user or no item.
    Placeholder,
    /// Rows that repeat others.
    Duplicate,
    /// Orders that repeat others.
    DuplicateOrder,
    /// Orders whose rows are days apart.
    ScatteredOrder,
    /// Ids that differ by case, spaces or leading zeros.
    IdDrift,
    /// Items that the catalogue does not know.
    Orphan,
    /// Rows that cannot be read.
    Unreadable,
}

impl Kind {
    /// How bad one such event is, beside a kind whose events merely add noise.
    fn weight(self) -> f64 {
        match self {
            Kind::Future | Kind::DatesEverything | Kind::MissingVolume => 1e6,
            Kind::ImpossibleDate | Kind::Gap | Kind::OneMoment => 1e3,
            Kind::Bot | Kind::Reseller | Kind::Placeholder | Kind::Unreadable => 3.0,
            _ => 1.0,
        }
    }
}

impl Finding {
    /// The findings, worst first.
    pub fn worst_first(mut findings: Vec<Finding>) -> Vec<Finding> {
        let badness = |finding: &Finding| finding.kind.weight() * finding.events as f64;
        findings.sort_by(|a, b| badness(b).total_cmp(&badness(a)).then(a.kind.cmp(&b.kind)));
        findings
    }
}
