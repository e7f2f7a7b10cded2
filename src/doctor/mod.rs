//! The data doctor: finds in a log what makes lists worse than they could be, shows an example of
//! each, and names the option that mends it.
//!
//! - [`finding`]: what was found; [`examined`]: one event as the doctor sees it
//! - [`examination`](mod@examination): all checks over one log; [`subject`]: which log
//! - `times`: impossible dates, lone dates, one moment for many events; `volume`: gaps, and a week
//!   that lacks half; `users`: bots, resellers, placeholders; `orders`: repeated
//!   rows and orders; `ids`: one thing under several ids, items without a catalogue entry

pub mod examination;
pub mod examined;
pub mod finding;
mod ids;
mod orders;
pub mod subject;
mod times;
mod users;
pub mod volume;

pub use examination::Examination;
pub use examined::Examined;
pub use finding::{Finding, Kind};
pub use volume::Pulse;
