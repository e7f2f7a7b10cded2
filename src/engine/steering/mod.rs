//! What people decide of lists: rules and placements, written whole, in versions, and taken back by
//! one call.
//!
//! - `decisions`: writes, lists and takes back versions; `empty`: finds lists that these leave empty
//! - `segments`: the saved segments that decisions name
//! - `experiments`: starts, stops and adopts variants, and reports
//! - `dry_run`: what rules would change, on users of the store's own log; `trade_off`: what an
//!   objective would cost and bring

mod decisions;
mod dry_run;
mod empty;
mod experiments;
mod segments;
mod trade_off;

pub use decisions::{Applied, Decidable, Steering};
pub use dry_run::{DryRun, DryRunRequest};
pub use trade_off::TradeOffPoint;
