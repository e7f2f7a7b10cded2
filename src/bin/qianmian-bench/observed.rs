//! The cost of being seen: one store behind two servers, one with metrics that are read every second
//! and the request log, one without either, loaded in turn.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use qianmian::cli::{Failure, output};
use qianmian::config::Config;

use crate::asked::Asked;
use crate::compared::Loads;
use crate::load::{CONCURRENCY, Calls, Reached};
use crate::server::{Server, copy_folder, free_address};

/// Measure the cost of metrics and the request log: requests/s with both, relative to neither
#[derive(Debug, Args)]
pub(crate) struct Observed {
    #[command(flatten)]
    loads: Loads,
}

/// Time between two reads of the metrics.
const READ_EVERY: Duration = Duration::from_secs(1);

impl Observed {
    pub(crate) fn run(self, config: &Config, data_given: bool) -> Result<(), Failure> {
        if !data_given {
            return Err("name a data folder with a model: --data DIR".into());
        }

        let asked = Asked::of(&config.data, config)?;
        let calls = asked.calls(self.loads.limit);
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join("data");
        copy_folder(&config.data, &copy)?;

        let admin = free_address()?.to_string();
        let unseen = [
            ("QIANMIAN_SERVE__ADMIN_LISTEN", ""),
            ("QIANMIAN_LOGGING__REQUESTS__ENABLED", "false"),
        ];
        let seen = [
            ("QIANMIAN_SERVE__ADMIN_LISTEN", admin.as_str()),
            ("QIANMIAN_LOGGING__REQUESTS__SAMPLE", "0.001"),
        ];
        let without = Server::serve(&config.data, &unseen)?;
        let with = Server::serve(&copy, &seen)?;

        println!(
            "{}; {CONCURRENCY} requests at once, lists of {}\n",
            asked.store, self.loads.limit
        );
        let done = AtomicBool::new(false);
        let rows = std::thread::scope(|scope| {
            scope.spawn(|| read_metrics(&admin, &done));
            let rows = self.rows(&calls, &without, &with);
            done.store(true, Ordering::Relaxed);
            rows
        })?;
        let header = ["method", "without /s", "with /s", "ratio", "lowest", "highest"];
        println!("{}", output::table(&header, &header[1..], rows));
        Ok(())
    }

    fn rows(
        &self,
        calls: &[(String, Calls)],
        without: &Server,
        with: &Server,
    ) -> Result<Vec<Vec<String>>, Failure> {
        let [without, with] =
            [without, with].map(|server| Reached::plainly(&server.address.to_string()));
        let compare = |name: &str| {
            let known = calls.iter().find(|(known, _)| known == name);
            let (_, calls) = known.ok_or("there is no such call")?;
            self.loads.compare(name, (calls, &without), (calls, &with))
        };
        ["Recommend", "Recommend, blended anew", "SimilarItems"].into_iter().map(compare).collect()
    }
}

/// Reads the metrics every second, as Prometheus does more seldom.
fn read_metrics(admin: &str, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        if let Ok(mut stream) = TcpStream::connect(admin) {
            let request = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
            let mut page = Vec::new();
            // A page that fails is tried again.
            let _ =
                stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut page));
        }
        std::thread::sleep(READ_EVERY);
    }
}
