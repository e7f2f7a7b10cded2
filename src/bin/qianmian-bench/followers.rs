//! Measures followers: how far they are behind, what happens when one is cut off, whether all answer alike, and
//! what more of them answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;
use qianmian::api::wire::{codec, pb as wire};
use qianmian::cli::Failure;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use xxhash_rust::xxh3::Xxh3;

use crate::load::{self, CONCURRENCY, Calls, Pace};
use crate::server::{self, Server, free_address};
use crate::writes::{self, BATCH, WRITERS};

/// Users, items and events of the store that is made up.
const SIZE: [u64; 3] = [20_000, 5_000, 500_000];
/// Time between two samples of how far a follower is behind.
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Time that a follower has to reach an offset, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two lines on a follower that may be cut off, and the time that it has to answer.
const WATCH_EVERY: Duration = Duration::from_millis(500);
const WATCH_PATIENCE: Duration = Duration::from_secs(2);
/// Length of lists.
const LENGTH: i32 = 20;

/// Measure followers: how far behind they are, whether all answer alike, what more of them answer
#[derive(Debug, Args)]
pub(crate) struct Followers {
    /// Address of a running primary [default: one that is started, with a store that is made up, and three
    /// followers]
    #[arg(long, value_name = "ADDR", requires = "follower")]
    primary: Option<String>,
    /// Addresses of its followers
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',', requires = "primary")]
    follower: Vec<String>,
    /// Events written a second
    #[arg(long, default_value_t = 50_000)]
    events: u32,
    /// Seconds for which they are written
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Print how the first follower stands, again and again, instead of how far it is behind
    #[arg(long)]
    watch: bool,
    /// Users whose lists are compared
    #[arg(long, default_value_t = 10_000)]
    users: usize,
}

/// What is measured.
struct Measured {
    primary: String,
    followers: Vec<String>,
}

impl Followers {
    pub(crate) fn run(self, runtime: &Runtime) -> Result<(), Failure> {
        let Some(primary) = self.primary.clone() else { return self.run_own(runtime) };
        let measured = Measured { primary, followers: self.follower.clone() };
        self.measure(&measured, runtime)
    }

    /// Starts a primary and three followers, and measures them.
    fn run_own(&self, runtime: &Runtime) -> Result<(), Failure> {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("primary");
        server::prepare(folder.path(), &data, SIZE)?;
        let primary = Server::serve::<&str>(&data, &[])?;
        let mut copies = Vec::new();
        for n in 0..3 {
            let address = free_address()?;
            let (listen, upstream) = (address.to_string(), primary.address.to_string());
            let data = folder.path().join(format!("copy-{n}")).display().to_string();
            let arguments = ["serve", "--listen", &listen, "--data", &data, "--follow", &upstream];
            copies.push(Server::start(address, &arguments)?);
        }

        let addresses: Vec<String> = copies.iter().map(|copy| copy.address.to_string()).collect();
        let measured = Measured { primary: primary.address.to_string(), followers: addresses };
        self.measure(&measured, runtime)?;
        reads(&measured.followers, &copies, &runtime.block_on(measured.users(5_000))?)
    }

    fn measure(&self, measured: &Measured, runtime: &Runtime) -> Result<(), Failure> {
        let first = measured.followers[0].clone();
        runtime.block_on(measured.caught_up())?;
        let written = Arc::new(AtomicU64::new(0));
        let rate = Some(f64::from(self.events) / BATCH as f64);
        let pace = Pace { duration: Duration::from_secs(self.seconds), concurrency: WRITERS, rate };
        let writing = std::thread::spawn({
            let primary = measured.primary.clone();
            move || load::run(&primary, &writes::calls(BATCH), pace).map_err(|e| e.to_string())
        });

        if self.watch {
            runtime.block_on(watch(measured, &first, &written, || writing.is_finished()))?;
        } else {
            runtime.block_on(lag(measured, &first, || writing.is_finished()))?;
        }
        let outcome = writing.join().map_err(|_| "the writer panicked")??;
        println!(
            "written meanwhile: {:.0} events/s, p50 {:.1} ms, p99 {:.1} ms, {} refused",
            outcome.rate() * BATCH as f64,
            outcome.quantile(0.5),
            outcome.quantile(0.99),
            outcome.refused
        );

        let begun = Instant::now();
        runtime.block_on(measured.caught_up())?;
        println!("all reach the end {:.2} s after the last write", begun.elapsed().as_secs_f64());
        runtime.block_on(measured.compare(self.users))
    }
}

impl Measured {
    /// Writes one event to the primary; returns the offset behind it.
    async fn mark(&self) -> Result<u64, Failure> {
        let event = pb::Event {
            kind: pb::EventKind::View.into(),
            user_id: "mark".to_owned(),
            item_id: "mark".to_owned(),
            ..pb::Event::default()
        };
        let request = pb::WriteEventsRequest { events: vec![event] };
        let channel = channel(&self.primary)?;
        let written = EventServiceClient::new(channel).write_events(request).await;
        Ok(written.map_err(words)?.into_inner().offset)
    }

    /// Waits until all followers have all of the primary, and its model.
    async fn caught_up(&self) -> Result<(), Failure> {
        let offset = self.mark().await?;
        let begun = Instant::now();
        let expected = asked(&channel(&self.primary)?, "mark", offset).await.map_err(words)?;
        for follower in &self.followers {
            let channel = channel(follower)?;
            loop {
                let answer = asked(&channel, "mark", offset).await;
                let is_there = |answer: &Answer| {
                    answer.stale.is_none() && answer.list.generation == expected.list.generation
                };
                if answer.as_ref().is_ok_and(is_there) {
                    break;
                }
                if begun.elapsed() > PATIENCE {
                    return Err(format!("{follower} does not catch up: {answer:?}").into());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Ids of users of the primary.
    async fn users(&self, enough: usize) -> Result<Vec<String>, Failure> {
        let mut client = UserServiceClient::new(channel(&self.primary)?);
        let mut users = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ListUsersRequest { page_size: 1_000, page_token };
            let page = client.list_users(request).await.map_err(words)?.into_inner();
            users.extend(page.users.into_iter().map(|user| user.user_id));
            page_token = page.next_page_token;
            if users.len() >= enough || page_token.is_empty() {
                users.truncate(enough);
                return Ok(users);
            }
        }
    }

    /// Prints a hash over the lists of users, of each server: items in their order, and their sources. Scores fade
    /// with the clock, so that all servers are asked for one user before the next.
    async fn compare(&self, enough: usize) -> Result<(), Failure> {
        let users = self.users(enough).await?;
        let addresses: Vec<&String> = [&self.primary].into_iter().chain(&self.followers).collect();
        let channels: Vec<Channel> =
            addresses.iter().map(|address| channel(address)).collect::<Result<_, _>>()?;
        let mut hashes = vec![Xxh3::new(); addresses.len()];
        for user in &users {
            for (channel, hash) in channels.iter().zip(&mut hashes) {
                let answer = asked(channel, user, 0).await.map_err(words)?;
                hash.update(user.as_bytes());
                for item in &answer.list.items {
                    hash.update(item.item_id.as_bytes());
                    hash.update(&item.source.to_le_bytes());
                }
            }
        }

        let digests = hashes.iter().map(|hash| format!("{:032x}", hash.digest128()));
        let mut digests: Vec<String> = digests.collect();
        for (address, digest) in addresses.iter().zip(&digests) {
            println!("{address}: lists of {} users hash to {digest}", users.len());
        }
        digests.dedup();
        println!("{}", if digests.len() == 1 { "all are equal" } else { "they differ" });
        Ok(())
    }
}

/// A list, and what the server has seen.
#[derive(Debug)]
struct Answer {
    list: wire::RecommendResponse,
    offset: Option<u64>,
    stale: Option<u64>,
}

/// A user's list from a server that has reached an offset.
async fn asked(channel: &Channel, user: &str, min_offset: u64) -> Result<Answer, Status> {
    let message = pb::RecommendRequest {
        user_id: user.to_owned(),
        limit: LENGTH,
        ..pb::RecommendRequest::default()
    };
    let mut request = Request::new(message);
    if min_offset > 0 {
        request.metadata_mut().insert("qianmian-min-offset", min_offset.into());
    }
    let answer = RecommendationServiceClient::new(channel.clone()).recommend(request).await?;
    let number = |name: &str| answer.metadata().get(name)?.to_str().ok()?.parse().ok();
    let (offset, stale) = (number("qianmian-offset"), number("qianmian-stale-seconds"));
    Ok(Answer { list: answer.into_inner(), offset, stale })
}

/// Measures how long after its acknowledgement an event is on a follower.
async fn lag(measured: &Measured, follower: &str, ended: impl Fn() -> bool) -> Result<(), Failure> {
    let channel = channel(follower)?;
    let mut behind = load::Outcome::default();
    while !ended() {
        let offset = measured.mark().await?;
        let acknowledged = Instant::now();
        loop {
            let answer = asked(&channel, "mark", 0).await.map_err(words)?;
            if answer.offset.is_some_and(|seen| seen >= offset) {
                break;
            }
            if acknowledged.elapsed() > PATIENCE {
                return Err("the follower does not catch up".into());
            }
        }
        behind.micros.push(acknowledged.elapsed().as_micros() as u32);
        tokio::time::sleep(SAMPLE_EVERY).await;
    }

    behind.micros.sort_unstable();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| behind.quantile(share));
    let samples = behind.micros.len();
    println!(
        "from the acknowledgement of an event to an answer of a follower that has seen it: p50 {p50:.1} ms, \
         p99 {p99:.1} ms, maximum {max:.1} ms of {samples}"
    );
    Ok(())
}

/// Prints how a follower stands until the writing has ended and it has caught up.
async fn watch(
    measured: &Measured,
    follower: &str,
    written: &AtomicU64,
    ended: impl Fn() -> bool,
) -> Result<(), Failure> {
    let channel = channel(follower)?;
    loop {
        let begun = Instant::now();
        written.fetch_max(measured.mark().await?, Ordering::Relaxed);
        let answer = tokio::time::timeout(WATCH_PATIENCE, asked(&channel, "mark", 0)).await;

        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let written = written.load(Ordering::Relaxed);
        let stands = match answer {
            Err(_) => "no answer".to_owned(),
            Ok(Err(status)) => format!("refused: {}", status.message()),
            Ok(Ok(answer)) => {
                let behind = written.saturating_sub(answer.offset.unwrap_or(0));
                let items = answer.list.items.len();
                let stale = answer.stale.map_or("fresh".to_owned(), |s| format!("stale for {s} s"));
                format!("a list of {items}, {behind} records behind, {stale}")
            }
        };

        println!("{now:.1} {stands}");
        if ended() {
            return Ok(());
        }
        tokio::time::sleep(WATCH_EVERY.saturating_sub(begun.elapsed())).await;
    }
}

/// Prints what one follower and all of them answer, in all and for a second of the processors that they take.
fn reads(addresses: &[String], copies: &[Server], users: &[String]) -> Result<(), Failure> {
    let frame = |user: &String| {
        let request = pb::RecommendRequest {
            user_id: user.clone(),
            limit: LENGTH,
            ..pb::RecommendRequest::default()
        };
        codec::frame(&request).into()
    };
    let path = "/qianmian.v1.RecommendationService/Recommend".to_owned();
    let calls = Calls { path, frames: users.iter().map(frame).collect() };
    let pace = Pace { duration: Duration::from_secs(5), concurrency: CONCURRENCY, rate: None };

    let cpu = || copies.iter().filter_map(Server::cpu_seconds).sum::<f64>();
    for count in [1, addresses.len(), 1, addresses.len()] {
        let before = cpu();
        let rates: Result<Vec<f64>, Failure> = std::thread::scope(|scope| {
            let loads: Vec<_> = addresses[..count]
                .iter()
                .map(|address| {
                    scope.spawn(|| load::run(address, &calls, pace).map_err(|e| e.to_string()))
                })
                .collect();
            let ended = loads.into_iter().map(|load| load.join().map_err(|_| "a load panicked"));
            ended.map(|outcome| Ok(outcome??.rate())).collect()
        });
        let rate: f64 = rates?.iter().sum();
        let each = rate * pace.duration.as_secs_f64() / (cpu() - before);
        println!(
            "{count} followers: {rate:.0} lists/s, {each:.0} lists for a second of their processors"
        );
    }
    Ok(())
}

fn channel(address: &str) -> Result<Channel, Failure> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.connect_lazy())
}

fn words(status: Status) -> String {
    status.message().to_owned()
}
