//! Rows as Parquet, a row group at a time.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::ExportError;

/// Rows of a row group: what is in memory at a time.
const GROUP: usize = 1 << 17;

/// Values of one column in the row group that is being filled.
pub(super) enum Column {
    /// Words; empty ones are written as they are.
    Text(Vec<ByteArray>),
    /// Milliseconds since 1970.
    Moment(Vec<i64>),
    /// Numbers, some of them missing: which are there, and those.
    Number(Vec<i16>, Vec<f64>),
}

impl Column {
    pub(super) fn text() -> Self {
        Column::Text(Vec::new())
    }

    pub(super) fn moment() -> Self {
        Column::Moment(Vec::new())
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

    pub(super) fn push_number(&mut self, number: Option<f64>) {
        if let Column::Number(there, values) = self {
            there.push(i16::from(number.is_some()));
            values.extend(number);
        }
    }

    fn schema(&self, name: &str) -> String {
        match self {
            Column::Text(_) => format!("REQUIRED BYTE_ARRAY {name} (STRING);"),
            Column::Moment(_) => format!("REQUIRED INT64 {name} (TIMESTAMP(MILLIS,true));"),
            Column::Number(..) => format!("OPTIONAL DOUBLE {name};"),
        }
    }
}

/// A Parquet file in the making.
pub(super) struct Table<const N: usize> {
    writer: SerializedFileWriter<File>,
    columns: [Column; N],
    /// Rows in `columns`.
    pending: usize,
    rows: u64,
}

impl<const N: usize> Table<N> {
    /// A file with these columns, and facts about it in its metadata.
    pub(super) fn create(
        file: File,
        columns: [(&str, Column); N],
        facts: &[(&str, String)],
    ) -> Result<Self, ExportError> {
        let fields: Vec<String> = columns.iter().map(|(name, c)| c.schema(name)).collect();
        let schema = parse_message_type(&format!("message rows {{ {} }}", fields.join(" ")));
        let facts =
            facts.iter().map(|(key, value)| KeyValue::new((*key).to_owned(), value.clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_key_value_metadata(Some(facts.collect()))
            .build();
        let schema = Arc::new(schema.map_err(failed)?);
        let writer =
            SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(failed)?;
        Ok(Self { writer, columns: columns.map(|(_, column)| column), pending: 0, rows: 0 })
    }

    /// The columns, to each of which a row adds a value.
    pub(super) fn columns(&mut self) -> &mut [Column; N] {
        &mut self.columns
    }

    /// A row has its values.
    pub(super) fn end_row(&mut self) -> Result<(), ExportError> {
        self.pending += 1;
        if self.pending == GROUP { self.write_group().map_err(failed) } else { Ok(()) }
    }

    /// Writes what is left; the number of rows.
    pub(super) fn finish(mut self) -> Result<u64, ExportError> {
        self.write_group().map_err(failed)?;
        self.writer.close().map_err(failed)?;
        Ok(self.rows)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.pending == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            match column {
                Column::Text(values) => {
                    writer.typed::<ByteArrayType>().write_batch(values, None, None)?;
                    values.clear();
                }
                Column::Moment(values) => {
                    writer.typed::<Int64Type>().write_batch(values, None, None)?;
                    values.clear();
                }
                Column::Number(there, values) => {
                    writer.typed::<DoubleType>().write_batch(values, Some(there), None)?;
                    there.clear();
                    values.clear();
                }
            }
            writer.close()?;
        }
        group.close()?;
        self.rows += std::mem::take(&mut self.pending) as u64;
        Ok(())
    }
}

fn failed(error: ParquetError) -> ExportError {
    ExportError::Write(error.to_string())
}
