//! Users: attributes and consent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quote::quoted;
use super::{Violation, limits};

/// A user; their id is in the vocabulary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Country, device, segment and other attributes.
    pub attributes: BTreeMap<String, String>,
    /// Whether their events may be used for lists, their own and others'.
    pub consent: bool,
}

impl Default for User {
    /// A user without attributes who consents.
    fn default() -> Self {
        Self { attributes: BTreeMap::new(), consent: true }
    }
}

impl User {
    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len() + 16);
        size_of::<User>() + attributes.sum::<usize>()
    }

    /// Checks every limit; the violation names the field.
    pub fn validate(&self) -> Result<(), Violation> {
        attributes(&self.attributes)
    }
}

/// Checks the attributes of a user.
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
