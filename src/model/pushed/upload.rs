//! A pushed file while it comes: in a file without a name, which goes with the process
//! however that ends.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::domain::hex;

/// What came so far.
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
    /// For a file of `declared` bytes, kept in `folder`'s file system.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub fn begin(folder: &Path, declared: u64) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self { file, declared, received: 0, hash: Sha256::new() })
    }

    /// Bytes that there will be.
    pub fn declared(&self) -> u64 {
        self.declared
    }

    /// Bytes that came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Adds bytes at the end; there must be room for them.
    ///
    /// # Errors
    /// Where the disk refuses; nothing is to be added any more then.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        debug_assert!(self.received + bytes.len() as u64 <= self.declared);
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// SHA-256 of what came, in hex.
    pub fn sha256(&self) -> String {
        hex(&self.hash.clone().finalize())
    }

    /// The file.
    pub fn into_file(self) -> File {
        self.file
    }
}
