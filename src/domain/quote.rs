//! Text from outside, made safe to quote: truncated and escaped in messages, without control
//! sequences on a terminal.

/// Maximum number of quoted characters.
const QUOTED: usize = 100;

/// A text in quotation marks, control characters escaped, truncated after 100 characters.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

/// The first `max` bytes of a text, cut at a character's boundary.
pub fn head(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// The first `max` bytes of a message, cut at a character's boundary.
pub fn clipped(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(head(&text, max).len());
        text.push('…');
    }
    text
}

/// A text as one line for a terminal: control characters and bidirectional overrides become U+FFFD.
pub fn printable(text: &str) -> String {
    let harmless = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns { '\u{fffd}' } else { c }
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_short_and_harmless() {
        assert_eq!(quoted("a\n\u{1b}[2J"), "\"a\\n\\u{1b}[2J\"");
        let long = quoted(&"茶".repeat(3_000_000));
        assert!(long.len() < 400 && long.ends_with("(9000000 bytes)"), "{long}");
        assert_eq!(clipped("茶茶".to_owned(), 4), "茶…");
        assert_eq!(clipped("tea".to_owned(), 3), "tea");
        assert_eq!(printable("tea\u{1b}[31m\ncup\u{202e}"), "tea\u{fffd}[31m\u{fffd}cup\u{fffd}");
    }
}
