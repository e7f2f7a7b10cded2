//! Which items a list may offer, as a request asks: a tree of conditions.

/// Which items a list may offer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// What must hold of an item; none: nothing need hold.
    pub condition: Option<Condition>,
    /// Also items that cannot be bought now: marked so, or outside their validity.
    pub include_unavailable: bool,
}

/// What must hold of an item. Of an item that the catalogue knows nothing of, only
/// [`Condition::Not`] ever holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// It is in this category, or below it.
    Category(String),
    /// It is of this brand.
    Brand(String),
    /// It has this tag.
    Tag(String),
    /// It has an attribute of this name with this value.
    Attribute(String, String),
    /// It has a price, from the first to the second, both included.
    Price(f64, f64),
    /// All of these hold.
    All(Vec<Condition>),
    /// Any of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
}
