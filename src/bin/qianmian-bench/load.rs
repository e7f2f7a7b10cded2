//! Loads a server from one thread, in gRPC over a few HTTP/2 connections or in JSON. Requests are
//! prepared and answers are not decoded, so that the measured cost is the server's.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio_rustls::TlsConnector;

use qianmian::cli::Failure;

/// Concurrent requests.
pub(crate) const CONCURRENCY: usize = 32;
/// Requests per second at which latency is measured.
pub(crate) const STEADY: f64 = 1_000.0;
/// Connections to the server.
const CONNECTIONS: usize = 4;

/// Calls that are repeated.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    /// `/package.Service/Method`; in JSON, `/v1/Service/Method`.
    pub path: String,
    /// Framed requests, or those in JSON, sent in turn.
    pub frames: Vec<Bytes>,
}

/// The protocol of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// gRPC.
    Grpc,
    /// JSON over HTTP/2, over as many connections as gRPC.
    JsonHttp2,
    /// JSON over HTTP/1.1, a connection for each concurrent request.
    JsonHttp1,
}

/// The pace of calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Duration of the load.
    pub duration: Duration,
    /// Concurrent requests.
    pub concurrency: usize,
    /// Requests per second; none: as many as are answered.
    pub rate: Option<f64>,
}

/// The outcome of a load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Latency of each answered request in microseconds, ascending; with a rate, from the time it
    /// should have been sent.
    pub micros: Vec<u32>,
    /// Requests that were refused.
    pub refused: usize,
    /// Duration in seconds.
    pub seconds: f64,
}

impl Outcome {
    /// Answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.micros.len() as f64 / self.seconds
    }

    /// The latency quantile, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let at = (self.micros.len() as f64 * share) as usize;
        self.micros.get(at).or(self.micros.last()).map_or(0.0, |&us| f64::from(us) / 1e3)
    }
}

/// How a server is reached.
#[derive(Clone)]
pub(crate) struct Reached {
    /// HOST:PORT.
    pub address: String,
    /// What encrypts connections; none: they are plain.
    pub tls: Option<TlsConnector>,
    /// The value of `authorization`; empty: calls carry none.
    pub authorization: String,
    /// What is spoken.
    pub protocol: Protocol,
}

impl Reached {
    /// Plain, without a key, in gRPC.
    pub(crate) fn plainly(address: &str) -> Self {
        let protocol = Protocol::Grpc;
        Self { address: address.to_owned(), tls: None, authorization: String::new(), protocol }
    }
}

/// Loads the server at `address`, plainly.
///
/// # Errors
/// Where a connection fails.
pub(crate) fn run(address: &str, calls: &Calls, pace: Pace) -> Result<Outcome, Failure> {
    run_by(&Reached::plainly(address), calls, pace)
}

/// Loads a server.
///
/// # Errors
/// Where a connection fails.
pub(crate) fn run_by(reached: &Reached, calls: &Calls, pace: Pace) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, drive(reached, calls, pace))
}

/// What the workers share.
struct Shared {
    calls: Calls,
    pace: Pace,
    uri: String,
    authorization: String,
    protocol: Protocol,
    started: Instant,
    sent: Cell<usize>,
    outcome: RefCell<Outcome>,
}

async fn drive(reached: &Reached, calls: &Calls, pace: Pace) -> Result<Outcome, Failure> {
    let number = match reached.protocol {
        Protocol::JsonHttp1 => pace.concurrency,
        Protocol::Grpc | Protocol::JsonHttp2 => CONNECTIONS,
    };
    let mut connections = Vec::new();
    for _ in 0..number {
        let stream = TcpStream::connect(&reached.address).await?;
        stream.set_nodelay(true)?;
        connections.push(match &reached.tls {
            None => begin(reached.protocol, stream).await?,
            Some(tls) => {
                begin(reached.protocol, tls.connect("localhost".try_into()?, stream).await?).await?
            }
        });
    }

    let shared = Rc::new(Shared {
        calls: calls.clone(),
        pace,
        uri: format!("http://{}{}", reached.address, calls.path),
        authorization: reached.authorization.clone(),
        protocol: reached.protocol,
        started: Instant::now(),
        sent: Cell::new(0),
        outcome: RefCell::default(),
    });

    let mut workers = Vec::new();
    for at in 0..pace.concurrency {
        let client = match connections.get(at % number) {
            Some(Client::Http2(client)) => Client::Http2(client.clone()),
            _ => connections.remove(connections.len() - 1),
        };
        workers.push(tokio::task::spawn_local(work(shared.clone(), client)));
    }

    for worker in workers {
        worker.await??;
    }

    let mut outcome = shared.outcome.take();
    outcome.seconds = shared.started.elapsed().as_secs_f64();
    outcome.micros.sort_unstable();
    Ok(outcome)
}

/// A connection.
enum Client {
    Http2(SendRequest<Bytes>),
    Http1(http1::SendRequest<Full<Bytes>>),
}

/// Begins to speak.
async fn begin(
    protocol: Protocol,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> Result<Client, Failure> {
    // A connection ends with its clients; a failure shows in their answers.
    if protocol == Protocol::JsonHttp1 {
        let (client, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move {
            let _ = connection.await;
        });
        return Ok(Client::Http1(client));
    }

    let (client, connection) = h2::client::handshake(stream).await?;
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    Ok(Client::Http2(client))
}

/// Sends requests until the time is over.
async fn work(shared: Rc<Shared>, mut client: Client) -> Result<(), Failure> {
    let Shared { calls, pace, .. } = &*shared;
    loop {
        let at = shared.sent.replace(shared.sent.get() + 1);
        let due = match pace.rate {
            Some(rate) => shared.started + Duration::from_secs_f64(at as f64 / rate),
            None => Instant::now(),
        };
        if due.duration_since(shared.started) >= pace.duration {
            return Ok(());
        }

        if pace.rate.is_some() {
            tokio::time::sleep_until(due.into()).await;
        }

        let frame = calls.frames[at % calls.frames.len()].clone();
        let (answered, next) = ask(client, &shared, frame).await?;
        client = next;

        let mut outcome = shared.outcome.borrow_mut();
        if answered {
            outcome.micros.push(due.elapsed().as_micros() as u32)
        } else {
            outcome.refused += 1
        }
    }
}

/// Sends one request; returns whether it is answered.
async fn ask(client: Client, shared: &Shared, frame: Bytes) -> Result<(bool, Client), Failure> {
    let mut request = Request::post(&shared.uri);
    if !shared.authorization.is_empty() {
        request = request.header("authorization", &shared.authorization);
    }
    request = match shared.protocol {
        Protocol::Grpc => {
            request.header("content-type", "application/grpc").header("te", "trailers")
        }
        Protocol::JsonHttp2 | Protocol::JsonHttp1 => {
            request.header("content-type", "application/json")
        }
    };

    match client {
        Client::Http1(mut client) => {
            client.ready().await?;
            let answer = client.send_request(request.body(Full::new(frame))?).await?;
            let is_ok = answer.status() == StatusCode::OK;
            answer.into_body().collect().await?;
            Ok((is_ok, Client::Http1(client)))
        }

        Client::Http2(client) => {
            let mut client = client.ready().await?;
            let (response, mut stream) = client.send_request(request.body(())?, false)?;
            stream.send_data(frame, true)?;
            let answer = response.await?;
            let mut is_ok = answer.status() == StatusCode::OK;

            let mut body = answer.into_body();
            while let Some(chunk) = body.data().await {
                body.flow_control().release_capacity(chunk?.len())?;
            }
            let trailers = body.trailers().await?;
            if shared.protocol == Protocol::Grpc {
                let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
                is_ok &= status.is_some_and(|status| status == "0");
            }
            Ok((is_ok, Client::Http2(client)))
        }
    }
}
