//! The report of an experiment: each figure with its interval, the number of units, and a sentence; and a
//! verdict that may be read every day.

use super::definition::{Experiment, Method, Metric};
use super::figures::{ALPHA, Preference, VariantReport, preference, variants};
use super::statistics::{Estimate, Sample, sample_ratio, units_needed};
use super::units::Summary;
use super::verdict::{Verdict, preferred, sentence, verdict};

/// The power that an end is planned for.
const POWER: f64 = 0.8;
/// Milliseconds of a day.
const DAY_MS: f64 = 86_400_000.0;

/// The report of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// A row for every variant, in the experiment's order.
    pub variants: Vec<VariantReport>,
    /// The probability of shares like those of the units if users were assigned as planned.
    pub sample_ratio: f64,
    /// Users who saw lists of two variants, and count for none.
    pub mixed: u64,
    /// What may be concluded now.
    pub verdict: Verdict,
    /// The same as a sentence.
    pub sentence: String,
    /// Units that each variant needs to find the smallest effect worth having; none while nothing is known
    /// of the metric.
    pub units_needed: Option<f64>,
    /// Days until then at today's rate; 0 once they are there.
    pub days_left: Option<f64>,
    /// With interleaving: how much users prefer the second variant's items.
    pub preference: Option<Preference>,
    /// The conversion of every variant at the end of each day, in days since 1970.
    pub days: Vec<(i64, Vec<Estimate>)>,
}

impl Report {
    /// The report of an experiment from what its units did, as of `now_ms`.
    pub fn new(experiment: &Experiment, units: &Summary, now_ms: i64) -> Self {
        let interleaves = experiment.method == Method::Interleaving;
        let variants = if interleaves { Vec::new() } else { variants(experiment, units) };
        let counts: Vec<u64> = variants.iter().map(|variant| variant.units).collect();
        let shares: Vec<f64> = variants.iter().map(|variant| variant.share).collect();
        let sample_ratio = sample_ratio(&counts, &shares);
        let preference = interleaves.then(|| preference(units));

        let verdict = match &preference {
            Some(preference) => preferred(experiment, preference),
            None => verdict(experiment, &variants, sample_ratio),
        };
        let needed = needed(experiment, units).filter(|_| !interleaves);
        let names: Vec<&str> = experiment.variants.iter().map(|v| v.name.as_str()).collect();
        let days = units.days(&names).into_iter();
        let days = days.map(|(day, of)| (day, of.iter().map(Sample::estimate).collect()));

        let days_left = needed.and_then(|needed| days_left(experiment, &counts, needed, now_ms));
        Self {
            sentence: sentence(&verdict, experiment, sample_ratio, days_left),
            days_left,
            days: days.collect(),
            mixed: units.mixed,
            units_needed: needed,
            variants,
            sample_ratio,
            verdict,
            preference,
        }
    }
}

/// Units that each variant needs to find the smallest effect worth having.
fn needed(experiment: &Experiment, units: &Summary) -> Option<f64> {
    let control = units.of(&experiment.control).of(experiment.metric);
    let estimate = match experiment.metric {
        Metric::ClickThrough => control.ratio()?,
        _ => control.estimate(),
    };
    let variance = estimate.standard_error.powi(2) * estimate.n as f64;
    let comparisons = (experiment.variants.len() - 1) as f64;
    let difference = experiment.min_effect * estimate.value;
    let needed = units_needed(variance, difference, ALPHA / comparisons, POWER);
    (needed.is_finite() && variance > 0.0).then_some(needed)
}

/// Days until the variant with the smallest share has the units it needs; none in the first day, whose rate
/// says little.
fn days_left(experiment: &Experiment, counts: &[u64], needed: f64, now_ms: i64) -> Option<f64> {
    let days = (now_ms - experiment.since_ms()?) as f64 / DAY_MS;
    let fewest = *counts.iter().min()? as f64;
    let rate = fewest / days;
    (days >= 1.0 && rate > 0.0).then(|| ((needed - fewest) / rate).max(0.0))
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::definition::{ExperimentState, Variant};
    use super::super::units::{Before, Deed, UnitId, Units};
    use super::*;

    fn experiment() -> Experiment {
        let variant = |name: &str| Variant { name: name.into(), share: 0.5, placement: "".into() };
        Experiment {
            name: "one".into(),
            placement: "home".into(),
            layer: "l".into(),
            method: Method::Split,
            variants: vec![variant("a"), variant("b")],
            control: "a".into(),
            traffic: 1.0,
            segments: Vec::new(),
            ramp: Vec::new(),
            metric: Metric::Conversion,
            min_effect: 0.02,
            guardrail: None,
            state: ExperimentState::Running { since_ms: 0 },
            slot: 0.0,
        }
    }

    /// Units of variants a and b; `converts` says which of them buy.
    fn units(of_each: [u32; 2], converts: impl Fn(usize, u32) -> bool) -> Units {
        let mut units = Units::default();
        for (at, name) in ["a", "b"].into_iter().enumerate() {
            for n in 0..of_each[at] {
                let id = UnitId::User(n * 2 + at as u32);
                units.note_list(id, name, 10, 86_400_000, Before::default);
                if converts(at, n) {
                    units.note_deed(id, Deed::Purchase(20.0), 86_400_000);
                }
            }
        }
        units
    }

    fn report(units: &Units, guardrail: Option<f64>) -> Report {
        let experiment = Experiment { guardrail, ..experiment() };
        Report::new(&experiment, &units.summary(), 10 * 86_400_000)
    }

    #[test]
    fn a_large_effect_is_found_and_a_small_sample_is_not_judged() {
        let clear = report(&units([5_000, 5_000], |at, n| n % 10 < 1 + at as u32), None);
        assert_eq!(clear.verdict, Verdict::Better("b".into()));
        assert_eq!(clear.sentence, "b is better than a.");
        let conversion = &clear.variants[1].figures[0];
        assert!(
            conversion.sentence.starts_with("b: 20.00 % of 5000 users bought, +100.0 % compared")
        );
        let lift = conversion.lift.unwrap();
        assert!(lift.plain.always_valid.low > 0.5 && lift.plain.always_valid.holds(1.0));

        let few = report(&units([99, 5_000], |_, _| true), None);
        assert_eq!(few.verdict, Verdict::Void, "99 to 5,000 are no halves");
        assert_eq!(report(&units([90, 90], |_, _| true), None).verdict, Verdict::TooEarly);
    }

    #[test]
    fn equal_variants_are_undecided_then_futile() {
        let even = |n: u32| units([n, n], |_, n| n % 10 == 0);
        let early = report(&even(1_000), None);
        assert_eq!(early.verdict, Verdict::Undecided);
        // 2 · .09 · 7.849 / .002².
        let needed = early.units_needed.unwrap();
        assert!((needed / 353_200.0 - 1.0).abs() < 0.01, "{needed}");
        assert!((early.days_left.unwrap() / 3_522.0 - 1.0).abs() < 0.01, "{:?}", early.days_left);

        let mut wide = experiment();
        wide.min_effect = 0.5;
        assert_eq!(Report::new(&wide, &even(3_000).summary(), 1).verdict, Verdict::Futile);
    }

    #[test]
    fn rare_purchases_stop_nothing_by_chance() {
        // Equal variants at 1.5 %, looked at after every twenty users: none may be called harmful more
        // often than once in twenty.
        let mut rng = StdRng::seed_from_u64(1);
        let experiment = Experiment { guardrail: Some(0.1), ..experiment() };
        let stopped = (0..200).filter(|_| {
            let mut units = Units::default();
            (1..=150u32).any(|look| {
                for n in (look - 1) * 20..look * 20 {
                    for (at, name) in [(0, "a"), (1, "b")] {
                        let id = UnitId::User(n * 2 + at);
                        units.note_list(id, name, 10, 86_400_000, Before::default);
                        if rng.random_bool(0.015) {
                            units.note_deed(id, Deed::Purchase(20.0), 86_400_000);
                        }
                    }
                }
                let report = Report::new(&experiment, &units.summary(), 2 * 86_400_000);
                matches!(report.verdict, Verdict::Harmful(_))
            })
        });
        let stopped = stopped.count();
        assert!(stopped <= 10, "{stopped} of 200");
    }

    #[test]
    fn a_harmful_variant_breaks_its_guardrail() {
        let worse = units([4_000, 4_000], |at, n| n % 10 < 2 - at as u32);
        assert_eq!(report(&worse, Some(0.1)).verdict, Verdict::Harmful("b".into()));
        assert_eq!(report(&worse, Some(0.9)).verdict, Verdict::Worse);
    }
}
