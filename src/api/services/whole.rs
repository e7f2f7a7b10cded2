//! Streams of answers. One that merely ended would look complete: where it is cut short, it ends with an
//! error.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_stream::{Stream, StreamExt};
use tonic::Status;

/// A stream that is whole unless it ends with an error.
pub(super) type Whole<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Ends a stream with UNAVAILABLE where `complete` is not set by then.
pub(super) fn whole<T: 'static>(
    answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    complete: Arc<AtomicBool>,
) -> Whole<T> {
    let cut_short = tokio_stream::once(complete).filter_map(|complete| {
        let message = "the answer is cut short: it was not read for too long, or the server stops";
        (!complete.load(Ordering::Acquire)).then(|| Err(Status::unavailable(message)))
    });
    Box::pin(answers.chain(cut_short))
}
