//! The identity of a log's rows.

use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{Event, HideScope};

/// A hash of all fields of an event. Sixty-four bits: among twenty million rows, two share one with
/// a chance of 1 in 100,000. `bytes` is memory to reuse.
pub fn hash(event: &Event, bytes: &mut Vec<u8>) -> u64 {
    bytes.clear();
    for text in
        [&event.user_id, &event.item_id, &event.basket_id, &event.session_id, &event.event_id]
    {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.push(event.kind as u8);
    bytes.extend_from_slice(&event.time_ms.to_le_bytes());
    bytes.extend_from_slice(&event.quantity.to_le_bytes());

    for number in [event.price, event.rating] {
        bytes.extend_from_slice(&number.unwrap_or(f64::NAN).to_le_bytes());
    }

    // Events imported before these fields existed keep their hash.
    let texts = [&event.channel, &event.recommendation_id, &event.reason];
    for (tag, text) in [1, 2, 3].into_iter().zip(texts).chain([(6, &event.review)]) {
        if !text.is_empty() {
            bytes.push(tag);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    if event.scope != HideScope::Item {
        bytes.extend_from_slice(&[4, event.scope as u8]);
    }
    if let Some(dwell_ms) = event.dwell_ms {
        bytes.push(5);
        bytes.extend_from_slice(&dwell_ms.to_le_bytes());
    }
    if let Some(sentiment) = event.sentiment {
        bytes.push(7);
        bytes.extend_from_slice(&sentiment.to_le_bytes());
    }
    xxh3_64(bytes)
}

/// An id without what may differ between two spellings of it: surrounding spaces, case, leading
/// zeros.
pub fn unified(id: &str) -> String {
    let trimmed = id.trim().to_uppercase();
    let bare = trimmed.trim_start_matches('0');
    match bare.chars().next() {
        // Zeros before a letter are part of a code.
        Some(first) if first.is_ascii_digit() => bare.to_owned(),
        None if !trimmed.is_empty() => "0".to_owned(),
        _ => trimmed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_id_are_unified() {
        for (id, same) in [
            ("85123a", "85123A"),
            (" 85123A ", "85123A"),
            ("00123", "123"),
            ("0", "0"),
            ("000", "0"),
            ("0A1", "0A1"),
            ("é", "É"),
            ("", ""),
        ] {
            assert_eq!(unified(id), same, "{id:?}");
        }
    }
}
