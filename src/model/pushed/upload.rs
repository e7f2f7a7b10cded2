//! A pushed file while it arrives: an unnamed file, which vanishes with the process.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::domain::hex;

/// The bytes received so far.
pub struct Upload {
    file: File,
    declared: u64,
    received: u64,
    hash: Sha256,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { declared, received, .. } = self;
        write!(f, "Upload({received} of {declared} bytes)")
    }
}

impl Upload {
    /// Begins a file of `declared` bytes in `folder`'s file system.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn begin(folder: &Path, declared: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self { file, declared, received: 0, hash: Sha256::new() })
    }

    /// Declared size in bytes.
    pub fn declared(&self) -> u64 {
        self.declared
    }

    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Appends bytes, which must fit into the declared size.
    ///
    /// # Errors
    /// Where the disk fails; nothing may be appended after that.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        debug_assert!(self.received + bytes.len() as u64 <= self.declared);
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// SHA-256 of the received bytes, in hex.
    pub fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// The file.
    pub fn into_file(self) -> File {
        self.file
    }
}
