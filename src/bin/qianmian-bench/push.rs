//! Measures the time from a file of embeddings to lists that use them, and the effect on
//! concurrent requests.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::asked::Asked;
use crate::load::{self, Calls, Outcome, Pace};
use crate::load::{CONCURRENCY, STEADY};
use crate::server::{Server, free_address};
use qianmian::api::wire::pb;
use qianmian::cli::Failure;
use qianmian::cli::backend::Backend;
use qianmian::domain::hex;
use qianmian::export::model::embeddings;

/// Maximum number of vectors, and their dimensions.
const VECTORS: usize = 100_000;
const DIMENSIONS: usize = 128;
/// Latent dimensions of the vectors, to which noise is added. Models of behaviour have such a
/// structure; random vectors have no near neighbours.
const LATENT: usize = 16;
const NOISE: f32 = 0.05;
/// Duration of one latency measurement during the push.
const LOOK: Duration = Duration::from_secs(2);

/// Pushes vectors of the store's items to a server of its own on the data folder.
///
/// # Errors
/// Where the server does not start, a connection fails, or the push is refused.
pub(crate) fn measure(data: &Path, asked: &Asked, pace: Pace, limit: i32) -> Result<(), Failure> {
    let items = &asked.known_items[..asked.known_items.len().min(VECTORS)];
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let bytes = embeddings(items, DIMENSIONS, &vectors(items.len()))?;
    File::create(&path)?.write_all(&bytes)?;
    let header = pb::PushHeader {
        push_id: "bench".to_owned(),
        size_bytes: bytes.len() as u64,
        // The vectors are random with regard to this store.
        force: true,
        ..pb::PushHeader::default()
    };

    let sha256 = hex(&Sha256::digest(&bytes));
    let address = free_address()?;
    let listen = address.to_string();
    let data = data.display().to_string();
    let server = Server::start(address, &["serve", "--listen", &listen, "--data", &data])?;
    let (_, lists) = asked.calls(limit).swap_remove(1);
    let steady = Pace { rate: Some(STEADY), concurrency: CONCURRENCY, ..pace };
    load::run(&listen, &lists, steady)?;
    let quiet = load::run(&listen, &lists, steady)?;

    let before = server.cpu_seconds();
    let started = Instant::now();
    let (busy, seconds) = std::thread::scope(|scope| -> Result<_, Failure> {
        let pushing = scope.spawn(|| {
            let file = File::open(&path).map_err(|e| e.to_string())?;
            push(&listen, header, sha256, &file)?;
            Ok::<_, String>(started.elapsed().as_secs_f64())
        });
        let busy = until(&listen, &lists, steady, || pushing.is_finished())?;
        let seconds = pushing.join().map_err(|_| "the pusher panicked")??;
        Ok((busy, seconds))
    })?;

    let cpu = server.cpu_seconds().zip(before).map_or(0.0, |(after, before)| after - before);
    let count = items.len();
    println!(
        "\n{count} embeddings of {DIMENSIONS} dimensions, from the first byte to active: \
         {seconds:.1} s, {cpu:.1} s of processor time, concurrent lists included"
    );

    for (when, outcome) in [("before", quiet), ("meanwhile", busy)] {
        let [p50, p99] = [0.5, 0.99].map(|share| outcome.quantile(share));
        println!("Recommend at {STEADY} requests/s {when}: p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
    Ok(())
}

fn push(
    address: &str,
    header: pb::PushHeader,
    sha256: String,
    file: &File,
) -> Result<pb::Model, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(async {
        let backend = Backend::connect(address).await.map_err(|e| e.to_string())?;
        let pushed = backend.push(header, sha256, file).await;
        pushed.map_err(|status| status.message().to_owned())
    })
}

/// Loads the server until something has ended.
fn until(
    address: &str,
    calls: &Calls,
    pace: Pace,
    ended: impl Fn() -> bool,
) -> Result<Outcome, Failure> {
    let mut all = Outcome::default();
    while !ended() {
        let outcome = load::run(address, calls, Pace { duration: LOOK, ..pace })?;
        all.micros.extend(outcome.micros);
        all.refused += outcome.refused;
        all.seconds += outcome.seconds;
    }
    all.micros.sort_unstable();
    Ok(all)
}

fn vectors(count: usize) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut draw =
        |len: usize| -> Vec<f32> { (0..len).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let turn = draw(LATENT * DIMENSIONS);
    let latent = draw(LATENT * count);
    let noise = draw(DIMENSIONS * count);

    let mut vectors = noise;
    for (row, latent) in vectors.chunks_exact_mut(DIMENSIONS).zip(latent.chunks_exact(LATENT)) {
        row.iter_mut().for_each(|x| *x *= NOISE);
        for (turn, z) in turn.chunks_exact(DIMENSIONS).zip(latent) {
            qianmian::domain::kernels::add(row, *z, turn);
        }
    }
    vectors
}
