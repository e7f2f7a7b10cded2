//! `qianmian-bench graph`: queries/s and recall of the nearest-neighbour search, by depth, on one
//! thread. The vectors are those of files, or are trained from a synthetic store, whose users are
//! then the queries; `--save` writes them, so that other libraries can be measured on the same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Args;
use qianmian::cli::Failure;
use qianmian::domain::progress::Control;
use qianmian::domain::topk::Scored;
use qianmian::domain::{EventKind, HistoryEvent};
use qianmian::matrix::{UserEvents, Weighting};
use qianmian::model::Embeddings;
use qianmian::model::settings::EmbeddingSettings;
use qianmian::model::vectors::graph::SearchState;
use qianmian::train::graph::build;
use qianmian::train::{TrainingData, embeddings};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::store::{Purchase, Synth};

/// Search depths measured.
const DEPTHS: [usize; 12] = [10, 15, 20, 25, 30, 35, 40, 50, 60, 80, 160, 320];
/// Times that each depth is measured; the median is printed.
const ROUNDS: usize = 5;
/// Shares of allowed items that are measured, in thousandths.
const ALLOWED: [u32; 6] = [10, 20, 50, 100, 200, 500];
/// Queries with a filter.
const FILTERED: usize = 1_000;
/// Most users that are queries.
const QUERIES: usize = 5_000;

/// Measure the nearest-neighbour graph: queries/s and recall by search depth, on one thread
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// Vectors of the items: little-endian f32, row after row; with --queries [default: those of a
    /// synthetic store]
    #[arg(long, value_name = "FILE", requires = "queries")]
    vectors: Option<PathBuf>,
    /// Queries, in the same format
    #[arg(long, value_name = "FILE", requires = "vectors")]
    queries: Option<PathBuf>,
    /// Dimensions of a vector
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(8..=1_024))]
    dimensions: u16,
    /// Users of the synthetic store
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    users: u64,
    /// Items of the synthetic store
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    items: u64,
    /// Purchases of the synthetic store
    #[arg(long, default_value_t = 5_000_000)]
    events: u64,
    /// Length of the lists
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    k: u16,
    /// Writes the synthetic store's vectors and queries into this folder: vectors.f32, queries.f32
    #[arg(long, value_name = "DIR", conflicts_with = "vectors")]
    save: Option<PathBuf>,
}

impl Graph {
    fn k(&self) -> usize {
        self.k.into()
    }

    pub(crate) fn run(self) -> Result<(), Failure> {
        let cancel = AtomicBool::new(false);
        let control = Control::new(&|_| {}, &cancel);
        let (mut model, queries) = match (&self.vectors, &self.queries) {
            (Some(vectors), Some(queries)) => self.of_files(vectors, queries)?,
            _ => self.of_store(&control)?,
        };

        let settings =
            EmbeddingSettings { dimensions: model.dimensions, ..EmbeddingSettings::default() };
        let checked = build::checked(queries.len()).map(|at| queries[at].clone()).collect();
        let begin = Instant::now();
        let recall = build::build(&mut model, &settings, checked, 1, &control)?;
        println!(
            "{} vectors of {} dimensions, {} queries: built and checked in {:.1} s, recall {recall:.4} \
             at depth {}",
            model.items(),
            model.dimensions,
            queries.len(),
            begin.elapsed().as_secs_f64(),
            model.ann.ef,
        );
        if model.ann.is_empty() {
            return Err("the graph has too little recall: such vectors are scanned".into());
        }

        let depth = model.ann.ef;
        self.sweep(&mut model, &queries);
        model.ann.ef = depth;
        self.filter(&model, &queries);
        Ok(())
    }

    fn of_files(
        &self,
        vectors: &Path,
        queries: &Path,
    ) -> Result<(Embeddings, Vec<Vec<f32>>), Failure> {
        let dimensions = usize::from(self.dimensions);
        let vectors = read(vectors, dimensions)?;
        let items = vectors.len() / dimensions;
        let queries = read(queries, dimensions)?;
        let model =
            Embeddings { dimensions, vectors, fold_in: vec![1.0; items], ..Embeddings::default() };
        Ok((model, queries.chunks_exact(dimensions).map(<[f32]>::to_vec).collect()))
    }

    /// Vectors trained from a synthetic store, and those of its users.
    fn of_store(&self, control: &Control<'_>) -> Result<(Embeddings, Vec<Vec<f32>>), Failure> {
        let Self { users, items, events, .. } = *self;
        let store = Synth { users, items, events, seed: 1 };
        let mut log = Vec::new();
        store.write(|purchase: &Purchase| {
            let event =
                HistoryEvent::new(EventKind::Purchase, purchase.item as u32, purchase.time_ms);
            log.push((purchase.user as u32, event));
            Ok::<(), io::Error>(())
        })?;
        let events = UserEvents::new(users as usize, items as usize, log);

        let matrix = TrainingData::new(&events).matrix(Weighting::default());
        let dimensions = usize::from(self.dimensions);
        let settings = EmbeddingSettings { dimensions, ..EmbeddingSettings::default() };
        let model = embeddings(&matrix, &settings, 1, control)?;

        let step = (users as usize).div_ceil(QUERIES).max(1);
        let query = |user: usize| model.vector_of_row(matrix.by_user.pairs(user));
        let queries = (0..users as usize).step_by(step).map(query);
        // Users of items without a vector have none.
        let queries: Vec<Vec<f32>> = queries.filter(|q| q.iter().any(|x| *x != 0.0)).collect();
        if let Some(folder) = &self.save {
            save(folder, &model.vectors, &queries)
                .map_err(|e| format!("{}: {e}", folder.display()))?;
        }
        Ok((model, queries))
    }

    fn sweep(&self, model: &mut Embeddings, queries: &[Vec<f32>]) {
        let all = 0..model.items() as u32;
        let worst = |query: &Vec<f32>| {
            model.scan(query, all.clone(), self.k()).last().map_or(f32::MIN, |s| s.score)
        };
        let exact: Vec<f32> = queries.iter().map(worst).collect();
        let mut search = SearchState::default();

        for depth in DEPTHS.into_iter().filter(|&depth| depth >= self.k()) {
            model.ann.ef = depth;
            let (rate, lists) = rate(queries, |q| model.search(q, self.k(), &mut search));
            // By score and not by id, so that ties count as found.
            let found: usize =
                lists.iter().zip(&exact).map(|(list, worst)| hits(list, *worst)).sum();
            let recall = found as f64 / (queries.len() * self.k()) as f64;
            println!("depth {depth:<4} {rate:9.0} queries/s   recall@{} {recall:.4}", self.k());
        }
    }

    /// Compares searches among few allowed items with scans of these.
    fn filter(&self, model: &Embeddings, queries: &[Vec<f32>]) {
        let queries = &queries[..queries.len().min(FILTERED)];
        let mut search = SearchState::default();
        for per_thousand in ALLOWED {
            // Allowed items lie anywhere, as those that are in stock do.
            let mut random = SmallRng::seed_from_u64(1);
            let allowed: Vec<bool> =
                (0..model.items()).map(|_| random.random_range(0..1_000) < per_thousand).collect();
            let allows = |item: u32| allowed[item as usize];
            let items: Vec<u32> = (0..model.items() as u32).filter(|&item| allows(item)).collect();
            let worst: Vec<f32> = queries
                .iter()
                .map(|q| model.scan(q, items.iter().copied(), self.k()))
                .map(|list| list.last().map_or(f32::MIN, |s| s.score))
                .collect();

            let (scans, _) =
                rate(queries, |q| model.scan_quantized(q, items.iter().copied(), self.k()));
            let (searches, lists) =
                rate(queries, |q| model.search_among(q, self.k(), allows, &mut search));
            let found: usize =
                lists.iter().zip(&worst).map(|(list, worst)| hits(list, *worst)).sum();
            let shortest = lists.iter().map(Vec::len).min().unwrap_or(0);
            println!(
                "{:>5.1} % allowed   scanned {scans:8.0} queries/s   searched {searches:8.0} queries/s \
                 ({:.1} times)   recall@{} {:.4}   shortest list {shortest}",
                f64::from(per_thousand) / 10.0,
                searches / scans,
                self.k(),
                found as f64 / (queries.len() * self.k()) as f64,
            );
        }
    }
}

/// The median rate of answers, and the last ones.
fn rate(
    queries: &[Vec<f32>],
    mut answer: impl FnMut(&Vec<f32>) -> Vec<Scored>,
) -> (f64, Vec<Vec<Scored>>) {
    let mut lists = Vec::new();
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begin = Instant::now();
            lists = queries.iter().map(&mut answer).collect();
            queries.len() as f64 / begin.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_unstable_by(f64::total_cmp);
    (rates[ROUNDS / 2], lists)
}

/// Items of a list that are among the exact ones, the worst of which has the score `worst`.
fn hits(list: &[Scored], worst: f32) -> usize {
    list.iter().filter(|s| s.score >= worst).count()
}

fn read(path: &Path, dimensions: usize) -> Result<Vec<f32>, Failure> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let bytes = fs::read(path).map_err(|e| failed(&e))?;
    let row = dimensions * size_of::<f32>();
    if bytes.is_empty() || bytes.len() % row != 0 {
        return Err(failed(&format!("not whole rows of {dimensions} values")).into());
    }
    let (values, _) = bytes.as_chunks::<4>();
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

fn save(folder: &Path, vectors: &[f32], queries: &[Vec<f32>]) -> io::Result<()> {
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    fs::create_dir_all(folder)?;
    fs::write(folder.join("vectors.f32"), bytes(vectors))?;
    fs::write(folder.join("queries.f32"), bytes(&queries.concat()))
}
