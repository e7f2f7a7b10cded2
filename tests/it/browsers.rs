//! Web pages in headless Chromium: the server's own page, and pages of other origins.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::Arc;

use qianmian::api::{BrowserOptions, ServeOptions};
use qianmian::engine::DEFAULT_STORE;

use crate::guarded::Guarded;
use crate::json::call;
use crate::support::{self, Process, purchases, trained};

/// Names under which Chromium is installed.
const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// The text of a page after its scripts have run; none where there is no Chromium.
fn shown(url: &str) -> Option<String> {
    let profile = tempfile::tempdir().unwrap();
    for program in CHROMIUM {
        let mut command = Command::new(program);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
        command.args(["--disable-component-update", "--virtual-time-budget=10000", "--dump-dom"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        if let Ok(output) = command.stderr(Stdio::null()).output() {
            return Some(String::from_utf8_lossy(&output.stdout).into_owned());
        }
    }
    eprintln!("skipped: there is no Chromium here");
    None
}

/// Serves files of a folder, or one page, on a free port of this machine for as long as the test runs.
fn site(
    pages: impl Fn(&str) -> Option<(&'static str, Vec<u8>)> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pages = Arc::new(pages);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let pages = pages.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut head = [0; 4_096];
                let length = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let path = head.split_whitespace().nth(1).unwrap_or("/");
                let path = path.split('?').next().unwrap_or("/");
                let (code, kind, body) = match pages(path) {
                    Some((kind, body)) => (200, kind, body),
                    None => (404, "text/plain", b"nothing".to_vec()),
                };
                let head = format!(
                    "HTTP/1.1 {code} X\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n",
                    body.len()
                );
                // The browser may have left.
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            });
        }
    });
    address
}

/// A page that calls the server and shows what came of it.
fn caller(server: &str) -> Vec<u8> {
    let page = r#"<!doctype html><meta charset="utf-8"><p id="json">…</p><p id="plain">…</p><script>
        const show = (id, text) => { document.getElementById(id).textContent = id + ": " + text; };
        const body = JSON.stringify({events: [{kind: "EVENT_KIND_VIEW", userId: "page", itemId: "a"}]});
        const url = "http://SERVER/v1/EventService/WriteEvents";
        fetch(url, {method: "POST", headers: {"content-type": "application/json"}, body})
          .then(async (answer) => show("json", answer.status + " recorded " + (await answer.json()).recorded))
          .catch((error) => show("json", "failed " + error.message));
        fetch(url, {method: "POST", mode: "no-cors", body})
          .then((answer) => show("plain", answer.type))
          .catch((error) => show("plain", "failed " + error.message));
        </script>"#;
    page.replace("SERVER", server).into_bytes()
}

/// The number of events that a server has.
fn events(server: &Process) -> String {
    let (_, answer) = call(&server.address, "StoreService/ListStores", "{}");
    answer["stores"][0]["events"].as_str().unwrap().to_owned()
}

#[test]
fn a_page_of_another_origin_is_refused_unless_it_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let closed = Process::start(&folder.path().join("closed"));
    let target = closed.address.clone();
    let shop = site(move |_| Some(("text/html", caller(&target))));
    let Some(page) = shown(&format!("http://{shop}/")) else { return };
    assert!(page.contains("json: failed"), "{page}");
    // What a browser sends unasked does nothing.
    assert!(page.contains("plain: opaque") || page.contains("plain: failed"), "{page}");
    assert_eq!(events(&closed), "0");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let target = address.clone();
    let shop = site(move |_| Some(("text/html", caller(&target))));
    let file = folder.path().join("open.toml");
    let allowed = format!("[serve.browsers]\nallowed_origins = [\"http://{shop}\"]\n");
    std::fs::write(&file, allowed).unwrap();
    let open = Process::start_at(&address, &folder.path().join("open"), |command| {
        command.arg("--config").arg(&file);
    });
    let page = shown(&format!("http://{shop}/")).unwrap();
    assert!(page.contains("json: 200 recorded 1"), "{page}");
    assert_eq!(events(&open), "1");

    // The same page under another name of this machine is another origin.
    let page = shown(&format!("http://localhost:{}/", shop.port())).unwrap();
    assert!(page.contains("json: failed"), "{page}");
    assert_eq!(events(&open), "1");
}

#[test]
fn the_page_of_the_server_shows_every_method() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let Some(page) = shown(&format!("http://{}/", server.address)) else { return };
    for method in ["Recommend", "WriteEvents", "UpsertItems", "RollbackModel", "DeleteStore"] {
        assert!(page.contains(&format!(">{method}</button>")), "{method}: {page}");
    }
    assert!(!page.contains(">StreamEvents</button>"), "{page}");
    assert!(page.contains(&format!("curl http://{}/v1/", server.address)), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_of_the_typescript_package_shows_a_list() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/typescript/example");
    let read = move |path: &str| std::fs::read(format!("{example}{path}")).ok();
    if read("/dist/shop.js").is_none() {
        eprintln!(
            "skipped: the example of clients/typescript is not built (npm run example:build)"
        );
        return;
    }

    let shop = site(move |path| match path {
        "/" => Some(("text/html", read("/index.html")?)),
        "/dist/shop.js" => Some(("text/javascript", read(path)?)),
        _ => None,
    });
    let folder = tempfile::tempdir().unwrap();
    let allowed_origins = vec![format!("http://{shop}")];
    let browsers = BrowserOptions { allowed_origins, ..BrowserOptions::default() };
    let options = ServeOptions { browsers, ..ServeOptions::default() };
    let server = Guarded::start(folder.path(), support::quiet(), options).await;
    let engine = server.served.host.store(DEFAULT_STORE).unwrap().engine.clone();
    let rows = [("12583", "lamp", 1), ("12583", "mug", 1), ("v", "lamp", 1), ("v", "茶", 1)];
    engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&engine).await;
    drop(engine);

    let url = format!("http://{shop}/?server=http://{}", server.address);
    let page = tokio::task::spawn_blocking(move || shown(&url)).await.unwrap();
    if let Some(page) = page {
        assert!(page.contains("items for 12583, model 1") && page.contains("<b>茶</b>"), "{page}");
    }
    server.stop().await;
}
