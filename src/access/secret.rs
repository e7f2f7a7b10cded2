//! Secrets of keys: 256 random bits, of which only a hash is stored. A secret with that much
//! entropy cannot be found from its hash by trying, so that a fast hash serves (a slow one such as
//! argon2 is for passwords).

use crate::domain::Secret;
use crate::domain::hex::hex;

/// How a secret begins, by which scanners of leaked secrets can find it.
const PREFIX: &str = "qm_";
/// Length of a secret in bytes.
const BYTES: usize = 32;
/// The longest text that is hashed: longer ones are no secret.
const MAX_BYTES: usize = 256;

/// The BLAKE3 hash of a secret, in hexadecimal.
pub type SecretHash = String;

/// A new secret: `qm_` and 64 hexadecimal digits.
///
/// # Errors
/// Where the system gives no random numbers.
pub fn generate() -> Result<Secret, std::io::Error> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(Secret::new(format!("{PREFIX}{}", hex(&bytes))))
}

/// The hash under which a secret is stored; none for a text that is no secret.
pub fn hash(secret: &str) -> Option<SecretHash> {
    let is_one = secret.starts_with(PREFIX) && secret.len() <= MAX_BYTES;
    is_one.then(|| blake3::hash(secret.as_bytes()).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_are_recognised() {
        let one = generate().unwrap();
        let other = generate().unwrap();
        assert_eq!(one.reveal().len(), 67);
        assert_ne!(hash(one.reveal()), hash(other.reveal()));
        assert_eq!(hash(one.reveal()).unwrap().len(), 64);
        assert_eq!(hash("password"), None);
        assert_eq!(hash(&format!("qm_{}", "a".repeat(300))), None);
    }
}
