//! The command line as people use it.

use std::io::Write;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::recommend::RepeatPolicy;

use crate::support::{self, Process, Server, online_retail, purchases, run, trained};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answers_from_a_folder_and_from_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = online_retail(&folder, 20_000);
    let data = data.to_str().unwrap();
    let (ok, _, error) =
        run(&["import", log.to_str().unwrap(), "--preset", "online-retail", "--data", data]);
    assert!(ok, "{error}");
    let (ok, out, error) = run(&["models", "--data", data]);
    assert!(ok && out.contains("no model yet"), "{out}{error}");
    let (ok, out, error) = run(&["train", "--data", data]);
    assert!(ok && out.starts_with("generation 1"), "{out}{error}");
    assert!(error.contains("embeddings"), "{error}");
    let (ok, table, error) = run(&["recommend", "17850", "--data", data, "-n", "3"]);
    assert!(ok && table.contains("based on history"), "{table}{error}");
    let (_, similar, _) = run(&["similar", "85123A", "--data", data]);
    assert!(similar.contains("HEART"), "titles are shown: {similar}");
    let (ok, out, _) = run(&["models", "--json", "--data", data]);
    let models: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(ok && models[0]["role"] == "active");

    let items = |json: &str| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(json).unwrap()["items"].clone()
    };
    let (_, local, _) = run(&["recommend", "17850", "--data", data, "--json"]);
    let server = Server::start(std::path::Path::new(data), support::quiet()).await;
    let address = server.address.clone();
    let remote = tokio::task::spawn_blocking(move || {
        let listed = run(&["recommend", "17850", "--server", &address, "--json"]);
        let trained = run(&["train", "--server", &address]);
        (listed, trained)
    });
    let ((ok, remote, error), (trained, out, _)) = remote.await.unwrap();
    assert!(ok, "{error}");
    assert_eq!(items(&local), items(&remote));
    assert!(trained && out.starts_with("generation 2"), "{out}");

    let (ok, _, error) = run(&["recommend", "17850", "--data", data]);
    assert!(!ok && error.contains("in use by another process"), "{error}");
    server.stop().await;
}

#[test]
fn refused_lines_are_counted_and_kept_and_the_rest_goes_in() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl.gz");
    let mut gz = flate2::write::GzEncoder::new(
        std::fs::File::create(&log).unwrap(),
        flate2::Compression::default(),
    );
    gz.write_all(
        b"{\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n\
          {\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n\
          {\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": \"never\"}\n\
          {\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": \"2199-01-01\"}\n",
    )
    .unwrap();
    gz.finish().unwrap();
    let rejects = folder.path().join("rejects.txt");
    let import = || {
        run(&[
            "import",
            log.to_str().unwrap(),
            "--map",
            "user_id=who",
            "--data",
            folder.path().join("data").to_str().unwrap(),
            "--rejects",
            rejects.to_str().unwrap(),
        ])
    };
    let (ok, out, error) = import();
    assert!(ok, "{error}");
    let count = |out: &str, what: &str| {
        out.lines()
            .find(|l| l.contains(what))
            .and_then(|l| l.split_whitespace().last()?.parse().ok())
    };
    assert_eq!(count(&out, "events taken"), Some(2), "true duplicates survive: {out}");
    assert_eq!(count(&out, "refused: timestamp cannot be read"), Some(1), "{out}");
    assert_eq!(count(&out, "refused: time breaks a limit"), Some(1), "{out}");
    let kept = std::fs::read_to_string(&rejects).unwrap();
    assert!(kept.contains("log.jsonl.gz:3\ttimestamp cannot be read\t\"never\""), "{kept}");

    let (_, out, _) = import();
    assert_eq!(count(&out, "events taken"), Some(0), "{out}");
    assert_eq!(count(&out, "skipped: already imported"), Some(2), "{out}");
    // The file grows by one row that is new and one that repeats a third time.
    let mut grown = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(std::fs::File::open(&log).unwrap()),
        &mut grown,
    )
    .unwrap();
    grown.extend_from_slice(
        b"{\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n\
          {\"who\": \"v\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n",
    );
    let mut gz = flate2::write::GzEncoder::new(
        std::fs::File::create(&log).unwrap(),
        flate2::Compression::default(),
    );
    gz.write_all(&grown).unwrap();
    gz.finish().unwrap();
    let (_, out, _) = import();
    assert_eq!(count(&out, "events taken"), Some(2), "{out}");
    assert_eq!(count(&out, "skipped: already imported"), Some(2), "{out}");
}

#[test]
fn a_wrong_file_costs_nothing_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = folder.path().join("log.csv");
    std::fs::write(&log, "a,b\n1,2\n").unwrap();
    let import = |file: &str| run(&["import", file, "--data", data.to_str().unwrap()]);
    let (ok, _, error) = import(log.to_str().unwrap());
    assert!(!ok && error.contains("--map user_id=COLUMN"), "{error}");
    let (ok, _, error) = import("/nowhere.csv");
    assert!(!ok && error.contains("/nowhere.csv"), "{error}");
    assert!(!data.exists());
    let (ok, _, error) = run(&["recommend", "u", "--data", data.to_str().unwrap()]);
    assert!(!ok && error.contains("there is no data folder"), "{error}");
    let (ok, _, error) = run(&["recommend", "u", "--server", "127.0.0.1:1"]);
    assert!(!ok && error.contains("no server answers"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_item_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    server.engine.writer().record(purchases(&[("u", "i", 1), ("v", "i", 1)])).await.unwrap();
    trained(&server.engine).await;
    let address = server.address.clone();
    let (ok, _, error) =
        tokio::task::spawn_blocking(move || run(&["similar", "nope", "--server", &address]))
            .await
            .unwrap();
    assert!(!ok && error.contains("item \"nope\" is not known"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_closes_does_not_end_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    for _ in 0..3 {
        server.hang_up();
    }
    let channel = server.channel().await;
    let mut events = EventServiceClient::new(channel);
    let event = pb::Event {
        kind: pb::EventKind::Purchase.into(),
        user_id: "u".into(),
        item_id: "i".into(),
        ..Default::default()
    };
    events.write_events(pb::WriteEventsRequest { events: vec![event] }).await.unwrap();
    assert!(server.terminate(), "and SIGTERM still does, in order");
}

#[test]
fn an_encrypted_address_is_never_spoken_to_in_plain_text() {
    use std::io::Read as _;

    for verb in [
        &["recommend", "u"][..],
        &["similar", "i"],
        &["train"],
        &["models"],
        &["push", "Cargo.toml"],
        &["keys"],
        &["stores"],
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        let heard = std::thread::spawn(move || {
            let mut first = [0; 1];
            listener.accept().unwrap().0.read_exact(&mut first).unwrap();
            first[0]
        });
        let (ok, _, error) = run(&[verb, &["--server", &server]].concat());
        assert!(!ok && error.contains("no server answers at https://"), "{verb:?}: {error}");
        assert_eq!(heard.join().unwrap(), 0x16, "a TLS handshake record");
    }

    let (ok, _, error) = run(&["models", "--server", "grpcs://127.0.0.1:9"]);
    assert!(!ok && error.contains("grpcs is not supported"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_whether_what_was_bought_may_come_back_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.recommend.repeat_policy = RepeatPolicy::Auto;
    let server = Server::start(folder.path(), options).await;
    server
        .engine
        .writer()
        .record(purchases(&[("u", "a", 1), ("u", "b", 2), ("v", "a", 1)]))
        .await
        .unwrap();
    trained(&server.engine).await;
    let ask = |policy: pb::RepeatPolicy| pb::RecommendRequest {
        user_id: "u".into(),
        repeat_policy: policy.into(),
        ..Default::default()
    };
    use pb::{RepeatPolicy as Policy, RepeatReason as Reason};
    for (asked, policy, reason) in [
        (Policy::Unspecified, Policy::ExcludePurchased, Reason::Default),
        (Policy::Allow, Policy::Allow, Reason::Request),
        (Policy::WhenDue, Policy::WhenDue, Reason::Request),
    ] {
        let answer = server.recommendations().recommend(ask(asked)).await.unwrap().into_inner();
        assert_eq!((answer.repeat_policy(), answer.repeat_reason()), (policy, reason));
    }
    let address = server.address.clone();
    let printed = tokio::task::spawn_blocking(move || {
        let target = ["recommend", "u", "--server", &address];
        [run(&target).1, run(&[&target[..], &["--repeat", "allow"]].concat()).1]
    });
    let [left_out, offered] = printed.await.unwrap();
    assert!(left_out.contains("bought before are excluded, until a tuning"), "{left_out}");
    assert!(offered.contains("bought before are offered, as asked"), "{offered}");
    server.stop().await;

    let mut options = support::quiet();
    options.recommend.repeat_policy = RepeatPolicy::WhenDue;
    let server = Server::start(folder.path(), options).await;
    let answer = server.recommendations().recommend(ask(Policy::Unspecified)).await.unwrap();
    assert_eq!(answer.into_inner().repeat_reason(), Reason::Setting);
    server.stop().await;
}
