//! Imports of purchase logs, catalogues and users from CSV (also TSV, `.gz`, `.zst`), JSON Lines
//! and Parquet: rows become events, items and users. Reads and cleans; the engine writes.
//!
//! - [`open`]: opens a file by its name; [`reader`]: reads it row by row; [`encoding`]: bytes as
//!   UTF-8; [`csv`], [`json_lines`], [`parquet`]: the formats; `lines`: lines of text
//! - [`columns`]: the canonical columns and their mapping; [`row`]: their values
//! - [`dialect`]: the columns, encoding, times, numbers and words of a file; [`plan`]: a dialect
//!   with cleaning; [`preset`]: cleaning for known logs; [`notice`]: hints for logs that seem to
//!   need some
//! - [`convert`]: a row becomes an event, an item or a user, or is refused; [`fields`]: which
//!   fields are required and which are dropped; [`refusal`]: the reasons
//! - [`timestamp`]: the spellings of times, `time_text`: those that are text; [`time_format`]: a
//!   given format; [`date_order`]: whether the day or the month comes first
//! - [`event_names`]: names of kinds of events; [`identity`]: what makes two rows the same

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
