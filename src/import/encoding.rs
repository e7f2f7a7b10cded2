//! Converts a file's bytes to UTF-8.
//!
//! A file is UTF-8 unless it begins with a UTF-16 byte order mark or its encoding is given. UTF-8
//! passes through unchanged, so that one bad byte costs only its field.

use std::io::{self, BufRead, BufReader, Read};
use std::str::FromStr;

use encoding_rs_io::DecodeReaderBytesBuilder;

/// Bytes read at a time.
const BUFFER: usize = 1 << 18;
/// The byte order marks of UTF-16, little and big endian.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// An encoding by its label in the WHATWG Encoding Standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl FromStr for Encoding {
    type Err = String;

    fn from_str(label: &str) -> Result<Self, String> {
        let known = encoding_rs::Encoding::for_label(label.as_bytes());
        known.map(Self).ok_or_else(|| {
            format!(
                "no encoding {label:?}; there are utf-8, utf-16le, gb18030, latin1, shift_jis, \
                     windows-1251 and the others of https://encoding.spec.whatwg.org"
            )
        })
    }
}

/// The text of a file.
pub struct Text {
    /// UTF-8, except for bad bytes of a file that claims to be UTF-8.
    pub input: Box<dyn BufRead>,
    /// Whether it was converted: U+FFFD replaces invalid sequences.
    pub transcoded: bool,
}

/// Reads `input` as text in `encoding`, or as its byte order mark says; removes the mark.
///
/// # Errors
/// Where the first bytes cannot be read.
pub fn decode(input: Box<dyn Read>, encoding: Option<Encoding>) -> io::Result<Text> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let begins = input.fill_buf()?;
    let marked = UTF_16_MARKS.iter().any(|mark| begins.starts_with(mark));
    let named = encoding.map(|encoding| encoding.0);
    let named = named.filter(|&encoding| encoding != encoding_rs::UTF_8);
    let decoder = DecodeReaderBytesBuilder::new()
        .encoding(named)
        .utf8_passthru(true)
        .strip_bom(true)
        .bom_override(true)
        .build(input);

    let input = Box::new(BufReader::with_capacity(BUFFER, decoder));
    Ok(Text { input, transcoded: marked || named.is_some() })
}
