//! What training jobs elsewhere start from: written beside the server that has the store
//! open, without who was erased or objects, and read back.

use std::path::Path;

use qianmian::domain::User;
use qianmian::engine::{Engine, STORE};

use crate::support::{self, Server, purchases, run, trained};

fn verb(arguments: &[&str], path: &Path, data: &str) -> String {
    let path = path.to_str().unwrap();
    let (ok, out, error) = run(&[&["export"], arguments, &[path, "--data", data]].concat());
    assert!(ok, "{error}");
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, support::quiet()).await;
    let rows: Vec<(String, String, i64)> = (0..30)
        .flat_map(|u| (0..3).map(move |n| (format!("u{u}"), format!("i{}", (u + n) % 12), n)))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i, d)| (u.as_str(), i.as_str(), *d)).collect();
    server.engine.record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    let objects = User { consent: false, ..User::default() };
    server.engine.upsert_users(vec![("u1".into(), objects)]).await.unwrap();
    server.engine.erase_user("u2").await.unwrap();

    let text = data.to_str().unwrap().to_owned();
    let (log, matrix) = (folder.path().join("log.parquet"), folder.path().join("matrix.parquet"));
    let model = folder.path().join("model.safetensors");
    // Two of thirty are not there; of the others, two of three days.
    let told = tokio::task::spawn_blocking(move || {
        let held_out = verb(&["log", "--hold-out", "1"], &log, &text);
        assert!(held_out.starts_with("56 rows until 2020-09-14"), "{held_out}");
        let cells = verb(&["matrix"], &matrix, &text);
        assert!(cells.starts_with("84 rows"), "{cells}");
        assert!(verb(&["model"], &model, &text).starts_with("generation 1"));
        verb(&["log"], &log, &text)
    });
    assert!(told.await.unwrap().starts_with("84 rows"));

    // Its own model, pushed back, is one that the gate lets in.
    let address = server.address.clone();
    let path = folder.path().join("model.safetensors").to_str().unwrap().to_owned();
    let pushed = tokio::task::spawn_blocking(move || {
        run(&["push", &path, "--server", &address, "--role", "staged"])
    });
    let (ok, out, error) = pushed.await.unwrap();
    assert!(ok && out.contains("generation 2 is staged"), "{out}{error}");
    server.stop().await;

    // Another store takes the log for what it is.
    let other = folder.path().join("other");
    let path = folder.path().join("log.parquet");
    let arguments = ["import", path.to_str().unwrap(), "--data", other.to_str().unwrap()];
    let (ok, _, error) = run(&arguments);
    assert!(ok, "{error}");
    assert!(other.join("stores").join(STORE).is_dir());
    let engine = Engine::open(&other, support::quiet()).unwrap();
    assert_eq!(engine.live().events(), 84);
    assert!(engine.live().user("u1").is_none() && engine.live().user("u2").is_none());
    let of = |user: &str| {
        let user = engine.live().user(user).unwrap();
        engine.live().histories.of(user, |history| history.len())
    };
    assert_eq!((of("u0"), of("u29")), (3, 3));
}
