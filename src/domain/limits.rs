//! Limits on the fields of requests and imports, and the checks that name them. The api and the
//! importer use the same checks, so a limit has one value. Limits of other inputs are beside their
//! readers: pushed files in `model/pushed/reader.rs`, settings in `model/ranges.rs`, connections
//! in `api/admission`, lines of files in `import/lines.rs`.

use super::Violation;
use super::clock::DAY_MS;
use super::quote::quoted;

/// Maximum length of an external id in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// Maximum length of the name of a store, and of a key.
pub const MAX_NAME_BYTES: usize = 64;
/// Maximum length of a title in bytes.
pub const MAX_TITLE_BYTES: usize = 1_024;
/// Maximum length of an attribute's value in bytes.
pub const MAX_ATTRIBUTE_BYTES: usize = 4_096;
/// Maximum length of a review in bytes.
pub const MAX_REVIEW_BYTES: usize = 16_384;
/// Maximum length of a description in bytes.
pub const MAX_DESCRIPTION_BYTES: usize = 65_536;
/// Maximum number of named vectors of an item.
pub const MAX_EMBEDDINGS: usize = 4;
/// Maximum number of dimensions of a named vector of an item.
pub const MAX_DIMENSIONS: usize = 1_024;
/// Maximum number of categories of an item, and of a filter.
pub const MAX_CATEGORIES: usize = 32;
/// Maximum number of conditions of a filter, nested ones included.
pub const MAX_CONDITIONS: usize = 100;
/// Maximum depth of nested conditions.
pub const MAX_CONDITION_DEPTH: usize = 8;
/// Maximum number of tags, and of attributes, of an item.
pub const MAX_TAGS: usize = 64;
/// Maximum number of paths of an update mask.
pub const MAX_PATHS: usize = 80;
/// Maximum number of events, items, or users in one batch.
pub const MAX_BATCH: usize = 10_000;
/// Maximum length of a list.
pub const MAX_LIMIT: usize = 500;
/// Default length of a list.
pub const DEFAULT_LIMIT: usize = 20;
/// Maximum number of items of a session, and of a basket.
pub const MAX_SESSION_ITEMS: usize = 100;
/// Maximum number of placements of one page.
pub const MAX_PAGE_PLACEMENTS: usize = 16;
/// Maximum number of items to exclude by id.
pub const MAX_EXCLUDED: usize = 1_000;
/// Maximum number of candidates to rank.
pub const MAX_RANKED: usize = 1_000;
/// Maximum number of days in a request: a century.
pub const MAX_DAYS: u32 = 36_500;
/// The last valid end of a validity: the end of the year 9999.
pub const MAX_VALID_MS: i64 = 253_402_300_799_999;
/// Maximum quantity of an event.
pub const MAX_QUANTITY: f64 = 1e9;
/// Maximum price.
pub const MAX_PRICE: f64 = 1e12;
/// How far ahead of the clock an event's time may be.
pub const MAX_AHEAD_MS: i64 = DAY_MS;

/// Checks that an id holds 1 to [`MAX_ID_BYTES`] bytes and no control character.
pub fn id(field: &str, value: &str) -> Result<(), Violation> {
    if value.is_empty() {
        return Err(Violation::new(field, "must hold 1 to 256 bytes, is empty"));
    }
    text(field, value, MAX_ID_BYTES)?;
    if value.chars().any(char::is_control) {
        let message = format!("must hold no control character, was {}", quoted(value));
        return Err(Violation::new(field, message));
    }
    Ok(())
}

/// Checks an id that will be stored: as [`id`], without white space at its ends, so that two ids
/// that look the same are the same. Ids stored by earlier versions can still be looked up.
pub fn new_id(field: &str, value: &str) -> Result<(), Violation> {
    id(field, value)?;
    if value.trim().len() != value.len() {
        let message = format!("must not begin or end with white space, was {}", quoted(value));
        return Err(Violation::new(field, message));
    }
    Ok(())
}

/// Checks the name of a store or of a key, which may become the name of a folder.
pub fn name(field: &str, value: &str) -> Result<(), Violation> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_known = |c: char| is_plain(c) || c == '-' || c == '_';
    let is_short = (1..=MAX_NAME_BYTES).contains(&value.len());
    if is_short && value.starts_with(is_plain) && value.chars().all(is_known) {
        return Ok(());
    }
    let message = format!(
        "must be 1 to {MAX_NAME_BYTES} of a to z, 0 to 9, \"-\" and \"_\", the first a letter or a \
         digit, was {}",
        quoted(value)
    );
    Err(Violation::new(field, message))
}

/// Checks an id that may be empty.
pub fn optional_id(field: &str, value: &str) -> Result<(), Violation> {
    if value.is_empty() { Ok(()) } else { new_id(field, value) }
}

/// Checks that a text has at most `max` bytes.
pub fn text(field: &str, value: &str, max: usize) -> Result<(), Violation> {
    if value.len() > max {
        return Err(Violation::new(
            field,
            format!("must hold at most {max} bytes, holds {}", value.len()),
        ));
    }
    Ok(())
}

/// Checks a text for people: at most `max` bytes, without control characters.
pub fn line(field: &str, value: &str, max: usize) -> Result<(), Violation> {
    text(field, value, max)?;
    if value.chars().any(char::is_control) {
        let message = format!("must hold no control character, was {}", quoted(value));
        return Err(Violation::new(field, message));
    }
    Ok(())
}

/// Checks that a repeated field has `min` to `max` entries.
pub fn count(field: &str, len: usize, min: usize, max: usize) -> Result<(), Violation> {
    if len < min || len > max {
        return Err(Violation::new(field, format!("must have {min} to {max} entries, has {len}")));
    }
    Ok(())
}

/// Checks that a number is finite and within `min..=max`.
pub fn number(field: &str, value: f64, min: f64, max: f64) -> Result<(), Violation> {
    if !(min..=max).contains(&value) {
        let message = format!("must be {min} to {max}, was {}", figure(value));
        return Err(Violation::new(field, message));
    }
    Ok(())
}

/// A number with few digits, whatever its magnitude.
pub fn figure(value: f64) -> String {
    if value == 0.0 || (1e-6..1e15).contains(&value.abs()) || !value.is_finite() {
        value.to_string()
    } else {
        format!("{value:e}")
    }
}

/// Checks that a time lies between 1970 and one day ahead of `now_ms`.
pub fn time(field: &str, time_ms: i64, now_ms: i64) -> Result<(), Violation> {
    if time_ms < 0 {
        return Err(Violation::new(
            field,
            format!("must not be before 1970, was {time_ms} ms since then"),
        ));
    }

    if time_ms > now_ms.saturating_add(MAX_AHEAD_MS) {
        return Err(Violation::new(
            field,
            format!(
                "must be at most one day ahead of the server's clock, was {} days ahead",
                (time_ms - now_ms) / DAY_MS
            ),
        ));
    }
    Ok(())
}

/// Resolves a requested list length: 0 stands for [`DEFAULT_LIMIT`].
pub fn list_length(field: &str, value: i64) -> Result<usize, Violation> {
    match value {
        0 => Ok(DEFAULT_LIMIT),
        1..=500 => Ok(value as usize),
        _ => Err(Violation::new(field, format!("must be 1 to {MAX_LIMIT}, was {value}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_name_the_field_the_limit_and_the_value() {
        let cases: Vec<(Result<(), Violation>, &str)> = vec![
            (id("user_id", ""), "user_id: must hold 1 to 256 bytes, is empty"),
            (id("user_id", &"x".repeat(257)), "user_id: must hold at most 256 bytes, holds 257"),
            (id("item_id", "a\nb"), "item_id: must hold no control character, was \"a\\nb\""),
            (
                new_id("item_id", "a "),
                "item_id: must not begin or end with white space, was \"a \"",
            ),
            (
                optional_id("channel", "a\0"),
                "channel: must hold no control character, was \"a\\0\"",
            ),
            (number("price", 1e300, 0.0, 9.0), "price: must be 0 to 9, was 1e300"),
            (count("events", 0, 1, 10), "events: must have 1 to 10 entries, has 0"),
            (number("price", f64::NAN, 0.0, 9.0), "price: must be 0 to 9, was NaN"),
            (time("time", -1, 0), "time: must not be before 1970, was -1 ms since then"),
            (
                time("time", 10 * DAY_MS, 0),
                "time: must be at most one day ahead of the server's clock, was 10 days ahead",
            ),
            (list_length("limit", 501).map(drop), "limit: must be 1 to 500, was 501"),
            (list_length("limit", -1).map(drop), "limit: must be 1 to 500, was -1"),
        ];

        for (result, expected) in cases {
            assert_eq!(result.unwrap_err().to_string(), expected);
        }

        assert_eq!(list_length("limit", 0), Ok(DEFAULT_LIMIT));
        assert_eq!(id("user_id", &"x".repeat(256)), Ok(()));
    }
}
