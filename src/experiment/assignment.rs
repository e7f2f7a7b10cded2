//! Who sees which variant: a hash decides, so that nothing is kept and every server says the same.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::definition::{Experiment, ExperimentSet, HOLDOUT};

/// What an answer of a placement is, for one user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Assigned<'e> {
    /// No experiment concerns it.
    Nothing,
    /// The user belongs to the hold-out.
    HeldOut,
    /// The user takes part, with the variant of this position.
    Variant(&'e Experiment, usize),
}

/// Assigns a unit, a user or a session, for a list of a placement as of `now_ms`; `is_in_one` says whether the
/// user is in one of some saved segments. Both are asked for only where an experiment runs.
pub fn assign<'e>(
    set: &'e ExperimentSet,
    placement: &str,
    unit: impl FnOnce() -> String,
    now_ms: i64,
    is_in_one: impl Fn(&[String]) -> bool,
) -> Assigned<'e> {
    let mut of_placement = set.running().filter(|of| of.placement == placement).peekable();
    if of_placement.peek().is_none() {
        return Assigned::Nothing;
    }
    let unit = &unit();
    if unit.is_empty() {
        return Assigned::Nothing;
    }
    if fraction(HOLDOUT, unit) < set.holdout {
        return Assigned::HeldOut;
    }

    // A layer has one hash: its experiments have parts of it that do not overlap.
    let taking_part = of_placement.find(|experiment| {
        let at = fraction(&format!("layer {}", experiment.layer), unit);
        let end = experiment.slot + experiment.traffic_at(now_ms);
        (experiment.slot..end).contains(&at)
    });
    let taking_part = taking_part.filter(|of| of.segments.is_empty() || is_in_one(&of.segments));
    taking_part.map_or(Assigned::Nothing, |experiment| {
        Assigned::Variant(experiment, variant_of(experiment, unit))
    })
}

/// The variant of a unit that takes part.
fn variant_of(experiment: &Experiment, unit: &str) -> usize {
    let at = fraction(&format!("variant {}", experiment.name), unit);
    let mut end = 0.0;
    let ends = experiment.variants.iter().map(|variant| {
        end += variant.share;
        end
    });
    // Shares sum to 1 but for rounding.
    ends.into_iter().position(|end| at < end).unwrap_or(experiment.variants.len() - 1)
}

/// The unit's place from 0 to 1, independent for different salts.
fn fraction(salt: &str, unit: &str) -> f64 {
    let seed = xxh3_64_with_seed(salt.as_bytes(), 0);
    // The upper 53 bits are a whole number that f64 holds exactly.
    (xxh3_64_with_seed(unit.as_bytes(), seed) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::super::definition::{ExperimentState, Method, Metric, RampStep, Variant};
    use super::*;

    fn experiment(name: &str, layer: &str, traffic: f64) -> Experiment {
        let variant = |name: &str| Variant { name: name.into(), share: 0.5, placement: "".into() };
        Experiment {
            name: name.into(),
            placement: "home".into(),
            layer: layer.into(),
            method: Method::Split,
            variants: vec![variant("a"), variant("b")],
            control: "a".into(),
            traffic,
            segments: Vec::new(),
            ramp: Vec::new(),
            metric: Metric::Conversion,
            min_effect: 0.02,
            guardrail: None,
            state: ExperimentState::Running { since_ms: 0 },
            slot: 0.0,
        }
    }

    /// The assignment of a user in no segment.
    fn assigned<'e>(set: &'e ExperimentSet, of: &str, unit: &str, now_ms: i64) -> Assigned<'e> {
        assign(set, of, || unit.to_owned(), now_ms, |_| false)
    }

    fn counts(set: &ExperimentSet, now_ms: i64) -> [usize; 4] {
        let mut counts = [0; 4];
        for unit in 0..10_000 {
            match assigned(set, "home", &format!("user-{unit}"), now_ms) {
                Assigned::Nothing => counts[0] += 1,
                Assigned::HeldOut => counts[1] += 1,
                Assigned::Variant(_, at) => counts[2 + at] += 1,
            }
        }
        counts
    }

    fn near(counts: [usize; 4], expected: [usize; 4]) {
        let off = counts.iter().zip(expected).any(|(&n, of)| n.abs_diff(of) > 150);
        assert!(!off, "{counts:?}, expected about {expected:?}");
    }

    #[test]
    fn shares_holdout_and_layers_are_kept() {
        let mut set = ExperimentSet {
            experiments: vec![experiment("one", "l", 0.6)],
            holdout: 0.1,
            ..Default::default()
        };
        near(counts(&set, 1), [3_600, 1_000, 2_700, 2_700]);
        let mut narrow = set.clone();
        narrow.experiments.iter_mut().for_each(|of| of.segments = vec!["lapsed".into()]);
        assert_eq!(assigned(&narrow, "home", "user-1", 1), Assigned::Nothing);
        let inside = assign(&narrow, "home", || "user-1".into(), 1, |names| names == ["lapsed"]);
        let anyone = assigned(&set, "home", "user-1", 1);
        assert_eq!(
            matches!(inside, Assigned::Variant(..)),
            matches!(anyone, Assigned::Variant(..))
        );
        assert_eq!(assigned(&set, "cart", "user-1", 1), Assigned::Nothing);
        assert_eq!(assigned(&set, "home", "", 1), Assigned::Nothing);

        // Another experiment of the layer takes users that the first leaves.
        let two = Experiment { slot: 0.6, ..experiment("two", "l", 0.4) };
        set.experiments.push(two);
        near(counts(&set, 1), [0, 1_000, 4_500, 4_500]);
        let names: std::collections::HashSet<_> = (0..1_000)
            .filter_map(|unit| match assigned(&set, "home", &unit.to_string(), 1) {
                Assigned::Variant(experiment, _) => Some(experiment.name.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_ramp_adds_users_and_moves_none() {
        let mut one = experiment("one", "l", 1.0);
        one.ramp = vec![
            RampStep { until_hours: 24.0, traffic: 0.1 },
            RampStep { until_hours: 48.0, traffic: 0.5 },
        ];
        let set = ExperimentSet { experiments: vec![one], ..Default::default() };
        let hour = |hours: i64| hours * 3_600_000;
        near(counts(&set, hour(1)), [9_000, 0, 500, 500]);
        near(counts(&set, hour(30)), [5_000, 0, 2_500, 2_500]);
        near(counts(&set, hour(50)), [0, 0, 5_000, 5_000]);
        for unit in (0..2_000).map(|unit| unit.to_string()) {
            if let Assigned::Variant(_, early) = assigned(&set, "home", &unit, hour(1)) {
                let Assigned::Variant(_, late) = assigned(&set, "home", &unit, hour(60)) else {
                    panic!("a user left")
                };
                assert_eq!(early, late);
            }
        }
    }
}
