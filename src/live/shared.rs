//! State that one thread changes and any thread reads.

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The right to change the live state of a store: there is one for each, and the thread that has it
/// is the only one that writes.
#[derive(Debug)]
pub struct LiveWriter(());

impl LiveWriter {
    pub(super) fn new() -> Self {
        Self(())
    }
}

/// A part of the live state.
#[derive(Debug, Default)]
pub struct Shared<T>(RwLock<T>);

impl<T> Shared<T> {
    /// Reads the part, for a short time.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read()
    }

    /// Changes the part. The writer is borrowed meanwhile, so that it holds one part at a time. A
    /// reader may hold several parts, never one twice, and takes the overlay before any.
    pub(crate) fn write<'a>(&'a self, _writer: &'a mut LiveWriter) -> RwLockWriteGuard<'a, T> {
        self.0.write()
    }
}
