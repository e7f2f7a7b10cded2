//! Writes rows as Parquet, one row group at a time, or as CSV.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::error::ExportError;

/// Rows of a row group: the rows in memory at a time.
const GROUP: usize = 1 << 17;

/// Values of one column in the current row group.
pub(super) enum Column {
    /// Text; empty text is written as it is.
    Text(Vec<ByteArray>),
    /// Times in milliseconds since 1970.
    Moment(Vec<i64>),
    /// Such times, some of them missing: a presence flag for each row, and the values.
    Perhaps(Vec<i16>, Vec<i64>),
    /// Numbers, some of them missing: a presence flag for each row, and the values.
    Number(Vec<i16>, Vec<f64>),
}

impl Column {
    pub(super) fn text() -> Self {
        Column::Text(Vec::new())
    }

    pub(super) fn moment() -> Self {
        Column::Moment(Vec::new())
    }

    pub(super) fn perhaps() -> Self {
        Column::Perhaps(Vec::new(), Vec::new())
    }

    pub(super) fn number() -> Self {
        Column::Number(Vec::new(), Vec::new())
    }

    pub(super) fn push_text(&mut self, text: &str) {
        if let Column::Text(values) = self {
            values.push(text.into());
        }
    }

    pub(super) fn push_moment(&mut self, ms: i64) {
        if let Column::Moment(values) = self {
            values.push(ms);
        }
    }

    pub(super) fn push_perhaps(&mut self, ms: Option<i64>) {
        if let Column::Perhaps(there, values) = self {
            there.push(i16::from(ms.is_some()));
            values.extend(ms);
        }
    }

    pub(super) fn push_number(&mut self, number: Option<f64>) {
        if let Column::Number(there, values) = self {
            there.push(i16::from(number.is_some()));
            values.extend(number);
        }
    }

    fn clear(&mut self) {
        match self {
            Column::Text(values) => values.clear(),
            Column::Moment(values) => values.clear(),
            Column::Perhaps(there, values) => {
                there.clear();
                values.clear();
            }
            Column::Number(there, values) => {
                there.clear();
                values.clear();
            }
        }
    }

    fn schema(&self, name: &str) -> String {
        match self {
            Column::Text(_) => format!("REQUIRED BYTE_ARRAY {name} (STRING);"),
            Column::Moment(_) => format!("REQUIRED INT64 {name} (TIMESTAMP(MILLIS,true));"),
            Column::Perhaps(..) => format!("OPTIONAL INT64 {name} (TIMESTAMP(MILLIS,true));"),
            Column::Number(..) => format!("OPTIONAL DOUBLE {name};"),
        }
    }
}

/// The format of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet, compressed with Snappy.
    Parquet,
    /// CSV in UTF-8 with a header; times in RFC 3339, missing numbers empty.
    Csv,
}

impl Format {
    /// The format by the ending of a file's name.
    ///
    /// # Errors
    /// For any other ending than `.parquet` and `.csv`.
    pub fn of(path: &Path) -> Result<Self, ExportError> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match ending.to_ascii_lowercase().as_str() {
            "parquet" => Ok(Format::Parquet),
            "csv" => Ok(Format::Csv),
            _ => Err(ExportError::Nothing(format!(
                "{}: tables are written as .parquet or .csv, by the ending of the name",
                path.display()
            ))),
        }
    }
}

/// A file that is being written.
pub(super) struct Table<const N: usize> {
    writer: Writer,
    columns: [Column; N],
    /// Rows in `columns`.
    pending: usize,
    rows: u64,
}

enum Writer {
    Parquet(SerializedFileWriter<File>),
    Csv(csv::Writer<File>),
}

impl<const N: usize> Table<N> {
    /// Creates a file with these columns, and with metadata where the format has any.
    pub(super) fn create(
        file: File,
        format: Format,
        columns: [(&str, Column); N],
        facts: &[(&str, String)],
    ) -> Result<Self, ExportError> {
        let names = columns.each_ref().map(|(name, _)| *name);
        let columns = columns.map(|(_, column)| column);
        let writer = match format {
            Format::Parquet => parquet_writer(file, &names, &columns, facts)?,
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(file);
                writer.write_record(names).map_err(|e| ExportError::Write(e.to_string()))?;
                Writer::Csv(writer)
            }
        };
        Ok(Self { writer, columns, pending: 0, rows: 0 })
    }

    /// The columns, to each of which a row adds one value.
    pub(super) fn columns(&mut self) -> &mut [Column; N] {
        &mut self.columns
    }

    /// Ends a row.
    pub(super) fn end_row(&mut self) -> Result<(), ExportError> {
        self.pending += 1;
        if self.pending == GROUP { self.write_group() } else { Ok(()) }
    }

    /// Writes the rest; returns the number of rows.
    pub(super) fn finish(mut self) -> Result<u64, ExportError> {
        self.write_group()?;
        match self.writer {
            Writer::Parquet(writer) => drop(writer.close().map_err(failed)?),
            Writer::Csv(mut writer) => {
                writer.flush().map_err(|e| ExportError::Write(e.to_string()))?;
            }
        }
        Ok(self.rows)
    }

    fn write_group(&mut self) -> Result<(), ExportError> {
        match &mut self.writer {
            _ if self.pending == 0 => return Ok(()),
            Writer::Parquet(writer) => {
                write_row_group(writer, &self.columns).map_err(failed)?;
            }
            Writer::Csv(writer) => {
                let written = write_records(writer, &self.columns, self.pending);
                written.map_err(|e| ExportError::Write(e.to_string()))?;
            }
        }

        self.columns.iter_mut().for_each(Column::clear);
        self.rows += std::mem::take(&mut self.pending) as u64;
        Ok(())
    }
}

fn parquet_writer(
    file: File,
    names: &[&str],
    columns: &[Column],
    facts: &[(&str, String)],
) -> Result<Writer, ExportError> {
    let fields: Vec<String> =
        names.iter().zip(columns).map(|(name, column)| column.schema(name)).collect();
    let schema = parse_message_type(&format!("message rows {{ {} }}", fields.join(" ")));
    let facts = facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(facts.collect()))
        .build();
    let schema = Arc::new(schema.map_err(failed)?);
    let writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(failed)?;
    Ok(Writer::Parquet(writer))
}

fn write_row_group(
    writer: &mut SerializedFileWriter<File>,
    columns: &[Column],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    for column in columns {
        let Some(mut writer) = group.next_column()? else { break };
        match column {
            Column::Text(values) => {
                writer.typed::<ByteArrayType>().write_batch(values, None, None)?;
            }
            Column::Moment(values) => {
                writer.typed::<Int64Type>().write_batch(values, None, None)?;
            }
            Column::Perhaps(there, values) => {
                writer.typed::<Int64Type>().write_batch(values, Some(there), None)?;
            }
            Column::Number(there, values) => {
                writer.typed::<DoubleType>().write_batch(values, Some(there), None)?;
            }
        }
        writer.close()?;
    }

    group.close()?;
    Ok(())
}

fn write_records(
    writer: &mut csv::Writer<File>,
    columns: &[Column],
    rows: usize,
) -> Result<(), csv::Error> {
    let moment = |ms: i64| Timestamp::from_millisecond(ms).unwrap_or_default().to_string();
    // The position of each column's next value: missing values take none.
    let mut numbers = vec![0; columns.len()];
    for row in 0..rows {
        for (column, next) in columns.iter().zip(&mut numbers) {
            match column {
                Column::Text(values) => writer.write_field(values[row].data())?,
                Column::Moment(values) => {
                    writer.write_field(moment(values[row]))?;
                }
                Column::Number(there, _) | Column::Perhaps(there, _) if there[row] == 0 => {
                    writer.write_field("")?;
                }
                Column::Perhaps(_, values) => {
                    writer.write_field(moment(values[*next]))?;
                    *next += 1;
                }
                Column::Number(_, values) => {
                    writer.write_field(values[*next].to_string())?;
                    *next += 1;
                }
            }
        }

        writer.write_record(None::<&[u8]>)?;
    }
    Ok(())
}

fn failed(error: ParquetError) -> ExportError {
    ExportError::Write(error.to_string())
}
