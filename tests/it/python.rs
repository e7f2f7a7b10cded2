//! Clients in another language: Python without generated code, by reflection, and the
//! package in clients/python.

use std::process::Command;

use crate::support::{self, Server, purchases, trained};

/// How a script says that Python lacks what it needs.
const MISSING: i32 = 77;

/// Runs a script against a server with a little model.
async fn run(script: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let rows = [("u", "a", 1), ("u", "b", 1), ("v", "a", 1), ("v", "茶", 1)];
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    let script = format!("{}/tests/it/{script}", env!("CARGO_MANIFEST_DIR"));
    let address = server.address.clone();
    let output = tokio::task::spawn_blocking(move || {
        Command::new("python3").arg(script).arg(address).output()
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
