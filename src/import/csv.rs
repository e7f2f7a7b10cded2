//! Rows from CSV with any of the usual separators.
//!
//! Reading goes line by line, so that one bad line costs only that line. A record may span several
//! lines inside quotes; a quote that is never closed, or closed by a later stray quote, must not
//! swallow the rest of a log.

use std::borrow::Cow;
use std::collections::VecDeque;

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

use super::encoding::Text;
use super::lines::{Line, Lines, MAX_LINE_BYTES};
use super::{Broken, Column, Dialect, Places, Reader, Refusal, Row};

/// Maximum number of blank lines before a header.
const MAX_BLANK_LINES: usize = 100;
/// The line with which spreadsheets name the separator, before the header.
const SEPARATOR: &[u8] = b"sep=";

/// Opens CSV. The separator is named in a first line (`sep=;`); otherwise it is the most frequent
/// of tab, semicolon, comma and bar in the header.
///
/// # Errors
/// Where a required column is missing.
pub fn open(text: Text, dialect: &Dialect, required: &[Column]) -> Result<Box<dyn Reader>, String> {
    let mut lines = Lines::new(text.input);
    let mut header = next_filled(&mut lines)?;
    let named = named_separator(&header);
    if named.is_some() {
        header = next_filled(&mut lines)?;
    }

    let separator = named.unwrap_or_else(|| most_frequent_separator(&header));
    // A column's name may span several lines.
    while Quoting::Field.after(&header, separator) == Quoting::Open {
        let line = lines.read(&mut header).map_err(|e| e.what)?;
        if line != Line::Whole || header.len() > MAX_LINE_BYTES {
            return Err("the header has a quote that is never closed".to_owned());
        }
    }

    // Any CR that remains is text.
    let core = ReaderBuilder::new().delimiter(separator).terminator(Terminator::Any(b'\n')).build();
    let next_line = lines.line + 1;
    let mut csv = Csv {
        lines,
        transcoded: text.transcoded,
        pending: VecDeque::new(),
        next_line,
        core,
        separator,
        is_log: required.contains(&Column::Timestamp),
        header: Vec::new(),
        places: Places::default(),
        fields: vec![0; 4096],
        ends: vec![0; 64],
    };

    let width = csv.parse(&header).ok_or("the header has a quote that is never closed")?;
    let names = (0..width).map(|field| String::from_utf8(csv.field(field).to_vec()));
    csv.header = names.collect::<Result<_, _>>().map_err(
        |_| "the header is not UTF-8; name the file's encoding with --encoding gb18030, latin1, …",
    )?;
    csv.places = dialect.columns.of_file(&csv.header, required)?;
    Ok(Box::new(csv))
}

/// The separator that a line names, if it is such a line.
fn named_separator(line: &[u8]) -> Option<u8> {
    let line: Vec<u8> = line.trim_ascii_end().iter().copied().filter(|&b| b != b'"').collect();
    let named = line.len() > SEPARATOR.len() && line[..4].eq_ignore_ascii_case(SEPARATOR);
    // A tab at the end is white space.
    let tab = line.len() == SEPARATOR.len() && line.eq_ignore_ascii_case(SEPARATOR);
    if tab { Some(b'\t') } else { named.then(|| line[4]) }
}

fn most_frequent_separator(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b'\t', 0), (b';', 0), (b'|', 0)];
    for &byte in header {
        quoted ^= byte == b'"';
        let counted = counts.iter_mut().filter(|(separator, _)| *separator == byte && !quoted);
        counted.for_each(|(_, count)| *count += 1);
    }
    let max = counts.into_iter().max_by_key(|&(separator, count)| (count, separator == b','));
    max.map_or(b',', |(separator, _)| separator)
}

/// The next line that is not blank.
fn next_filled(lines: &mut Lines) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    for _ in 0..MAX_BLANK_LINES {
        line.clear();
        lines.settle_end().map_err(|e| e.what)?;
        match lines.read(&mut line).map_err(|e| e.what)? {
            Line::End => return Err("the file is empty".to_owned()),
            Line::TooLong => return Err("the header is longer than 1 MiB".to_owned()),
            Line::Whole if line.contains(&0) => {
                let message = "the file looks like UTF-16 without its mark; name it with \
                               --encoding utf-16le or utf-16be";
                return Err(message.to_owned());
            }
            Line::Whole if line.trim_ascii().is_empty() => {}
            Line::Whole => return Ok(line),
        }
    }
    Err(format!("the file begins with {MAX_BLANK_LINES} blank lines and no header"))
}

struct Csv {
    lines: Lines,
    transcoded: bool,
    /// Lines read ahead of an unclosed quote, to be read again one by one.
    pending: VecDeque<Vec<u8>>,
    /// Number of the next line, pending ones included.
    next_line: u64,
    core: csv_core::Reader,
    separator: u8,
    /// Whether rows have a time, which tells rows from lines of text.
    is_log: bool,
    header: Vec<String>,
    places: Places,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl Csv {
    /// Parses a record; returns the number of its fields, or none where a quote is open.
    fn parse(&mut self, record: &[u8]) -> Option<usize> {
        self.core.reset();
        let mut read = 0;
        let mut written = 0;
        let mut ended = 0;
        loop {
            let (result, n, w, e) = self.core.read_record(
                &record[read..],
                &mut self.fields[written..],
                &mut self.ends[ended..],
            );

            (read, written, ended) = (read + n, written + w, ended + e);
            match result {
                ReadRecordResult::OutputFull => self.fields.resize(2 * self.fields.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::Record | ReadRecordResult::End => return Some(ended),
                ReadRecordResult::InputEmpty => return None,
            }
        }
    }

    fn field(&self, field: usize) -> &[u8] {
        let start = if field == 0 { 0 } else { self.ends[field - 1] };
        &self.fields[start..self.ends[field]]
    }

    /// The next line; none at the end. A line that is too long is returned empty.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if let Some(line) = self.pending.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::with_capacity(128);
        Ok(match self.lines.read(&mut line)? {
            Line::Whole => Some(line),
            Line::TooLong => Some(Vec::new()),
            Line::End => None,
        })
    }

    /// Reads on for the end of a record whose first line leaves a quote open. Where there is no
    /// end, or where the quote that ends it seems to belong to a row of its own, only the first
    /// line is taken; of a catalogue, in which any line may look like a row, all lines are.
    fn join(&mut self, first: &[u8]) -> Result<Option<usize>, Broken> {
        let mut record = first.to_vec();
        let mut taken: VecDeque<Vec<u8>> = VecDeque::new();
        let mut quoting = Quoting::Field.after(first, self.separator);
        while quoting == Quoting::Open && record.len() < MAX_LINE_BYTES {
            let Some(line) = self.next_line()? else { break };
            let too_long = line.is_empty();
            quoting = quoting.after(&line, self.separator);
            record.extend_from_slice(&line);
            taken.push_back(line);
            if too_long {
                break;
            }
        }

        if quoting == Quoting::Closed {
            let ends_in_a_row = !first.starts_with(b"\"") && self.is_row(taken.back());
            if !ends_in_a_row || !self.is_log {
                self.next_line += taken.len() as u64;
                return Ok(self.parse(&record).filter(|_| !ends_in_a_row));
            }
        }

        taken.append(&mut self.pending);
        self.pending = taken;
        Ok(None)
    }

    /// Whether a line alone has as many fields as the header.
    fn is_row(&self, line: Option<&Vec<u8>>) -> bool {
        let separators = |line: &Vec<u8>| line.iter().filter(|&&b| b == self.separator).count();
        line.is_some_and(|line| separators(line) + 1 >= self.header.len())
    }

    /// Fills the row with the record's fields; a field without a column is refused.
    fn fill(&self, count: usize, row: &mut Row) -> Result<(), Refusal> {
        let beyond =
            (self.header.len()..count).find(|&field| !self.field(field).trim_ascii().is_empty());
        if let Some(field) = beyond {
            let detail = String::from_utf8_lossy(self.field(field)).into_owned();
            let reason = "the row has more fields than the header";
            return Err(Refusal::new(reason, detail).with_help("is a separator not quoted?"));
        }

        row.fill(&self.places, |place, column| {
            let name = column.map_or("an attribute", Column::name);
            (place < count).then(|| self.text(place, name).map(Cow::Borrowed))
        });
        Ok(())
    }

    fn text(&self, place: usize, name: &str) -> Result<&str, Refusal> {
        let bytes = self.field(place);
        let lossy = || String::from_utf8_lossy(bytes).into_owned();
        match std::str::from_utf8(bytes) {
            Ok(text) if self.transcoded && text.contains('\u{fffd}') => {
                let reason = format!("{name} is not in the encoding that is named");
                Err(Refusal::new(reason, lossy()).with_help("--encoding"))
            }
            Ok(text) => Ok(text),
            Err(_) => Err(not_utf_8(name, lossy())),
        }
    }
}

/// State of a record read byte by byte, by RFC 4180; a quote within an unquoted field is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// At the start of a field.
    Field,
    /// Within an unquoted field.
    Text,
    /// Within a quoted field.
    Open,
    /// After a quote within a quoted field: its end, or the first half of an escaped quote.
    Quote,
    /// At the end, every quoted field closed.
    Closed,
    /// Text follows the end of a quoted field.
    Broken,
}

impl Quoting {
    /// The state after these bytes.
    fn after(self, bytes: &[u8], separator: u8) -> Self {
        bytes.iter().fold(self, |at, &byte| match (at, byte) {
            (Quoting::Broken, _) => Quoting::Broken,
            (Quoting::Open, b'"') => Quoting::Quote,
            (Quoting::Open, _) | (Quoting::Quote, b'"') => Quoting::Open,
            (_, b'\n') => Quoting::Closed,
            (_, byte) if byte == separator => Quoting::Field,
            (Quoting::Quote, _) => Quoting::Broken,
            (Quoting::Field, b'"') => Quoting::Open,
            _ => Quoting::Text,
        })
    }
}

/// A value that is not UTF-8.
pub(super) fn not_utf_8(name: &str, detail: String) -> Refusal {
    let help = "the file's encoding: --encoding gb18030, latin1, …";
    Refusal::new(format!("{name} is not UTF-8"), detail).with_help(help)
}

impl Reader for Csv {
    fn next(&mut self, row: &mut Row) -> Result<Option<Result<(), Refusal>>, Broken> {
        loop {
            row.clear();
            let Some(line) = self.next_line()? else { return Ok(None) };
            row.line = self.next_line;
            self.next_line += 1;
            if line.is_empty() {
                return Ok(Some(Err(Refusal::new("the line is longer than 1 MiB", ""))));
            }

            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }

            let whole = self.parse(&line);
            if line.windows(2).any(|pair| pair == b"\\\"")
                && Quoting::Field.after(&line, self.separator) == Quoting::Broken
            {
                let detail = String::from_utf8_lossy(text).into_owned();
                let refusal = Refusal::new("a backslash stands before a quote", detail);
                return Ok(Some(Err(refusal.with_help("a quote within quotes is doubled"))));
            }

            let count = match whole {
                Some(count) => Some(count),
                None => self.join(&line)?,
            };

            // Spreadsheets write rows of empty cells only.
            if count
                .is_some_and(|count| (0..count).all(|at| self.field(at).trim_ascii().is_empty()))
            {
                continue;
            }
            let Some(count) = count else {
                let detail = String::from_utf8_lossy(text).into_owned();
                return Ok(Some(Err(Refusal::new("a quote is never closed", detail))));
            };
            return Ok(Some(self.fill(count, row)));
        }
    }

    fn header(&self) -> &[String] {
        &self.header
    }

    fn unread(&self) -> Vec<&str> {
        self.places.unread(&self.header)
    }
}

#[cfg(test)]
mod tests;
