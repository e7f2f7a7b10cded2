//! The filter of a request: a tree of conditions.

use serde::{Deserialize, Serialize};

/// A filter.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// The condition on an item; none: every item passes.
    pub condition: Option<Condition>,
    /// The context whose offers decide availability and prices; empty for none.
    pub context: String,
    /// Also items that are unavailable or outside of their validity.
    pub include_unavailable: bool,
}

/// A condition. For an item without an entry, only [`Condition::Not`] can hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is in this category, or in one below.
    Category(String),
    /// It is of this brand.
    Brand(String),
    /// It has this tag.
    Tag(String),
    /// It has an attribute of this name with this value.
    Attribute(String, String),
    /// It has a price within these bounds, both inclusive.
    Price(f64, f64),
    /// All of these hold.
    All(Vec<Condition>),
    /// Any of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
}
