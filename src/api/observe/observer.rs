//! What sees every request: metrics, the request log, traces, and the count of refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use tonic::{Code, Status};

use super::end::End;
use super::refusals::Refusals;
use super::request_log::{RequestLog, RequestLogOptions};
use super::server_metrics::{OTHER_METHODS, ServerMetrics};
use super::traces::{Parent, TraceOptions, Traces};
use crate::api::access::methods;
use crate::telemetry::RequestRecord;

/// Time between two looks at what was left out of the log.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Sees every request of a server.
#[derive(Debug, Default)]
pub struct Observer {
    /// Counts of the server.
    pub metrics: ServerMetrics,
    /// Lines of single requests.
    pub log: RequestLog,
    /// What was refused, for the log.
    pub refusals: Refusals,
    traces: Option<Traces>,
    /// Whether the metrics can be read.
    is_shown: AtomicBool,
}

impl Observer {
    /// An observer that logs and traces by these options.
    ///
    /// # Errors
    /// A sentence that names the setting that cannot be used.
    pub fn new(log: RequestLogOptions, traces: &TraceOptions) -> Result<Self, String> {
        Ok(Self { log: RequestLog::new(log), traces: Traces::start(traces)?, ..Self::default() })
    }

    /// Notes that the metrics can be read from now on.
    pub fn show(&self) {
        self.is_shown.store(true, Ordering::Relaxed);
    }

    /// Whether anyone reads what is recorded of requests.
    pub(super) fn is_read(&self) -> bool {
        self.is_shown.load(Ordering::Relaxed) || self.traces.is_some() || self.log.is_on()
    }

    /// Begins to observe a request.
    pub(super) fn begin(self: &Arc<Self>, path: &str, headers: &HeaderMap) -> Seen {
        self.metrics.in_flight.inc();
        Seen {
            observer: self.clone(),
            record: Arc::default(),
            method: methods::number(path).unwrap_or(OTHER_METHODS),
            parent: self.traces.as_ref().map(|_| Parent::of(headers)),
            is_ended: false,
        }
    }

    /// Notes a request that is refused before it is one of gRPC.
    pub(in crate::api) fn note_refused(
        self: &Arc<Self>,
        path: &str,
        headers: &HeaderMap,
        status: &Status,
    ) {
        if self.is_read() {
            self.begin(path, headers).end(Some(status));
        } else {
            self.refusals.note(status);
        }
    }

    /// Logs what is only counted meanwhile, as long as it is polled.
    pub async fn report(self: Arc<Self>) {
        let left_out = async {
            loop {
                tokio::time::sleep(REPORT_EVERY).await;
                self.log.say_left_out();
            }
        };
        tokio::join!(self.refusals.clone().report(), left_out);
    }

    /// Logs and sends what is not yet.
    pub fn close(&self) {
        self.log.say_left_out();
        self.refusals.say();
        if let Some(traces) = &self.traces {
            traces.close();
        }
    }
}

/// A request that is observed until its end. One that is dropped before was cancelled.
#[derive(Debug)]
pub(super) struct Seen {
    observer: Arc<Observer>,
    pub(super) record: Arc<RequestRecord>,
    method: usize,
    parent: Option<Parent>,
    is_ended: bool,
}

impl Seen {
    /// Notes the end of the request, with its status if it has one.
    pub(super) fn end(&mut self, status: Option<&Status>) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        let failed = status.filter(|status| status.code() != Code::Ok);
        let end = failed.map_or_else(End::well, End::of);

        let seconds = self.record.started.elapsed().as_secs_f64();
        let facts = self.record.take_facts();
        let metrics = &self.observer.metrics;
        metrics.in_flight.dec();
        metrics.latency[self.method].observe(seconds);
        let counts = facts.counts.as_deref().unwrap_or(&metrics.of_no_store);
        counts.note(self.method, end.code as usize);

        if let Some(status) = failed {
            metrics.note_failure(&end.reason);
            self.observer.refusals.note(status);
        }

        let span = self.observer.traces.as_ref().zip(self.parent.as_ref());
        let trace = span.and_then(|(traces, parent)| {
            traces.export(self.method, &self.record, &facts, &end, parent)
        });
        self.observer.log.note(self.method, &self.record, &facts, &end, seconds, trace.as_deref());
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        // Most have ended, and pay for no status.
        if !self.is_ended {
            self.end(Some(&Status::cancelled("the caller has gone")));
        }
    }
}
