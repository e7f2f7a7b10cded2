//! The token by which a list goes on: the items that its earlier pages showed.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::domain::{ItemIdx, Violation};

/// The form of a token: its first byte.
const FORM: u8 = 1;
/// Maximum number of items of all pages; a list that showed them has no further page.
const MAX_ITEMS: usize = 2_000;

/// The token after these items; empty where there is no further page.
pub fn token(shown: &[ItemIdx]) -> String {
    if shown.is_empty() || shown.len() >= MAX_ITEMS {
        return String::new();
    }
    let items = shown.iter().flat_map(|item| item.to_le_bytes());
    BASE64_URL_SAFE_NO_PAD.encode([FORM].into_iter().chain(items).collect::<Vec<u8>>())
}

/// The items that a token names.
///
/// # Errors
/// Where it is none.
pub fn shown(token: &str) -> Result<Vec<ItemIdx>, Violation> {
    let refused = || Violation::new("page_token", "must be a next_page_token of an answer");
    if token.is_empty() {
        return Ok(Vec::new());
    }
    // Four letters hold three bytes.
    if token.len() > MAX_ITEMS * 4 * 4 / 3 + 8 {
        return Err(refused());
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
    let items = bytes.strip_prefix(&[FORM]).ok_or_else(refused)?;
    let (items, rest) = items.as_chunks::<4>();
    if !rest.is_empty() || items.is_empty() || items.len() > MAX_ITEMS {
        return Err(refused());
    }
    Ok(items.iter().map(|bytes| ItemIdx::from_le_bytes(*bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_what_was_shown_and_nothing_else_is_one() {
        let items = [3, 70_000, 0];
        assert_eq!(shown(&token(&items)).unwrap(), items);
        assert_eq!(token(&[]), "");
        assert_eq!(token(&[1; MAX_ITEMS]), "");
        let long = "A".repeat(100_000);
        for wrong in ["x", "20", "AQ", "AQAA", "AgAAAAA", "🎉", &long] {
            let refused = shown(wrong).unwrap_err().to_string();
            assert_eq!(refused, "page_token: must be a next_page_token of an answer", "{wrong}");
        }
    }
}
