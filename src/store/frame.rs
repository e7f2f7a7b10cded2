//! A block on disk: a 32-byte header and an lz4 payload, both checksummed
//! (CRC-32), so that every single flipped byte is noticed. Little-endian.
//!
//! ```text
//!  0  magic "QMB1"      16  offset of the first record (u64)
//!  4  payload bytes     24  CRC-32 of the payload as stored
//!  8  bytes unpacked    28  CRC-32 of bytes 0..28
//! 12  records           32  payload
//! ```

/// Length of a header.
pub const HEADER_BYTES: usize = 32;
/// Largest payload before compression. A larger one is refused before it is
/// written: what is on disk can always be read back.
pub const MAX_PAYLOAD_BYTES: usize = 256 << 20;

/// What every block begins with.
pub const MAGIC: [u8; 4] = *b"QMB1";

/// A block's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the payload as stored.
    pub stored: u32,
    /// Bytes of the payload unpacked.
    pub unpacked: u32,
    /// Number of records.
    pub records: u32,
    /// Offset of the first record.
    pub first_offset: u64,
    /// CRC-32 of the payload as stored.
    pub payload_crc: u32,
}

/// Frames a payload of `records` records that begin at `first_offset`.
pub fn encode(payload: &[u8], records: u32, first_offset: u64) -> Vec<u8> {
    let stored = lz4_flex::block::compress(payload);
    let mut block = Vec::with_capacity(HEADER_BYTES + stored.len());
    block.extend_from_slice(&MAGIC);
    block.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    block.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    block.extend_from_slice(&records.to_le_bytes());
    block.extend_from_slice(&first_offset.to_le_bytes());
    block.extend_from_slice(&crc32fast::hash(&stored).to_le_bytes());
    let header_crc = crc32fast::hash(&block);
    block.extend_from_slice(&header_crc.to_le_bytes());
    block.extend_from_slice(&stored);
    block
}

/// Reads a header.
///
/// # Errors
/// What is wrong with it, in words.
pub fn decode_header(bytes: &[u8; HEADER_BYTES]) -> Result<Header, String> {
    let u32_at = |at: usize| {
        let mut word = [0; 4];
        word.copy_from_slice(&bytes[at..at + 4]);
        u32::from_le_bytes(word)
    };

    if u32_at(28) != crc32fast::hash(&bytes[..28]) {
        return Err("the block's header does not match its checksum".to_owned());
    }
    if bytes[..4] != MAGIC {
        return Err("no block begins here".to_owned());
    }

    let header = Header {
        stored: u32_at(4),
        unpacked: u32_at(8),
        records: u32_at(12),
        first_offset: u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32,
        payload_crc: u32_at(24),
    };

    if header.unpacked as usize > MAX_PAYLOAD_BYTES {
        return Err(format!("the block declares {} bytes, over the limit", header.unpacked));
    }
    Ok(header)
}

/// Checks and unpacks a payload as stored.
///
/// # Errors
/// What is wrong with it, in words.
pub fn unpack(header: &Header, stored: &[u8]) -> Result<Vec<u8>, String> {
    if crc32fast::hash(stored) != header.payload_crc {
        return Err("the block's payload does not match its checksum".to_owned());
    }
    lz4_flex::block::decompress(stored, header.unpacked as usize)
        .map_err(|e| format!("the block's payload does not unpack: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(block: &[u8]) -> Result<Vec<u8>, String> {
        let (header, stored) = block.split_first_chunk::<HEADER_BYTES>().ok_or("short")?;
        let header = decode_header(header)?;
        unpack(&header, stored)
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let payload: Vec<u8> = (0..500u32).map(|i| (i * i % 251) as u8).collect();
        let block = encode(&payload, 3, u64::MAX / 3);
        assert_eq!(read(&block).unwrap(), payload);
        for at in 0..block.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut flipped = block.clone();
                flipped[at] ^= mask;
                assert!(read(&flipped).is_err(), "byte {at} ^ {mask:#x}");
            }
        }
    }

    #[test]
    fn the_header_reads_back() {
        let block = encode(b"abc", 9, 1 << 40);
        let header = decode_header(block.first_chunk().unwrap()).unwrap();
        assert_eq!((header.unpacked, header.records, header.first_offset), (3, 9, 1 << 40));
        assert_eq!(header.stored as usize, block.len() - HEADER_BYTES);
    }
}
