//! Outgoing answers: complete, and counted for their client until the client has taken them. A
//! client that takes nothing holds no more than its share, and its connection ends soon.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Frame;
use http_body_util::BodyExt;
use prost::bytes::Bytes;
use tonic::Status;
use tonic::body::Body;

use crate::api::admission::caller::{Caller, MemoryReservation, Running};
use crate::api::admission::intake::too_much;
use crate::api::admission::peer::{Open, Unsent};

/// Maximum size of a frame of a unary answer in bytes.
const MAX_FRAME_BYTES: usize = 64 << 10;

/// A unary answer, collected to its end so that its size is known.
///
/// # Errors
/// RESOURCE_EXHAUSTED where the client's pending answers are too large already.
pub(super) async fn whole(
    answer: Response<Body>,
    mut held: MemoryReservation,
    open: Open,
) -> Result<Response<Body>, Status> {
    let (parts, mut body) = answer.into_parts();
    let mut frames = Vec::with_capacity(2);
    while let Some(frame) = body.frame().await {
        let mut data = match frame?.into_data() {
            Ok(data) => data,
            Err(trailers) => {
                frames.push(trailers);
                continue;
            }
        };
        held.grow(data.len()).map_err(too_much)?;
        // A connection of HTTP/1 takes whole frames, whether or not its client does.
        while data.len() > MAX_FRAME_BYTES {
            frames.push(Frame::data(data.split_to(MAX_FRAME_BYTES)));
        }
        frames.push(Frame::data(data));
    }

    frames.reverse();
    let whole = Whole { frames, unsent: open.unsent(), _held: held, _open: open };
    Ok(Response::from_parts(parts, Body::new(whole)))
}

/// A streamed answer; its request is open, and counted, until the last message is taken. It ends
/// where its caller may not call any more.
pub(super) fn stream(
    answer: Response<Body>,
    open: Open,
    caller: Caller,
    running: Running,
) -> Response<Body> {
    answer.map(|body| {
        checked(body, move || {
            let _held = (&open, &running);
            caller.check()
        })
    })
}

/// A body that ends with the error of `check`, which is asked before each message.
pub(in crate::api) fn checked(
    body: Body,
    check: impl Fn() -> Result<(), Status> + Send + 'static,
) -> Body {
    Body::new(Checked { body, check: Box::new(check) })
}

struct Checked {
    body: Body,
    check: Box<dyn Fn() -> Result<(), Status> + Send>,
}

impl http_body::Body for Checked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let is_message = matches!(&frame, Some(Ok(frame)) if frame.is_data());
        if is_message && let Err(refused) = (self.check)() {
            return Poll::Ready(Some(Err(refused)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// A body that is in memory.
struct Whole {
    /// Its remaining frames, the next one last.
    frames: Vec<Frame<Bytes>>,
    unsent: Unsent,
    _held: MemoryReservation,
    _open: Open,
}

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.unsent.moves();
        Poll::Ready(self.frames.pop().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }
}
