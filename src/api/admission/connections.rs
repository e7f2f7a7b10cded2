//! Incoming connections: no more than there are file descriptors for, a limited number from one
//! address, and none that stays silent.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::api::admission::peer::Peer;

/// Length of the preface with which an HTTP/2 client begins.
const PREFACE_BYTES: u64 = 24;
/// Pause after the system has refused to accept a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// Minimum time between two log lines about refused connections.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// File descriptors reserved for the store, where there are enough.
const FILES_OF_THE_STORE: u64 = 128;

/// Limits on connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Maximum in all.
    pub max: usize,
    /// Maximum from one address.
    pub per_address: usize,
    /// Time within which a client must send the HTTP/2 preface.
    pub handshake: Duration,
    /// Time without a request after which an idle connection ends.
    pub idle: Duration,
    /// Time for which a client may take nothing of the answers that wait for it.
    pub sending: Duration,
}

/// Raises the limit of open files as far as the system allows, and reduces the limits on
/// connections to the descriptors that the store leaves.
pub fn fit_open_files(bounds: Bounds) -> Bounds {
    let Some(files) = open_files() else { return bounds };
    let kept = FILES_OF_THE_STORE.min(files / 2);
    let max = usize::try_from(files - kept).unwrap_or(usize::MAX);
    if max < bounds.max {
        tracing::warn!(files, connections = max, "the limit of open files limits connections");
    }
    let max = bounds.max.min(max);
    // One address may not take all connections.
    let per_address = bounds.per_address.min((max / 2).max(1));
    Bounds { max, per_address, ..bounds }
}

/// The limit of open files, raised as far as the process may; none where there is no such limit.
#[cfg(target_os = "linux")]
fn open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            current
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn open_files() -> Option<u64> {
    None
}

/// Accepts connections from `listener` until the stream is dropped.
pub fn accept(listener: TcpListener, bounds: Bounds) -> ReceiverStream<io::Result<Connection>> {
    let (sender, connections) = mpsc::channel(1);
    tokio::spawn(accept_all(listener, bounds, sender));
    ReceiverStream::new(connections)
}

async fn accept_all(
    listener: TcpListener,
    bounds: Bounds,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let places = Arc::new(Places { bounds, taken: Mutex::default() });
    let (mut refused, mut said): (u64, Option<Instant>) = (0, None);
    loop {
        let accepted = tokio::select! {
            () = sender.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let why = match accepted {
            Ok((stream, address)) => match places.take(address.ip()) {
                Ok(place) => {
                    let connection = Connection::new(stream, place);
                    if sender.send(Ok(connection)).await.is_err() {
                        return;
                    }
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

/// The connections in use.
#[derive(Debug)]
struct Places {
    bounds: Bounds,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, OfAddress>,
}

/// What the connections from one address use.
#[derive(Debug, Default)]
struct OfAddress {
    connections: usize,
    /// Bytes of their requests.
    held: Arc<AtomicUsize>,
}

/// The network that an address belongs to: of IPv6 the first half, since one host owns the second.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
        address => address,
    }
}

impl Places {
    fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, &'static str> {
        let address = owner(address);
        let mut taken = self.taken.lock();
        if taken.all >= self.bounds.max {
            return Err("there are too many (serve.max_connections)");
        }

        let of_address = taken.by_address.entry(address).or_default();
        if of_address.connections >= self.bounds.per_address {
            return Err("there are too many from one address (serve.max_connections_per_address)");
        }

        of_address.connections += 1;
        let held = of_address.held.clone();
        taken.all += 1;
        Ok(Place { places: self.clone(), address, held })
    }
}

/// A connection's place among the limits, until it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    address: IpAddr,
    held: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= 1;
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            of_address.connections -= 1;
            if of_address.connections == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// A client's connection. It ends where the client does not send the preface in time, and where it
/// is idle for too long. Whether the client is still there is for the server's pings to find out.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    bounds: Bounds,
    /// When activity is checked next.
    look: Pin<Box<Sleep>>,
    /// Bytes received so far, until the preface is complete.
    said: u64,
    peer: Peer,
    /// Requests begun and answer frames taken at the last check.
    requests: u64,
    taken: Option<u64>,
    /// Time of the last activity that was seen.
    asked: Instant,
    _place: Place,
}

impl Connection {
    fn new(stream: TcpStream, place: Place) -> Self {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection delays small packets");
        }
        let bounds = place.places.bounds;
        let look = Box::pin(tokio::time::sleep(bounds.handshake));
        let peer = Peer::new(place.held.clone());
        let said = 0;
        let requests = 0;
        let taken = None;
        let asked = Instant::now();
        Self { stream, bounds, look, said, peer, requests, taken, asked, _place: place }
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
            let asks_nothing = self.asked.elapsed() >= self.bounds.idle;
            if self.said < PREFACE_BYTES || asks_nothing || takes_nothing {
                return true;
            }

            (self.requests, self.taken) = (requests, taken);
            self.look.as_mut().reset(tokio::time::Instant::now() + self.bounds.every());
        }
        false
    }
}

impl Bounds {
    /// Time between two checks of a connection.
    fn every(&self) -> Duration {
        self.idle.min(self.sending)
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
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);

        let came = (buffer.filled().len() - before) as u64;
        if self.said < PREFACE_BYTES {
            self.said += came;
            if self.said >= PREFACE_BYTES {
                let every = self.bounds.every();
                self.look.as_mut().reset(tokio::time::Instant::now() + every);
            }
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
        Pin::new(&mut self.stream).poll_write(context, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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
        let mut connections = accept(listener, Bounds { per_address: 2, ..BOUNDS });
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
        let mut connections = accept(listener, BOUNDS);
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
        let mut connections = accept(listener, Bounds { idle, ..BOUNDS });
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
