//! Opens a file to import, in any format and compression.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::columns::Column;
use super::dialect::Dialect;
use super::json_lines::JsonLines;
use super::reader::Reader;
use super::refusal::ImportError;
use super::{csv, encoding, parquet};

/// Opens a file by the ending of its name (`.csv`, `.tsv`, `.txt`, `.jsonl`,
/// `.ndjson`, each also `.gz` or `.zst`; `.parquet`). `consumed` counts the bytes of
/// the file read so far.
///
/// # Errors
/// Where it cannot be opened, or lacks one of the `required` columns.
pub fn open(
    path: &Path,
    dialect: &Dialect,
    required: &[Column],
    consumed: Arc<AtomicU64>,
) -> Result<Box<dyn Reader>, ImportError> {
    let failed = |what: String| ImportError { path: path.to_owned(), what };
    let file = File::open(path).map_err(|e| failed(e.to_string()))?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_ascii_lowercase();
    if name.ends_with(".parquet") {
        return parquet::open(file, dialect, required, consumed).map_err(failed);
    }
    from_stream(&name, Box::new(Counted { inner: file, consumed }), dialect, required)
        .map_err(failed)
}

/// Reads a stream of text; the ending of `name` gives its format and compression.
///
/// # Errors
/// Where the format is unknown or a required column is missing.
pub fn from_stream(
    name: &str,
    input: Box<dyn Read>,
    dialect: &Dialect,
    required: &[Column],
) -> Result<Box<dyn Reader>, String> {
    let (input, plain): (Box<dyn Read>, &str) = if let Some(plain) = name.strip_suffix(".gz") {
        (Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(input))), plain)
    } else if let Some(plain) = name.strip_suffix(".zst") {
        (Box::new(zstd::Decoder::new(input).map_err(|e| e.to_string())?), plain)
    } else {
        (input, name)
    };

    let text = encoding::decode(input, dialect.encoding).map_err(|e| e.to_string())?;
    match plain.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "csv" | "tsv" | "txt" => csv::open(text, dialect, required),
        "jsonl" | "ndjson" => Ok(Box::new(JsonLines::new(text, dialect, required))),
        other => Err(format!(
            "files ending in {other:?} cannot be read; csv, tsv, txt, jsonl, ndjson (each also .gz or \
             .zst) and parquet can"
        )),
    }
}

struct Counted {
    inner: File,
    consumed: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(bytes)?;
        self.consumed.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
