//! Measures the cost of writes, on a server with a store of its own.

use std::time::Duration;

use crate::load::{self, Calls, Outcome, Pace};
use crate::server::{Server, free_address};
use qianmian::api::wire::{codec, pb};
use qianmian::cli::Failure;

/// Events of a large batch.
pub(crate) const BATCH: usize = 500;
/// Large batches under way at once.
pub(crate) const WRITERS: usize = 8;
/// Concurrent single events.
const SINGLES: usize = 64;
/// Distinct requests, sent over and over; their events have no id and so are new each time.
const REQUESTS: usize = 500;
/// Users and items of events.
const USERS: usize = 100_000;
const ITEMS: usize = 20_000;

/// Measures batches and single events, each durable before it is acknowledged.
///
/// # Errors
/// Where the server does not start, or a connection fails.
pub(crate) fn measure(duration: Duration) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let listen = address.to_string();
    let data = folder.path().display().to_string();
    let _server = Server::start(address, &["serve", "--listen", &listen, "--data", &data])?;
    let write = |size, concurrency| -> Result<Outcome, Failure> {
        load::run(&listen, &calls(size), Pace { duration, concurrency, rate: None })
    };

    for (size, concurrency) in [(BATCH, WRITERS), (1, SINGLES)] {
        let outcome = write(size, concurrency)?;
        println!(
            "WriteEvents, {size} events, {concurrency} at once: {:.0} events/s, p50 {:.2} ms, p99 \
             {:.2} ms, {} refused",
            outcome.rate() * size as f64,
            outcome.quantile(0.5),
            outcome.quantile(0.99),
            outcome.refused,
        );
    }
    Ok(())
}

/// Batches of `size` purchases.
pub(crate) fn calls(size: usize) -> Calls {
    let event = |at: usize| pb::Event {
        kind: pb::EventKind::Purchase.into(),
        // Steps without a common factor spread over all users and items.
        user_id: format!("u{}", at * 7_919 % USERS),
        item_id: format!("i{}", at * 104_729 % ITEMS),
        quantity: Some(1.0),
        price: Some((at % 100) as f64),
        basket_id: format!("b{}", at / 5),
        ..pb::Event::default()
    };

    let request = |number: usize| {
        let events = (0..size).map(|at| event(number * size + at)).collect();
        codec::frame(&pb::WriteEventsRequest { events }).into()
    };
    let path = "/qianmian.v1.EventService/WriteEvents".to_owned();
    Calls { path, frames: (0..REQUESTS).map(request).collect() }
}
