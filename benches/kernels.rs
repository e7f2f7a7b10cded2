//! The kernels of training and serving, by divan, on a made-up store: counts of items together, a
//! sweep of iALS, EASE, the nearest-neighbour graph and its search, the trees of the second stage.
//!
//! `cargo bench --bench kernels`
//!
//! These compare one version of a kernel with another on one machine. Figures for the documents come
//! from `qianmian-bench` and `loadtest/`, as ratios to a peer or a ceiling in the same run.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use qianmian::domain::progress::Control;
use qianmian::domain::{EventKind, HistoryEvent};
use qianmian::matrix::{Interactions, UserEvents, Weighting};
use qianmian::model::second_stage::{FEATURES, Features, Trees};
use qianmian::model::settings::{EmbeddingSettings, ItemCfSettings};
use qianmian::model::vectors::graph::SearchState;
use qianmian::model::{Embeddings, SecondStage};
use qianmian::train::graph::build;
use qianmian::train::{TrainingData, cooccurrence, ials};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const USERS: usize = 5_000;
const ITEMS: usize = 2_000;
const EVENTS: usize = 100_000;
const DIMENSIONS: usize = 64;
/// Length of the lists that a search looks for.
const K: usize = 100;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// Interactions of users with items, the popular ones more often.
static MATRIX: LazyLock<Arc<Interactions>> = LazyLock::new(|| {
    let mut random = SmallRng::seed_from_u64(1);
    let log = (0..EVENTS).map(|n| {
        let user = random.random_range(0..USERS as u32);
        let item = (ITEMS as f64 * random.random::<f64>().powi(3)) as u32;
        (user, HistoryEvent::new(EventKind::Purchase, item, n as i64))
    });
    let events = UserEvents::new(USERS, ITEMS, log.collect());
    TrainingData::new(&events).matrix(Weighting::default())
});

/// Embeddings of every item with their graph.
static EMBEDDINGS: LazyLock<Embeddings> = LazyLock::new(|| {
    let mut embeddings = vectors();
    with_graph(&mut embeddings);
    embeddings
});

/// Random vectors of norm 1.
fn vectors() -> Embeddings {
    let mut random = SmallRng::seed_from_u64(2);
    let mut vectors: Vec<f32> =
        (0..ITEMS * DIMENSIONS).map(|_| random.random_range(-1.0..1.0)).collect();
    for vector in vectors.chunks_exact_mut(DIMENSIONS) {
        let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|v| *v /= norm);
    }
    Embeddings {
        dimensions: DIMENSIONS,
        vectors,
        fold_in: vec![1.0; ITEMS],
        ..Embeddings::default()
    }
}

fn with_graph(embeddings: &mut Embeddings) {
    let settings = EmbeddingSettings { dimensions: DIMENSIONS, ..EmbeddingSettings::default() };
    build::build(embeddings, &settings, Vec::new(), 1, &control()).expect("a graph is built");
}

fn control() -> Control<'static> {
    static CANCEL: AtomicBool = AtomicBool::new(false);
    Control::new(&|_| {}, &CANCEL)
}

#[divan::bench(sample_count = 10)]
fn item_cf() {
    let settings = ItemCfSettings { neighbours: 200, ..ItemCfSettings::default() };
    divan::black_box(cooccurrence::item_cf(&MATRIX, &settings, None, &control()).is_ok());
}

#[divan::bench(sample_count = 10)]
fn ials_sweep() {
    let settings =
        EmbeddingSettings { dimensions: DIMENSIONS, sweeps: 1, ..EmbeddingSettings::default() };
    divan::black_box(ials::train(&MATRIX, &settings, 1, &control()).is_ok());
}

#[divan::bench(sample_count = 5)]
fn graph_build(bencher: Bencher<'_, '_>) {
    bencher.with_inputs(vectors).bench_values(|mut embeddings| with_graph(&mut embeddings));
}

#[divan::bench]
fn graph_search(bencher: Bencher<'_, '_>) {
    let mut search = SearchState::default();
    let query = EMBEDDINGS.vector(7).to_vec();
    bencher.bench_local(|| EMBEDDINGS.search(&query, K, &mut search));
}

#[divan::bench]
fn exact_scan(bencher: Bencher<'_, '_>) {
    let query = EMBEDDINGS.vector(7).to_vec();
    bencher.bench(|| EMBEDDINGS.scan(&query, 0..ITEMS as u32, K));
}

/// A hundred whole trees of depth 5, and the candidates of a list.
#[divan::bench]
fn trees(bencher: Bencher<'_, '_>) {
    let mut random = SmallRng::seed_from_u64(4);
    let mut trees = Trees::default();
    for _ in 0..100 {
        let nodes: Vec<(u32, f32, u32, u32)> = (0..63u32)
            .map(|node| {
                let (feature, value) = (random.random_range(0..FEATURES as u32), random.random());
                let is_inner = node < 31;
                let [left, right] =
                    if is_inner { [2 * node + 1, 2 * node + 2] } else { [node, node] };
                (if is_inner { feature } else { 0 }, value, left, right)
            })
            .collect();
        trees.push(nodes);
    }
    let stage = SecondStage::new(trees);
    let rows: Vec<Features> = (0..120).map(|_| std::array::from_fn(|_| random.random())).collect();
    bencher.bench(|| stage.scores(&rows));
}
