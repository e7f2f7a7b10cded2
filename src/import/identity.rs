//! The identity of a log's rows.

use xxhash_rust::xxh3::xxh3_64;

use crate::domain::Event;

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
    for (tag, text) in [(1, &event.channel), (2, &event.recommendation_id)] {
        if !text.is_empty() {
            bytes.push(tag);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    xxh3_64(bytes)
}
