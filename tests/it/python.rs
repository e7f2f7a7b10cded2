//! A client in another language, without generated code: Python by reflection.

use std::process::Command;

use crate::support::{self, Server, purchases, trained};

/// How the script says that Python lacks what it needs.
const MISSING: i32 = 77;

#[tokio::test(flavor = "multi_thread")]
async fn python_by_reflection() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let rows = [("u", "a", 1), ("u", "b", 1), ("v", "a", 1), ("v", "茶", 1)];
    server.engine.record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/client.py");
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
