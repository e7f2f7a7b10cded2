//! The demo: imports the bundled Online Retail log, trains beside the running server, and prints
//! what to try next.

use std::net::SocketAddr;
use std::time::Instant;

use super::Failure;
use super::import::print_report;
use crate::engine::Engine;
use crate::engine::import::{Content, Report};
use crate::import::from_stream;
use crate::import::{Plan, Preset};

/// Online Retail, UCI Machine Learning Repository, CC BY 4.0: see data/README.md.
const LOG: &[u8] = include_bytes!("../../data/online_retail.csv.gz");
const NAME: &str = "online_retail.csv.gz";

/// Imports, trains if that added events, and prints what to try.
pub(super) fn run(engine: &Engine, address: SocketAddr) -> Result<(), Failure> {
    let started = Instant::now();
    let plan = Plan::preset(Preset::OnlineRetail);
    let mut reader = from_stream(NAME, Box::new(LOG), &plan.dialect, Content::Events.required())?;
    let mut report = Report::default();
    engine.importer().import(&mut *reader, Content::Events, &plan, &mut report, &mut |_, _| {})?;
    print_report(&report, Content::Events);

    if report.taken > 0 || engine.generation() == 0 {
        engine.trainer().train_blocking(true)?;
    }

    println!(
        "\nServing generation {} at {address} after {:.1} s. In another terminal, try:\n{}",
        engine.generation(),
        started.elapsed().as_secs_f64(),
        what_to_try(address)
    );
    Ok(())
}

fn what_to_try(address: SocketAddr) -> String {
    format!(
        r#"
  curl http://{address}/v1/RecommendationService/Recommend \
    -H 'content-type: application/json' -d '{{"userId": "17850", "limit": 5}}'

  http://{address}/ in a browser: a page to try every method

  cargo run --release -- recommend 17850 --server {address}
  cargo run --release -- similar 85123A --server {address}

  cargo run --release -- train --server {address}    (fits the blend to the store: half a minute)

  ghz --insecure --call qianmian.v1.RecommendationService/Recommend \
    -d '{{"user_id": "17850", "limit": 20}}' -n 20000 -c 10 {address}    (ghz v0.120.0)

Ctrl-C stops the server."#
    )
}
