//! Measures the time from an event to an answer that shows it, and the effect of writes on
//! concurrent requests, on a small store of its own with a model.

use std::time::{Duration, Instant};

use crate::asked::Asked;
use crate::load::{self, Outcome, Pace};
use crate::load::{CONCURRENCY, STEADY};
use crate::server::{self, Server, free_address};
use crate::writes::{self, BATCH, WRITERS};
use qianmian::api::wire::pb;
use qianmian::cli::Failure;
use qianmian::cli::backend::Backend;
use qianmian::config::Config;

/// Users, items and events of the store.
const SIZE: [u64; 3] = [5_000, 2_000, 100_000];
/// Events whose effect is measured.
const ROUNDS: usize = 500;
/// Time after which an effect is given up.
const LONGEST: Duration = Duration::from_secs(10);
/// Events per second written meanwhile.
const MEANWHILE: f64 = 300_000.0;

/// Measures without and with concurrent writes.
///
/// # Errors
/// Where a server does not start, a connection fails, or an event has no effect.
pub(crate) fn measure(config: &Config, duration: Duration, limit: i32) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    server::prepare(folder.path(), &data, SIZE)?;
    let asked = Asked::of(&data, config)?;
    let address = free_address()?;
    let listen = address.to_string();
    let data = data.display().to_string();
    let _server = Server::start(address, &["serve", "--listen", &listen, "--data", &data])?;
    let (_, lists) = asked.calls(limit).swap_remove(1);

    let steady = Pace { duration, concurrency: CONCURRENCY, rate: Some(STEADY) };
    let ask = || load::run(&listen, &lists, steady);
    ask()?;
    report("", &effects(&listen, "quiet")?, &ask()?, None);
    let rate = Some(MEANWHILE / BATCH as f64);
    let pace = Pace { duration: LONGEST + 4 * duration, concurrency: WRITERS, rate };
    let (effects, lists, written) = std::thread::scope(|scope| -> Result<_, Failure> {
        let writing = scope.spawn(|| {
            load::run(&listen, &writes::calls(BATCH), pace).map_err(|error| error.to_string())
        });
        let measured = (effects(&listen, "busy")?, ask()?);
        let written = writing.join().map_err(|_| "the writer panicked")??;
        Ok((measured.0, measured.1, written))
    })?;

    report(" while events are written", &effects, &lists, Some(&written));
    Ok(())
}

fn report(when: &str, effects: &[Outcome; 2], lists: &Outcome, written: Option<&Outcome>) {
    if let Some(written) = written {
        let rate = written.rate() * BATCH as f64;
        println!("{rate:.0} events/s written, p99 {:.2} ms:", written.quantile(0.99));
    }
    for (effect, of) in effects.iter().zip(["the user's next list", "a new item's neighbours"]) {
        let [p50, p99] = [0.5, 0.99].map(|share| effect.quantile(share));
        println!("from an event to {of}{when}: p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
    let [p50, p99] = [0.5, 0.99].map(|share| lists.quantile(share));
    println!("Recommend at {STEADY} requests/s{when}: p50 {p50:.2} ms, p99 {p99:.2} ms");
}

/// The time until a user's first purchase shows in their list, and until a new item has the
/// neighbours that its buyers gave it.
fn effects(address: &str, run: &str) -> Result<[Outcome; 2], Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let backend = Backend::connect(address).await?;
        let mut own = Outcome::default();
        let mut others = Outcome::default();
        for round in 0..ROUNDS {
            let user = format!("{run} {round}");
            let item = format!("new {run} {round}");
            let sent = Instant::now();
            bought(&backend, &user, "i1").await?;
            shown(sent, || async {
                let request = pb::RecommendRequest {
                    user_id: user.clone(),
                    limit: 20,
                    ..pb::RecommendRequest::default()
                };
                let answer = backend.recommend(request).await?;
                Ok(answer.basis() == pb::Basis::History)
            })
            .await?;
            own.micros.push(sent.elapsed().as_micros() as u32);
            let sent = Instant::now();
            bought(&backend, &user, &item).await?;
            shown(sent, || async {
                let item_id = item.clone();
                let request = pb::SimilarItemsRequest { item_id, limit: 20, filter: None };
                let answer = backend.similar_items(request).await?;
                let first = answer.items.first();
                Ok(first.is_some_and(|first| first.item_id == "i1"))
            })
            .await?;
            others.micros.push(sent.elapsed().as_micros() as u32);
        }

        own.micros.sort_unstable();
        others.micros.sort_unstable();
        Ok([own, others])
    })
}

async fn bought(backend: &Backend, user: &str, item: &str) -> Result<(), Failure> {
    let event = pb::Event {
        kind: pb::EventKind::Purchase.into(),
        user_id: user.to_owned(),
        item_id: item.to_owned(),
        ..pb::Event::default()
    };
    backend.write_events(vec![event]).await.map_err(|status| status.message().to_owned())?;
    Ok(())
}

/// Asks until an answer shows it.
async fn shown<F>(sent: Instant, mut ask: impl FnMut() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<bool, qianmian::cli::backend::Refused>>,
{
    while !ask().await.map_err(|status| status.message().to_owned())? {
        if sent.elapsed() > LONGEST {
            return Err("an event had no effect".into());
        }
    }
    Ok(())
}
