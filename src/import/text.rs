//! Rows from text: CSV with any of the usual separators, and JSON Lines.
//!
//! Both go line by line, so that one bad line costs that line. A CSV record may
//! run over several lines inside quotes, but not over many: a quote that is never
//! closed must not swallow the rest of a log.

use std::collections::VecDeque;
use std::io::{BufRead, Read};

use csv_core::{ReadRecordResult, ReaderBuilder};
use serde_json::Value;

use super::{Broken, Column, ColumnMap, Reader, Refusal, Row};

type Places = [Vec<usize>; Column::ALL.len()];

/// Longest line of text that is read; a longer one is no row of a log.
const MAX_LINE_BYTES: usize = 1 << 20;
/// Most lines of one CSV record.
const MAX_RECORD_LINES: usize = 50;

/// Lines of a file, counted from 1.
struct Lines {
    input: Box<dyn BufRead>,
    line: u64,
}

impl Lines {
    /// Appends the next line, its end included, to `text`; false at the end.
    /// Of a line that is too long the rest is passed over.
    fn read(&mut self, text: &mut Vec<u8>) -> Result<bool, Broken> {
        let broken = |line: u64, e: std::io::Error| Broken { row: line, what: e.to_string() };
        let before = text.len();
        let limit = MAX_LINE_BYTES as u64;
        let mut part = (&mut self.input).take(limit);
        if part.read_until(b'\n', text).map_err(|e| broken(self.line, e))? == 0 {
            return Ok(false);
        }
        self.line += 1;
        if text.len() - before == MAX_LINE_BYTES && text.last() != Some(&b'\n') {
            self.input.skip_until(b'\n').map_err(|e| broken(self.line, e))?;
        }
        Ok(true)
    }
}

/// Reads CSV: its separator is the one of tab, semicolon, comma and bar that the
/// header holds most of.
///
/// # Errors
/// A sentence, where a required column is missing.
pub fn csv(
    input: Box<dyn BufRead>,
    map: &ColumnMap,
    required: &[Column],
) -> Result<Box<dyn Reader>, String> {
    let mut lines = Lines { input, line: 0 };
    let mut header = Vec::new();
    if !lines.read(&mut header).map_err(|e| e.to_string())? {
        return Err("the file is empty".to_owned());
    }
    let count = |separator: u8| header.iter().filter(|&&b| b == separator).count();
    let separator = [b',', b'\t', b';', b'|'].into_iter().max_by_key(|&s| (count(s), s == b','));
    let core = ReaderBuilder::new().delimiter(separator.unwrap_or(b',')).build();
    let mut csv = Csv {
        lines,
        pending: VecDeque::new(),
        next_line: 2,
        core,
        places: Default::default(),
        fields: vec![0; 4096],
        ends: vec![0; 64],
    };
    let Some(count) = csv.parse(&header) else {
        return Err("the header has a quote that is never closed".to_owned());
    };
    let names: Vec<String> =
        (0..count).map(|field| String::from_utf8_lossy(csv.field(field)).into_owned()).collect();
    csv.places = map.resolve(&names, required)?;
    Ok(Box::new(csv))
}

struct Csv {
    lines: Lines,
    /// Lines read ahead of an unclosed quote, to be read again one by one.
    pending: VecDeque<Vec<u8>>,
    /// Number of the line that comes next, the pending ones counted.
    next_line: u64,
    core: csv_core::Reader,
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
                ReadRecordResult::Record => return Some(ended),
                // The last line of a file may lack its end.
                ReadRecordResult::InputEmpty if record.last() == Some(&b'\n') => return None,
                ReadRecordResult::InputEmpty => {
                    let closed = record.iter().filter(|&&b| b == b'"').count() % 2 == 0;
                    return closed.then(|| self.finish(written, ended));
                }
                ReadRecordResult::End => return Some(ended),
            }
        }
    }

    /// Ends a record that no line end ended.
    fn finish(&mut self, written: usize, ended: usize) -> usize {
        if self.ends.len() <= ended {
            self.ends.resize(ended + 1, 0);
        }
        self.ends[ended] = written;
        ended + 1
    }

    fn field(&self, field: usize) -> &[u8] {
        let start = if field == 0 { 0 } else { self.ends[field - 1] };
        &self.fields[start..self.ends[field]]
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if let Some(line) = self.pending.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Vec::with_capacity(128);
        Ok(self.lines.read(&mut line)?.then_some(line))
    }

    /// Reads on for the end of a record that its first line leaves open; puts
    /// everything but that line back where there is none.
    fn join(&mut self, first: &[u8]) -> Result<Option<usize>, Broken> {
        let mut record = first.to_vec();
        let mut taken: VecDeque<Vec<u8>> = VecDeque::new();
        while taken.len() < MAX_RECORD_LINES {
            let Some(line) = self.next_line()? else { break };
            record.extend_from_slice(&line);
            taken.push_back(line);
            if let Some(count) = self.parse(&record) {
                self.next_line += taken.len() as u64;
                return Ok(Some(count));
            }
        }
        taken.append(&mut self.pending);
        self.pending = taken;
        Ok(None)
    }

    fn fill(&self, count: usize, row: &mut Row) -> Result<(), Refusal> {
        for (column, places) in Column::ALL.into_iter().zip(&self.places) {
            for &place in places.iter().filter(|&&place| place < count) {
                match std::str::from_utf8(self.field(place)) {
                    Ok(text) => row.join(column, text),
                    Err(_) => {
                        let detail = String::from_utf8_lossy(self.field(place)).into_owned();
                        return Err(Refusal::new(
                            format!("{} is not UTF-8", column.name()),
                            detail,
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Reader for Csv {
    fn next(&mut self, row: &mut Row) -> Result<Option<Result<(), Refusal>>, Broken> {
        loop {
            row.clear();
            let Some(line) = self.next_line()? else { return Ok(None) };
            row.line = self.next_line;
            self.next_line += 1;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if line.len() >= MAX_LINE_BYTES {
                return Ok(Some(Err(Refusal::new("the line is longer than 1 MiB", ""))));
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
}

/// JSON Lines: an object a line; numbers and booleans are read as text.
pub struct JsonLines {
    lines: Lines,
    map: ColumnMap,
    required: Vec<Column>,
    text: Vec<u8>,
}

impl JsonLines {
    /// Reads rows with the columns that each line's object has.
    pub fn new(input: Box<dyn BufRead>, map: &ColumnMap, required: &[Column]) -> Self {
        let lines = Lines { input, line: 0 };
        Self { lines, map: map.clone(), required: required.to_vec(), text: Vec::new() }
    }

    fn fill(&self, row: &mut Row) -> Result<(), Refusal> {
        let unreadable = |detail: String| Refusal::new("the line is no JSON object", detail);
        if self.text.len() >= MAX_LINE_BYTES {
            return Err(Refusal::new("the line is longer than 1 MiB", ""));
        }
        let object: serde_json::Map<String, Value> =
            serde_json::from_slice(&self.text).map_err(|e| unreadable(e.to_string()))?;
        let (names, values): (Vec<&str>, Vec<&Value>) =
            object.iter().map(|(name, value)| (name.as_str(), value)).unzip();
        let places = self
            .map
            .resolve(&names, &self.required)
            .map_err(|_| Refusal::new("a required column is missing", names.join(", ")))?;
        for (column, places) in Column::ALL.into_iter().zip(&places) {
            for &place in places {
                match values[place] {
                    Value::Null => {}
                    Value::String(text) => row.join(column, text),
                    value @ (Value::Number(_) | Value::Bool(_)) => {
                        row.join(column, &value.to_string());
                    }
                    value => {
                        let reason = format!("{} is neither text nor number", column.name());
                        return Err(Refusal::new(reason, value.to_string()));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Reader for JsonLines {
    fn next(&mut self, row: &mut Row) -> Result<Option<Result<(), Refusal>>, Broken> {
        loop {
            row.clear();
            self.text.clear();
            if !self.lines.read(&mut self.text)? {
                return Ok(None);
            }
            row.line = self.lines.line;
            if !self.text.trim_ascii().is_empty() {
                return Ok(Some(self.fill(row)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::from_stream;
    use super::*;

    const REQUIRED: [Column; 3] = [Column::UserId, Column::ItemId, Column::Timestamp];

    fn read(name: &str, text: &'static [u8]) -> Vec<(u64, Result<String, String>)> {
        let mut reader =
            from_stream(name, Box::new(text), &ColumnMap::default(), &REQUIRED).unwrap();
        let (mut row, mut rows) = (Row::default(), Vec::new());
        while let Some(result) = reader.next(&mut row).unwrap() {
            rows.push((row.line, result.map(|()| row.text()).map_err(|r| r.reason)));
        }
        rows
    }

    #[test]
    fn csv_with_quotes_tabs_and_bad_bytes() {
        let rows =
            read("a.csv", b"user_id,title,item_id,timestamp\nu,\"a, b\",i,1\nv,\xff,i,2\nw\n");
        assert_eq!(
            rows[0],
            (2, Ok("user_id=\"u\" item_id=\"i\" timestamp=\"1\" title=\"a, b\"".into()))
        );
        assert_eq!(rows[1], (3, Err("title is not UTF-8".into())));
        assert_eq!(rows[2], (4, Ok("user_id=\"w\"".into())));
        let rows = read("a.txt", b"timestamp\tuser_id\titem_id\n1\tu\ti\n");
        assert_eq!(rows[0], (2, Ok("user_id=\"u\" item_id=\"i\" timestamp=\"1\"".into())));
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_line_and_no_other() {
        let mut text = String::from(
            "user_id,item_id,timestamp,title\nu,i,1,\"two\nlines\"\nu,i,2,\"12 INCH\n",
        );
        (3..100).for_each(|n| text += &format!("u,i,{n},t\n"));
        text += "u,i,100,last";
        let rows = read("a.csv", text.leak().as_bytes());
        assert_eq!(rows.len(), 100);
        assert!(rows[0].1.as_ref().unwrap().contains("two\\nlines"));
        assert_eq!(rows[1], (4, Err("a quote is never closed".into())));
        assert_eq!(rows[2].0, 5);
        assert!(rows[99].1.as_ref().unwrap().ends_with("title=\"last\""), "{:?}", rows[99]);
    }

    #[test]
    fn a_file_cut_short_is_broken_and_gives_nothing_half() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        use std::io::Write;
        writeln!(gz, "user_id,item_id,timestamp").unwrap();
        (0..50_000).for_each(|n| writeln!(gz, "u{n},i,{n}").unwrap());
        let whole = gz.finish().unwrap();
        let cut: &'static [u8] = whole[..whole.len() / 2].to_vec().leak();
        let mut reader =
            from_stream("a.csv.gz", Box::new(cut), &ColumnMap::default(), &REQUIRED).unwrap();
        let mut row = Row::default();
        let mut last = 0;
        let broken = loop {
            match reader.next(&mut row) {
                Ok(Some(Ok(()))) => last += 1,
                Ok(other) => panic!("{other:?}"),
                Err(broken) => break broken,
            }
        };
        assert!(last > 10_000 && broken.row == last + 1, "{last} {broken}");
    }

    #[test]
    fn json_lines_with_numbers_nulls_and_nonsense() {
        let rows = read(
            "a.jsonl",
            b"{\"user_id\": 7, \"item_id\": \"i\", \"timestamp\": 1.5, \"price\": null}\n\nnope\n{\"user_id\": 1}\n\
              {\"user_id\": [1], \"item_id\": \"i\", \"timestamp\": 1}\n",
        );
        assert_eq!(rows[0], (1, Ok("user_id=\"7\" item_id=\"i\" timestamp=\"1.5\"".into())));
        assert_eq!(rows[1], (3, Err("the line is no JSON object".into())));
        assert_eq!(rows[2], (4, Err("a required column is missing".into())));
        assert_eq!(rows[3], (5, Err("user_id is neither text nor number".into())));
    }

    #[test]
    fn an_unknown_ending_says_which_are_known() {
        let error = from_stream("a.xlsx", Box::new(&b""[..]), &ColumnMap::default(), &REQUIRED);
        assert!(error.err().unwrap().contains("csv, tsv, txt"));
    }
}
