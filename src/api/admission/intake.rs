//! Incoming requests: passed on as complete messages, each within its time. Incomplete messages
//! take no more memory than is reserved for them. The announced length of a message takes no
//! memory; received bytes do.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame};
use http_body_util::BodyExt;
use prost::bytes::{Bytes, BytesMut};
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status};

use crate::api::admission::caller::{Bill, Budget, Caller, MemoryReservation, Party};
use crate::api::admission::peer::Peer;
use crate::api::wire::codec::{PREFIX_BYTES, announced};
use crate::api::wire::status;
use crate::domain::Error;

/// The limits on incoming requests.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Maximum size of a message in bytes.
    pub largest: usize,
    /// Time within which a message must be complete, from its first byte on; for a unary request,
    /// from the request's arrival on.
    pub patience: Duration,
    budget: Budget,
}

/// The refusal of a request whose bytes would be too many for a party.
pub(super) fn too_much((party, max): (Party, usize)) -> Status {
    let message =
        format!("requests {} hold {} MiB already; try again later", party.of(), max >> 20);
    status::from_error(Error::Overloaded(message))
}

/// The refusal of a request whose bytes come faster than the quota of a party.
fn too_fast((party, wait): (Party, Duration)) -> Status {
    let message = format!("bytes {} come faster than its quota", party.of());
    status::retry_later("QUOTA_EXCEEDED", message, wait)
}

/// The status of a body that cannot be read to its end: the caller has gone, or sent what is no body.
fn broken(error: impl Into<tonic::codegen::StdError>) -> Status {
    let status = Status::from_error(error.into());
    let mut cause = status.source();
    while let Some(error) = cause {
        if is_gone(error) {
            return Status::cancelled("the connection broke while the request arrived");
        }
        cause = error.source();
    }
    match status.code() {
        Code::Unknown | Code::Internal => {
            Status::invalid_argument("the body of the request is not encoded as its headers say")
        }
        _ => status,
    }
}

/// Whether an error is the end of a connection.
fn is_gone(error: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};

    let ended = [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof];
    let of_io = error.downcast_ref::<std::io::Error>();
    let of_http = error.downcast_ref::<hyper::Error>();
    of_io.is_some_and(|error| ended.contains(&error.kind()))
        || of_http.is_some_and(|error| error.is_incomplete_message() || error.is_closed())
}

impl Intake {
    /// Accepts messages of up to `largest` bytes, within a budget of bytes.
    pub fn new(largest: usize, patience: Duration, budget: Budget) -> Self {
        Self { largest, patience, budget }
    }

    /// The bytes of a request, up to the largest message. They count as held while the
    /// returned guard lives.
    ///
    /// # Errors
    /// DEADLINE_EXCEEDED where it was not complete in time, RESOURCE_EXHAUSTED where too much is
    /// held already or comes too fast.
    pub async fn whole<B>(
        &self,
        peer: &Peer,
        caller: &Caller,
        mut body: B,
    ) -> Result<(Bytes, MemoryReservation), Status>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<tonic::codegen::StdError>,
    {
        let seconds = self.patience.as_secs_f32();
        let late =
            |_| Status::deadline_exceeded(format!("the request did not arrive within {seconds} s"));
        let collecting = self.collect(peer, caller, &mut body);
        let whole = tokio::time::timeout(self.patience, collecting).await.map_err(late);
        whole.and_then(|whole| whole).inspect_err(|_| {
            drain(peer.clone(), body);
        })
    }

    async fn collect<B>(
        &self,
        peer: &Peer,
        caller: &Caller,
        body: &mut B,
    ) -> Result<(Bytes, MemoryReservation), Status>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<tonic::codegen::StdError>,
    {
        let mut held = self.budget.reserve(caller);
        let mut bill = Bill::default();
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(broken)?;
            let Ok(data) = frame.into_data() else { continue };
            peer.receive(data.len());
            held.grow(data.len()).map_err(too_much)?;
            bill.bytes(data.len());
            caller.pay(&mut bill).map_err(too_fast)?;

            // Most requests arrive in one piece, which needs no copy.
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }

            if first.len() + all.len() > self.largest + PREFIX_BYTES {
                // Longer than any valid message: the decoder refuses it by its announced length.
                break;
            }
        }

        let bytes = if all.is_empty() { first } else { all.freeze() };
        Ok((bytes, held))
    }

    /// The messages of a stream, one after the other, read no faster than the caller's quotas.
    pub fn messages<B>(&self, peer: &Peer, caller: &Caller, body: B) -> Messages<B> {
        Messages {
            body,
            begun: BytesMut::new(),
            ended: false,
            late: None,
            bill: Bill::default(),
            // The request itself is counted already, for its first message.
            may_pass: true,
            pause: None,
            held: self.budget.reserve(caller),
            intake: self.clone(),
            peer: peer.clone(),
            caller: caller.clone(),
        }
    }
}

/// Reads what is still coming of a request that was refused, for a short time and up to a window, and
/// keeps none of it: the client has sent it already, and its connection serves other requests too.
pub fn drain<B>(peer: Peer, body: B)
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
{
    if !body.is_end_stream() {
        tokio::spawn(drained(peer, body));
    }
}

async fn drained<B>(peer: Peer, mut body: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    const PATIENCE: Duration = Duration::from_secs(1);
    const MAX_BYTES: usize = 1 << 20;

    // What comes belongs to a request.
    let _open = peer.begin();
    let mut came = 0;
    let reading = async {
        while came < MAX_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            peer.receive(bytes);
            came += bytes;
        }
    };
    // What comes later is reset.
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}

/// A body that passes on complete messages only.
#[derive(Debug)]
pub struct Messages<B> {
    body: B,
    /// Bytes of the next message, and perhaps of those after it.
    begun: BytesMut,
    ended: bool,
    /// When the message that has begun must be complete.
    late: Option<Pin<Box<Sleep>>>,
    /// What is not counted against the caller's quotas yet, and the pause until it can be.
    bill: Bill,
    /// Whether the next message is counted.
    may_pass: bool,
    pause: Option<Pin<Box<Sleep>>>,
    held: MemoryReservation,
    intake: Intake,
    peer: Peer,
    caller: Caller,
}

impl<B> Messages<B> {
    /// The next message, if it is complete. One that is too large passes as it is, for the decoder
    /// to refuse.
    fn next(&mut self) -> Option<Bytes> {
        let announced = announced(&self.begun)?;
        let whole = PREFIX_BYTES + announced;
        let length = if announced > self.intake.largest {
            self.begun.len()
        } else if self.begun.len() >= whole {
            whole
        } else {
            return None;
        };
        self.late = None;
        self.held.shrink(length);
        Some(self.begun.split_to(length).freeze())
    }

    /// Ready once all that came is within the caller's quotas. Until then nothing more is read, which
    /// slows down the sender.
    fn poll_quota(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.bill.is_paid() {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            if let Err((_, wait)) = self.caller.pay(&mut self.bill) {
                // The sender is not late while it may not send.
                self.late = None;
                self.pause = Some(Box::pin(tokio::time::sleep(wait)));
            }
        }
        Poll::Ready(())
    }

    /// Whether a message is complete, or too large.
    fn has_next(&self) -> bool {
        announced(&self.begun).is_some_and(|announced| {
            announced > self.intake.largest || self.begun.len() >= PREFIX_BYTES + announced
        })
    }
}

impl<B> Body for Messages<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            ready!(this.poll_quota(context));
            if this.has_next() && !this.may_pass {
                this.bill.request();
                this.may_pass = true;
                continue;
            }

            if let Some(message) = this.next() {
                this.may_pass = false;
                if let Err(refused) = this.caller.check() {
                    return Poll::Ready(Some(Err(refused)));
                }
                return Poll::Ready(Some(Ok(Frame::data(message))));
            }

            if this.ended {
                let rest = std::mem::take(&mut this.begun).freeze();
                let rest = Some(rest).filter(|rest| !rest.is_empty());
                return Poll::Ready(rest.map(|rest| Ok(Frame::data(rest))));
            }

            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
                if this.begun.is_empty() {
                    return Poll::Pending;
                }
                let patience = this.intake.patience;
                let until = || Box::pin(tokio::time::sleep_until(Instant::now() + patience));
                let late = this.late.get_or_insert_with(until);
                ready!(late.as_mut().poll(context));
                let message =
                    format!("a message did not arrive within {} s", patience.as_secs_f32());
                return Poll::Ready(Some(Err(Status::deadline_exceeded(message))));
            };

            match frame {
                None => this.ended = true,
                Some(Err(error)) => {
                    return Poll::Ready(Some(Err(broken(error))));
                }
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.peer.receive(data.len());
                    this.bill.bytes(data.len());
                    if let Err(full) = this.held.grow(data.len()) {
                        return Poll::Ready(Some(Err(too_much(full))));
                    }
                    this.begun.extend_from_slice(&data);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use super::*;
    use crate::api::admission::caller::Shares;

    /// A body of these pieces, followed by silence or by the end.
    struct Pieces(VecDeque<Bytes>, bool);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.pop_front() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                None if self.1 => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn pieces(pieces: &[&'static [u8]], ends: bool) -> Pieces {
        Pieces(pieces.iter().map(|&piece| Bytes::from_static(piece)).collect(), ends)
    }

    fn intake() -> Intake {
        let shares = Shares { requests: 1, streams: 1, work: 1, bytes: 240 };
        Intake::new(20, Duration::from_millis(50), Budget::new(shares))
    }

    const TWO: &[&[u8]] = &[&[0, 0, 0], &[0, 2, 7], &[8, 0, 0, 0, 0, 1, 9]];

    #[tokio::test]
    async fn one_message_is_whole_or_refused() {
        let intake = intake();
        let (bytes, held) = intake
            .whole(
                &Peer::default(),
                &Caller::default(),
                pieces(&[&[0, 0, 0], &[0, 2, 7], &[8]], true),
            )
            .await
            .unwrap();
        assert_eq!(bytes.as_ref(), [0, 0, 0, 0, 2, 7, 8]);
        assert_eq!(intake.budget.held(), 7);
        drop(held);
        assert_eq!(intake.budget.held(), 0);

        let late = intake
            .whole(&Peer::default(), &Caller::default(), pieces(&[&[0, 0, 0, 0, 9]], false))
            .await
            .unwrap_err();
        assert_eq!(late.code(), tonic::Code::DeadlineExceeded);

        // Too large: left for the decoder to refuse.
        assert!(
            intake
                .whole(&Peer::default(), &Caller::default(), pieces(&[&[0, 9, 9, 9, 9]], true))
                .await
                .is_ok()
        );
        let full = intake
            .whole(&Peer::default(), &Caller::default(), pieces(&[&[0; 61]], true))
            .await
            .unwrap_err();
        assert_eq!(full.code(), tonic::Code::ResourceExhausted);
        assert_eq!(intake.budget.held(), 0);

        // One address has a quarter of the memory; other addresses have their own.
        let one = Caller::default();
        let other = Caller::default();
        let max = intake.whole(&Peer::default(), &one, pieces(&[&[9; 59]], true)).await.unwrap();
        let full =
            intake.whole(&Peer::default(), &one, pieces(&[&[0; 2]], true)).await.unwrap_err();
        assert!(full.message().contains("this address"), "{full:?}");
        assert!(intake.whole(&Peer::default(), &other, pieces(&[&[0; 2]], true)).await.is_ok());
        drop(max);
        assert!(intake.whole(&Peer::default(), &one, pieces(&[&[0; 2]], true)).await.is_ok());
    }

    #[tokio::test]
    async fn a_stream_is_handed_on_in_whole_messages() {
        let intake = intake();
        let mut messages = intake.messages(&Peer::default(), &Caller::default(), pieces(TWO, true));
        let mut came = Vec::new();
        while let Some(frame) = messages.frame().await {
            came.push(frame.unwrap().into_data().unwrap());
        }
        assert_eq!(came, [vec![0, 0, 0, 0, 2, 7, 8], vec![0, 0, 0, 0, 1, 9]]);

        let mut silent = intake.messages(
            &Peer::default(),
            &Caller::default(),
            pieces(&[&[0, 0, 0, 0, 2, 7]], false),
        );
        let late = silent.frame().await.unwrap().unwrap_err();
        assert_eq!(late.code(), tonic::Code::DeadlineExceeded);

        // Between messages a stream may be silent.
        let mut idle = intake.messages(
            &Peer::default(),
            &Caller::default(),
            pieces(&[&[0, 0, 0, 0, 0]], false),
        );
        idle.frame().await.unwrap().unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(200), idle.frame()).await;
        assert!(waited.is_err());
    }
}
