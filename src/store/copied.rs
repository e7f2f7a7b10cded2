//! Blocks of another process's log, which arrive in pieces and are checked before they are appended.

use super::block::{self, Entry};
use super::frame::{self, HEADER_BYTES, Header};
use super::replay::Names;
use crate::domain::Offset;

/// A block of another log, checked.
#[derive(Debug)]
pub struct CopiedBlock {
    pub(super) header: Header,
    /// The block as it is stored, header included.
    pub(super) bytes: Vec<u8>,
    /// Number of users and items that it defines.
    pub(super) defined: Names,
    payload: Vec<u8>,
}

impl CopiedBlock {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.header.records as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.header.records == 0
    }

    /// Bytes as they are stored.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Passes its entries on, in their order.
    pub fn visit(&self, visit: &mut dyn FnMut(Entry<'_>)) {
        let Header { first_offset, records, .. } = self.header;
        block::decode(&self.payload, first_offset, records, visit)
            .unwrap_or_else(|what| unreachable!("a checked block: {what}"));
    }
}

/// The part of whole blocks that begins with the one at the offset `from`; empty where all lie before it.
///
/// # Errors
/// What is wrong with the blocks, or that none begins there.
pub fn from_offset(mut blocks: &[u8], from: Offset) -> Result<&[u8], String> {
    while let Some(head) = blocks.first_chunk::<HEADER_BYTES>() {
        let header = frame::decode_header(head)?;
        if header.first_offset == from {
            return Ok(blocks);
        }
        let length = HEADER_BYTES + header.stored as usize;
        let end = header.first_offset + u64::from(header.records);
        if end > from || blocks.len() < length {
            return Err(format!("no block begins at offset {from}"));
        }
        blocks = &blocks[length..];
    }
    Ok(blocks)
}

/// Puts blocks together from pieces of any length.
#[derive(Debug)]
pub struct Copying {
    bytes: Vec<u8>,
    /// Bytes of it that were taken.
    taken: usize,
    names: Names,
    next: Offset,
}

impl Copying {
    /// Continues a log that ends at the offset `next` and names this number of users and items.
    pub fn after(users: u64, items: u64, next: Offset) -> Self {
        Self { bytes: Vec::new(), taken: 0, names: Names { users, items }, next }
    }

    /// The offset at which the next block must begin.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// Adds bytes that have arrived; returns the blocks that are complete with them.
    ///
    /// # Errors
    /// What is wrong with a block; nothing after it can be read then.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<Vec<CopiedBlock>, String> {
        self.push(bytes);
        let mut blocks = Vec::new();
        while let Some(block) = self.take()? {
            blocks.push(block);
        }
        Ok(blocks)
    }

    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next block, once it has arrived completely.
    ///
    /// # Errors
    /// What is wrong with it; nothing after it can be read then.
    pub fn take(&mut self) -> Result<Option<CopiedBlock>, String> {
        let rest = &self.bytes[self.taken..];
        let Some(head) = rest.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = frame::decode_header(head)?;
        if header.first_offset != self.next {
            let begins = header.first_offset;
            return Err(format!("the block begins at offset {begins}, not {}", self.next));
        }
        // No payload grows by packing beyond its bound.
        let most = lz4_flex::block::get_maximum_output_size(header.unpacked as usize);
        if header.stored as usize > most {
            return Err(format!("the block declares {} bytes, over the limit", header.stored));
        }
        let Some(bytes) = rest.get(..HEADER_BYTES + header.stored as usize) else {
            return Ok(None);
        };

        let payload = frame::unpack(&header, &bytes[HEADER_BYTES..])?;
        let mut names = self.names;
        let mut unnamed = Ok(());
        block::decode(&payload, header.first_offset, header.records, &mut |entry| {
            if unnamed.is_ok() {
                unnamed = names.check(&entry);
            }
        })?;
        unnamed?;

        let bytes = bytes.to_vec();
        let defined =
            Names { users: names.users - self.names.users, items: names.items - self.names.items };
        self.names = names;
        self.taken += bytes.len();
        self.next += u64::from(header.records);
        Ok(Some(CopiedBlock { header, bytes, defined, payload }))
    }
}
