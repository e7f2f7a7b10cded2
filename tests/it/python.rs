//! Clients in another language: Python without generated code, by reflection, and the
//! package in clients/python.

use std::process::Command;

use qianmian::access::Scope;
use qianmian::api::ServeOptions;

use crate::guarded::Guarded;
use crate::support::{self, Server, purchases, trained};
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
async fn python(script: &str, arguments: Vec<String>) {
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
