//! Changes of settings that concern all trained sources.

use crate::model::{Settings, Source};
use crate::sources::search_space::{Hyperparameter, NEVER};
use crate::sources::{self, CandidateSource};

/// The implementations of the sources that the server trains, in the blend's order.
pub fn trained() -> impl Iterator<Item = (Source, &'static dyn CandidateSource)> {
    Source::TRAINED.into_iter().filter_map(|source| Some((source, sources::of(source)?)))
}

/// The sources in the order in which they are tuned: those first from which others copy.
pub fn in_tuning_order() -> Vec<Source> {
    let mut order: Vec<_> = trained().collect();
    order.sort_by_key(|(_, source)| source.tuning_order());
    order.into_iter().map(|(source, _)| source).collect()
}

/// Disables the fading of events: where times mean nothing, age is noise.
pub fn disable_fading(settings: &mut Settings) {
    for parameter in parameters().filter(Hyperparameter::is_half_life) {
        (parameter.set)(settings, NEVER);
    }
}

/// Copies from `other` what may differ between settings that share their training: the
/// hyperparameters that retrain nothing, and the blend.
pub fn copy_serving_settings(settings: &mut Settings, other: &Settings) {
    settings.blend = other.blend;
    for parameter in parameters().filter(|parameter| !parameter.retrains) {
        (parameter.set)(settings, (parameter.get)(other));
    }
}

fn parameters() -> impl Iterator<Item = Hyperparameter> {
    trained().flat_map(|(_, source)| source.search_space())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyperparameter_reads_what_it_wrote() {
        for parameter in parameters() {
            for (index, &value) in parameter.grid.iter().enumerate() {
                let mut settings = Settings::default();
                (parameter.set)(&mut settings, value);
                assert_eq!(parameter.grid_index(&settings), index, "{} {value}", parameter.name);
            }
        }
    }

    #[test]
    fn the_source_that_others_copy_from_is_tuned_first() {
        let order = in_tuning_order();
        let expected = [Source::UserCf, Source::ItemCf, Source::Ease, Source::Embedding];
        assert_eq!(order[..4], expected);
        assert_eq!(order.len(), Source::TRAINED.len());
    }
}
