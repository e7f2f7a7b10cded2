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

use super::{Broken, Column, Dialect, Places, Reader, Refusal, Row};

/// Opens a Parquet file.
///
/// # Errors
/// A sentence, where it is none or lacks a required column.
pub fn open(
    file: File,
    dialect: &Dialect,
    required: &[Column],
    consumed: Arc<AtomicU64>,
) -> Result<Box<dyn Reader>, String> {
    let bytes = file.metadata().map_err(|e| e.to_string())?.len();
    let reader = guarded(|| SerializedFileReader::new(file))?.map_err(|e| e.to_string())?;
    let metadata = reader.metadata().file_metadata();
    let rows = metadata.num_rows().max(1) as u64;
    let fields = metadata.schema().get_fields().to_vec();
    let header: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    let wanted = dialect.columns.resolve(&header, required)?;
    // Only columns that are asked for are decoded.
    let kept: Vec<usize> = (0..fields.len()).filter(|&f| wanted.reads(f)).collect();
    let places = wanted.moved(|place| kept.iter().position(|&k| k == place));
    let nanoseconds = kept.iter().map(|&f| is_nanoseconds(&fields[f])).collect();
    let projection = Type::group_type_builder(metadata.schema().name())
        .with_fields(kept.iter().map(|&f| fields[f].clone()).collect())
        .build()
        .map_err(|e| e.to_string())?;
    let iter = guarded(|| RowIter::from_file_into(Box::new(reader)).project(Some(projection)))?;
    let iter = iter.map_err(|e| e.to_string())?;
    Ok(Box::new(Parquet { iter, header, places, nanoseconds, consumed, bytes, rows, at: 0 }))
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
    header: Vec<String>,
    places: Places,
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
            Ok(fields) => {
                self.fill(&fields, row);
                Ok(Some(Ok(())))
            }
            Err(error) => Err(Broken { row: self.at - 1, what: error.to_string() }),
        }
    }

    fn header(&self) -> &[String] {
        &self.header
    }
}

impl Parquet {
    /// Bytes that so many rows stand for.
    fn share(&self, rows: u64) -> u64 {
        (u128::from(self.bytes) * u128::from(rows.min(self.rows)) / u128::from(self.rows)) as u64
    }

    fn counts_nanoseconds(&self, place: usize) -> bool {
        self.nanoseconds.get(place).is_some_and(|&nanoseconds| nanoseconds)
    }

    fn fill(&self, fields: &ParquetRow, row: &mut Row) {
        let fields: Vec<&Field> = fields.get_column_iter().map(|(_, field)| field).collect();
        let value = |place: usize, several: bool, name: &str| {
            let field = fields.get(place)?;
            Some(text(field, self.counts_nanoseconds(place), several).ok_or_else(|| {
                let reason = format!("{name} is neither text nor number nor time");
                Refusal::new(reason, field.to_string())
            }))
        };
        for (column, places) in Column::ALL.into_iter().zip(&self.places.columns) {
            for &place in places {
                match value(place, column.holds_several(), column.name()) {
                    Some(Ok(text)) => {
                        row.join(column, &text);
                        let moment = milliseconds(fields[place], self.counts_nanoseconds(place));
                        moment.into_iter().for_each(|ms| row.mark_time(column, ms));
                    }
                    Some(Err(fault)) => row.mark_unreadable(Some(column), fault),
                    None => {}
                }
            }
        }
        for (name, places) in &self.places.attributes {
            for &place in places {
                match value(place, false, name) {
                    Some(Ok(text)) => row.join_attribute(name, &text),
                    Some(Err(fault)) => row.mark_unreadable(None, fault),
                    None => {}
                }
            }
        }
    }
}

/// A time that the file has as such, in milliseconds since 1970.
fn milliseconds(field: &Field, nanoseconds: bool) -> Option<i64> {
    match field {
        Field::Long(n) if nanoseconds => Some(n.div_euclid(1_000_000)),
        Field::Date(days) => Some(i64::from(*days) * 86_400_000),
        Field::TimestampMillis(ms) => Some(*ms),
        Field::TimestampMicros(us) => Some(us.div_euclid(1_000)),
        _ => None,
    }
}

/// A field as the text that a CSV file would hold; a list, where there may be several, parted by
/// "|".
fn text(field: &Field, nanoseconds: bool, several: bool) -> Option<String> {
    if let Some(ms) = milliseconds(field, nanoseconds) {
        return Some(jiff::Timestamp::from_millisecond(ms).ok()?.to_string());
    }
    Some(match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => String::from_utf8(bytes.data().to_vec()).ok()?,
        Field::Bool(b) => b.to_string(),
        Field::Byte(n) => n.to_string(),
        Field::Short(n) => n.to_string(),
        Field::Int(n) => n.to_string(),
        Field::Long(n) => n.to_string(),
        Field::UByte(n) => n.to_string(),
        Field::UShort(n) => n.to_string(),
        Field::UInt(n) => n.to_string(),
        Field::ULong(n) => n.to_string(),
        Field::Float16(n) => n.to_string(),
        Field::Float(n) => n.to_string(),
        Field::Double(n) => n.to_string(),
        // As it stands, its decimals included; one without any ends with a point.
        Field::Decimal(_) => field.to_string().trim_end_matches('.').to_owned(),
        Field::ListInternal(list) if several => {
            let parts = list.elements().iter();
            let parts: Option<Vec<String>> = parts.map(|part| text(part, false, false)).collect();
            parts?.join("|")
        }
        _ => return None,
    })
}
