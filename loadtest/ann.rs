//! Nearest-neighbour search over given vectors: how long the graph takes to build, and how many
//! queries a second one thread answers at which recall, depth by depth.
//!
//! `cargo run --release --example ann -- VECTORS.f32 QUERIES.f32 DIMENSIONS`
//!
//! Files are raw little-endian f32, row after row, of norm 1 at most; similarity is the inner
//! product.

use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use qianmian::domain::progress::Control;
use qianmian::model::Embeddings;
use qianmian::model::settings::EmbeddingSettings;
use qianmian::model::vectors::graph::SearchState;
use qianmian::train::graph::build;

/// Length of the lists that are looked for.
const K: usize = 10;
/// Depths of search.
const DEPTHS: [usize; 11] = [15, 20, 25, 30, 40, 50, 60, 80, 120, 160, 320];

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, queries, dimensions] = arguments.as_slice() else {
        return Err("usage: ann VECTORS.f32 QUERIES.f32 DIMENSIONS".into());
    };
    let dimensions: usize = dimensions.parse()?;
    let (vectors, queries) = (read(vectors)?, read(queries)?);
    let items = vectors.len() / dimensions;
    let fold_in = vec![1.0; items];
    let mut embeddings = Embeddings { dimensions, vectors, fold_in, ..Embeddings::default() };
    let settings = EmbeddingSettings { dimensions, ..EmbeddingSettings::default() };
    let cancel = AtomicBool::new(false);
    let control = Control::new(&|_| {}, &cancel);

    let started = Instant::now();
    embeddings.encode();
    embeddings.ann = build::graph(&embeddings, &settings, 1, &control)?;
    println!("graph over {items} x {dimensions} built in {:.2} s", started.elapsed().as_secs_f64());
    let started = Instant::now();
    let recall = build::check(&mut embeddings, 1);
    let (ef, side) = (embeddings.ann.ef, embeddings.ann.side.len());
    let seconds = started.elapsed().as_secs_f64();
    println!("checked in {seconds:.2} s: depth {ef}, {side} scanned besides, recall {recall:.4}");

    let exact: Vec<f32> = queries
        .chunks_exact(dimensions)
        .map(|query| embeddings.scan(query, 0..items as u32, K).last().map_or(0.0, |s| s.score))
        .collect();
    let mut search = SearchState::default();
    embeddings.ann.ef = K;
    for depth in DEPTHS {
        let started = Instant::now();
        let found: Vec<_> = queries
            .chunks_exact(dimensions)
            .map(|query| embeddings.search(query, K, depth, &mut search))
            .collect();
        let seconds = started.elapsed().as_secs_f64();
        let hits = found.iter().zip(&exact);
        let hits: usize = hits.map(|(list, w)| list.iter().filter(|s| s.score >= *w).count()).sum();
        let recall = hits as f64 / (K * exact.len()) as f64;
        println!(
            "ef {depth:<4} {:9.0} queries/s  recall@{K} {recall:.4}",
            exact.len() as f64 / seconds
        );
    }
    Ok(())
}

fn read(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}
