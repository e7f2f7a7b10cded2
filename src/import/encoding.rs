//! Bytes as UTF-8, whatever encoding a file is written in.
//!
//! A file is UTF-8 unless it begins with the mark of UTF-16, or its encoding is named. What is
//! UTF-8 already goes through as it is, so that one bad byte costs its field and no more.

use std::io::{self, BufRead, BufReader, Read};
use std::str::FromStr;

use encoding_rs_io::DecodeReaderBytesBuilder;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;
/// What begins a file in UTF-16, little and big end first.
const UTF_16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// A named encoding, by the labels of the WHATWG Encoding Standard.
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

/// Text of a file.
pub struct Text {
    /// UTF-8, but for bad bytes of a file that is said to be UTF-8.
    pub input: Box<dyn BufRead>,
    /// Whether it was another encoding: U+FFFD stands for what was none.
    pub transcoded: bool,
}

/// Reads `input` as text in `encoding`, or in what its first bytes say; takes the mark off.
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
