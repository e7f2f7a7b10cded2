//! The version of the program and the commit it was built from.

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit; "development" for a build that is no release, "unknown" for one without git.
pub const COMMIT: &str = env!("BUILT_FROM_COMMIT");

/// Both in one line: `0.1.0 (a1b2c3d4e5f6)`.
pub const LINE: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILT_FROM_COMMIT"), ")");
