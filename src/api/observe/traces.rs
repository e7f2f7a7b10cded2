//! Traces for OpenTelemetry, sent by OTLP over gRPC: one span a request and, within it, one for each
//! stage. The caller's context is taken over from the header `traceparent` (W3C Trace Context).
//!
//! A request is recorded as it runs, and its spans are made at its end, with the times of the record:
//! a request that is not
//! sampled sends none.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::end::End;
use super::server_metrics::method_name;
use crate::telemetry::record::Facts;
use crate::telemetry::{RequestRecord, version};

/// `[traces]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraceOptions {
    /// Where spans are sent: the address of a collector that takes OTLP over gRPC, as
    /// "http://127.0.0.1:4317"; empty: no traces.
    pub otlp_endpoint: String,
    /// Share of the requests that are traced where the caller does not decide, 0 to 1.
    pub sample: f64,
    /// The name of the server in traces.
    pub service_name: String,
}

impl Default for TraceOptions {
    fn default() -> Self {
        Self { otlp_endpoint: String::new(), sample: 0.01, service_name: "qianmian".to_owned() }
    }
}

/// Time that a collector has to take spans, also the last ones.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends traces.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Begins to send; none where no address is set. Call it within the runtime.
    ///
    /// # Errors
    /// A sentence that names the setting that cannot be used.
    pub fn start(options: &TraceOptions) -> Result<Option<Self>, String> {
        if options.otlp_endpoint.is_empty() {
            return Ok(None);
        }

        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&options.otlp_endpoint)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|e| format!("traces.otlp_endpoint {:?}: {e}", options.otlp_endpoint))?;
        let resource = Resource::builder()
            .with_service_name(options.service_name.clone())
            .with_attribute(KeyValue::new("service.version", version::VERSION))
            .build();

        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(options.sample)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("qianmian");
        Ok(Some(Self { provider, tracer }))
    }

    /// Sends the spans of a request that ended, if it is sampled; returns its trace's id then.
    pub(super) fn export(
        &self,
        method: usize,
        record: &RequestRecord,
        facts: &Facts,
        end: &End,
        parent: &Parent,
    ) -> Option<String> {
        let started_at = SystemTime::now() - record.started.elapsed();
        let name = method_name(method);
        let service = name.split('/').next().unwrap_or(name);
        let attributes = vec![
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", format!("qianmian.v1.{service}")),
            KeyValue::new("rpc.method", name.rsplit('/').next().unwrap_or(name)),
            KeyValue::new("rpc.grpc.status_code", end.code as i64),
            KeyValue::new("qianmian.store", facts.store().to_owned()),
            KeyValue::new("qianmian.generation", facts.generation as i64),
            KeyValue::new("qianmian.reason", end.reason.clone()),
        ];
        let mut span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(started_at)
            .with_attributes(attributes)
            .start_with_context(&self.tracer, &parent.0);
        if !span.span_context().is_sampled() {
            return None;
        }

        let trace = span.span_context().trace_id().to_string();
        if end.code != Code::Ok {
            span.set_status(Status::error(end.reason.clone()));
        }
        let whole = parent.0.with_remote_span_context(span.span_context().clone());
        self.export_stages(record, facts, started_at, &whole);
        span.end_with_timestamp(started_at + record.started.elapsed());
        Some(trace)
    }

    /// Sends a span for each stage.
    fn export_stages(
        &self,
        record: &RequestRecord,
        facts: &Facts,
        started_at: SystemTime,
        whole: &Context,
    ) {
        let mut began = started_at;
        for stage in &facts.stages {
            let ended = started_at + stage.ended.duration_since(record.started);
            let mut attributes = Vec::new();
            if !stage.source.is_empty() {
                attributes.push(KeyValue::new("qianmian.source", stage.source));
            }
            let passed = stage.passed.map(|passed| KeyValue::new("qianmian.passed", passed as i64));
            attributes.extend(passed);

            let mut span = SpanBuilder::from_name(stage.name)
                .with_start_time(began)
                .with_attributes(attributes)
                .start_with_context(&self.tracer, whole);
            span.end_with_timestamp(ended);
            began = ended;
        }
    }

    /// Sends what is not sent yet, and ends.
    pub fn close(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// The span of the caller, if it has one.
#[derive(Debug, Clone)]
pub(super) struct Parent(Context);

impl Parent {
    /// The caller's span, from the headers of its request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let none = Context::new();
        Self(TraceContextPropagator::new().extract_with_context(&none, &Headers(headers)))
    }
}

/// Headers as OpenTelemetry reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_used_is_named() {
        let options = |endpoint: &str| TraceOptions {
            otlp_endpoint: endpoint.to_owned(),
            ..TraceOptions::default()
        };
        assert!(Traces::start(&options("")).unwrap().is_none());
        let refused = Traces::start(&options("no address at all")).unwrap_err();
        assert!(refused.contains("traces.otlp_endpoint \"no address at all\""), "{refused}");
    }
}
