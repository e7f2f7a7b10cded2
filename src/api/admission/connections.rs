//! Incoming connections: no more than there are file descriptors for, a limited number from one
//! address, none that stays silent, and none that sends much beside its requests.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::api::admission::peer::Peer;
use crate::api::admission::places::{Place, Places};
use crate::api::admission::stream::Stream;
use crate::api::tls::Certificates;

/// Length of the preface with which an HTTP/2 client begins; few requests of HTTP/1 are shorter.
const PREFACE_BYTES: u64 = 24;
/// Bytes that may come before a request begins, with which its headers must be complete. HTTP/2 has a
/// limit of its own; hyper's for HTTP/1 is ten times as large, before anything is counted.
const MAX_HEAD_BYTES: u64 = 32 << 10;
/// Pause after the system has refused to accept a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// Minimum time between two log lines about refused connections.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// Bytes beside its messages that a connection may send for each request and each frame of an
/// answer (headers, windows, pings), and in all.
const EXTRA_PER_REQUEST: u64 = 16 << 10;
const EXTRA_PER_ANSWER_FRAME: u64 = 256;
const EXTRA_BYTES: u64 = 4 << 20;
/// The same for each second, for pings on a connection that stays.
const EXTRA_PER_SECOND: u64 = 64;
/// Time without a request after which a connection ends that was never let in.
const MAX_IDLE_UNKNOWN: Duration = Duration::from_secs(60);

/// Limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum in all.
    pub max: usize,
    /// Maximum from one address.
    pub per_address: usize,
    /// Time within which a client must complete the TLS handshake, and then send the HTTP/2
    /// preface.
    pub handshake: Duration,
    /// Time without a request after which an idle connection ends.
    pub idle: Duration,
    /// Time for which a client may take nothing of the answers that wait for it.
    pub sending: Duration,
}

/// Accepts connections from `listener` until the stream is dropped: encrypted ones where there are
/// certificates.
pub fn accept(
    listener: TcpListener,
    bounds: Bounds,
    certificates: Option<Certificates>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, connections) = mpsc::channel(1);
    tokio::spawn(accept_all(listener, bounds, certificates, sender));
    ReceiverStream::new(connections)
}

async fn accept_all(
    listener: TcpListener,
    bounds: Bounds,
    certificates: Option<Certificates>,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let places = Arc::new(Places::new(bounds.max, bounds.per_address));
    let (mut refused, mut said): (u64, Option<Instant>) = (0, None);
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let why = match accepted {
            Ok((stream, address)) => match places.take(address.ip()) {
                Ok(place) => {
                    let encrypting = certificates.as_ref().map(Certificates::acceptor);
                    // A handshake takes long, or for ever: none waits for another.
                    tokio::spawn(begin(stream, place, bounds, encrypting, sender.clone()));
                    continue;
                }
                Err(full) => full.to_owned(),
            },
            Err(error) => {
                // Most likely there are no file descriptors left: accepting again at once would
                // spin.
                tokio::time::sleep(PAUSE).await;
                error.to_string()
            }
        };

        refused += 1;
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::warn!(refused, why, "connections are refused");
            said = Some(Instant::now());
        }
    }
}

/// Begins a connection and hands it on; one whose handshake fails ends.
async fn begin(
    stream: TcpStream,
    place: Place,
    bounds: Bounds,
    encrypting: Option<TlsAcceptor>,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection delays small packets");
    }

    let stream = match encrypting {
        None => Stream::Plain(stream),
        Some(acceptor) => {
            let handshake = acceptor.accept(stream);
            match tokio::time::timeout(bounds.handshake, handshake).await {
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, address = %place.address, "a TLS handshake failed");
                    return;
                }
                Err(_) => return,
            }
        }
    };
    // The server may have ended.
    let _ = sender.send(Ok(Connection::new(stream, place, bounds))).await;
}

/// A client's connection. It ends where the client does not send the preface in time, is idle for
/// too long, or sends much beside its requests. Whether the client is still there is for the server's pings to find out.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    bounds: Bounds,
    began: Instant,
    /// When activity is checked next.
    look: Pin<Box<Sleep>>,
    /// Whether it speaks HTTP/2, by its first bytes.
    is_http2: bool,
    /// Bytes received so far, and those since the last request began.
    said: u64,
    head: u64,
    peer: Peer,
    /// Requests begun when bytes came last.
    begun: u64,
    /// Requests begun and answer frames taken at the last check.
    requests: u64,
    taken: Option<u64>,
    /// Time of the last activity that was seen.
    asked: Instant,
    /// Since when the client takes nothing of what was written; none while it does.
    stuck: Option<Instant>,
    _place: Place,
}

impl Connection {
    fn new(stream: Stream, place: Place, bounds: Bounds) -> Self {
        let look = Box::pin(tokio::time::sleep(bounds.handshake));
        let peer = Peer::new(place.address, place.usage.clone());
        let now = Instant::now();
        Self {
            stream,
            bounds,
            began: now,
            look,
            is_http2: false,
            said: 0,
            head: 0,
            peer,
            begun: 0,
            requests: 0,
            taken: None,
            asked: now,
            stuck: None,
            _place: place,
        }
    }

    /// Whether the client has sent no preface, no request, or taken no answer for too long.
    fn is_silent(&mut self, context: &mut Context<'_>) -> bool {
        while self.look.as_mut().poll(context).is_ready() {
            let (requests, open) = self.peer.requests();
            if open || requests > self.requests {
                self.asked = Instant::now();
            }

            let taken = self.peer.taken();
            let takes_nothing = taken.is_some() && taken == self.taken;
            let idle = if self.peer.is_accepted() {
                self.bounds.idle
            } else {
                self.bounds.idle.min(MAX_IDLE_UNKNOWN)
            };
            let asks_nothing = self.asked.elapsed() >= idle;
            let is_stuck = self.stuck.is_some_and(|since| since.elapsed() >= self.bounds.sending);
            if self.said < PREFACE_BYTES || asks_nothing || takes_nothing || is_stuck {
                return true;
            }

            (self.requests, self.taken) = (requests, taken);
            self.look.as_mut().reset(tokio::time::Instant::now() + self.bounds.every());
        }
        false
    }

    /// Whether the client sends on and on, and no request begins: headers without end.
    fn is_endless_head(&mut self) -> bool {
        let (requests, open) = self.peer.requests();
        if open || requests > self.begun || self.is_http2 {
            self.begun = requests;
            self.head = 0;
        }
        self.head > MAX_HEAD_BYTES
    }

    /// The outcome of a write: an error where the client takes nothing for too long.
    fn written<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        self.stuck.get_or_insert_with(Instant::now);
        // A connection whose requests wait is not read meanwhile, and its clock must run all the same.
        if self.is_silent(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        written
    }

    /// Whether the client has sent more beside its messages than its requests explain: frames
    /// without content, pings, settings.
    fn is_flood(&self) -> bool {
        let (requests, _) = self.peer.requests();
        let (received, taken) = self.peer.exchanged();
        // A frame's header beside each message, which may be small.
        let messages = received.saturating_mul(3);
        let explained = messages
            .saturating_add(requests.saturating_mul(EXTRA_PER_REQUEST))
            .saturating_add(taken.saturating_mul(EXTRA_PER_ANSWER_FRAME))
            .saturating_add(self.began.elapsed().as_secs().saturating_mul(EXTRA_PER_SECOND));
        self.said > explained.saturating_add(EXTRA_BYTES)
    }
}

impl Bounds {
    /// Time between two checks of a connection.
    fn every(&self) -> Duration {
        self.idle.min(self.sending).min(MAX_IDLE_UNKNOWN)
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_endless_head() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);

        let came = (buffer.filled().len() - before) as u64;
        let begins = self.said < PREFACE_BYTES;
        if self.said == 0 && buffer.filled()[before..].starts_with(b"PRI") {
            self.is_http2 = true;
        }
        self.said += came;
        self.head += came;
        if begins && self.said >= PREFACE_BYTES {
            let every = self.bounds.every();
            self.look.as_mut().reset(tokio::time::Instant::now() + every);
        }
        if came > 0 && self.is_flood() {
            tracing::warn!(address = %self.peer.address, "a connection that only sends frames is cut off");
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }

        if read.is_pending() && self.is_silent(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        max: 9,
        per_address: 9,
        handshake: Duration::from_millis(100),
        idle: Duration::from_secs(60),
        sending: Duration::from_secs(60),
    };

    #[tokio::test]
    async fn one_address_leaves_room_and_places_come_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let mut connections = accept(listener, Bounds { per_address: 2, ..BOUNDS }, None);
        let _clients =
            [TcpStream::connect(server).await.unwrap(), TcpStream::connect(server).await.unwrap()];

        let mut held = Vec::new();
        for _ in 0..2 {
            held.push(connections.next().await.unwrap().unwrap());
        }

        let mut refused = TcpStream::connect(server).await.unwrap();
        assert_eq!(refused.read(&mut [0; 1]).await.unwrap_or(0), 0, "it is closed");
        held.pop();
        let _again = TcpStream::connect(server).await.unwrap();
        connections.next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn who_says_nothing_is_cut_off_and_who_does_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let mut connections = accept(listener, BOUNDS, None);
        let mut client = TcpStream::connect(server).await.unwrap();
        let mut silent = connections.next().await.unwrap().unwrap();
        client.write_all(&[1; PREFACE_BYTES as usize - 1]).await.unwrap();
        let mut bytes = Vec::new();
        let error = silent.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!((error.kind(), bytes.len()), (io::ErrorKind::TimedOut, 23));

        let mut client = TcpStream::connect(server).await.unwrap();
        let mut speaking = connections.next().await.unwrap().unwrap();
        client.write_all(&[1; PREFACE_BYTES as usize]).await.unwrap();
        let mut bytes = [0; PREFACE_BYTES as usize];
        speaking.read_exact(&mut bytes).await.unwrap();
        let more = tokio::time::timeout(Duration::from_millis(300), speaking.read_u8()).await;
        assert!(more.is_err(), "it stays open");
    }

    #[tokio::test]
    async fn who_asks_nothing_for_long_is_cut_off_and_who_asks_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let idle = Duration::from_millis(200);
        let mut connections = accept(listener, Bounds { idle, ..BOUNDS }, None);
        let mut client = TcpStream::connect(server).await.unwrap();
        let mut served = connections.next().await.unwrap().unwrap();
        let peer = served.connect_info();
        let reading = tokio::spawn(async move {
            let mut bytes = Vec::new();
            (served.read_to_end(&mut bytes).await.unwrap_err().kind(), bytes.len())
        });
        client.write_all(&[1; 2_400]).await.unwrap();

        let open = peer.begin();
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!reading.is_finished(), "a request is open");
        drop(open);
        assert_eq!(reading.await.unwrap(), (io::ErrorKind::TimedOut, 2_400));
    }
}
