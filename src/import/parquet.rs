//! Rows from Parquet files.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as ParquetRow};
use parquet::schema::types::{Type, TypePtr};

use super::{Broken, Column, ColumnMap, Reader, Refusal, Row};

/// Opens a Parquet file.
///
/// # Errors
/// A sentence, where it is none or lacks a required column.
pub fn open(
    file: File,
    map: &ColumnMap,
    required: &[Column],
    consumed: Arc<AtomicU64>,
) -> Result<Box<dyn Reader>, String> {
    let bytes = file.metadata().map_err(|e| e.to_string())?.len();
    let reader = guarded(|| SerializedFileReader::new(file))?.map_err(|e| e.to_string())?;
    let metadata = reader.metadata().file_metadata();
    let rows = metadata.num_rows().max(1) as u64;
    let fields = metadata.schema().get_fields().to_vec();
    let names: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let wanted = map.resolve(&names, required)?;
    // Only columns that are asked for are decoded.
    let kept: Vec<usize> =
        (0..fields.len()).filter(|f| wanted.iter().flatten().any(|w| w == f)).collect();
    let places = wanted.map(|places| {
        places.iter().filter_map(|place| kept.iter().position(|k| k == place)).collect()
    });
    let nanoseconds = kept.iter().map(|&f| is_nanoseconds(&fields[f])).collect();
    let projection = Type::group_type_builder(metadata.schema().name())
        .with_fields(kept.iter().map(|&f| fields[f].clone()).collect())
        .build()
        .map_err(|e| e.to_string())?;
    let iter = guarded(|| RowIter::from_file_into(Box::new(reader)).project(Some(projection)))?;
    let iter = iter.map_err(|e| e.to_string())?;
    Ok(Box::new(Parquet { iter, places, nanoseconds, consumed, bytes, rows, at: 0 }))
}

/// What the library comes to, which panics over some files that are damaged.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| "its pages are not what its header says".to_owned())
}

/// Nanoseconds have no field type of their own: they come as plain integers.
fn is_nanoseconds(field: &TypePtr) -> bool {
    matches!(
        field.get_basic_info().logical_type_ref(),
        Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS
    )
}

struct Parquet {
    iter: RowIter<'static>,
    places: [Vec<usize>; Column::ALL.len()],
    /// Which of the decoded columns count nanoseconds since 1970.
    nanoseconds: Vec<bool>,
    consumed: Arc<AtomicU64>,
    bytes: u64,
    rows: u64,
    at: u64,
}

impl Reader for Parquet {
    fn next(&mut self, row: &mut Row) -> Result<Option<Result<(), Refusal>>, Broken> {
        row.clear();
        let broken = |what| Broken { row: self.at, what };
        let Some(next) = guarded(|| self.iter.next()).map_err(broken)? else { return Ok(None) };
        let before = self.share(self.at);
        self.at += 1;
        self.consumed.fetch_add(self.share(self.at) - before, Ordering::Relaxed);
        row.line = self.at;
        match next {
            Ok(fields) => Ok(Some(self.fill(&fields, row))),
            Err(error) => Err(Broken { row: self.at - 1, what: error.to_string() }),
        }
    }
}

impl Parquet {
    /// Bytes that so many rows stand for.
    fn share(&self, rows: u64) -> u64 {
        (u128::from(self.bytes) * u128::from(rows.min(self.rows)) / u128::from(self.rows)) as u64
    }

    fn fill(&self, fields: &ParquetRow, row: &mut Row) -> Result<(), Refusal> {
        let fields: Vec<&Field> = fields.get_column_iter().map(|(_, field)| field).collect();
        for (column, places) in Column::ALL.into_iter().zip(&self.places) {
            for &place in places {
                let Some(field) = fields.get(place) else { continue };
                let nanoseconds = self.nanoseconds.get(place).is_some_and(|&n| n);
                let text = text(field, nanoseconds).ok_or_else(|| {
                    let reason = format!("{} is neither text nor number nor time", column.name());
                    Refusal::new(reason, field.to_string())
                })?;
                row.join(column, &text);
            }
        }
        Ok(())
    }
}

/// A field as the text that a CSV file would hold; times as epoch seconds.
fn text(field: &Field, nanoseconds: bool) -> Option<String> {
    let seconds = |count: i64, per_second: i64| format!("{}", count as f64 / per_second as f64);
    Some(match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec()).ok()?,
        Field::Bool(b) => b.to_string(),
        Field::Byte(n) => n.to_string(),
        Field::Short(n) => n.to_string(),
        Field::Int(n) => n.to_string(),
        Field::Long(n) if nanoseconds => seconds(*n, 1_000_000_000),
        Field::Long(n) => n.to_string(),
        Field::UByte(n) => n.to_string(),
        Field::UShort(n) => n.to_string(),
        Field::UInt(n) => n.to_string(),
        Field::ULong(n) => n.to_string(),
        Field::Float(n) => n.to_string(),
        Field::Double(n) => n.to_string(),
        Field::Date(days) => seconds(i64::from(*days) * 86_400, 1),
        Field::TimestampMillis(ms) => seconds(*ms, 1_000),
        Field::TimestampMicros(us) => seconds(*us, 1_000_000),
        _ => return None,
    })
}
