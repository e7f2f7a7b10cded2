//! `qianmian-bench insight`: what portraits cost, and how near expected dates of purchases are.

use std::time::Instant;

use clap::Args;
use qianmian::cli::Failure;
use qianmian::config::Config;
use qianmian::domain::{HistoryEvent, ItemIdx};
use qianmian::engine::{Engine, Page};
use qianmian::insight::gaps::{days_by_item, days_of};
use qianmian::insight::{GapCounter, GapModel};
use qianmian::live::Live;

/// Measure the time and memory of portraits on a data folder, and the error of expected dates: of each
/// user's last order, and of each user's last purchase of each item, left out
#[derive(Debug, Args)]
pub(crate) struct Insight {
    /// Users whose portraits are asked for one by one
    #[arg(long, default_value_t = 2_000)]
    users: usize,
}

/// The days of a user's orders, and of their purchases of each item.
type Days = (Vec<i64>, Vec<(ItemIdx, Vec<i64>)>);

impl Insight {
    pub(crate) fn run(&self, config: &Config) -> Result<(), Failure> {
        let engine = Engine::open(&config.data, config.engine())?;
        self.time(&engine)?;
        let live = engine.live();
        let parts = live.memory_parts();
        let orders = parts.iter().find(|part| part.0 == "orders").map_or(0, |part| part.1);
        let users = live.users.read().len().max(1);
        println!("orders and activity: {:.1} bytes a user", orders as f64 / users as f64);
        print_errors(live);
        Ok(())
    }

    /// The time of the first portrait, of each after it, and of all.
    fn time(&self, engine: &Engine) -> Result<(), Failure> {
        let insight = engine.insight();
        let names: Vec<String> = {
            let users = engine.live().users.read();
            let step = (users.len() / self.users.max(1)).max(1);
            let ids = (0..users.len()).step_by(step).map(|idx| users.id(idx as u32).to_owned());
            ids.filter(|id| !id.is_empty()).take(self.users).collect()
        };
        let first = names.first().ok_or("the store has no user")?;
        let started = Instant::now();
        drop(insight.user(first));
        println!(
            "first portrait, with the models it needs: {:.2} s",
            started.elapsed().as_secs_f64()
        );

        let mut times: Vec<f64> = names
            .iter()
            .map(|name| {
                let started = Instant::now();
                drop(insight.user(name));
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize];
        println!("one portrait: median {:.0} µs, p99 {:.0} µs", at(0.5), at(0.99));

        let started = Instant::now();
        let (mut next, mut all) = (Some(0), 0);
        while let Some(from) = next {
            let (users, rest) = insight.users(from, Page(1_000))?;
            all += users.len();
            next = rest;
        }
        println!("all {all} portraits: {:.2} s", started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// Leaves the last gap of every user and pair out, and expects it from the rest.
fn print_errors(live: &Live) {
    let mut all: Vec<Days> = Vec::new();
    live.orders.each(|user, book| {
        let items = live.histories.of(user, |history: &[HistoryEvent]| days_by_item(history));
        all.push((days_of(book), items));
    });
    let mut counter = GapCounter::default();
    for (days, items) in &all {
        let items: Vec<(ItemIdx, Vec<i64>)> =
            items.iter().map(|(item, days)| (*item, without_last(days).to_vec())).collect();
        counter.add_days(without_last(days), &items);
    }
    let category = |item| {
        let catalogue = live.catalogue.read();
        catalogue.get(item).and_then(|item| item.categories.first()).cloned()
    };
    let model: GapModel = counter.finish(category);

    let of_orders = all.iter().map(|(days, _)| (None, days.as_slice()));
    report("next order, users with 3 gaps or more before it", &model, of_orders, 4);
    let of_items = || {
        let each = all.iter().flat_map(|(_, items)| items);
        each.map(|(item, days)| (Some(*item), days.as_slice()))
    };
    report("next purchase of an item, 1 gap or more before it", &model, of_items(), 2);
    report("next purchase of an item, 3 gaps or more before it", &model, of_items(), 4);
}

fn without_last(days: &[i64]) -> &[i64] {
    &days[..days.len().saturating_sub(1)]
}

/// Prints the errors in days where `min` days or more precede the last.
fn report<'a>(
    what: &str,
    model: &GapModel,
    days: impl Iterator<Item = (Option<ItemIdx>, &'a [i64])>,
    min: usize,
) {
    let (mut errors, mut own_errors) = (Vec::new(), Vec::new());
    for (item, days) in days.filter(|(_, days)| days.len() > min) {
        let known = without_last(days);
        let (last, next) = (known[known.len() - 1] as f64, days[days.len() - 1] as f64);
        let expected = match item {
            None => model.next_order(known, last),
            Some(item) => model.next_of_item(item, known, last),
        };
        let mut gaps: Vec<f64> = known.windows(2).map(|w| (w[1] - w[0]) as f64).collect();
        errors.extend(expected.map(|expected| (expected - next).abs()));
        own_errors.push((last + median(&mut gaps) - next).abs());
    }

    let mean = |errors: &[f64]| errors.iter().sum::<f64>() / errors.len().max(1) as f64;
    let (of_model, of_own) = (mean(&errors), mean(&own_errors));
    let (median_model, median_own) = (median(&mut errors), median(&mut own_errors));
    println!(
        "{what}: {} cases; median error {median_model:.2} days, by the own median gap {median_own:.2} \
         ({:.3}); mean error {of_model:.2}, by the own median gap {of_own:.2} ({:.3})",
        own_errors.len(),
        median_model / median_own,
        of_model / of_own
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}
