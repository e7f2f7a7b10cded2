//! `qianmian-bench run`: a server and its ceiling in processes of their own, loaded over real
//! sockets in one run.

use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use qianmian::cli::{Failure, output};
use qianmian::config::Config;
use qianmian::model::Source;
use tokio::runtime::Runtime;

use crate::asked::{Asked, CEILING};
use crate::cores::Cores;
use crate::load::{self, CONCURRENCY, Outcome, Pace, STEADY};
use crate::server::{Server, copy_folder, free_address, prepare, server_program};
use crate::{active, effect, push, writes};

/// Duration of the load during a training, which begins with reading the log.
const DURING_TRAINING: Duration = Duration::from_secs(30);

/// Measure a server: requests/s, latency and CPU of every method, against the same service with
/// a ready answer, in the same run
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Users of the synthetic store
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// Its items
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
    /// Hold the server and its ceiling to some cores and the load to others, as taskset reads them
    #[arg(long, value_name = "SERVER:LOAD", value_parser = str::parse::<Cores>)]
    threads: Option<Cores>,
}

impl Run {
    pub(crate) fn run(
        self,
        config: &Config,
        data_given: bool,
        runtime: &Runtime,
    ) -> Result<(), Failure> {
        let _guard = runtime.enter();
        self.measure(config, data_given, runtime)
    }

    fn measure(&self, config: &Config, data_given: bool, runtime: &Runtime) -> Result<(), Failure> {
        // A store that is given is copied: users click in it.
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        if data_given {
            copy_folder(&config.data, &data)?;
        } else {
            prepare(folder.path(), &data, [self.users, self.items, self.events])?;
        }

        let asked = Asked::of(&data, config)?;
        let address = free_address()?;
        let limit = self.limit.to_string();
        let ceiling =
            Server::ceiling(&["ceiling", &address.to_string(), "--limit", &limit], address)?;
        let address = free_address()?;
        let listen = address.to_string();

        let folder = data.display().to_string();
        let server = Server::start(address, &["serve", "--listen", &listen, "--data", &folder])?;

        if let Some(cores) = &self.threads {
            cores.hold(&[&ceiling, &server])?;
        }

        println!("{}; lists are blended from {}\n", asked.store, names(&asked.blended));
        runtime.block_on(active::click(&listen, &asked.active))?;
        active::wait_for_lists(&server, asked.active.len());
        self.every_method(&asked, &ceiling, &server)?;
        runtime.block_on(active::print_stages(&listen, &asked.active, self.limit))?;
        let serving = server.memory_mib("VmRSS:").unwrap_or(0);
        self.steadily(&asked, &server)?;
        let peak = server.memory_mib("VmHWM:").unwrap_or(0);
        println!(
            "memory of the server: {serving} MiB while it serves, {peak} MiB beside the training"
        );

        // The training continues in the server.
        drop((server, ceiling));
        let duration = Duration::from_secs(self.seconds);
        push::measure(&data, &asked, self.pace(None), self.limit)?;
        writes::measure(duration)?;
        effect::measure(config, duration, self.limit)
    }

    fn pace(&self, rate: Option<f64>) -> Pace {
        Pace { duration: Duration::from_secs(self.seconds), concurrency: CONCURRENCY, rate }
    }

    /// As fast as possible. Each method is measured between two measurements of the ceiling: on a
    /// shared machine the load by others changes by the second.
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

    /// At a rate that the machine can sustain, alone and beside a training.
    fn steadily(&self, asked: &Asked, server: &Server) -> Result<(), Failure> {
        let (_, calls) = asked.calls(self.limit).swap_remove(1);
        let address = server.address.to_string();
        let steady = self.pace(Some(STEADY));
        let quiet = load::run(&address, &calls, steady)?;
        let [p50, p99] = [0.5, 0.99].map(|share| quiet.quantile(share));
        println!("\nRecommend at {STEADY} requests/s: p50 {p50:.2} ms, p99 {p99:.2} ms");
        let mut training = Command::new(server_program()?)
            .args(["train", "--server", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;

        let busy = load::run(&address, &calls, Pace { duration: DURING_TRAINING, ..steady });
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
