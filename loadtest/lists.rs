//! Measures the time of a list, source by source: one thread, no server, a different user for each
//! list, no prepared lists.
//!
//! `cargo run --release --example lists -- DATA [LISTS]`
//!
//! DATA is a data folder with a model.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use qianmian::engine::Engine;
use qianmian::engine::options::EngineOptions;
use qianmian::live::Filter;
use qianmian::model::{Snapshot, Source};
use qianmian::recommend::{Query, Scratch, Shelf, recommend};

/// Lists of each source by default.
const LISTS: usize = 20_000;
const LIMIT: usize = 20;
/// Rounds of each source; the median round is printed.
const ROUNDS: usize = 9;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (data, lists) = match arguments.as_slice() {
        [data] => (data, LISTS),
        [data, lists] => (data, lists.parse()?),
        _ => return Err("usage: lists DATA [LISTS]".into()),
    };
    let mut options = EngineOptions::default();
    options.train.automatic = false;
    let engine = Engine::open(Path::new(data), options)?;
    let served = engine.models().active().ok_or("the store has no model")?;
    let mut parts = served.parts.clone();
    parts.prepared = Arc::default();
    let snapshot = Snapshot { manifest: served.manifest.clone(), parts };
    let (users, items) = (engine.live().users.read().len(), engine.live().items.read().len());
    println!("{users} users, {items} items; lists of {LIMIT}, microseconds each");

    let catalogue = engine.live().catalogue.read();
    let filter = Filter::default();
    let shelf = Shelf::of(&catalogue, items, &filter, snapshot.manifest.newest_ms);
    let mut scratch = Scratch::default();
    let blended = snapshot.manifest.settings.blend.sources();
    let step = users.div_ceil(lists).max(1);
    for strategy in Source::TRAINED.into_iter().map(Some).chain([None]) {
        let mut micros: Vec<f64> = (0..ROUNDS)
            .map(|round| {
                let started = Instant::now();
                let asked = (round..users).step_by(step * ROUNDS);
                let count = asked.len();
                for user in asked {
                    let past = engine.live().histories.read(user as u32);
                    let query = Query {
                        user: Some(user as u32),
                        history: &past.events,
                        bought: &past.bought,
                        limit: LIMIT,
                        strategy,
                        ..Query::on(shelf)
                    };
                    recommend(&snapshot, &query, &mut scratch);
                }
                started.elapsed().as_secs_f64() * 1e6 / count.max(1) as f64
            })
            .collect();
        micros.sort_by(f64::total_cmp);
        let micros = micros[ROUNDS / 2];
        let (name, note) = match strategy {
            Some(source) if blended.contains(&source) => (source.name(), "in the blend"),
            Some(source) => (source.name(), ""),
            None => ("blend", ""),
        };
        println!("{name:<12} {micros:8.1}  {note}");
    }
    Ok(())
}
