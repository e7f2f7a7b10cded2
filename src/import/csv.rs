//! Rows from CSV with any of the usual separators.
//!
//! It goes line by line, so that one bad line costs that line. A record may run over several
//! lines inside quotes, but not over many: a quote that is never closed must not swallow the rest
//! of a log.

use std::collections::VecDeque;

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};

use super::encoding::Text;
use super::lines::{Line, Lines, MAX_LINE_BYTES};
use super::{Broken, Column, Dialect, Places, Reader, Refusal, Row};

/// Most lines of one record.
const MAX_RECORD_LINES: usize = 50;
/// Most blank lines before a header.
const MAX_BLANK_LINES: usize = 100;
/// What spreadsheets write before the header to name the separator.
const SEPARATOR: &[u8] = b"sep=";

/// Reads CSV: its separator is named in a first line (`sep=;`), or the one of tab, semicolon,
/// comma and bar that the header holds most of.
///
/// # Errors
/// A sentence, where a required column is missing.
pub fn open(text: Text, dialect: &Dialect, required: &[Column]) -> Result<Box<dyn Reader>, String> {
    let mut lines = Lines::new(text.input).map_err(|e| e.what)?;
    let mut header = next_filled(&mut lines)?;
    let mut named = None;
    if let Some(separator) = header.strip_prefix(SEPARATOR)
        && let [separator, b'\n'] = separator
    {
        named = Some(*separator);
        header = next_filled(&mut lines)?;
    }

    let count = |separator: u8| header.iter().filter(|&&b| b == separator).count();
    let most = [b',', b'\t', b';', b'|'].into_iter().max_by_key(|&s| (count(s), s == b','));
    let separator = named.or(most).unwrap_or(b',');
    // Any CR that is left is text.
    let core = ReaderBuilder::new().delimiter(separator).terminator(Terminator::Any(b'\n')).build();
    let next_line = lines.line + 1;
    let mut csv = Csv {
        lines,
        transcoded: text.transcoded,
        pending: VecDeque::new(),
        next_line,
        core,
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
    csv.places = dialect.columns.resolve(&csv.header, required)?;
    Ok(Box::new(csv))
}

/// The first line from here that is not blank.
fn next_filled(lines: &mut Lines) -> Result<Vec<u8>, String> {
    let mut line = Vec::new();
    for _ in 0..MAX_BLANK_LINES {
        line.clear();
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
    /// Number of the line that comes next, the pending ones counted.
    next_line: u64,
    core: csv_core::Reader,
    header: Vec<String>,
    places: Places,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl Csv {
    /// Parses a record; the number of its fields, or none where it is not closed.
    fn parse(&mut self, record: &[u8]) -> Option<usize> {
        self.core.reset();
        let (mut read, mut written, mut ended) = (0, 0, 0);
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

    /// The next line; none at the end. An empty one stands for a line that is too long.
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

    /// Reads on for the end of a record that its first line leaves open; puts
    /// everything but that line back where there is none.
    fn join(&mut self, first: &[u8]) -> Result<Option<usize>, Broken> {
        let mut record = first.to_vec();
        let mut taken: VecDeque<Vec<u8>> = VecDeque::new();
        while taken.len() < MAX_RECORD_LINES && record.len() < MAX_LINE_BYTES {
            let Some(line) = self.next_line()? else { break };
            let too_long = line.is_empty();
            record.extend_from_slice(&line);
            taken.push_back(line);
            if too_long {
                break;
            }
            if let Some(count) = self.parse(&record) {
                self.next_line += taken.len() as u64;
                return Ok(Some(count));
            }
        }
        taken.append(&mut self.pending);
        self.pending = taken;
        Ok(None)
    }

    /// Fills the row with the record's fields, none of which may belong to no column.
    fn fill(&self, count: usize, row: &mut Row) -> Result<(), Refusal> {
        let beyond =
            (self.header.len()..count).find(|&field| !self.field(field).trim_ascii().is_empty());
        if let Some(field) = beyond {
            let detail = String::from_utf8_lossy(self.field(field)).into_owned();
            let reason = "the row has more fields than the header";
            return Err(Refusal::new(reason, detail).with_help("is a separator not quoted?"));
        }
        for (column, places) in Column::ALL.into_iter().zip(&self.places.columns) {
            for &place in places.iter().filter(|&&place| place < count) {
                match self.text(place, column.name()) {
                    Ok(text) => row.join(column, text),
                    Err(fault) => row.mark_unreadable(Some(column), fault),
                }
            }
        }
        for (name, places) in &self.places.attributes {
            for &place in places.iter().filter(|&&place| place < count) {
                match self.text(place, name) {
                    Ok(text) => row.join_attribute(name, text),
                    Err(fault) => row.mark_unreadable(None, fault),
                }
            }
        }
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
            let count = match self.parse(&line) {
                Some(count) => Some(count),
                None => self.join(&line)?,
            };
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
}

#[cfg(test)]
mod tests;
