//! What an operator sees: metrics, health over HTTP, the request log, the dashboard and the alerts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use tonic::Code;

use crate::support::{self, Process, http_get, run, run_with};

/// The series of a graph over embeddings, which a small catalogue does not have, and of topics of Kafka.
const OF_OTHERS: [&str; 2] = ["qianmian_model_ann_recall", "qianmian_topics_read"];

/// The series of a page: the name and labels of each, with its value.
struct Page(BTreeMap<String, f64>);

impl Page {
    fn of(process: &Process) -> Page {
        let (code, head, body) = process.get("/metrics");
        assert_eq!(code, 200);
        assert!(head.contains("application/openmetrics-text"), "{head}");
        assert!(body.ends_with("# EOF\n"));
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| line.rsplit_once(' ').unwrap());
        Page(series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect())
    }

    /// The sum of the series of a name that have all of these labels.
    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let (mut sum, mut found) = (0.0, false);
        for (series, value) in &self.0 {
            let (own, of) = series.split_once('{').unwrap_or((series, ""));
            if own == name && labels.iter().all(|label| of.contains(label)) {
                sum += value;
                found = true;
            }
        }
        assert!(found, "no series {name} {labels:?} in\n{}", self.text());
        sum
    }

    fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name} {value}\n")).collect()
    }

    /// The names, each with its labels.
    fn names(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for series in self.0.keys() {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0));
            names.entry(name).or_default().extend(labels);
        }
        names
    }
}

/// A data folder with a trained model of part of the bundled log, and a backup's note.
fn trained_store(tuned: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = support::online_retail(&folder, 8_000);
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let import = ["import", log.to_str().unwrap(), "--preset", "online-retail", "--data", data];
    let (ok, _, error) = run(&import);
    assert!(ok, "{error}");
    // A tuning, which measures quality, takes a while.
    let settings = [("QIANMIAN_TRAIN__TUNE", "true"), ("QIANMIAN_TRAIN__TUNE_TRIALS", "1")];
    let settings = if tuned { &settings[..] } else { &[] };
    let (ok, _, error) = run_with(&["train", "--data", data], settings);
    assert!(ok, "{error}");
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_counted_and_the_dashboard_shows_what_there_is() {
    let folder = trained_store(true);
    let data = folder.path().join("data");
    let backup = folder.path().join("backup");
    let arguments = ["backup", "--to", backup.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let (ok, _, error) = run(&arguments);
    assert!(ok, "{error}");

    let process = Process::start_with(&data, |command| {
        command.env("QIANMIAN_LOGGING__REQUESTS__SAMPLE", "1");
        // Or the list after the event might be made before it is asked for.
        command.env("QIANMIAN_RECOMMEND__ACTIVE_LISTS", "0");
    });
    let channel = process.channel().await;
    let mut lists = RecommendationServiceClient::new(channel.clone());
    let ask = |user: &str| pb::RecommendRequest {
        user_id: user.to_owned(),
        limit: 10,
        ..Default::default()
    };
    lists.recommend(ask("17850")).await.unwrap();
    lists.recommend(ask("someone new")).await.unwrap();
    let refused = lists.recommend(ask("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let missing =
        pb::SimilarItemsRequest { item_id: "no such".into(), limit: 5, ..Default::default() };
    lists.similar_items(missing).await.unwrap_err();

    let event = pb::Event {
        event_id: "once".into(),
        kind: pb::EventKind::View.into(),
        user_id: "17850".into(),
        item_id: "85123A".into(),
        ..Default::default()
    };
    let mut events = EventServiceClient::new(channel);
    for _ in 0..2 {
        let request = pb::WriteEventsRequest { events: vec![event.clone()] };
        events.write_events(request).await.unwrap();
    }
    lists.recommend(ask("17850")).await.unwrap();

    let page = Page::of(&process);
    let recommend = r#"method="RecommendationService/Recommend""#;
    let store = r#"store="default""#;
    let requests = |code: &str| page.sum("qianmian_requests_total", &[recommend, store, code]);
    assert_eq!(requests(r#"code="OK""#), 3.0);
    assert_eq!(requests(r#"code="INVALID_ARGUMENT""#), 1.0);
    let failed = |reason: &str| page.sum("qianmian_requests_failed_total", &[reason]);
    assert_eq!(failed(r#"reason="INVALID_ARGUMENT""#), 1.0);
    assert_eq!(failed(r#"reason="NOT_FOUND""#), 1.0);
    let timed = page.sum("qianmian_request_duration_seconds_count", &[recommend]);
    assert_eq!(timed, page.sum("qianmian_requests_total", &[recommend]));
    assert_eq!(page.sum("qianmian_requests_in_flight", &[]), 0.0);

    let list = |made: &str| page.sum("qianmian_lists_total", &[store, made]);
    assert_eq!(list(r#"made="cold""#), 1.0);
    assert_eq!(list(r#"made="prepared""#) + list(r#"made="blended""#), 2.0);
    assert!(list(r#"made="blended""#) >= 1.0, "the list after the event");
    assert!(page.sum("qianmian_candidates_total", &[store]) > 0.0);
    assert_eq!(page.sum("qianmian_events_total", &[r#"kind="view""#]), 1.0);
    assert_eq!(page.sum("qianmian_events_duplicate_total", &[store]), 1.0);
    assert_eq!(page.sum("qianmian_event_to_effect_seconds_count", &[store]), 2.0);
    assert!(page.sum("qianmian_log_flush_seconds_count", &[store]) >= 1.0);
    assert!(page.sum("qianmian_log_bytes", &[store]) > 10_000.0);
    assert_eq!(page.sum("qianmian_model_generation", &[r#"role="active""#]), 1.0);
    assert!(page.sum("qianmian_model_behind_records", &[store]) >= 1.0);
    assert!(page.sum("qianmian_memory_bytes", &[r#"part="histories""#]) > 0.0);

    let names = page.names();
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/");
    for file in ["grafana/qianmian.json", "prometheus/alerts.yml"] {
        let text = std::fs::read_to_string(format!("{deploy}{file}")).unwrap();
        let asked = asked_series(&text);
        assert!(asked.len() > 8, "{file}: {asked:?}");
        for (name, labels) in
            asked.into_iter().filter(|(name, _)| !OF_OTHERS.contains(&name.as_str()))
        {
            let known = names.get(name.as_str());
            let known = known.unwrap_or_else(|| panic!("{file}: {name} is not exported"));
            let unknown = labels.iter().find(|label| !known.contains(label.as_str()));
            assert_eq!(unknown, None, "{file}: a label of {name}");
        }
    }
}

/// The series of ours that a file of expressions names, with the labels in their braces.
fn asked_series(text: &str) -> Vec<(String, Vec<String>)> {
    let text = text.replace("\\\"", "\"");
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut asked = Vec::new();
    for after in text.split("qianmian_").skip(1) {
        let name: String = after.chars().take_while(|&c| is_name(c)).collect();
        let braces = after[name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let labels = braces.map_or("", |(labels, _)| labels);
        let labels = labels.split("\",").filter_map(|label| label.split(['=', '!']).next());
        let labels = labels.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
        asked.push((format!("qianmian_{name}"), labels.collect()));
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_log_has_the_failed_the_slow_and_a_sample_without_persons() {
    let folder = trained_store(false);
    let process = Process::start_with(&folder.path().join("data"), |command| {
        command.env("QIANMIAN_LOGGING__REQUESTS__SAMPLE", "0.5");
    });
    let mut lists = RecommendationServiceClient::new(process.channel().await);
    let ask = |limit| pb::RecommendRequest { user_id: "17850".into(), limit, ..Default::default() };
    for _ in 0..10 {
        lists.recommend(ask(10)).await.unwrap();
    }
    lists.recommend(ask(501)).await.unwrap_err();

    // The line of the last request may follow its answer.
    std::thread::sleep(Duration::from_millis(300));
    let lines = process.log();
    let first = &lines[0]["fields"];
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert!(first["commit"].is_string());
    let requests: Vec<_> = lines.iter().filter(|l| l["fields"]["message"] == "request").collect();
    let (fine, failed): (Vec<_>, Vec<_>) =
        requests.iter().map(|line| &line["fields"]).partition(|fields| fields["code"] == "OK");
    assert_eq!((fine.len(), failed.len()), (5, 1));
    assert_eq!(fine[0]["method"], "RecommendationService/Recommend");
    assert_eq!((&fine[0]["store"], &fine[0]["generation"]), (&"default".into(), &1.into()));
    let stages = fine[0]["stages"].as_str().unwrap();
    assert!(stages.contains("authenticate") && stages.contains("receive"), "{stages}");
    assert!(stages.contains("prepared") || stages.contains("retrieve/item_cf"), "{stages}");
    assert_eq!(
        (&failed[0]["code"], &failed[0]["field"]),
        (&"INVALID_ARGUMENT".into(), &"limit".into())
    );
    assert!(requests.iter().all(|line| !line.to_string().contains("17850")), "no user is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_over_http_follows_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    assert_eq!(process.get("/healthz").0, 200);
    assert_eq!(process.get("/readyz"), {
        let (_, head, _) = process.get("/readyz");
        (200, head, "ready\n".to_owned())
    });
    let (code, _, version) = process.get("/version");
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!((code, version["version"].as_str()), (200, Some(env!("CARGO_PKG_VERSION"))));
    assert_eq!(process.get("/else").0, 404);

    // The log's files are gone: no write is accepted any more.
    let log = folder.path().join("stores/default/log");
    std::fs::rename(&log, log.with_extension("gone")).unwrap();
    let mut events = EventServiceClient::new(process.channel().await);
    let event = pb::Event {
        kind: pb::EventKind::View.into(),
        user_id: "a".into(),
        item_id: "b".into(),
        ..Default::default()
    };
    let refused = events.write_events(pb::WriteEventsRequest { events: vec![event] }).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    let (code, _, reason) = process.get("/readyz");
    assert_eq!((code, reason.as_str()), (503, "the store default takes no writes\n"));
    assert_eq!(process.get("/healthz").0, 200);
    assert_eq!(Page::of(&process).sum("qianmian_writes_accepted", &[]), 0.0);
}

#[test]
fn a_slow_client_of_the_admin_listener_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path());
    let idle: Vec<_> =
        (0..100).map(|_| std::net::TcpStream::connect(&process.admin).unwrap()).collect();
    let began = std::time::Instant::now();
    assert_eq!(http_get(&process.admin, "/healthz").0, 200);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    drop(idle);
}

/// A collector that keeps the spans it gets.
#[derive(Default, Clone)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_span_of_its_callers_trace_with_its_stages() {
    let collector = Collector::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let service = TraceServiceServer::new(collector.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    let serving = tokio::spawn(server.serve_with_incoming(incoming));

    let folder = trained_store(false);
    let process = Process::start_with(&folder.path().join("data"), |command| {
        command.env("QIANMIAN_TRACES__OTLP_ENDPOINT", endpoint).env("QIANMIAN_TRACES__SAMPLE", "0");
    });
    let mut lists = RecommendationServiceClient::new(process.channel().await);
    let ask = |context: Option<&str>| {
        let message = pb::RecommendRequest {
            user_id: "17850".into(),
            session_item_ids: vec!["85123A".into()],
            limit: 10,
            ..Default::default()
        };
        let mut request = tonic::Request::new(message);
        if let Some(context) = context {
            request.metadata_mut().insert("traceparent", context.parse().unwrap());
        }
        request
    };
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    lists.recommend(ask(Some(&format!("00-{trace}-{parent}-01")))).await.unwrap();
    lists.recommend(ask(Some(&format!("00-{trace}-{parent}-00")))).await.unwrap();
    lists.recommend(ask(None)).await.unwrap();
    // It sends what is left before it ends.
    assert!(process.terminate());

    let spans = collector.0.lock().unwrap().clone();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert!(spans.iter().all(|span| hex(&span.trace_id) == trace), "only the sampled one");
    let whole: Vec<_> = spans.iter().filter(|span| hex(&span.parent_span_id) == parent).collect();
    assert_eq!(whole.len(), 1);
    assert_eq!(whole[0].name, "RecommendationService/Recommend");
    let stages: Vec<_> =
        spans.iter().filter(|span| span.parent_span_id == whole[0].span_id).collect();
    for name in
        ["authenticate", "receive", "wait", "restrict", "retrieve", "blend", "fill", "answer"]
    {
        assert!(stages.iter().any(|span| span.name == name), "{name}");
    }
    assert_eq!(stages.len() + 1, spans.len());
    let within = |span: &&&Span| {
        span.start_time_unix_nano >= whole[0].start_time_unix_nano
            && span.end_time_unix_nano <= whole[0].end_time_unix_nano
    };
    assert_eq!(stages.iter().filter(within).count(), stages.len());
    serving.abort();
}
