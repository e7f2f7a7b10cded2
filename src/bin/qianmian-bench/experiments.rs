//! `qianmian-bench experiments`: the statistics of experiments against simulated users whose behaviour is
//! known, and against the bundled log.
//!
//! - A/A: experiments without a difference that are read every day; how many ever claim one
//! - a known lift: how often intervals cover it
//! - CUPED: how much shorter intervals of revenue become on the bundled log
//! - interleaving: users needed by their clicks, against a split by the metric that decides where an
//!   experiment names none, conversion, for the same power
//!
//! Users of the first two arrive at a steady rate, buy on their first day with the variant's probability,
//! and come back on each later day with [`RETURNS`] to buy again with that probability. Users of the last
//! browse lists as `experiment::simulation` says.

use clap::Args;
use qianmian::cli::Failure;
use qianmian::domain::{DAY_MS, EventKind};
use qianmian::engine::import::{Content, Report as ImportReport};
use qianmian::engine::{Engine, EngineOptions};
use qianmian::experiment::figures::{ALPHA, Intervals};
use qianmian::experiment::interleaving::{Drafted, team_draft};
use qianmian::experiment::simulation::Browsing;
use qianmian::experiment::statistics::{Sample, units_needed};
use qianmian::experiment::units::{Deed, UnitId, Units};
use qianmian::experiment::{Before, Experiment, ExperimentState, Method, Metric, Report, Variant};
use qianmian::import::{Plan, Preset, from_stream};
use qianmian::store::{Entry, Record};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

/// The bundled log.
const LOG: &[u8] = include_bytes!("../../../data/online_retail.csv.gz");
/// Days of a simulated experiment.
const DAYS: i64 = 28;
/// Users that arrive on each day.
const ARRIVALS: u32 = 200;
/// Probability that a user buys on a day on which they come.
const BUYS: f64 = 0.1;
/// Probability that a user comes on each day after their first.
const RETURNS: f64 = 0.05;
/// The lift of the second simulation, on what a user does on one day.
const LIFT: f64 = 0.2;
/// Items that a simulated user may be shown, and the length of a list.
const POOL: usize = 40;
const LIST: usize = 10;
/// How far the scores of the two rankings are off.
const NOISES: [f64; 2] = [0.25, 0.20];
/// The power of the last comparison, and its simulations.
const POWER: f64 = 0.8;
const REPEATED: u64 = 200;
/// Simulated users from whose behaviour the numbers of users needed follow.
const USERS: usize = 400_000;

/// Measure the statistics of experiments on simulated users whose behaviour is known
#[derive(Debug, Args)]
pub(crate) struct Experiments {
    /// Simulated experiments of each kind
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(10..=100_000))]
    experiments: u64,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Experiments {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        self.no_difference();
        self.known_lift();
        covariate()?;
        self.interleaving();
        Ok(())
    }

    /// Reads experiments without a difference every day.
    fn no_difference(&self) {
        let ever = |of: &(dyn Fn(&Intervals) -> bool + Sync)| {
            let claims = (0..self.experiments).into_par_iter().filter(|n| {
                let mut claims = false;
                simulate(self.seed ^ (n + 1), 1.0, |report| {
                    claims |= conversion(report).is_some_and(|intervals| of(&intervals));
                });
                claims
            });
            claims.count() as f64 / self.experiments as f64
        };
        let always = ever(&|intervals| !intervals.always_valid.holds(0.0));
        let fixed = ever(&|intervals| !intervals.fixed_horizon.holds(0.0));
        let error = deviation(0.05, self.experiments);
        println!(
            "A/A: {} experiments of {DAYS} days with {ARRIVALS} new users a day, read daily\n  \
             always-valid intervals ever exclude 0 in {:.1} % (at most {:.1} %: 5 % and two standard \
             errors)\n  fixed-horizon intervals, which are not made for it, in {:.1} %\n",
            self.experiments,
            100.0 * always,
            100.0 * (0.05 + 2.0 * error),
            100.0 * fixed
        );
    }

    /// How often the intervals at the end cover a known lift.
    fn known_lift(&self) {
        let truth = conversions(1.0 + LIFT) / conversions(1.0) - 1.0;
        let covered: Vec<[bool; 2]> = (0..self.experiments)
            .into_par_iter()
            .filter_map(|n| {
                let mut last = None;
                simulate(self.seed ^ (0xabcd + n), 1.0 + LIFT, |report| last = conversion(report));
                let Intervals { always_valid, fixed_horizon, .. } = last?;
                Some([always_valid.holds(truth), fixed_horizon.holds(truth)])
            })
            .collect();
        let share =
            |at: usize| covered.iter().filter(|of| of[at]).count() as f64 / covered.len() as f64;
        println!(
            "A known lift of {:+.1} % in conversion: covered by always-valid intervals in {:.1} %, by \
             fixed-horizon ones at the end in {:.1} % (at least {:.1} %: 95 % less two standard errors)\n",
            100.0 * truth,
            100.0 * share(0),
            100.0 * share(1),
            100.0 * (0.95 - 2.0 * deviation(0.95, self.experiments))
        );
    }

    /// Users needed by a split and by interleaving.
    fn interleaving(&self) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let browsing = Browsing::default();
        let (mut by_clicks, mut by_conversion) = ([Sample::default(); 2], [Sample::default(); 2]);
        let mut preference = Sample::default();
        for _ in 0..USERS {
            let user = SimulatedUser::new(&mut rng);
            for (at, (clicks, conversion)) in
                by_clicks.iter_mut().zip(&mut by_conversion).enumerate()
            {
                let (clicked, bought) = user.browse(at, &browsing, &mut rng);
                clicks.add(clicked, 0.0);
                conversion.add(bought, 0.0);
            }
            preference.add(user.preference(&browsing, &mut rng), 0.0);
        }

        let lift = |[a, b]: [Sample; 2]| 100.0 * (b.mean() / a.mean() - 1.0);
        let of_split = |[a, b]: [Sample; 2]| {
            2.0 * units_needed(a.variance(), b.mean() - a.mean(), ALPHA, POWER)
        };
        // A single sample against 0 needs half of what each of two needs.
        let interleaved =
            units_needed(preference.variance(), preference.mean(), ALPHA, POWER) / 2.0;
        let (lift_in_clicks, lift_in_conversion) = (lift(by_clicks), lift(by_conversion));
        let (by_clicks, by_conversion) = (of_split(by_clicks), of_split(by_conversion));
        println!(
            "Interleaving: two rankings of {POOL} items, scores off by {} and {} of the largest \
             attraction; lists of {LIST}\n  lift {:+.1} % in clicks by user, {:+.1} % in conversion; users \
             who prefer the better ranking less those who prefer the other {:+.3}\n  users for a power \
             of 80 %: {interleaved:.0} interleaved, {by_conversion:.0} split by conversion (1/{:.0}), \
             {by_clicks:.0} split by clicks (1/{:.0})",
            NOISES[0],
            NOISES[1],
            lift_in_clicks,
            lift_in_conversion,
            preference.mean(),
            by_conversion / interleaved,
            by_clicks / interleaved,
        );

        let found = |finds: &(dyn Fn(u64) -> bool + Sync)| {
            let found =
                (0..REPEATED).into_par_iter().filter(|n| finds(self.seed ^ (77 + n))).count();
            100.0 * found as f64 / REPEATED as f64
        };
        println!(
            "  power in {REPEATED} simulations with as many: {:.1} % interleaved, {:.1} % split by \
             conversion",
            found(&|seed| interleaving_finds(seed, interleaved as usize)),
            found(&|seed| split_finds(seed, by_conversion as usize)),
        );
    }
}

/// Simulates an experiment; `read` gets the report at the end of every day. What users of the second
/// variant do on a day has `factor` times the probability.
fn simulate(seed: u64, factor: f64, mut read: impl FnMut(&Report)) {
    let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let experiment = experiment();
    let mut units = Units::default();
    let mut users = 0;
    for day in 1..=DAYS {
        for user in 0..users + ARRIVALS {
            let variant = user % 2;
            let comes = user >= users || rng.random_bool(RETURNS);
            if !comes {
                continue;
            }
            let name = &experiment.variants[variant as usize].name;
            units.note_list(UnitId::User(user), name, LIST, day * DAY_MS, Before::default);
            if rng.random_bool(if variant == 1 { BUYS * factor } else { BUYS }) {
                units.note_deed(UnitId::User(user), Deed::Purchase(10.0), day * DAY_MS);
            }
        }
        users += ARRIVALS;
        read(&Report::new(&experiment, &units.summary(), (day + 1) * DAY_MS));
    }
}

/// The expected share of users with a purchase at the end, where one day has `factor` times [`BUYS`].
fn conversions(factor: f64) -> f64 {
    let of_day = BUYS * factor;
    let later = |days: i64| 1.0 - (1.0 - of_day) * (1.0 - RETURNS * of_day).powi(days as i32);
    (0..DAYS).map(later).sum::<f64>() / DAYS as f64
}

fn experiment() -> Experiment {
    let variant = |name: &str| Variant { name: name.into(), share: 0.5, placement: "".into() };
    Experiment {
        name: "simulated".into(),
        placement: "home".into(),
        layer: "home".into(),
        method: Method::Split,
        variants: vec![variant("a"), variant("b")],
        control: "a".into(),
        traffic: 1.0,
        segments: Vec::new(),
        ramp: Vec::new(),
        metric: Metric::Conversion,
        min_effect: 0.02,
        guardrail: None,
        state: ExperimentState::Running { since_ms: DAY_MS },
        slot: 0.0,
    }
}

/// The intervals of the second variant's lift in conversion; none while it has too few users.
fn conversion(report: &Report) -> Option<Intervals> {
    let variant = report.variants.get(1).filter(|variant| variant.units >= 100)?;
    let of = |metric| variant.figures.iter().find(|figure| figure.metric == metric);
    of(Metric::Conversion)?.lift.map(|lift| lift.plain)
}

/// The standard deviation of a share of `n`.
fn deviation(share: f64, n: u64) -> f64 {
    (share * (1.0 - share) / n as f64).sqrt()
}

/// How much the past of its users shortens intervals of revenue on the bundled log: its last ninety days
/// are the experiment, users are split by the parity of their number.
fn covariate() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut options = EngineOptions::default();
    options.train.automatic = false;
    let engine = Engine::open(folder.path(), options)?;
    let plan = Plan::preset(Preset::OnlineRetail);
    let content = Content::Events;
    let log = Box::new(LOG);
    let mut reader = from_stream("online_retail.csv.gz", log, &plan.dialect, content.required())?;
    let mut report = ImportReport::default();
    engine.importer().import(&mut *reader, content, &plan, &mut report, &mut |_, _| {})?;

    let begins_ms = engine.live().newest_ms() - 90 * DAY_MS;
    let mut revenue: Vec<[f64; 2]> = Vec::new();
    engine.replay(&mut |entry| {
        let Entry::Record(_, Record::Event(event)) = entry else { return };
        let sign = match event.kind {
            EventKind::Purchase => 1.0,
            EventKind::Refund => -1.0,
            _ => return,
        };
        let user = event.user as usize;
        revenue.resize(revenue.len().max(user + 1), [0.0; 2]);
        let period = usize::from(event.time_ms >= begins_ms);
        revenue[user][period] += sign * event.price.unwrap_or(0.0) * event.quantity;
    })?;

    let mut units = Units::default();
    let experiment = experiment();
    for (user, &[before, within]) in (0u32..).zip(&revenue) {
        let name = &experiment.variants[user as usize % 2].name;
        let before = Before { purchases: 0.0, revenue: before as f32 };
        units.note_list(UnitId::User(user), name, LIST, DAY_MS, || before);
        units.note_deed(UnitId::User(user), Deed::Purchase(within), DAY_MS);
    }
    let report = Report::new(&experiment, &units.summary(), 2 * DAY_MS);
    let figures = &report.variants[1].figures;
    let lift = figures.iter().find(|figure| figure.metric == Metric::Revenue);
    let lift = lift.and_then(|figure| figure.lift).ok_or("the log has no revenue")?;
    let adjusted = lift.adjusted.ok_or("no interval is adjusted")?;
    let shorter = 1.0 - adjusted.always_valid.width() / lift.plain.always_valid.width();
    println!(
        "CUPED: revenue of {} users of Online Retail in its last 90 days, adjusted by what they bought \
         before: intervals are {:.1} % shorter\n",
        revenue.len(),
        100.0 * shorter
    );
    Ok(())
}

/// A user with a taste, and two rankings of what they may be shown, by places in the pool.
struct SimulatedUser {
    attractions: Vec<f64>,
    rankings: [Vec<usize>; 2],
}

impl SimulatedUser {
    fn new(rng: &mut StdRng) -> Self {
        // Few items attract much: cubes of uniform numbers, at most a half.
        let mut attractions: Vec<f64> =
            (0..POOL).map(|_| 0.5 * rng.random::<f64>().powi(3)).collect();
        attractions.shuffle(rng);
        let rankings = NOISES.map(|noise| {
            let mut scored: Vec<(f64, usize)> = attractions
                .iter()
                .enumerate()
                .map(|(at, attraction)| (attraction + noise * (rng.random::<f64>() - 0.5), at))
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            scored.into_iter().take(LIST).map(|(_, at)| at).collect()
        });
        Self { attractions, rankings }
    }

    fn of(&self, list: &[usize]) -> Vec<f64> {
        list.iter().map(|&at| self.attractions[at]).collect()
    }

    /// Clicks on the list of one ranking, and 1 for a purchase.
    fn browse(&self, ranking: usize, browsing: &Browsing, rng: &mut StdRng) -> (f64, f64) {
        let looks = browsing.browse(&self.of(&self.rankings[ranking]), rng);
        let clicks = looks.iter().filter(|look| look.clicked).count() as f64;
        (clicks, f64::from(u8::from(looks.iter().any(|look| look.bought))))
    }

    /// Which ranking's items get more clicks in an interleaved list: 1 for the second, −1 for the first.
    fn preference(&self, browsing: &Browsing, rng: &mut StdRng) -> f64 {
        let drafted = team_draft(&self.rankings[0], &self.rankings[1], LIST, rng.random());
        let item = |of: &Drafted| self.rankings[usize::from(of.of_second)][of.place];
        let list: Vec<usize> = drafted.iter().map(item).collect();
        let looks = browsing.browse(&self.of(&list), rng);
        let clicked = looks.iter().zip(&drafted).filter(|(look, _)| look.clicked);
        let balance: i32 = clicked.map(|(_, drafted)| drafted.team.sign()).sum();
        f64::from(balance.signum())
    }
}

/// Whether a split of that many users finds by their conversion that the second ranking is better.
fn split_finds(seed: u64, users: usize) -> bool {
    let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let browsing = Browsing::default();
    let mut samples = [Sample::default(); 2];
    for user in 0..users {
        let at = user % 2;
        let (_, bought) = SimulatedUser::new(&mut rng).browse(at, &browsing, &mut rng);
        samples[at].add(bought, 0.0);
    }
    samples[1].estimate().minus(&samples[0].estimate()).fixed_horizon(ALPHA).low > 0.0
}

/// Whether interleaving for that many users does.
fn interleaving_finds(seed: u64, users: usize) -> bool {
    let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let browsing = Browsing::default();
    let mut sample = Sample::default();
    for _ in 0..users {
        sample.add(SimulatedUser::new(&mut rng).preference(&browsing, &mut rng), 0.0);
    }
    sample.estimate().fixed_horizon(ALPHA).low > 0.0
}
