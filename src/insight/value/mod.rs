//! What users will buy: models of purchases, compared on held-out time.
//!
//! - [`past`]: a user's past as the models read it
//! - [`buy_till_you_die`], [`gamma_gamma`]: models with a formula; [`minimum`] fits them, [`special`] has
//!   the function that they need
//! - [`trees`]: boosted trees on features of the past
//! - [`accuracy`]: how right predictions were; [`spread`]: how far numbers spread around them
//! - [`models`]: the models of a store, and which of them answers

pub mod accuracy;
pub mod buy_till_you_die;
pub mod gamma_gamma;
mod minimum;
pub mod models;
pub mod past;
mod special;
pub mod spread;
pub mod trees;

pub use accuracy::Accuracy;
pub use models::{Forecast, Method, Tried, ValueModels};
pub use past::Past;
