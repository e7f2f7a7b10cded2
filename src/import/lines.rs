//! Lines of a text, counted from 1. Every byte of a file belongs to a line.

use std::io::{BufRead, Cursor, Read};

use super::Broken;

/// Maximum length of a line; a longer one is no row of a log.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

/// The line end of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    /// LF, with or without a CR before it; any other CR is text.
    LineFeed,
    /// CR, LF, or CR LF, as in files of the classic Mac OS.
    CarriageReturn,
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// Complete, with LF at its end, whatever the file has there.
    Whole,
    /// Longer than [`MAX_LINE_BYTES`]: its rest was skipped.
    TooLong,
    /// The end of the file.
    End,
}

/// Lines of a file.
pub(super) struct Lines {
    input: Box<dyn BufRead>,
    end: LineEnd,
    /// The number of the line that was read last.
    pub(super) line: u64,
}

impl Lines {
    /// Lines that end with LF.
    pub(super) fn new(input: Box<dyn BufRead>) -> Self {
        Self { input, end: LineEnd::LineFeed, line: 0 }
    }

    /// From here on lines end as the next one does: with CR where one stands before the first LF,
    /// and not right before it.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn settle_end(&mut self) -> Result<(), Broken> {
        let mut ahead = Vec::new();
        let mut part = (&mut self.input).take(MAX_LINE_BYTES as u64);
        part.read_until(b'\n', &mut ahead)
            .map_err(|e| Broken { row: self.line, what: e.to_string() })?;

        let text = ahead.strip_suffix(b"\n").unwrap_or(&ahead);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.contains(&b'\r') {
            self.end = LineEnd::CarriageReturn;
        }

        let input = std::mem::replace(&mut self.input, Box::new(std::io::empty()));
        self.input = Box::new(Cursor::new(ahead).chain(input));
        Ok(())
    }

    /// Appends the next line to `text`.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(super) fn read(&mut self, text: &mut Vec<u8>) -> Result<Line, Broken> {
        let before = text.len();
        let row = self.line;
        let broken = |e: std::io::Error| Broken { row, what: e.to_string() };
        let ended = self.read_line(text).map_err(broken)?;
        if text.len() == before && !ended {
            return Ok(Line::End);
        }

        self.line += 1;
        if !ended && text.len() - before >= MAX_LINE_BYTES {
            self.pass_over().map_err(broken)?;
            return Ok(Line::TooLong);
        }

        text.push(b'\n');
        Ok(Line::Whole)
    }

    /// Appends bytes up to the end of the line, without its end; returns whether it has one.
    fn read_line(&mut self, text: &mut Vec<u8>) -> std::io::Result<bool> {
        let before = text.len();
        let ended = match self.end {
            LineEnd::LineFeed => self.read_until(b'\n', text)?,
            LineEnd::CarriageReturn => self.read_until_either(text)?,
        };
        if ended && self.end == LineEnd::LineFeed && text[before..].ends_with(b"\r") {
            text.pop();
        }
        Ok(ended)
    }

    fn read_until(&mut self, end: u8, text: &mut Vec<u8>) -> std::io::Result<bool> {
        let mut part = (&mut self.input).take(MAX_LINE_BYTES as u64);
        let read = part.read_until(end, text)?;
        Ok(read > 0 && text.pop_if(|last| *last == end).is_some())
    }

    fn read_until_either(&mut self, text: &mut Vec<u8>) -> std::io::Result<bool> {
        let before = text.len();
        while text.len() - before < MAX_LINE_BYTES {
            let bytes = self.input.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let max = bytes.len().min(MAX_LINE_BYTES - (text.len() - before));
            let end = bytes[..max].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            text.extend_from_slice(&bytes[..end.unwrap_or(max)]);
            let Some(end) = end else {
                self.input.consume(max);
                continue;
            };

            let carriage_return = bytes[end] == b'\r';
            self.input.consume(end + 1);
            if carriage_return && self.input.fill_buf()?.first() == Some(&b'\n') {
                self.input.consume(1);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Skips the rest of a line that is too long.
    fn pass_over(&mut self) -> std::io::Result<()> {
        let mut rest = Vec::new();
        loop {
            rest.clear();
            let ended = self.read_line(&mut rest)?;
            if ended || rest.is_empty() {
                return Ok(());
            }
        }
    }
}
