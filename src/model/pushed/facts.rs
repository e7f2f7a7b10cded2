//! Metadata of a pushed file:
//!
//! | key | value |
//! |---|---|
//! | `metric` | `inner_product` (default) or `cosine` |
//! | `fold_in` | `least_squares` (default with inner products) or `sum` (default with cosines) |
//! | `unobserved_weight`, `regularisation` | of least squares: 1 and 0.01 by default |
//! | `trained_until` | RFC 3339, or milliseconds since 1970: events up to then were trained on |
//! | `log_offset` | where the log ended that was trained on |

use crate::domain::Violation;
use crate::domain::quote::quoted;

/// The similarity of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Inner product: longer vectors score higher.
    InnerProduct,
    /// Cosine: vectors are scaled to length 1.
    Cosine,
}

/// How a history becomes a user's vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FoldIn {
    /// The weighted sum of its items' vectors.
    Sum,
    /// The solution of the user's least squares, as in implicit ALS, with α and λ.
    LeastSquares {
        /// α: the weight of an unobserved item, relative to an observed one.
        unobserved_weight: f32,
        /// λ.
        regularisation: f32,
    },
}

/// The metadata of a pushed file.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The similarity of vectors.
    pub metric: Metric,
    /// How users are folded in.
    pub fold_in: FoldIn,
    /// Events up to then were trained on, in milliseconds since 1970.
    pub trained_until_ms: Option<i64>,
    /// Where the log ended that was trained on.
    pub log_offset: Option<u64>,
}

impl Facts {
    /// Reads the entries that `metadata` returns by key.
    ///
    /// # Errors
    /// An invalid entry.
    pub fn new<'m>(metadata: impl Fn(&str) -> Option<&'m str>) -> Result<Self, Violation> {
        let metric = match metadata("metric") {
            None | Some("inner_product") => Metric::InnerProduct,
            Some("cosine") => Metric::Cosine,
            Some(other) => {
                let message = format!("must be inner_product or cosine, was {}", quoted(other));
                return Err(Violation::new("metric", message));
            }
        };

        let number = |key: &str, default: f32| match metadata(key).map(str::parse::<f32>) {
            None => Ok(default),
            Some(Ok(value)) if (1e-6..=1e6).contains(&value) => Ok(value),
            Some(_) => Err(Violation::new(key, "must be a number from 1e-6 to 1e6")),
        };

        let least_squares = FoldIn::LeastSquares {
            unobserved_weight: number("unobserved_weight", 1.0)?,
            regularisation: number("regularisation", 0.01)?,
        };
        let fold_in = match (metadata("fold_in"), metric) {
            (Some("sum"), _) | (None, Metric::Cosine) => FoldIn::Sum,
            (Some("least_squares"), _) | (None, Metric::InnerProduct) => least_squares,
            (Some(other), _) => {
                let message = format!("must be sum or least_squares, was {}", quoted(other));
                return Err(Violation::new("fold_in", message));
            }
        };

        let trained_until_ms = metadata("trained_until").map(moment).transpose()?;
        let offset = |text: &str| {
            text.parse().map_err(|_| Violation::new("log_offset", "must be a whole number"))
        };
        let log_offset = metadata("log_offset").map(offset).transpose()?;
        Ok(Facts { metric, fold_in, trained_until_ms, log_offset })
    }
}

/// A time in milliseconds since 1970.
fn moment(text: &str) -> Result<i64, Violation> {
    let words = || "must be RFC 3339, or milliseconds since 1970, not before then".to_owned();
    let ms = match text.parse::<i64>() {
        Ok(ms) => Some(ms),
        Err(_) => text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond()),
    };
    ms.filter(|&ms| ms >= 0).ok_or_else(|| Violation::new("trained_until", words()))
}
