//! Evaluation: the quality of lists, measured through the same `recommend` that serves, over the
//! whole catalogue.
//!
//! - [`metrics`]: ranking metrics, intervals, coverage and related metrics
//! - [`dataset`]: logs in memory with their vocabularies
//! - [`split`]: splits a log into training and test
//! - [`harness`]: asks for every list and scores it; [`faithful`]: tests the reasons of lists;
//!   [`variety`]: measures what variety costs

pub mod dataset;
pub mod faithful;
pub mod harness;
pub mod metrics;
pub mod split;
pub mod variety;

pub use dataset::Dataset;
pub use harness::{Case, Method, Row};
pub use metrics::{Metrics, Truth};
