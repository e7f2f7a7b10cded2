//! Small JSON files with a checksum, so that a flipped bit is noticed where JSON alone would read
//! another value:
//!
//! ```text
//! {"xxh3_128": "<hex>", "content": …}
//! ```
//! The checksum is of the content's text as written. Files of earlier versions are the content
//! alone; they are read too.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

#[derive(Serialize)]
struct Written<'a> {
    xxh3_128: String,
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Found<'a> {
    xxh3_128: String,
    #[serde(borrow)]
    content: &'a RawValue,
}

fn checksum(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// The file of a value.
///
/// # Errors
/// Where JSON cannot represent it.
pub fn seal(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let content = RawValue::from_string(serde_json::to_string_pretty(value)?)?;
    serde_json::to_vec(&Written { xxh3_128: checksum(content.get()), content: &content })
}

/// The value in a file.
///
/// # Errors
/// What is wrong with its bytes.
pub fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let Ok(found) = serde_json::from_slice::<Found<'_>>(bytes) else {
        return serde_json::from_slice(bytes).map_err(|e| e.to_string());
    };
    if checksum(found.content.get()) != found.xxh3_128 {
        return Err("its bytes do not match its checksum".to_owned());
    }
    serde_json::from_str(found.content.get()).map_err(|e| e.to_string())
}

/// The value in a file that must have a checksum, as it was never written without one.
///
/// # Errors
/// What is wrong with its bytes.
pub fn unseal_strictly<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match serde_json::from_slice::<Found<'_>>(bytes) {
        Ok(_) => unseal(bytes),
        Err(_) => Err("it has no checksum".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Content = BTreeMap<String, f64>;

    fn content() -> Content {
        [("half_life_days", 30.0), ("ρ", 0.95)].map(|(k, v)| (k.to_owned(), v)).into()
    }

    #[test]
    fn every_flipped_bit_is_noticed_or_harmless() {
        let bytes = seal(&content()).unwrap();
        assert_eq!(unseal::<Content>(&bytes), Ok(content()));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = unseal::<Content>(&flipped) {
                assert_eq!(read, content(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_file_of_before_is_read() {
        assert_eq!(
            unseal::<Content>(br#"{"half_life_days": 30.0, "\u03c1": 0.95}"#),
            Ok(content())
        );
        assert_eq!(unseal::<u64>(b"12\n"), Ok(12));
        assert!(unseal::<Content>(b"{").is_err());
    }
}
