//! The job in clients/spark: trains on an export by day, and pushes.

use std::process::Command;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;

use crate::support::{Process, online_retail, run};

/// An item whose vector is all but zero is left out, and the others have new numbers, as neighbours too.
const KNOWN: &str = "
import numpy as np, train
vectors = np.array([[1, 0], [0, 1e-7], [0, 2]], dtype=np.float32)
places = np.array([[1, 2], [0, -1], [1, 0]], dtype=np.int32)
scores = np.array([[.9, .8], [.9, 0], [.7, .6]], dtype=np.float32)
kept, places, scores = train.known(vectors, places, scores)
assert kept.tolist() == [True, False, True]
assert places.tolist() == [[-1, 1], [-1, 0]], places
assert np.allclose(scores, [[0, .8], [0, .6]]), scores
";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_spark_trained_joins_the_lists() {
    let has = |program: &str, arguments: &[&str]| {
        let found = Command::new(program).args(arguments).output();
        found.is_ok_and(|found| found.status.success())
    };
    if !has("java", &["-version"]) || !has("python3", &["-c", "import pyspark, qianmian"]) {
        eprintln!("skipped: no Java, or Python has no pyspark and qianmian");
        return;
    }
    let job = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/spark");
    let known =
        Command::new("python3").args(["-c", KNOWN]).env("PYTHONPATH", job).output().unwrap();
    assert!(known.status.success(), "{}", String::from_utf8_lossy(&known.stderr));

    let folder = tempfile::tempdir().unwrap();
    let (data, days) = (folder.path().join("data"), folder.path().join("days"));
    let log = online_retail(&folder, 60_000);
    let (data, days) = (data.to_str().unwrap().to_owned(), days.to_str().unwrap().to_owned());
    let done = tokio::task::spawn_blocking(move || {
        let log = log.to_str().unwrap();
        for arguments in [
            &["import", log, "--preset", "online-retail", "--data", &data][..],
            &["train", "--data", &data],
            &["export", "days", &days, "--data", &data],
        ] {
            let (ok, _, error) = run(arguments);
            assert!(ok, "{error}");
        }
        (data, days)
    });
    let (data, days) = done.await.unwrap();

    let server = Process::start(data.as_ref());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/spark/train.py");
    let mut job = Command::new("python3");
    job.args([script, &days, &server.address, "--hold-out", "7", "--rank", "16", "--blocks", "2"]);
    job.args(["--iterations", "5", "--neighbours", "20"]);
    job.env("SPARK_LOCAL_IP", "127.0.0.1").env(
        "PYSPARK_SUBMIT_ARGS",
        "--master local[2] --driver-memory 1g --conf spark.sql.shuffle.partitions=2 pyspark-shell",
    );
    let trained = tokio::task::spawn_blocking(move || job.output().unwrap()).await.unwrap();
    let out = String::from_utf8_lossy(&trained.stdout);
    let error = String::from_utf8_lossy(&trained.stderr);
    assert!(trained.status.success() && out.contains("is active"), "{out}{error}");

    let mut client = ModelServiceClient::new(server.channel().await);
    let listed = client.list_models(pb::ListModelsRequest::default()).await.unwrap().into_inner();
    let newest = listed.models.iter().max_by_key(|model| model.generation).unwrap();
    let pushed = newest.lineage.as_ref().expect("a pushed part");
    assert_eq!(pushed.pushed_by, "clients/spark/train.py");
    assert!(server.terminate());
}
