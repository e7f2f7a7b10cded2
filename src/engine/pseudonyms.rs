//! What users are called in the store: as they are called outside or, where the store has
//! a key, by a keyed hash of that (BLAKE3, 128 bits): the same for the same id, and without
//! the key nobody can go from one to the other.

use std::borrow::Cow;

use super::committer::Write;

/// Shortest key in bytes.
pub const MIN_KEY_BYTES: usize = 16;
/// What the key is derived for: other uses of the same secret give other keys.
const CONTEXT: &str = "qianmian 2026-11-22 pseudonyms of users";

/// Names of users inside.
#[derive(Clone, Default)]
pub(super) struct Pseudonyms {
    key: Option<[u8; blake3::KEY_LEN]>,
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pseudonyms").field("keyed", &self.key.is_some()).finish()
    }
}

impl Pseudonyms {
    /// Names by this secret; as outside where it is empty.
    pub(super) fn new(secret: &str) -> Self {
        let derive = || blake3::derive_key(CONTEXT, secret.as_bytes());
        Self { key: (!secret.is_empty()).then(derive) }
    }

    /// What tells one key from another and says nothing else of it.
    pub(super) fn fingerprint(&self) -> Option<String> {
        self.key.map(|key| hex(blake3::keyed_hash(&key, b"\0fingerprint")))
    }

    /// What a user is called inside.
    pub(super) fn of<'a>(&self, id: &'a str) -> Cow<'a, str> {
        match self.key {
            None => Cow::Borrowed(id),
            Some(key) => Cow::Owned(hex(blake3::keyed_hash(&key, id.as_bytes()))),
        }
    }

    /// A write with the names inside. An import has put them in itself: it knows rows again
    /// by them.
    pub(super) fn of_write(&self, mut write: Write) -> Write {
        if self.key.is_some() {
            match &mut write {
                Write::Events(events) => {
                    events.iter_mut().for_each(|e| self.rename(&mut e.user_id))
                }
                Write::Users(users) => users.iter_mut().for_each(|(id, _)| self.rename(id)),
                Write::Erase(id, _) => self.rename(id),
                Write::Items(_)
                | Write::Availability(..)
                | Write::DeleteItem(_)
                | Write::Imported(..)
                | Write::Seal
                | Write::Flush => {}
            }
        }
        write
    }

    fn rename(&self, id: &mut String) {
        *id = self.of(id).into_owned();
    }
}

/// The first half of a hash.
fn hex(hash: blake3::Hash) -> String {
    hash.to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_key() {
        let (none, one, two) = (Pseudonyms::default(), Pseudonyms::new("a"), Pseudonyms::new("b"));
        assert_eq!((none.of("anna").as_ref(), none.fingerprint()), ("anna", None));
        assert_eq!(one.of("anna"), one.clone().of("anna"));
        assert_eq!(one.of("anna").len(), 32);
        assert_ne!(one.of("anna"), one.of("ben"));
        assert_ne!(one.of("anna"), two.of("anna"));
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert!(!format!("{one:?}").contains('['), "the key is not shown");
    }
}
