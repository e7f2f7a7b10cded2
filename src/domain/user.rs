//! What the store knows of a shopper, besides what they did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quote::quoted;
use super::{Violation, limits};

/// A shopper; their id lives in the vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Country, device, segment and whatever else is known.
    pub attributes: BTreeMap<String, String>,
    /// Whether their behaviour may be used for lists, theirs and others'.
    pub consent: bool,
}

impl Default for User {
    /// A shopper of whom nothing is known, and who has not objected.
    fn default() -> Self {
        Self { attributes: BTreeMap::new(), consent: true }
    }
}

impl User {
    /// About what it takes in memory.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len() + 16);
        size_of::<User>() + attributes.sum::<usize>()
    }

    /// Checks every limit; the violation names the field.
    pub fn validate(&self) -> Result<(), Violation> {
        attributes(&self.attributes)
    }
}

/// Checks what is said of a shopper.
pub fn attributes(given: &BTreeMap<String, String>) -> Result<(), Violation> {
    limits::count("attributes", given.len(), 0, limits::MAX_TAGS)?;
    for (name, value) in given {
        limits::new_id("attributes key", name)?;
        limits::new_id(&format!("attributes[{}]", quoted(name)), value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_short_words() {
        let user = |name: &str, value: &str| User {
            attributes: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            ..User::default()
        };
        assert_eq!(user("country", "SE").validate(), Ok(()));
        assert_eq!(user("", "SE").validate().unwrap_err().field, "attributes key");
        let long = user("country", &"x".repeat(257)).validate().unwrap_err();
        assert_eq!(long.field, "attributes[\"country\"]");
    }
}
