//! The outermost layer of the server, which begins and ends the observation of each request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::observer::{Observer, Seen};
use crate::api::admission::admit::answers_in_stream;

/// Observes requests.
#[derive(Debug, Clone)]
pub struct Observing(pub Arc<Observer>);

impl<S> Layer<S> for Observing {
    type Service = Observed<S>;

    fn layer(&self, service: S) -> Observed<S> {
        Observed { observer: self.0.clone(), service }
    }
}

/// A service whose requests are observed.
#[derive(Debug, Clone)]
pub struct Observed<S> {
    observer: Arc<Observer>,
    service: S,
}

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if !self.observer.is_read() {
            return self.unseen(request);
        }

        let path = request.uri().path();
        let in_stream = answers_in_stream(path);
        let mut seen = self.observer.begin(path, request.headers());
        request.extensions_mut().insert(seen.record.clone());
        if in_stream {
            seen.record.streams();
        }

        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let status = status(&answer);
            if status.is_none() && in_stream {
                return Ok(answer.map(|body| Body::new(ObservedBody { body, seen })));
            }
            seen.record.end("answer");
            seen.end(status.as_ref());
            Ok(answer)
        })
    }
}

impl<S> Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    /// The answer to a request that is not recorded; a refusal is counted for the log all the same.
    fn unseen(&mut self, request: Request<Body>) -> <Self as Service<Request<Body>>>::Future {
        let answer = self.service.call(request);
        let observer = self.observer.clone();
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(status) = status(&answer) {
                observer.refusals.note(&status);
            }
            Ok(answer)
        })
    }
}

/// The status in the headers of an answer; none where it follows at the end, or all is well.
fn status(answer: &Response<Body>) -> Option<Status> {
    if answer.status() != StatusCode::OK {
        return Some(Status::unimplemented("not a call of gRPC"));
    }
    Status::from_header_map(answer.headers())
}

/// The body of a stream, whose status comes last.
struct ObservedBody {
    body: Body,
    seen: Seen,
}

impl http_body::Body for ObservedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    let status = Status::from_header_map(trailers);
                    self.seen.end(status.as_ref());
                }
            }
            Some(Err(status)) => self.seen.end(Some(status)),
            None => self.seen.end(None),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
