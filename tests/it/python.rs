//! Clients in another language: Python without generated code, by reflection, and the
//! package in clients/python.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use qianmian::access::Scope;
use qianmian::api::ServeOptions;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;

use crate::guarded::Guarded;
use crate::support::{self, Process, Server, purchases, trained};
use crate::tls;

/// How a script says that Python lacks what it needs.
const MISSING: i32 = 77;

/// Runs a script against a server with a little model.
async fn run(script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let rows = [("u", "a", 1), ("u", "b", 1), ("v", "a", 1), ("v", "茶", 1)];
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    python(script, vec![server.address.clone()]).await;
}

/// Runs a script with arguments, if Python has what it needs.
pub(crate) async fn python(script: &str, arguments: Vec<String>) {
    let script = format!("{}/tests/it/{script}", env!("CARGO_MANIFEST_DIR"));
    let output = tokio::task::spawn_blocking(move || {
        Command::new("python3").arg(script).args(arguments).output()
    });
    let Ok(output) = output.await.unwrap() else {
        eprintln!("skipped: there is no python3 here");
        return;
    };
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(MISSING) {
        eprintln!("skipped: {error}");
        return;
    }
    assert!(output.status.success(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn python_by_reflection() {
    run("client.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_package() {
    run("package.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_both_python_clients() {
    run("methods.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_python_package() {
    run("doctests.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_of_the_api_is_valid() {
    run("described.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_package_waits_for_a_server_that_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    let address = first.address.clone();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/retried.py");
    let mut command = Command::new("python3");
    command.arg(script).arg(&address).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut script) = command.stderr(Stdio::piped()).spawn() else {
        eprintln!("skipped: there is no python3 here");
        return;
    };

    let mut said = BufReader::new(script.stdout.take().unwrap()).lines();
    if said.next().is_none() {
        let ended = script.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(MISSING), "{error}");
        eprintln!("skipped: {error}");
        return;
    }

    first.kill();
    writeln!(script.stdin.take().unwrap(), "away").unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "calling");
    std::thread::sleep(Duration::from_millis(500));
    let second = Process::start_at(&address, folder.path(), |_| {});
    let last = said.next().map(Result::unwrap);
    let ended = script.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(last.unwrap().starts_with("answered after"));

    // Three events, each once: the one of the client that does not retry was never taken.
    let mut events = EventServiceClient::new(second.channel().await);
    let event = pb::Event {
        kind: pb::EventKind::View.into(),
        user_id: "u".into(),
        item_id: "d".into(),
        ..Default::default()
    };
    let known = events.write_events(pb::WriteEventsRequest { events: vec![event] });
    assert_eq!(known.await.unwrap().into_inner().offset, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_package_by_tls_with_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let root = tls::root();
    let options = tls::options(folder.path(), &tls::issued(&root, |_| {}));
    let options = ServeOptions { tls: options, ..ServeOptions::default() };
    let server = Guarded::start(&folder.path().join("data"), support::quiet(), options).await;
    server.served.host.create("eu", Default::default()).unwrap();
    let key = server.key("ops", &[Scope::Admin], None);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, root.pem()).unwrap();

    let address = server.address.replace("127.0.0.1", "localhost");
    let arguments = vec![address, ca.display().to_string(), key, "eu".to_owned()];
    python("secured.py", arguments).await;
    server.stop().await;
}
