//! The engine as a library, without a server: a store in a temporary folder, a few purchases, a
//! model, a list.
//!
//! `cargo run --release --example embed`

use std::error::Error;

use qianmian::domain::{Event, EventKind, now_ms};
use qianmian::engine::options::EngineOptions;
use qianmian::engine::{Engine, RecommendRequest, Write};

/// Who bought what.
const PURCHASES: [(&str, &str); 8] = [
    ("anna", "tea"),
    ("anna", "cup"),
    ("bo", "tea"),
    ("bo", "cup"),
    ("bo", "spoon"),
    ("chen", "cup"),
    ("chen", "spoon"),
    ("dora", "tea"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::open(folder.path(), EngineOptions::default())?;

    // The events are on disk when `wait` returns.
    let purchase = |(user, item)| Event::new(EventKind::Purchase, user, item, now_ms());
    let events = PURCHASES.into_iter().map(purchase).collect();
    engine.writer().submit_blocking(Write::Events(events))?.wait()?;

    // Quick: with the settings as they are, without tuning.
    let generation = engine.trainer().train_blocking(true)?;
    println!("generation {generation}");

    let request =
        RecommendRequest { user_id: "anna".to_owned(), limit: 3, ..RecommendRequest::default() };
    for item in engine.recommender().recommend(&request)?.entries {
        println!("{:<6} {:7.4} {}", item.item_id, item.score, item.source.name());
    }

    engine.close();
    Ok(())
}
