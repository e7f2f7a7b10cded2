//! Rows from Parquet files.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::TimeZone;
use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as ParquetRow};
use parquet::schema::types::{Type, TypePtr};

use super::{Broken, Column, Dialect, Places, Reader, Refusal, Row};

/// Opens a Parquet file.
///
/// # Errors
/// Where it is not Parquet or lacks a required column.
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
    let wanted = dialect.columns.of_file(&header, required)?;

    // Only the columns that are read are decoded.
    let kept: Vec<usize> = (0..fields.len()).filter(|&f| wanted.reads(f)).collect();
    let places = wanted.moved(|place| kept.iter().position(|&k| k == place));
    let meanings = kept.iter().map(|&f| Meaning::of(&fields[f])).collect();
    let projection = Type::group_type_builder(metadata.schema().name())
        .with_fields(kept.iter().map(|&f| fields[f].clone()).collect())
        .build()
        .map_err(|e| e.to_string())?;
    let iter = guarded(|| RowIter::from_file_into(Box::new(reader)).project(Some(projection)))?;

    let iter = iter.map_err(|e| e.to_string())?;
    Ok(Box::new(Parquet { iter, header, kept, places, meanings, consumed, bytes, rows, at: 0 }))
}

/// The result of a call of the library, which panics over some damaged files.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| "its pages are not what its header says".to_owned())
}

/// The meaning of a column's values, where their field type does not state it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// That of the field type.
    Plain,
    /// Nanoseconds have no field type: they are stored as plain integers.
    Nanoseconds {
        /// Whether they count local time and not UTC.
        local: bool,
    },
    /// A local time.
    Local,
    /// Nanoseconds since midnight.
    TimeOfDay,
    /// Sixteen bytes.
    Uuid,
}

impl Meaning {
    fn of(field: &TypePtr) -> Self {
        match field.get_basic_info().logical_type_ref() {
            Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS => {
                Meaning::Nanoseconds { local: !time.is_adjusted_to_u_t_c }
            }
            Some(LogicalType::Timestamp(time)) if !time.is_adjusted_to_u_t_c => Meaning::Local,
            Some(LogicalType::Time(time)) if time.unit == TimeUnit::NANOS => Meaning::TimeOfDay,
            Some(LogicalType::Date) => Meaning::Local,
            Some(LogicalType::Uuid) => Meaning::Uuid,
            _ => Meaning::Plain,
        }
    }

    fn is_local(self) -> bool {
        matches!(self, Meaning::Local | Meaning::Nanoseconds { local: true })
    }

    /// A time in the file's own type, in milliseconds since 1970.
    fn milliseconds(self, field: &Field) -> Option<i64> {
        match field {
            Field::Long(n) if matches!(self, Meaning::Nanoseconds { .. }) => {
                Some(n.div_euclid(1_000_000))
            }
            Field::Date(days) => Some(i64::from(*days) * 86_400_000),
            Field::TimestampMillis(ms) => Some(*ms),
            Field::TimestampMicros(us) => Some(us.div_euclid(1_000)),
            _ => None,
        }
    }
}

struct Parquet {
    iter: RowIter<'static>,
    header: Vec<String>,
    /// Positions in the header of the decoded columns.
    kept: Vec<usize>,
    places: Places,
    meanings: Vec<Meaning>,
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

    fn unread(&self) -> Vec<&str> {
        let unread = self.header.iter().enumerate().filter(|(at, _)| !self.kept.contains(at));
        unread.map(|(_, name)| name.as_str()).collect()
    }
}

impl Parquet {
    /// Bytes of the file that a number of rows stands for.
    fn share(&self, rows: u64) -> u64 {
        (u128::from(self.bytes) * u128::from(rows.min(self.rows)) / u128::from(self.rows)) as u64
    }

    fn fill(&self, fields: &ParquetRow, row: &mut Row) {
        let fields: Vec<&Field> = fields.get_column_iter().map(|(_, field)| field).collect();
        let meaning = |place: usize| self.meanings.get(place).copied().unwrap_or(Meaning::Plain);
        row.fill(&self.places, |place, column| {
            let field = fields.get(place)?;
            let several = column.is_some_and(Column::holds_several);
            Some(text(field, meaning(place), several).map(Cow::Owned).ok_or_else(|| {
                let name = column.map_or("an attribute", Column::name);
                let reason = format!("{name} is neither text nor number nor time");
                // The library's formatting panics for times out of range.
                Refusal::new(reason, format!("{field:?}"))
            }))
        });

        for (column, places) in Column::ALL.into_iter().zip(&self.places.columns) {
            // A part of a joined column is read as text.
            let [place] = places[..] else { continue };
            let Some(field) = fields.get(place) else { continue };
            if let Some(ms) = meaning(place).milliseconds(field) {
                row.mark_time(column, ms, meaning(place).is_local());
            } else if !matches!(field, Field::Str(_) | Field::Bytes(_)) {
                row.mark_number(column);
            }
        }
    }
}

/// A field as the text that a CSV file would hold; a list, where several values are allowed,
/// separated by "|".
fn text(field: &Field, meaning: Meaning, several: bool) -> Option<String> {
    Some(match field {
        Field::Null => String::new(),

        Field::Date(days) => {
            let shown = jiff::Timestamp::from_second(i64::from(*days) * 86_400).ok()?;
            TimeZone::UTC.to_datetime(shown).date().to_string()
        }
        Field::Long(_) | Field::TimestampMillis(_) | Field::TimestampMicros(_)
            if meaning.milliseconds(field).is_some() =>
        {
            jiff::Timestamp::from_millisecond(meaning.milliseconds(field)?).ok()?.to_string()
        }
        Field::TimeMillis(ms) => time_of_day(i64::from(*ms) * 1_000_000)?,
        Field::TimeMicros(us) => time_of_day(us.checked_mul(1_000)?)?,
        Field::Long(ns) if meaning == Meaning::TimeOfDay => time_of_day(*ns)?,

        Field::Bytes(bytes) if meaning == Meaning::Uuid => {
            uuid::Uuid::from_slice(bytes.data()).ok()?.to_string()
        }
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
        // As stored, with its decimals; without any it ends with a point.
        Field::Decimal(_) => field.to_string().trim_end_matches('.').to_owned(),

        Field::ListInternal(list) if several => {
            let parts = list.elements().iter();
            let parts: Option<Vec<String>> =
                parts.map(|part| text(part, Meaning::Plain, false)).collect();
            parts?.join("|")
        }
        _ => return None,
    })
}

/// Nanoseconds since midnight as a time of day.
fn time_of_day(ns: i64) -> Option<String> {
    let since = jiff::SignedDuration::from_nanos(ns);
    let time = jiff::civil::Time::midnight().checked_add(since).ok()?;
    Some(time.to_string())
}
