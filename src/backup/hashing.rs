//! Copies with a checksum.

use std::io::{self, Read};

/// Passes bytes on and hashes them.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
    /// Bytes so far.
    pub(super) bytes: u64,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// The checksum of what was read so far, in hex.
    pub(super) fn checksum(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
