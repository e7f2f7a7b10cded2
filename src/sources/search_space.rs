//! Settings that the tuner may change, each with the values worth trying in order, so that a
//! search can climb from the current value.

use crate::model::Settings;

/// A setting and the values worth trying.
#[derive(Clone, Copy)]
pub struct Hyperparameter {
    /// Name for log lines.
    pub name: &'static str,
    /// Values worth trying, in order.
    pub grid: &'static [f64],
    /// Whether the source must be trained anew when it changes.
    pub retrains: bool,
    /// Minimum relative gain in quality for the next value up, which costs every list more.
    pub min_gain: f64,
    /// Whether it has an effect with these settings.
    pub applies: fn(&Settings) -> bool,
    /// Reads it.
    pub get: fn(&Settings) -> f64,
    /// Writes it.
    pub set: fn(&mut Settings, f64),
}

impl Hyperparameter {
    /// Whether it is a half-life.
    pub fn is_half_life(&self) -> bool {
        self.grid.last() == Some(&NEVER)
    }

    /// The index in the grid that is nearest to the setting's value.
    pub fn grid_index(&self, settings: &Settings) -> usize {
        // A half-life of 0 means the same as an endless one.
        let at = match (self.get)(settings) {
            0.0 if self.is_half_life() => NEVER,
            value => value,
        };
        let far = |value: f64| (value - at).abs();
        let indexes = 0..self.grid.len();
        indexes.min_by(|&a, &b| far(self.grid[a]).total_cmp(&far(self.grid[b]))).unwrap_or(0)
    }
}

/// A hyperparameter that is a field of the settings: whether it retrains the source, its path, its
/// type, its grid.
macro_rules! parameter {
    ($retrains:expr, $($field:ident).+, $kind:ty, $grid:expr) => {
        $crate::sources::search_space::Hyperparameter {
            name: stringify!($($field).+),
            grid: &$grid,
            retrains: $retrains,
            min_gain: 0.0,
            applies: |_| true,
            get: |settings| f64::from(settings.$($field).+ as f32),
            set: |settings, value| settings.$($field).+ = value as $kind,
        }
    };
}

/// Half-lives in days; with the last, events never fade.
pub(crate) const HALF_LIVES: [f64; 7] = [7.0, 15.0, 30.0, 60.0, 120.0, 240.0, NEVER];
/// A half-life so long that nothing fades.
pub(crate) const NEVER: f64 = 36_500.0;

/// Values of how far events of one item add up.
pub(crate) const COUNTS: [f64; 3] = [0.0, 0.5, 1.0];

/// Values of the share that the user's own events lose with each step since.
pub(crate) const STEP_FADING: [f64; 6] = [0.0, 0.05, 0.15, 0.3, 0.5, 0.7];

/// A hyperparameter whose every step up doubles the work of its source.
pub(crate) fn costly(parameter: Hyperparameter) -> Hyperparameter {
    Hyperparameter { min_gain: 0.02, ..parameter }
}

pub(crate) use parameter;
