//! The wall clock.

/// Milliseconds in a day.
pub const DAY_MS: i64 = 86_400_000;

/// The wall clock, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
