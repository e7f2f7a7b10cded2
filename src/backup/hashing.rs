//! Copies with a checksum.

use std::io::{self, Read};

use crate::store::priority::Pace;

/// Passes bytes on and hashes them.
pub(super) struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
    /// Bytes so far.
    pub(super) bytes: u64,
    /// Why it could not be read on; none while it can.
    pub(super) broken: Option<String>,
    pace: Pace,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self::paced(inner, Pace::fast())
    }

    /// Reads at a pace.
    pub(super) fn paced(inner: R, pace: Pace) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), bytes: 0, broken: None, pace }
    }

    /// The checksum of what was read so far, in hex.
    pub(super) fn checksum(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        let read = read.inspect_err(|error| self.broken = Some(error.to_string()))?;
        self.hasher.update(&buffer[..read]);
        self.bytes += read as u64;
        self.pace.rest();
        Ok(read)
    }
}
