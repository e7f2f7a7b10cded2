//! `qianmian bench`: a server and its ceiling in processes of their own, loaded over real
//! sockets in one run.
//!
//! - [`load`]: the load generator
//! - [`writes`]: what taking events in costs
//! - [`effect`]: how soon an event shows
//! - [`push`]: how soon a pushed model serves

mod effect;
mod load;
mod push;
mod writes;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;

use self::load::{Calls, Outcome, Pace};
use super::{Failure, output};
use crate::api::services::ceiling;
use crate::api::wire::{codec, convert, pb};
use crate::config::Config;
use crate::engine::Engine;
use crate::model::Source;

/// Shoppers and products that requests are made of, at the most.
const ASKED: usize = 20_000;
/// Shoppers that ask all the time, where hot ones are meant.
const HOT: usize = 10;
/// Requests under way at once.
const CONCURRENCY: usize = 32;
/// Rate at which the time of an answer is taken, requests a second.
const STEADY: f64 = 1_000.0;
/// How long that goes on beside a training, which begins with reading the log.
const BESIDE: Duration = Duration::from_secs(30);
/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measure a server on this machine: requests/s, latency and CPU of every method, against an empty
/// gRPC method in the same run
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  qianmian bench                        a synthetic store, made, trained \
                        and measured\n  qianmian bench --data DIR             the store in a data folder, \
                        with the model it has"
)]
pub struct Bench {
    /// Shoppers of the synthetic store
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// Its products
    #[arg(long, default_value_t = 20_000)]
    items: u64,
    /// Its purchases
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Length of the lists, 1 to 500
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
    /// Seconds of load on each method
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Serve the ceiling alone, for other load generators
    #[arg(long, value_name = "ADDR")]
    ceiling: Option<String>,
}

impl Bench {
    pub(super) async fn run(self, config: &Config, data_given: bool) -> Result<(), Failure> {
        if let Some(address) = &self.ceiling {
            let listener = tokio::net::TcpListener::bind(address)
                .await
                .map_err(|e| format!("cannot listen on {address}: {e}"))?;
            return ceiling::serve(listener, self.limit as usize).await;
        }
        tokio::task::block_in_place(|| self.measure(config, data_given))
    }

    fn measure(&self, config: &Config, data_given: bool) -> Result<(), Failure> {
        let temporary = (!data_given).then(tempfile::tempdir).transpose()?;
        let data =
            temporary.as_ref().map_or(config.data.clone(), |folder| folder.path().join("data"));
        if let Some(folder) = &temporary {
            prepare(folder.path(), &data, [self.users, self.items, self.events])?;
        }

        let asked = Asked::of(&data, config)?;
        let limit = ["--limit".to_owned(), self.limit.to_string()];
        let address = free_address()?;
        let ceiling = Server::start(
            address,
            &[&["bench", "--ceiling", &address.to_string()][..], &[&limit[0], &limit[1]]].concat(),
        )?;
        let address = free_address()?;
        let listen = address.to_string();

        let folder = data.display().to_string();
        let server = Server::start(address, &["serve", "--listen", &listen, "--data", &folder])?;

        println!("{}; lists are blended of {}\n", asked.store, names(&asked.blended));
        self.every_method(&asked, &ceiling, &server)?;
        let serving = server.memory_mib("VmRSS:").unwrap_or(0);
        self.steadily(&asked, &server)?;
        let peak = server.memory_mib("VmHWM:").unwrap_or(0);
        println!(
            "memory of the server: {serving} MiB while it serves, {peak} MiB beside the training"
        );

        // The training goes on in the server.
        drop((server, ceiling));
        let duration = Duration::from_secs(self.seconds);
        push::measure(&data, &asked, self.pace(None), self.limit)?;
        writes::measure(duration)?;
        effect::measure(config, duration, self.limit)
    }

    fn pace(&self, rate: Option<f64>) -> Pace {
        Pace { duration: Duration::from_secs(self.seconds), concurrency: CONCURRENCY, rate }
    }

    /// As fast as it goes. Each method is measured between two looks at the ceiling: what
    /// others take of a shared machine changes by the second.
    fn every_method(
        &self,
        asked: &Asked,
        ceiling: &Server,
        server: &Server,
    ) -> Result<(), Failure> {
        let full = self.pace(None);
        let warm = Pace { duration: Duration::from_secs(1), ..full };
        let half = Pace { duration: full.duration / 2, ..full };
        let calls = asked.calls(self.limit);
        let look = || -> Result<f64, Failure> {
            Ok(load::run(&ceiling.address.to_string(), &calls[0].1, half)?.rate())
        };

        let mut rows = Vec::new();
        let mut before = look()?;
        for (name, calls) in &calls {
            let server = if name == CEILING { ceiling } else { server };
            let address = server.address.to_string();
            load::run(&address, calls, warm)?;
            let cpu_before = server.cpu_seconds();
            let outcome = load::run(&address, calls, full)?;
            let cpu = server.cpu_seconds().zip(cpu_before).map(|(after, before)| after - before);
            let after = look()?;
            rows.push(row(name, &outcome, cpu, (before + after) / 2.0));
            before = after;
        }

        let header = [
            "method",
            "requests/s",
            "of ceiling",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "CPU µs",
            "refused",
        ];

        println!("{CONCURRENCY} requests at once, lists of {}:\n", self.limit);
        println!("{}", output::table(&header, &header[1..], rows));
        Ok(())
    }

    /// At a rate that the machine has room for, alone and beside a training.
    fn steadily(&self, asked: &Asked, server: &Server) -> Result<(), Failure> {
        let (_, calls) = asked.calls(self.limit).swap_remove(1);
        let address = server.address.to_string();
        let steady = self.pace(Some(STEADY));
        let quiet = load::run(&address, &calls, steady)?;
        let [p50, p99] = [0.5, 0.99].map(|share| quiet.quantile(share));
        println!("\nRecommend at {STEADY} requests/s: p50 {p50:.2} ms, p99 {p99:.2} ms");
        let mut training = Command::new(std::env::current_exe()?)
            .args(["train", "--server", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;

        let busy = load::run(&address, &calls, Pace { duration: BESIDE, ..steady });
        let ended = training.try_wait()?.is_some();
        training.kill()?;
        training.wait()?;
        let busy = busy?;
        let [p50, p99] = [0.5, 0.99].map(|share| busy.quantile(share));
        let note = if ended { ", which ended before the load did" } else { "" };
        println!("the same beside a training: p50 {p50:.2} ms, p99 {p99:.2} ms{note}");
        Ok(())
    }
}

const CEILING: &str = "ceiling";

fn names(sources: &[Source]) -> String {
    sources.iter().map(|source| source.name()).collect::<Vec<_>>().join(", ")
}

fn row(name: &str, outcome: &Outcome, cpu: Option<f64>, ceiling: f64) -> Vec<String> {
    let quantile = |share| format!("{:.2}", outcome.quantile(share));
    let cpu = cpu.map(|seconds| seconds * 1e6 / outcome.micros.len().max(1) as f64);
    vec![
        name.to_owned(),
        format!("{:.0}", outcome.rate()),
        format!("{:.2}", outcome.rate() / ceiling),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        cpu.map_or_else(String::new, |micros| format!("{micros:.0}")),
        outcome.refused.to_string(),
    ]
}

/// Makes a synthetic store of so many shoppers, products and events, imports it and trains.
fn prepare(folder: &Path, data: &Path, size: [u64; 3]) -> Result<(), Failure> {
    let log: PathBuf = folder.join("store.csv");
    let log = log.display().to_string();
    let data = data.display().to_string();
    let numbers = size.map(|n| n.to_string());
    let [users, items, events] = &numbers;

    let synth = ["synth", "--users", users, "--items", items, "--events", events, &log];
    for arguments in [&synth[..], &["import", &log, "--data", &data], &["train", "--data", &data]] {
        let started = Instant::now();
        let status = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{} failed", arguments[0]).into());
        }
        println!("{:<8} {:.1} s", arguments[0], started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Who and what is asked for.
struct Asked {
    /// The size of the store, in words.
    store: String,
    users: Vec<String>,
    items: Vec<String>,
    /// Every product that the store knows.
    known_items: Vec<String>,
    /// What the model blends.
    blended: Vec<Source>,
    /// Whether lists were made ahead with what shoppers have.
    repeats: bool,
}

impl Asked {
    /// Shoppers and products spread over all that the store knows.
    fn of(data: &Path, config: &Config) -> Result<Self, Failure> {
        let mut options = config.engine();
        options.train.automatic = false;
        let engine = Engine::open(data, options)?;
        let spread = |len: usize| (0..len).step_by(len.div_ceil(ASKED).max(1));
        let live = engine.live();
        let users = live.users.read();
        let items = live.items.read();
        let of = |idx: usize, names: &crate::live::Vocabulary| names.id(idx as u32).to_owned();
        let model = engine.models().active();

        let Some(model) = model else {
            return Err(format!("{} holds no model; train one first", data.display()).into());
        };
        let asked = Self {
            store: format!(
                "{} shoppers, {} products, {} events, {} interactions",
                users.len(),
                items.len(),
                live.events(),
                model.manifest.interactions,
            ),
            blended: model.manifest.settings.blend.sources(),
            repeats: model.parts.prepared.repeats,
            users: spread(users.len()).map(|idx| of(idx, &users)).collect(),
            items: spread(items.len()).map(|idx| of(idx, &items)).collect(),
            known_items: (0..items.len()).map(|idx| of(idx, &items)).collect(),
        };
        Ok(asked)
    }

    /// What is measured, in order.
    fn calls(&self, limit: i32) -> Vec<(String, Calls)> {
        let recommend = |users: &[String], more: &pb::RecommendRequest| -> Vec<Bytes> {
            let ask = |user: &String| pb::RecommendRequest {
                user_id: user.clone(),
                limit,
                ..more.clone()
            };
            users.iter().map(|user| codec::frame(&ask(user)).into()).collect()
        };

        let plain = pb::RecommendRequest::default();
        let one = |source| pb::RecommendRequest { strategy: source, ..plain.clone() };
        // Lists made ahead hold for one policy only: the other one asks for the blend anew.
        let other =
            if self.repeats { pb::RepeatPolicy::ExcludePurchased } else { pb::RepeatPolicy::Allow };
        let anew = pb::RecommendRequest { repeat_policy: other.into(), ..plain.clone() };
        let of_items = |frame: &dyn Fn(String) -> Vec<u8>| {
            self.items.iter().map(|item| frame(item.clone()).into()).collect()
        };

        let hot = &self.users[..self.users.len().min(HOT)];
        let similar =
            |item_id| codec::frame(&pb::SimilarItemsRequest { item_id, limit, filter: None });
        let together = |item| {
            codec::frame(&pb::BoughtTogetherRequest { item_ids: vec![item], limit, filter: None })
        };
        let alike = |user: &String| pb::SimilarUsersRequest { user_id: user.clone(), limit };
        let window = pb::Window::AllTime.into();
        let popular = codec::frame(&pb::PopularRequest { window, limit, filter: None });

        let mut all = vec![
            (CEILING.to_owned(), "Recommend", recommend(hot, &plain)),
            ("Recommend".to_owned(), "Recommend", recommend(&self.users, &plain)),
            ("Recommend, hot users".to_owned(), "Recommend", recommend(hot, &plain)),
            ("Recommend, blended anew".to_owned(), "Recommend", recommend(&self.users, &anew)),
        ];

        let always = [Source::ItemCf, Source::UserCf, Source::Embedding];
        let others = self.blended.iter().filter(|source| !always.contains(source));
        for &source in always.iter().chain(others) {
            let frames = recommend(&self.users, &one(convert::source(source).into()));
            all.push((format!("Recommend, {}", source.name()), "Recommend", frames));
        }

        let alike = self.users.iter().map(|user| codec::frame(&alike(user)).into()).collect();
        all.extend([
            ("SimilarItems".to_owned(), "SimilarItems", of_items(&similar)),
            ("BoughtTogether".to_owned(), "BoughtTogether", of_items(&together)),
            ("SimilarUsers".to_owned(), "SimilarUsers", alike),
            ("Popular".to_owned(), "Popular", vec![popular.into()]),
        ]);

        let path = |method| format!("/qianmian.v1.RecommendationService/{method}");
        let calls = all
            .into_iter()
            .map(|(name, method, frames)| (name, Calls { path: path(method), frames }));
        calls.collect()
    }
}

/// A process of this program that serves until it is dropped.
struct Server {
    address: SocketAddr,
    process: Child,
}

impl Server {
    fn start(address: SocketAddr, arguments: &[&str]) -> Result<Self, Failure> {
        let process = Command::new(std::env::current_exe()?)
            .args(arguments)
            .env("QIANMIAN_TRAIN__AUTOMATIC", "false")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;

        let mut server = Self { address, process };
        let started = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if server.process.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                return Err(format!("{} does not start", arguments[0]).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Processor time taken so far; none where the system does not say.
    fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // Behind the name, which is in brackets: the 12th and 13th field, in hundredths.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (f64, f64) =
            (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + system) / 100.0)
    }

    /// A line of what the system says of its memory; none where it says nothing.
    fn memory_mib(&self, line: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find(|l| l.starts_with(line))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1_024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
