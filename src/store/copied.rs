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

/// Puts blocks together from pieces of any length.
#[derive(Debug)]
pub struct Copying {
    bytes: Vec<u8>,
    names: Names,
    next: Offset,
}

impl Copying {
    /// Continues a log that ends at the offset `next` and names this number of users and items.
    pub fn after(users: u64, items: u64, next: Offset) -> Self {
        Self { bytes: Vec::new(), names: Names { users, items }, next }
    }

    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next block, once it has arrived completely.
    ///
    /// # Errors
    /// What is wrong with it; nothing after it can be read then.
    pub fn take(&mut self) -> Result<Option<CopiedBlock>, String> {
        let Some(head) = self.bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = frame::decode_header(head)?;
        if header.first_offset != self.next {
            let begins = header.first_offset;
            return Err(format!("the block begins at offset {begins}, not {}", self.next));
        }
        let length = HEADER_BYTES + header.stored as usize;
        if self.bytes.len() < length {
            return Ok(None);
        }

        let rest = self.bytes.split_off(length);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        let payload = frame::unpack(&header, &bytes[HEADER_BYTES..])?;
        let before = self.names;
        let mut unnamed = Ok(());
        block::decode(&payload, header.first_offset, header.records, &mut |entry| {
            if unnamed.is_ok() {
                unnamed = self.names.check(&entry);
            }
        })?;
        unnamed?;

        self.next += u64::from(header.records);
        let defined = Names {
            users: self.names.users - before.users,
            items: self.names.items - before.items,
        };
        Ok(Some(CopiedBlock { header, bytes, defined, payload }))
    }
}
