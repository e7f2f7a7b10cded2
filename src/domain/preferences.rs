//! What a user decided of their data: whether lists follow what they do, whether it is recorded, and what is
//! not to be believed of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::quote::quoted;
use super::{Item, Violation, limits};

/// Maximum number of removed tags of a user.
const MAX_REMOVED: usize = 1_000;
/// Longest tag in bytes: its kind, and an id.
const MAX_TAG_BYTES: usize = limits::MAX_ID_BYTES + 32;

/// A user's decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    /// Whether lists may follow what they do.
    pub personalised: bool,
    /// Whether what they do is recorded; always where lists follow it.
    pub recorded: bool,
    /// Tags that are not to be believed of them, as "category:tea/green".
    pub removed_tags: BTreeSet<String>,
}

impl Default for Preferences {
    /// Those of a user who decided nothing.
    fn default() -> Self {
        Self { personalised: true, recorded: true, removed_tags: BTreeSet::new() }
    }
}

/// A change of a user's decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PreferenceChange {
    /// Whether lists follow what they do, and whether it is recorded.
    Personalisation {
        /// Whether lists follow it.
        personalised: bool,
        /// Whether it is recorded.
        recorded: bool,
    },
    /// A tag that is not to be believed.
    RemoveTag(String),
}

impl PreferenceChange {
    /// The decisions after the change.
    ///
    /// # Errors
    /// Where there would be too many removed tags.
    pub fn applied(&self, before: &Preferences) -> Result<Preferences, Violation> {
        let mut after = before.clone();
        match self {
            PreferenceChange::Personalisation { personalised, recorded } => {
                (after.personalised, after.recorded) = (*personalised, *recorded);
            }
            PreferenceChange::RemoveTag(tag) => {
                after.removed_tags.insert(plain(tag));
                limits::count("tags", after.removed_tags.len(), 0, MAX_REMOVED)?;
            }
        }
        Ok(after)
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            PreferenceChange::Personalisation { .. } => size_of::<Self>(),
            PreferenceChange::RemoveTag(tag) => size_of::<Self>() + tag.len(),
        }
    }

    /// Checks every limit; the violation names the field.
    pub fn validate(&self) -> Result<(), Violation> {
        match self {
            PreferenceChange::Personalisation { personalised: true, recorded: false } => {
                let message =
                    "must be true where personalisation is on: lists follow what is recorded";
                Err(Violation::new("record_events", message))
            }
            PreferenceChange::Personalisation { .. } => Ok(()),
            PreferenceChange::RemoveTag(tag) => {
                limits::text("tag", tag, MAX_TAG_BYTES)?;
                if Tag::KINDS.iter().any(|kind| is_of_kind(tag, kind)) {
                    return Ok(());
                }
                let kinds = Tag::KINDS.join(", ");
                let message = format!("must be one of {kinds}, with its name, was {}", quoted(tag));
                Err(Violation::new("tag", message))
            }
        }
    }
}

/// A tag as it is compared: categories without slashes at their ends.
fn plain(tag: &str) -> String {
    match tag.strip_prefix(Tag::CATEGORY) {
        Some(path) => format!("{}{}", Tag::CATEGORY, path.trim_matches('/')),
        None => tag.to_owned(),
    }
}

/// Kinds of tags.
#[derive(Debug)]
pub struct Tag;

impl Tag {
    /// A category, and those below it.
    pub const CATEGORY: &'static str = "category:";
    /// A brand.
    pub const BRAND: &'static str = "brand:";
    /// A channel.
    pub const CHANNEL: &'static str = "channel:";
    /// An item of the usual basket, or one that is due.
    pub const ITEM: &'static str = "item:";
    /// What the user pays.
    pub const PRICES: &'static str = "prices";
    /// Hours and weekdays.
    pub const TIMES: &'static str = "times";

    /// Every kind; those that end with a colon have a name.
    pub const KINDS: [&'static str; 6] =
        [Tag::CATEGORY, Tag::BRAND, Tag::CHANNEL, Tag::ITEM, Tag::PRICES, Tag::TIMES];
}

fn is_of_kind(tag: &str, kind: &str) -> bool {
    if kind.ends_with(':') { tag.len() > kind.len() && tag.starts_with(kind) } else { tag == kind }
}

impl Preferences {
    /// Whether they are those of a user who decided nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a tag is not to be believed.
    pub fn has_removed(&self, kind: &str, name: &str) -> bool {
        !self.removed_tags.is_empty() && self.removed_tags.contains(&format!("{kind}{name}"))
    }

    /// Whether an item says nothing of the user, since a tag that it carries was removed.
    ///
    /// Of an item that the catalogue has no longer, its tags are not known: it says nothing where any tag of
    /// items was removed.
    pub fn ignores(&self, item_id: &str, item: Option<&Item>) -> bool {
        if self.removed_tags.is_empty() {
            return false;
        }
        let of_items =
            |tag: &String| [Tag::CATEGORY, Tag::BRAND].iter().any(|kind| tag.starts_with(kind));
        let of_item = match item {
            Some(item) => {
                self.has_removed(Tag::BRAND, &item.brand)
                    || item.category_paths().any(|path| self.has_removed(Tag::CATEGORY, path))
            }
            None => self.removed_tags.iter().any(of_items),
        };
        of_item || self.has_removed(Tag::ITEM, item_id)
    }

    /// Approximate bytes in memory.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.removed_tags.iter().map(|tag| tag.len() + 40).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_tag_silences_its_items_alone() {
        let remove = |tag: &str| PreferenceChange::RemoveTag(tag.into());
        let none = Preferences::default();
        let after = remove("category:tea").applied(&none).unwrap();
        let after = remove("brand:Kiln").applied(&after).unwrap();
        let item = |category: &str, brand: &str| Item {
            categories: vec![category.into()],
            brand: brand.into(),
            ..Item::default()
        };
        assert!(after.ignores("a", Some(&item("tea/green", ""))));
        assert!(after.ignores("a", Some(&item("cups", "Kiln"))));
        assert!(!after.ignores("a", Some(&item("teapots", "Other"))) && after.ignores("a", None));
        let slashed = remove("category:/tea/").applied(&none).unwrap();
        assert!(slashed.ignores("a", Some(&item("/tea/", ""))));
        assert!(!none.ignores("a", Some(&item("tea", "Kiln"))) && none.is_default());
    }

    #[test]
    fn tags_and_contradictions_are_checked() {
        let field = |change: PreferenceChange| change.validate().unwrap_err().field;
        for tag in ["", "colour:red", "category:", "prices:low"] {
            assert_eq!(field(PreferenceChange::RemoveTag(tag.into())), "tag", "{tag}");
        }
        for tag in ["category:tea", "prices", "times", "item:a", "channel:app"] {
            assert_eq!(PreferenceChange::RemoveTag(tag.into()).validate(), Ok(()), "{tag}");
        }
        let set =
            |personalised, recorded| PreferenceChange::Personalisation { personalised, recorded };
        assert_eq!(field(set(true, false)), "record_events");
        assert_eq!(set(false, false).validate(), Ok(()));

        let mut full = Preferences::default();
        full.removed_tags.extend((0..MAX_REMOVED).map(|n| format!("item:{n}")));
        let one_more = PreferenceChange::RemoveTag("item:x".into());
        assert_eq!(one_more.applied(&full).unwrap_err().field, "tags");
    }
}
