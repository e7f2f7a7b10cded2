//! How long the kernels of training take on a log: item CF, one sweep of iALS, SVD.
//! The median of several runs of each; reading the log is not timed.
//!
//! `cargo run --release --example train -- LOG.csv`
//!
//! The log has columns user_id, item_id and timestamp; every pair counts once.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use qianmian::domain::progress::Control;
use qianmian::evaluate::Dataset;
use qianmian::import::Plan;
use qianmian::matrix::Weighting;
use qianmian::model::settings::{EmbeddingSettings, ItemCfSettings};
use qianmian::train::{TrainingData, cooccurrence, ials, svd};

/// Runs of each kernel.
const RUNS: usize = 5;
const DIMENSIONS: [usize; 2] = [64, 128];
/// Sweeps of iALS in a run; the time is that of one.
const SWEEPS: usize = 2;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [log] = arguments.as_slice() else { return Err("usage: train LOG.csv".into()) };
    let mut data = Dataset::default();
    let log = data.read(Path::new(log), &Plan::default())?.events;
    let events = data.events(log);
    let data = TrainingData::new(&events);
    let matrix = data.matrix(Weighting::default());
    let (users, items) = (matrix.by_user.rows(), matrix.by_item.rows());
    println!("users {users} items {items} pairs {}", matrix.by_user.entries());

    let cancel = AtomicBool::new(false);
    let control = Control::new(&|_| {}, &cancel);
    let settings = ItemCfSettings { neighbours: 200, ..ItemCfSettings::default() };
    time("item CF, 200 neighbours", 1, || {
        cooccurrence::item_cf(&matrix, &settings, None, &control)?;
        Ok(())
    })?;
    for dimensions in DIMENSIONS {
        let settings =
            EmbeddingSettings { dimensions, sweeps: SWEEPS, ..EmbeddingSettings::default() };
        time(&format!("iALS-{dimensions}, one sweep"), SWEEPS, || {
            ials::train(&matrix, &settings, 1, &control)?;
            Ok(())
        })?;
        time(&format!("SVD-{dimensions}"), 1, || {
            svd::train(&matrix, &settings, 1, &control)?;
            Ok(())
        })?;
    }
    Ok(())
}

fn time(
    name: &str,
    parts: usize,
    mut run: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        run()?;
        seconds.push(started.elapsed().as_secs_f64() / parts as f64);
    }
    seconds.sort_by(f64::total_cmp);
    println!("{name:<24} {:8.3} s", seconds[RUNS / 2]);
    Ok(())
}
