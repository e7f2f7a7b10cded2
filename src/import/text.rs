//! Rows from text: CSV with any of the usual separators, and JSON Lines.

use std::io::{BufRead, Read};

use serde_json::Value;

use super::{Column, ColumnMap, Reader, Refusal, Row};

type Places = [Vec<usize>; Column::ALL.len()];

/// Longest line of text that is read; a longer one is no row of a log.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// A CSV file whose header was read.
pub struct CsvStart {
    places: Places,
    separator: u8,
}

/// Reads the header of a CSV file: its separator is the one of tab, semicolon,
/// comma and bar that the header holds most of.
///
/// # Errors
/// A sentence, where a required column is missing.
pub fn csv(
    input: &mut dyn BufRead,
    map: &ColumnMap,
    required: &[Column],
) -> Result<CsvStart, String> {
    let mut line = Vec::new();
    input.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
    let count = |separator: u8| line.iter().filter(|&&b| b == separator).count();
    let separator = [b',', b'\t', b';', b'|'].into_iter().max_by_key(|&s| (count(s), s == b','));
    let separator = separator.unwrap_or(b',');
    let mut reader = builder(separator).from_reader(line.as_slice());
    let mut header = csv::StringRecord::new();
    reader.read_record(&mut header).map_err(|e| format!("the header cannot be read: {e}"))?;
    let names: Vec<&str> = header.iter().collect();
    Ok(CsvStart { places: map.resolve(&names, required)?, separator })
}

fn builder(separator: u8) -> csv::ReaderBuilder {
    let mut builder = csv::ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(separator).buffer_capacity(1 << 17);
    builder
}

impl CsvStart {
    /// Reads the rows that follow the header.
    pub fn reader(self, input: Box<dyn BufRead>) -> Box<dyn Reader> {
        let reader = builder(self.separator).from_reader(input as Box<dyn Read>);
        Box::new(Csv { reader, places: self.places, record: csv::ByteRecord::new() })
    }
}

struct Csv {
    reader: csv::Reader<Box<dyn Read>>,
    places: Places,
    record: csv::ByteRecord,
}

impl Reader for Csv {
    fn next(&mut self, row: &mut Row) -> Option<Result<(), Refusal>> {
        row.clear();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                let refusal = Refusal::new("the line cannot be read", error.to_string());
                // An error of the disk or of the decompression would come again for ever.
                return if error.is_io_error() && self.reader.is_done() {
                    None
                } else {
                    Some(Err(refusal))
                };
            }
        }
        // The header, read before, is line 1.
        row.line = self.record.position().map_or(0, |p| p.line() + 1);
        for (column, places) in Column::ALL.into_iter().zip(&self.places) {
            for &place in places {
                match std::str::from_utf8(self.record.get(place).unwrap_or_default()) {
                    Ok(text) => row.join(column, text),
                    Err(_) => {
                        let field = self.record.get(place).unwrap_or_default();
                        let detail = String::from_utf8_lossy(field).into_owned();
                        let reason = format!("{} is not UTF-8", column.name());
                        return Some(Err(Refusal::new(reason, detail)));
                    }
                }
            }
        }
        Some(Ok(()))
    }
}

/// JSON Lines: an object a line; numbers and booleans are read as text.
pub struct JsonLines {
    input: Box<dyn BufRead>,
    map: ColumnMap,
    required: Vec<Column>,
    line: u64,
    text: Vec<u8>,
}

impl JsonLines {
    /// Reads rows with the columns that each line's object has.
    pub fn new(input: Box<dyn BufRead>, map: &ColumnMap, required: &[Column]) -> Self {
        Self { input, map: map.clone(), required: required.to_vec(), line: 0, text: Vec::new() }
    }

    fn fill(&self, row: &mut Row) -> Result<(), Refusal> {
        let unreadable = |detail: String| Refusal::new("the line is no JSON object", detail);
        if self.text.len() as u64 >= MAX_LINE_BYTES {
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
    fn next(&mut self, row: &mut Row) -> Option<Result<(), Refusal>> {
        loop {
            row.clear();
            self.text.clear();
            self.line += 1;
            row.line = self.line;
            match (&mut self.input).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.text) {
                Ok(0) => return None,
                Ok(_) if self.text.trim_ascii().is_empty() => {}
                Ok(_) => return Some(self.fill(row)),
                Err(_) => return None,
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
        while let Some(result) = reader.next(&mut row) {
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
