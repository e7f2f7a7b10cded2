//! Purchases as a Parquet file, in the columns that `import` reads.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::store::Purchase;

/// Rows written together.
const GROUP: usize = 500_000;
const SCHEMA: &str = "message purchases {
    required binary user_id (utf8);
    required binary item_id (utf8);
    required int64 timestamp (timestamp_millis);
    required int32 quantity;
    required double price;
    required binary basket_id (utf8);
}";

/// A file that is being written.
pub(crate) struct Sheet<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    rows: Vec<Purchase>,
}

impl<W: Write + Send> Sheet<W> {
    pub(crate) fn new(out: W) -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        Ok(Self { writer, rows: Vec::new() })
    }

    pub(crate) fn push(&mut self, purchase: &Purchase) -> Result<(), ParquetError> {
        self.rows.push(*purchase);
        if self.rows.len() < GROUP { Ok(()) } else { self.write_rows() }
    }

    pub(crate) fn finish(mut self) -> Result<(), ParquetError> {
        self.write_rows()?;
        self.writer.close()?;
        Ok(())
    }

    fn write_rows(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.rows);
        let texts = |text: &dyn Fn(&Purchase) -> String| -> Vec<ByteArray> {
            rows.iter().map(|p| ByteArray::from(text(p).into_bytes())).collect()
        };
        let mut group = self.writer.next_row_group()?;

        // In the order of the schema.
        for at in 0.. {
            let Some(mut column) = group.next_column()? else { break };
            match at {
                0 => column.typed::<ByteArrayType>().write_batch(
                    &texts(&|p| format!("u{}", p.user)),
                    None,
                    None,
                ),
                1 => column.typed::<ByteArrayType>().write_batch(
                    &texts(&|p| format!("i{}", p.item)),
                    None,
                    None,
                ),
                2 => {
                    let times: Vec<i64> = rows.iter().map(|p| p.time_ms / 1_000 * 1_000).collect();
                    column.typed::<Int64Type>().write_batch(&times, None, None)
                }
                3 => {
                    let quantities: Vec<i32> = rows.iter().map(|p| p.quantity as i32).collect();
                    column.typed::<Int32Type>().write_batch(&quantities, None, None)
                }
                4 => {
                    let prices: Vec<f64> =
                        rows.iter().map(|p| f64::from(p.price) / 100.0).collect();
                    column.typed::<DoubleType>().write_batch(&prices, None, None)
                }
                _ => column.typed::<ByteArrayType>().write_batch(
                    &texts(&|p| p.basket.to_string()),
                    None,
                    None,
                ),
            }?;
            column.close()?;
        }

        group.close()?;
        Ok(())
    }
}
