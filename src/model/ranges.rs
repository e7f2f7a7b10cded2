//! The valid ranges of settings, for configurations and for stored models.

use super::settings::ContentSettings;
use super::{Settings, Source};

/// Days of the longest half-life: a century.
const MAX_DAYS: f64 = 36_500.0;

impl Settings {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    /// The first that is not, by its path below the settings, with its range.
    pub fn validate(&self) -> Result<(), String> {
        for (path, value, (min, max)) in self.figures().into_iter().chain(of_later_sources(self)) {
            if !(min..=max).contains(&value) {
                return Err(format!("{path} must be {min} to {max}, was {value}"));
            }
        }
        Ok(())
    }

    /// Every figure: its path below the settings, its value, its range.
    fn figures(&self) -> [(&'static str, f64, (f64, f64)); 56] {
        let Self { item_cf, user_cf, embedding, ease, repeat, session, .. } = self;
        let Self { transition, popular, content, blend, .. } = self;
        let (least, most) = field_weights(content);
        let exponent = (-4.0, 4.0);
        let number = (0.0, 1e9);
        let days = (0.0, MAX_DAYS);

        [
            ("item_cf.half_life_days", item_cf.weighting.half_life_days, days),
            ("item_cf.profile_half_life_days", item_cf.weighting.profile_half_life_days, days),
            ("item_cf.counts", item_cf.weighting.counts.into(), exponent),
            ("item_cf.step_fading", item_cf.weighting.step_fading.into(), (0.0, 1.0)),
            ("item_cf.source_exponent", item_cf.source_exponent.into(), exponent),
            ("item_cf.user_exponent", item_cf.user_exponent.into(), exponent),
            ("item_cf.target_exponent", item_cf.target_exponent.into(), exponent),
            ("item_cf.neighbours", item_cf.neighbours as f64, (1.0, 1e4)),
            ("user_cf.half_life_days", user_cf.weighting.half_life_days, days),
            ("user_cf.profile_half_life_days", user_cf.weighting.profile_half_life_days, days),
            ("user_cf.counts", user_cf.weighting.counts.into(), exponent),
            ("user_cf.step_fading", user_cf.weighting.step_fading.into(), (0.0, 1.0)),
            ("user_cf.neighbours", user_cf.neighbours as f64, (1.0, 1e4)),
            ("user_cf.power", user_cf.power.into(), (0.0, 100.0)),
            ("user_cf.users_per_item", user_cf.users_per_item as f64, (1.0, 1e9)),
            ("embedding.half_life_days", embedding.weighting.half_life_days, days),
            ("embedding.profile_half_life_days", embedding.weighting.profile_half_life_days, days),
            ("embedding.counts", embedding.weighting.counts.into(), exponent),
            ("embedding.step_fading", embedding.weighting.step_fading.into(), (0.0, 1.0)),
            ("embedding.dimensions", embedding.dimensions as f64, (8.0, 1_024.0)),
            ("embedding.power_iterations", embedding.power_iterations as f64, (0.0, 100.0)),
            ("embedding.sweeps", embedding.sweeps as f64, (0.0, 1_000.0)),
            ("embedding.unobserved", embedding.unobserved.into(), number),
            ("embedding.regularisation", embedding.regularisation.into(), number),
            ("embedding.support", embedding.support as f64, (1.0, 1e6)),
            ("embedding.links", embedding.links as f64, (4.0, 64.0)),
            ("embedding.ef_construction", embedding.ef_construction as f64, (8.0, 4_096.0)),
            ("ease.half_life_days", ease.weighting.half_life_days, days),
            ("ease.profile_half_life_days", ease.weighting.profile_half_life_days, days),
            ("ease.counts", ease.weighting.counts.into(), exponent),
            ("ease.step_fading", ease.weighting.step_fading.into(), (0.0, 1.0)),
            ("ease.lambda", ease.lambda.into(), (1e-3, 1e9)),
            ("ease.items", ease.items as f64, (1.0, 20_000.0)),
            ("ease.neighbours", ease.neighbours as f64, (1.0, 20_000.0)),
            ("repeat.rho", repeat.rho.into(), (0.0, 1.0)),
            ("repeat.popularity", repeat.popularity.into(), exponent),
            ("repeat.again", repeat.again.into(), exponent),
            ("repeat.due", repeat.due.into(), exponent),
            ("session.sessions_per_item", session.sessions_per_item as f64, (1.0, 1e9)),
            ("session.neighbours", session.neighbours as f64, (1.0, 1e9)),
            ("session.items", session.items as f64, (1.0, 1e6)),
            ("transition.steps", transition.steps as f64, (1.0, 1_000.0)),
            ("transition.neighbours", transition.neighbours as f64, (1.0, 1e6)),
            ("transition.source_popularity", transition.source_popularity.into(), exponent),
            ("transition.target_popularity", transition.target_popularity.into(), exponent),
            ("transition.decay", transition.decay.into(), (0.0, 1.0)),
            ("popular.half_life_days", popular.half_life_days, days),
            ("content.neighbours", content.neighbours as f64, (1.0, 1e4)),
            ("content.profile_half_life_days", content.profile_half_life_days, days),
            ("content.boost", content.boost.into(), (0.0, 1e6)),
            ("content.room", content.room.into(), (0.0, 1.0)),
            ("content.fields, its weights,", least, (0.0, 1e6)),
            ("content.fields, its weights,", most, (0.0, 1e6)),
            ("blend.candidates", blend.candidates as f64, (1.0, 1e5)),
            // Minimum and maximum of all weights.
            ("blend, its weights,", weight(self, f32::min), (0.0, 1e6)),
            ("blend, its weights,", weight(self, f32::max), (0.0, 1e6)),
        ]
    }
}

/// The figures of sources that came later, likewise.
fn of_later_sources(settings: &Settings) -> [(&'static str, f64, (f64, f64)); 12] {
    let Settings { graph_filter, revisit, sequence, .. } = settings;
    let exponent = (-4.0, 4.0);
    let days = (0.0, MAX_DAYS);

    [
        ("revisit.power", revisit.power.into(), (0.0, 100.0)),
        ("sequence.visits", sequence.visits as f64, (1.0, 1e9)),
        ("sequence.temperature", sequence.temperature.into(), (1e-3, 1e3)),
        ("graph_filter.half_life_days", graph_filter.weighting.half_life_days, days),
        (
            "graph_filter.profile_half_life_days",
            graph_filter.weighting.profile_half_life_days,
            days,
        ),
        ("graph_filter.counts", graph_filter.weighting.counts.into(), exponent),
        ("graph_filter.step_fading", graph_filter.weighting.step_fading.into(), (0.0, 1.0)),
        ("graph_filter.dimensions", graph_filter.dimensions as f64, (8.0, 1_024.0)),
        ("graph_filter.power_iterations", graph_filter.power_iterations as f64, (0.0, 100.0)),
        ("graph_filter.linear", graph_filter.linear.into(), (0.0, 1e9)),
        ("graph_filter.popularity", graph_filter.popularity.into(), exponent),
        ("graph_filter.neighbours", graph_filter.neighbours as f64, (1.0, 1e4)),
    ]
}

/// The smallest and the largest of the weights of an item's fields; NaN if one is NaN.
fn field_weights(content: &ContentSettings) -> (f64, f64) {
    let fields = content.fields.of_fields().into_iter().chain(content.fields.of_vectors());
    let fields: Vec<f64> = fields.map(f64::from).collect();
    if fields.iter().any(|weight| weight.is_nan()) {
        return (f64::NAN, f64::NAN);
    }
    (fields.iter().copied().fold(0.0, f64::min), fields.into_iter().fold(0.0, f64::max))
}

/// The weight that `of` chooses among all; NaN if one is NaN.
fn weight(settings: &Settings, of: impl Fn(f32, f32) -> f32) -> f64 {
    let weights = Source::BLENDED.map(|source| settings.blend.weight(source));
    match weights.iter().find(|weight| weight.is_nan()) {
        Some(&nan) => nan.into(),
        None => weights.into_iter().reduce(of).unwrap_or(0.0).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_named() {
        assert_eq!(Settings::default().validate(), Ok(()));
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.validate().unwrap_err()
        };

        let said = with(|s| s.item_cf.weighting.half_life_days = -1e308);
        assert!(said.starts_with("item_cf.half_life_days must be 0 to 36500, was -1"), "{said}");
        assert!(with(|s| s.blend.ease = f32::NAN).contains("blend"));
        assert!(with(|s| s.blend.ease = -1.0).contains("blend"));
        assert!(with(|s| s.repeat.rho = 2.0).contains("repeat.rho"));
        assert!(with(|s| s.embedding.dimensions = usize::MAX).contains("embedding.dimensions"));
    }
}
