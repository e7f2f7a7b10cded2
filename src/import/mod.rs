//! Purchase logs, catalogues and users from files: CSV (also TSV, `.gz`, `.zst`), JSON
//! Lines, Parquet → events, items and users. Reads and cleans; writes nothing: the
//! engine does that.
//!
//! - [`dialect`]: what a file's columns, bytes, times, numbers and words mean
//! - [`columns`]: the canonical columns, and how a file's are mapped to them; [`row`]: their values
//! - [`reader`]: opening a file, whatever its format; [`encoding`]: bytes as UTF-8; [`csv`],
//!   [`json_lines`], [`parquet`]: the formats; [`lines`]: lines of text
//! - [`convert`]: a row becomes an event, an item or a user, or is refused with a reason;
//!   [`fields`]: what is required, and what is dropped
//! - [`timestamp`]: the spellings of time, [`time_text`]: those that are text; [`time_format`]: the one that is given; [`date_order`]:
//!   whether the day or the month comes first
//! - [`event_names`]: what logs call the kinds of events
//! - [`plan`]: all that together; [`identity`]: what makes two rows the same
//! - [`preset`]: cleaning for logs with known dirt; [`notice`]: logs that look as if they had some

pub mod columns;
pub mod convert;
pub mod csv;
pub mod date_order;
pub mod dialect;
pub mod encoding;
pub mod event_names;
pub mod fields;
pub mod identity;
pub mod json_lines;
mod lines;
pub mod notice;
mod open;
pub mod parquet;
pub mod plan;
pub mod preset;
pub mod reader;
pub mod refusal;
pub mod row;
pub mod time_format;
mod time_text;
pub mod timestamp;

pub use columns::{Column, ColumnMap, Places};
pub use dialect::Dialect;
pub use open::{from_stream, open};
pub use plan::Plan;
pub use preset::Preset;
pub use reader::Reader;
pub use refusal::{Broken, ImportError, Refusal, explained};
pub use row::Row;
