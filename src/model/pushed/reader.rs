//! The file of a pushed model: safetensors with these names.
//!
//! | tensor | type and shape | content |
//! |---|---|---|
//! | `item_ids.utf8`, `item_ids.offsets` | u8 `[bytes]`, integers `[n + 1]` | id i is `utf8[offsets[i]..offsets[i + 1]]` |
//! | `item_embeddings` | f32 or f16 `[n, d]` | a vector for each item, d from 1 to 1,024 |
//! | `user_ids.utf8`, `user_ids.offsets` | as for items, `[m + 1]` | |
//! | `user_embeddings` | f32 or f16 `[m, d]` | with item embeddings |
//! | `item_neighbours`, `item_neighbours.scores` | integers `[n, k]`, f32 or f16 `[n, k]` | indices into `item_ids`, below 0: none; scores above 0 |
//! | `user_neighbours`, `user_neighbours.scores` | integers `[m, k]`, f32 or f16 `[m, k]` | the same of users |
//! | `item_priors` | f32 or f16 `[n]` | a score for each item, not below 0 |
//!
//! Ids may be in the metadata instead, as a JSON list of strings: `item_ids`, `user_ids`. The
//! other metadata are in [`crate::model::pushed::facts`].
//!
//! The file is not trusted: a tensor is read piece by piece, and only once its memory is known.

use std::io::{Read, Seek, SeekFrom};

use half::f16;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use thiserror::Error;

use crate::domain::{Violation, limits};
use crate::model::pushed::facts::Facts;

/// Maximum size of the header in bytes; longer lists of ids must be tensors.
pub const MAX_HEADER_BYTES: u64 = 8 << 20;
/// Maximum number of dimensions of an embedding.
pub const MAX_DIMENSIONS: usize = 1_024;
/// Maximum number of neighbours of an item or a user.
pub const MAX_NEIGHBOURS: usize = 1_024;
/// Maximum number of items, and of users.
pub const MAX_IDS: usize = 10_000_000;
/// Values read at a time.
const PIECE: usize = 1 << 16;

const TENSORS: [&str; 11] = [
    "item_ids.utf8",
    "item_ids.offsets",
    "item_embeddings",
    "user_ids.utf8",
    "user_ids.offsets",
    "user_embeddings",
    "item_neighbours",
    "item_neighbours.scores",
    "user_neighbours",
    "user_neighbours.scores",
    "item_priors",
];

const FLOATS: [Dtype; 2] = [Dtype::F32, Dtype::F16];
const INTEGERS: [Dtype; 4] = [Dtype::I32, Dtype::I64, Dtype::U32, Dtype::U64];

/// The kind of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Items.
    Item,
    /// Users.
    User,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Item => "item",
            Kind::User => "user",
        }
    }
}

/// An open file, its header read and its shapes checked.
pub struct PushReader<R> {
    source: R,
    data: u64,
    header: Metadata,
    /// Number of items and of users.
    counts: [usize; 2],
}

/// Why a pushed file cannot be read.
#[derive(Debug, Error)]
pub enum PushError {
    /// Its content is invalid.
    #[error("{0}")]
    Invalid(Violation),
    /// The disk on which it was kept fails; the client did nothing wrong.
    #[error("a pushed file cannot be read: {0}")]
    Io(std::io::Error),
}

impl From<Violation> for PushError {
    fn from(violation: Violation) -> Self {
        Self::Invalid(violation)
    }
}

impl From<std::io::Error> for PushError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => broken("is cut short"),
            _ => Self::Io(error),
        }
    }
}

impl From<PushError> for crate::domain::Error {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Invalid(violation) => violation.into(),
            PushError::Io(_) => crate::domain::Error::Storage(error.into()),
        }
    }
}

type Checked<T> = Result<T, PushError>;

fn broken(what: impl Into<String>) -> PushError {
    PushError::Invalid(Violation::new("file", what))
}

fn invalid<T>(field: impl Into<String>, message: impl Into<String>) -> Checked<T> {
    Err(Violation::new(field, message).into())
}

impl<R: Read + Seek> PushReader<R> {
    /// Reads the header of a file of `bytes` bytes and checks every name, type and shape.
    ///
    /// # Errors
    /// What is wrong, by tensor.
    pub fn open(mut source: R, bytes: u64) -> Checked<Self> {
        let mut length = [0; 8];
        source.seek(SeekFrom::Start(0))?;
        source.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER_BYTES {
            let max = MAX_HEADER_BYTES;
            return Err(broken(format!("must have a header of at most {max} bytes, has {length}")));
        }
        if length + 8 > bytes {
            return Err(broken(format!("is cut short: a header of {length} bytes in {bytes}")));
        }

        let mut text = vec![0; length as usize];
        source.read_exact(&mut text)?;

        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|e| broken(format!("is no safetensors file: {e}")))?;
        let data = 8 + length;
        if data.checked_add(header.data_len() as u64) != Some(bytes) {
            let held = header.data_len();
            return Err(broken(format!(
                "must hold {held} bytes behind its header, holds {}",
                bytes - data
            )));
        }

        let mut file = Self { source, data, header, counts: [0; 2] };
        file.check_names()?;
        file.counts = [file.count(Kind::Item)?, file.count(Kind::User)?];
        file.check_shapes()?;
        Ok(file)
    }

    fn check_names(&self) -> Checked<()> {
        let names = self.header.offset_keys();
        match names.iter().find(|name| !TENSORS.contains(&name.as_str())) {
            Some(unknown) => {
                let message = format!("is not a tensor of a pushed model; those are {TENSORS:?}");
                // The given name may be long; it is quoted in an error.
                invalid(unknown.chars().take(100).collect::<String>(), message)
            }
            None if names.is_empty() => Err(broken("holds no tensor")),
            None => Ok(()),
        }
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.header.info(name)
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// A tensor's shape, whose type must be one of `types`; none where the file lacks it.
    fn shape(&self, name: &str, types: &[Dtype], ranks: usize) -> Checked<Option<&[usize]>> {
        let Some(info) = self.info(name) else { return Ok(None) };
        if !types.contains(&info.dtype) {
            let message = format!("must be one of {types:?}, is {:?}", info.dtype);
            return invalid(name, message);
        }
        if info.shape.len() != ranks {
            let message = format!("must have {ranks} dimensions, has {:?}", info.shape);
            return invalid(name, message);
        }
        Ok(Some(&info.shape))
    }

    /// Number of ids, from the shape of their offsets; ids in the metadata are counted as they are
    /// read.
    fn count(&self, kind: Kind) -> Checked<usize> {
        let (utf8, offsets) = id_tensors(kind);
        let bytes = self.shape(&utf8, &[Dtype::U8], 1)?;
        let ends = self.shape(&offsets, &INTEGERS, 1)?;
        let listed = self.listed(kind)?;

        match (bytes, ends, listed) {
            (Some(_), Some(&[ends]), None) if ends > MAX_IDS => {
                invalid(offsets, format!("must have at most {MAX_IDS} ids, has {ends}"))
            }
            (Some(&[bytes]), Some(&[ends]), None) if bytes > ends * limits::MAX_ID_BYTES => {
                let max = limits::MAX_ID_BYTES;
                invalid(
                    utf8,
                    format!("must hold at most {max} bytes an id, holds {bytes} for {ends}"),
                )
            }
            (Some(_), Some(&[ends]), None) if ends > 0 => Ok(ends - 1),
            (None, None, Some(listed)) => Ok(listed.len()),
            (None, None, None) => Ok(0),
            (Some(_), Some(_), Some(_)) => {
                let message = "must be in a tensor or in the metadata, not in both";
                invalid(format!("{}_ids", kind.name()), message)
            }
            (_, Some(_), _) => invalid(
                offsets,
                format!("must come with {utf8}, and have one more entry than there are ids"),
            ),
            (Some(_), None, _) => invalid(utf8, format!("must come with {offsets}")),
        }
    }

    fn listed(&self, kind: Kind) -> Checked<Option<Vec<String>>> {
        let key = format!("{}_ids", kind.name());
        let Some(text) = self.metadata(&key) else { return Ok(None) };
        let list = serde_json::from_str(text)
            .map_err(|e| Violation::new(key, format!("must be a JSON list of strings: {e}")))?;
        Ok(Some(list))
    }

    fn check_shapes(&self) -> Checked<()> {
        let [items, users] = self.counts;
        let item_dims = self.rows_of("item_embeddings", &FLOATS, items, MAX_DIMENSIONS)?;
        let user_dims = self.rows_of("user_embeddings", &FLOATS, users, MAX_DIMENSIONS)?;
        if let Some(dims) = user_dims.filter(|_| user_dims != item_dims) {
            let message = format!("must have the dimensions of item_embeddings, has {dims}");
            return invalid("user_embeddings", message);
        }

        for (name, count) in [("item_neighbours", items), ("user_neighbours", users)] {
            let scores = format!("{name}.scores");
            let places = self.rows_of(name, &INTEGERS, count, MAX_NEIGHBOURS)?;
            if self.rows_of(&scores, &FLOATS, count, MAX_NEIGHBOURS)? != places {
                let message = format!("must have the shape of {scores}");
                return invalid(name, message);
            }
        }

        match self.shape("item_priors", &FLOATS, 1)? {
            Some(&[len]) if len != items => {
                let message = format!("must have a score for each of {items} items, has {len}");
                invalid("item_priors", message)
            }
            _ if self.contents().is_empty() => {
                Err(broken("has neither embeddings nor neighbours nor priors"))
            }
            _ => Ok(()),
        }
    }

    /// The length of a tensor's rows, of which there must be `rows`.
    fn rows_of(
        &self,
        name: &str,
        types: &[Dtype],
        rows: usize,
        max: usize,
    ) -> Checked<Option<usize>> {
        match self.shape(name, types, 2)? {
            Some(&[of, _]) if of != rows => {
                invalid(name, format!("must have a row for each of {rows} ids, has {of}"))
            }
            Some(&[_, width]) if width == 0 || width > max => {
                invalid(name, format!("must have 1 to {max} columns, has {width}"))
            }
            shape => Ok(shape.map(|shape| shape[1])),
        }
    }

    /// The metadata.
    ///
    /// # Errors
    /// An invalid entry.
    pub fn facts(&self) -> Checked<Facts> {
        Ok(Facts::new(|key| self.metadata(key))?)
    }

    /// The tensors besides ids, with their shapes.
    pub fn contents(&self) -> Vec<String> {
        let told = TENSORS.iter().filter(|name| !name.contains('.'));
        let told = told.filter_map(|name| {
            let info = self.info(name)?;
            let shape: Vec<String> = info.shape.iter().map(usize::to_string).collect();
            Some(format!("{name} {} {:?}", shape.join(" x "), info.dtype))
        });
        told.collect()
    }

    /// Number of ids.
    pub fn ids_of(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// Bytes of all ids in tensors.
    pub fn id_bytes(&self) -> u64 {
        let of = |name| self.info(name).map_or(0, |info| info.data_offsets.1 - info.data_offsets.0);
        (of("item_ids.utf8") + of("user_ids.utf8")) as u64
    }

    /// The length of a tensor's rows; none where the file lacks it.
    pub fn columns(&self, name: &str) -> Option<usize> {
        self.info(name)?.shape.get(1).copied()
    }

    /// Whether the file holds a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.info(name).is_some()
    }

    /// All ids of a kind, in order.
    ///
    /// # Errors
    /// Offsets that do not fit, or an invalid id.
    pub fn ids(&mut self, kind: Kind) -> Checked<Vec<String>> {
        let ids = match self.listed(kind)? {
            Some(listed) => listed,
            None => self.encoded(kind)?,
        };
        for (at, id) in ids.iter().enumerate() {
            limits::id("id", id)
                .map_err(|v| Violation::new(format!("{}_ids[{at}]", kind.name()), v.message))?;
        }
        Ok(ids)
    }

    fn encoded(&mut self, kind: Kind) -> Checked<Vec<String>> {
        let (utf8, offsets) = id_tensors(kind);
        if !self.has(&utf8) {
            return Ok(Vec::new());
        }

        let mut ends = Vec::with_capacity(self.ids_of(kind) + 1);
        self.integers(&offsets, |value| {
            ends.push(value);
            Ok(())
        })?;
        let mut bytes = Vec::new();
        self.pieces(&utf8, 1, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;

        let id = |(at, ends): (usize, &[i64])| {
            let range = usize::try_from(ends[0]).ok().zip(usize::try_from(ends[1]).ok());
            let held = range.and_then(|(from, to)| bytes.get(from..to));
            let id = held.and_then(|held| std::str::from_utf8(held).ok());
            id.map(str::to_owned).ok_or_else(|| {
                let message = format!("must be UTF-8 within {utf8}, is {}..{}", ends[0], ends[1]);
                Violation::new(format!("{offsets}[{at}]"), message)
            })
        };
        Ok(ends.windows(2).enumerate().map(id).collect::<Result<_, Violation>>()?)
    }

    /// Passes a tensor's bytes in order, in pieces of whole values of `width` bytes.
    fn pieces(
        &mut self,
        name: &str,
        width: usize,
        mut take: impl FnMut(&[u8]) -> Checked<()>,
    ) -> Checked<()> {
        let Some(info) = self.info(name) else { return Ok(()) };
        let (from, to) = info.data_offsets;
        self.source.seek(SeekFrom::Start(self.data + from as u64))?;

        let mut buffer = vec![0; (PIECE * width).min(to - from)];
        let mut left = to - from;
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE * width)];
            self.source.read_exact(piece)?;
            take(piece)?;
            left -= piece.len();
        }
        Ok(())
    }

    /// Passes a tensor of floats to `take`, value by value, in order.
    ///
    /// # Errors
    /// The first of `take`, or where the file cannot be read.
    pub fn floats(&mut self, name: &str, mut take: impl FnMut(f32) -> Checked<()>) -> Checked<()> {
        match self.info(name).map(|info| info.dtype) {
            Some(Dtype::F16) => self.pieces(name, 2, |piece| {
                let (values, _) = piece.as_chunks::<2>();
                values.iter().try_for_each(|v| take(f16::from_le_bytes(*v).to_f32()))
            }),
            _ => self.pieces(name, 4, |piece| {
                let (values, _) = piece.as_chunks::<4>();
                values.iter().try_for_each(|v| take(f32::from_le_bytes(*v)))
            }),
        }
    }

    /// Passes a tensor of integers to `take`, value by value, in order; those too large for i64 as
    /// the largest.
    ///
    /// # Errors
    /// As [`PushReader::floats`].
    pub fn integers(
        &mut self,
        name: &str,
        mut take: impl FnMut(i64) -> Checked<()>,
    ) -> Checked<()> {
        let dtype = self.info(name).map(|info| info.dtype);
        let width = if matches!(dtype, Some(Dtype::I64 | Dtype::U64)) { 8 } else { 4 };
        self.pieces(name, width, |piece| {
            let (short, _) = piece.as_chunks::<4>();
            let (long, _) = piece.as_chunks::<8>();
            match dtype {
                Some(Dtype::I64) => long.iter().try_for_each(|v| take(i64::from_le_bytes(*v))),
                Some(Dtype::U64) => long.iter().try_for_each(|v| {
                    take(i64::try_from(u64::from_le_bytes(*v)).unwrap_or(i64::MAX))
                }),
                Some(Dtype::U32) => {
                    short.iter().try_for_each(|v| take(u32::from_le_bytes(*v).into()))
                }
                _ => short.iter().try_for_each(|v| take(i32::from_le_bytes(*v).into())),
            }
        })
    }
}

fn id_tensors(kind: Kind) -> (String, String) {
    (format!("{}_ids.utf8", kind.name()), format!("{}_ids.offsets", kind.name()))
}
