//! What users will buy: models of purchases, compared on held-out time.
//!
//! - [`past`]: a user's past as the models read it
//! - [`buy_till_you_die`], [`gamma_gamma`]: models with a formula; `minimum` fits them, `special` has
//!   the function that they need
//! - [`trees`]: boosted trees on features of the past
//! - [`accuracy`]: how right predictions were; [`spread`]: how far numbers spread around them
//! - [`fitted`]: all ways to predict, as fitted until a moment; [`held_out`]: compared on the time after
//! - [`models`]: the models of a store, and which of them answers; [`backtest`]: forecasts against what
//!   happened

pub mod accuracy;
pub mod backtest;
pub mod buy_till_you_die;
pub mod fitted;
pub mod gamma_gamma;
pub mod held_out;
mod minimum;
pub mod models;
pub mod past;
mod special;
pub mod spread;
pub mod trees;

pub use accuracy::Accuracy;
pub use backtest::Backtest;
pub use fitted::Method;
pub use held_out::Tried;
pub use models::{Forecast, ValueModels};
pub use past::Past;
