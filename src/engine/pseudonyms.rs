//! Names of users in the store: their external ids or, where the store has a key, keyed hashes
//! of these (BLAKE3, 128 bits). The same id gives the same name, and without the key neither
//! can be derived from the other.

use std::borrow::Cow;

use super::options::DEFAULT_STORE;

/// Minimum length of the key in bytes.
pub const MIN_KEY_BYTES: usize = 16;
/// Context of the key derivation: other uses of the same secret give other keys.
const CONTEXT: &str = "qianmian 2026-11-22 pseudonyms of users";

/// Maps external ids of users to their names in the store.
#[derive(Clone, Default)]
pub struct Pseudonyms {
    key: Option<[u8; blake3::KEY_LEN]>,
}

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pseudonyms").field("keyed", &self.key.is_some()).finish()
    }
}

impl Pseudonyms {
    /// Hashes with a key derived from `secret`, another for each store; keeps external ids where it
    /// is empty.
    pub fn new(secret: &str, store: &str) -> Self {
        // Data folders of one store have the key of before there were several.
        let material = match store {
            DEFAULT_STORE => secret.as_bytes().to_vec(),
            other => [secret.as_bytes(), b"\0", other.as_bytes()].concat(),
        };
        let derive = || blake3::derive_key(CONTEXT, &material);
        Self { key: (!secret.is_empty()).then(derive) }
    }

    /// Whether the store has a key.
    pub fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    /// A fingerprint of the key: differs between keys and reveals nothing of them.
    pub fn fingerprint(&self) -> Option<String> {
        self.key.map(|key| hex(blake3::keyed_hash(&key, b"\0fingerprint")))
    }

    /// The name of a user in the store.
    pub fn of<'a>(&self, id: &'a str) -> Cow<'a, str> {
        match self.key {
            None => Cow::Borrowed(id),
            Some(key) => Cow::Owned(hex(blake3::keyed_hash(&key, id.as_bytes()))),
        }
    }
}

/// The first 128 bits of a hash, in hexadecimal.
fn hex(hash: blake3::Hash) -> String {
    hash.to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_key() {
        let none = Pseudonyms::default();
        let one = Pseudonyms::new("a", DEFAULT_STORE);
        let two = Pseudonyms::new("b", DEFAULT_STORE);
        let elsewhere = Pseudonyms::new("a", "eu");
        assert_ne!(one.of("anna"), elsewhere.of("anna"), "stores cannot be joined");
        assert_eq!((none.of("anna").as_ref(), none.fingerprint()), ("anna", None));
        assert_eq!(one.of("anna"), one.clone().of("anna"));
        assert_eq!(one.of("anna").len(), 32);
        assert_ne!(one.of("anna"), one.of("ben"));
        assert_ne!(one.of("anna"), two.of("anna"));
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert!(!format!("{one:?}").contains('['), "the key is not shown");
    }
}
