//! Models that were trained elsewhere: pushed whole and in part, refused, carried on, erased.

use std::collections::HashMap;
use std::path::Path;

use qianmian::api::pb;
use qianmian::api::pb::push_model_request::Part;
use qianmian::engine::RecommendRequest;
use qianmian::engine::options::EngineOptions;
use qianmian::model::Source;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sha2::{Digest, Sha256};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{self, Server, purchases, trained};

const ITEMS: usize = 12;

/// Twelve items of two tastes, each shopper with three items of theirs: too little to hold
/// anything out.
async fn store(folder: &Path, options: EngineOptions) -> Server {
    let server = Server::start(folder, options).await;
    let rows: Vec<(String, String)> = (0..16)
        .flat_map(|u| (0..3).map(move |n| (format!("u{u}"), item(u % 2 + 2 * ((u / 2 + n) % 6)))))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    server.engine.record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    server
}

fn item(number: usize) -> String {
    format!("i{number}")
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A file in the making.
#[derive(Clone, Default)]
pub struct Parcel {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl Parcel {
    /// Vectors that say: items of the same third are alike.
    fn embeddings() -> Self {
        let rows = (0..ITEMS).map(|i| [1.0, f32::from(i % 3 == 1), f32::from(i % 3 == 2) * 2.0]);
        let values: Vec<f32> = rows.flatten().collect();
        Self::default().ids("item", ITEMS, item).with(
            "item_embeddings",
            Dtype::F32,
            &[ITEMS, 3],
            floats(&values),
        )
    }

    /// What was bought with i4 is i7; of five users, each is like u1 and nobody else.
    pub fn of_every_kind() -> Self {
        let rows = |rows: &[[i32; 2]]| -> Vec<u8> {
            rows.iter().flatten().flat_map(|v| v.to_le_bytes()).collect()
        };
        let mut items = [[-1, -1]; ITEMS];
        items[4] = [7, -1];
        let mut scores = [[0.0f32, 0.0]; ITEMS];
        scores[4] = [0.5, 0.0];
        let halves: Vec<u8> = (0..ITEMS)
            .flat_map(|i| half::f16::from_f32(if i == 11 { 3.0 } else { 0.25 }).to_le_bytes())
            .collect();
        Parcel::embeddings()
            .ids("user", 5, |u| format!("u{u}"))
            .with("user_embeddings", Dtype::F32, &[5, 3], floats(&[0.0, 1.0, 0.0].repeat(5)))
            .with("item_neighbours", Dtype::I32, &[ITEMS, 2], rows(&items))
            .with("item_neighbours.scores", Dtype::F32, &[ITEMS, 2], floats(scores.as_flattened()))
            .with("user_neighbours", Dtype::I32, &[5, 2], rows(&[[1, -1]; 5]))
            .with("user_neighbours.scores", Dtype::F32, &[5, 2], floats(&[0.5; 10]))
            .with("item_priors", Dtype::F16, &[ITEMS], halves)
    }

    fn ids(mut self, kind: &str, count: usize, id: impl Fn(usize) -> String) -> Self {
        let ids: Vec<String> = (0..count).map(id).collect();
        self.metadata.insert(format!("{kind}_ids"), serde_json::to_string(&ids).unwrap());
        self
    }

    fn with(mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Self {
        self.tensors.retain(|(other, ..)| other != name);
        self.tensors.push((name.to_owned(), dtype, shape.to_vec(), bytes));
        self
    }

    fn says(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, Some(self.metadata.clone())).unwrap()
    }
}

fn header(bytes: &[u8]) -> pb::PushHeader {
    pb::PushHeader {
        push_id: format!("push {}", hex(bytes)),
        size_bytes: bytes.len() as u64,
        pushed_by: "the test".into(),
        ..Default::default()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn chunk(offset: usize, data: &[u8]) -> Part {
    Part::Chunk(pb::PushChunk { offset: offset as u64, data: data.to_vec() })
}

fn commit(bytes: &[u8]) -> Part {
    Part::Commit(pb::PushCommit { size_bytes: bytes.len() as u64, sha256: hex(bytes) })
}

async fn stream(server: &Server, parts: Vec<Part>) -> Result<pb::Model, Status> {
    let messages = parts.into_iter().map(|part| pb::PushModelRequest { part: Some(part) });
    let response = server.models().push_model(tokio_stream::iter(messages)).await;
    response.map(|response| response.into_inner().model.unwrap())
}

async fn push_as(
    server: &Server,
    bytes: &[u8],
    header: pb::PushHeader,
) -> Result<pb::Model, Status> {
    let middle = bytes.len() / 2;
    let parts = vec![
        Part::Header(header),
        chunk(0, &bytes[..middle]),
        chunk(middle, &bytes[middle..]),
        commit(bytes),
    ];
    stream(server, parts).await
}

async fn push(server: &Server, parcel: &Parcel) -> Result<pb::Model, Status> {
    let bytes = parcel.bytes();
    push_as(server, &bytes, header(&bytes)).await
}

fn list(server: &Server, user: &str, source: Option<Source>) -> Vec<(String, Source)> {
    let request = RecommendRequest {
        user_id: user.into(),
        limit: 4,
        strategy: source,
        ..RecommendRequest::default()
    };
    let entries = server.engine.recommend(&request).unwrap().entries;
    entries.into_iter().map(|(id, _, source)| (id, source)).collect()
}

fn verdicts(model: &pb::Model) -> HashMap<String, pb::Verdict> {
    let checks = &model.lineage.as_ref().unwrap().checks;
    checks.iter().map(|check| (check.name.clone(), check.verdict())).collect()
}

/// Files below the store's folder, for what must not be left behind.
fn files(folder: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(folder.join("stores/default/snapshots")).unwrap();
    let mut names: Vec<String> =
        listed.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_embedding_takes_part_until_it_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let model = push(&server, &Parcel::embeddings()).await.unwrap();
    assert_eq!((model.generation, model.role()), (2, pb::ModelRole::Active));
    let lineage = model.lineage.clone().unwrap();
    assert_eq!((lineage.generation, lineage.base_generation), (2, 1));
    assert_eq!(lineage.pushed_by, "the test");
    assert_eq!(lineage.contents, ["item_embeddings 12 x 3 F32"]);
    let verdicts = verdicts(&model);
    assert_eq!(verdicts["quality"], pb::Verdict::NotJudged);
    assert!(verdicts.values().filter(|v| **v == pb::Verdict::Passed).count() >= 8);
    // The longest vector is of items 2, 5, 8 and 11; u4 has i4, i6 and i8.
    let nearest = list(&server, "u4", Some(Source::PushedEmbedding));
    assert_eq!(nearest[0], ("i2".to_owned(), Source::PushedEmbedding));
    assert!(serde_json::from_str::<serde_json::Value>(&model.settings_json).unwrap()["blend"]
        ["pushed_embedding"]
        .as_f64()
        .is_some_and(|weight| weight == 0.25));
    let blended = list(&server, "u4", None);

    // It outlives a restart and the server's own trainings.
    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(list(&server, "u4", None), blended);
    assert_eq!(list(&server, "u4", Some(Source::PushedEmbedding)), nearest);
    assert_eq!(trained(&server.engine).await, 3);
    assert_eq!(list(&server, "u4", Some(Source::PushedEmbedding)), nearest);
    let carried = server.models().get_model(pb::GetModelRequest { generation: 3 }).await.unwrap();
    assert_eq!(carried.into_inner().model.unwrap().lineage.unwrap(), lineage);
    server.stop().await;

    let mut options = support::quiet();
    options.push.keep_days = 0;
    let server = Server::start(folder.path(), options).await;
    trained(&server.engine).await;
    let without = list(&server, "u4", Some(Source::PushedEmbedding));
    assert!(without.iter().all(|(_, source)| *source != Source::PushedEmbedding), "{without:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_part_is_asked_as_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let parcel = Parcel::of_every_kind();
    push(&server, &parcel).await.unwrap();
    // The user's own vector points at items 1, 4, 7 and 10, of which u4 has i4.
    let own = list(&server, "u4", Some(Source::PushedEmbedding));
    assert_eq!(own[0].0, "i1");
    assert_eq!(
        list(&server, "u4", Some(Source::PushedItems))[0],
        ("i7".into(), Source::PushedItems)
    );
    let theirs = list(&server, "u4", Some(Source::PushedUsers));
    let of_u1 = ["i1", "i3", "i5"];
    assert!(
        theirs[..3]
            .iter()
            .all(|(id, source)| of_u1.contains(&id.as_str()) && *source == Source::PushedUsers)
    );
    assert_eq!(list(&server, "u4", Some(Source::PushedPrior))[0].0, "i11");

    // What the shopper does now counts more than the vector that they came with.
    let mut now = purchases(&[("u4", "i11", 1)]);
    now[0].time_ms = qianmian::domain::now_ms() + 1_000;
    server.engine.record(now).await.unwrap();
    assert_ne!(list(&server, "u4", Some(Source::PushedEmbedding)), own);

    // Who is erased leaves with their vector.
    server.engine.erase_user("u3").await.unwrap();
    trained(&server.engine).await;
    let snapshot = server.engine.models().active().unwrap();
    let pushed = &snapshot.parts.pushed;
    assert_eq!(pushed.user_vectors.users, [0, 1, 2, 4]);
    assert!(pushed.users.row(3).0.is_empty() && pushed.users.row(4).0 == [1]);
    drop(snapshot);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_laid_out_wrong_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let good = Parcel::embeddings();
    let vectors = |shape: &[usize], bytes: usize| {
        good.clone().with("item_embeddings", Dtype::F32, shape, vec![0; bytes])
    };
    let offsets: Vec<u8> = [0u32, 2, 99].iter().flat_map(|v| v.to_le_bytes()).collect();
    let listed = Parcel::default()
        .with("item_ids.utf8", Dtype::U8, &[4], b"i0i1".to_vec())
        .with("item_ids.offsets", Dtype::U32, &[3], offsets)
        .with("item_priors", Dtype::F32, &[2], floats(&[1.0, 2.0]));
    let cases: Vec<(Parcel, &str, &str)> = vec![
        (Parcel::default().says("metric", "cosine"), "file", "holds no tensor"),
        (good.clone().with("weights", Dtype::F32, &[1], vec![0; 4]), "weights", "not a tensor of"),
        (
            good.clone().with("item_embeddings", Dtype::F64, &[ITEMS, 1], vec![0; 96]),
            "item_embeddings",
            "must be one of [F32, F16], is F64",
        ),
        (vectors(&[ITEMS * 3], 144), "item_embeddings", "must have 2 dimensions"),
        (vectors(&[ITEMS - 1, 3], 132), "item_embeddings", "a row for each of 12 ids, has 11"),
        (vectors(&[ITEMS, 0], 0), "item_embeddings", "1 to 1024 columns, has 0"),
        (vectors(&[ITEMS, 1_025], ITEMS * 4_100), "item_embeddings", "1 to 1024 columns, has 1025"),
        (
            good.clone().with("item_neighbours", Dtype::I32, &[ITEMS, 2], vec![0; 96]),
            "item_neighbours",
            "the shape of item_neighbours.scores",
        ),
        (
            good.clone().with("item_priors", Dtype::F32, &[3], vec![0; 12]),
            "item_priors",
            "a score for each of 12 items, has 3",
        ),
        (
            good.clone().ids("user", 2, item).with(
                "user_embeddings",
                Dtype::F32,
                &[2, 2],
                vec![0; 16],
            ),
            "user_embeddings",
            "the dimensions of item_embeddings",
        ),
        (good.clone().says("item_ids", "[1, 2]"), "item_ids", "a JSON list of strings"),
        (good.clone().ids("item", ITEMS, |i| "x".repeat(i)), "item_ids[0]", "1 to 256 bytes"),
        (listed, "item_ids.offsets[1]", "UTF-8 within item_ids.utf8, is 2..99"),
        (good.clone().says("metric", "euclidean"), "metric", "inner_product or cosine"),
        (good.clone().says("fold_in", "mean"), "fold_in", "sum or least_squares"),
        (good.clone().says("regularisation", "NaN"), "regularisation", "a number from"),
        (good.clone().says("trained_until", "yesterday"), "trained_until", "RFC 3339"),
        (
            good.clone().says("trained_until", "1900000000000000"),
            "trained_until",
            "at most one day ahead",
        ),
        (good.clone().says("log_offset", "-1"), "log_offset", "a whole number"),
        (good.clone().says("log_offset", "1000000"), "log_offset", "must be at most 48"),
    ];
    for (parcel, field, says) in cases {
        let refused = push(&server, &parcel).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let details = refused.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, field, "{violation:?}");
        assert!(violation.description.contains(says), "{violation:?}");
    }
    // No safetensors at all, cut short, a header beyond the file, one that would fill memory.
    let whole = good.bytes();
    let huge = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    let texts = [
        b"hello".to_vec(),
        whole[..whole.len() - 5].to_vec(),
        huge(1 << 40),
        huge(100),
        b"\x02\0\0\0\0\0\0\0[]".to_vec(),
    ];
    for bytes in texts {
        let refused = push_as(&server, &bytes, header(&bytes)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().starts_with("file: "), "{refused:?}");
    }
    assert_eq!(server.engine.generation(), 1);
    assert_eq!(files(folder.path()), ["0000000001", "HIGHEST", "ROLES"]);
    assert_eq!(push(&server, &good).await.unwrap().generation, 2, "the next push works");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_a_check_is_refused_with_all_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.push.memory_mib = 1;
    let server = store(folder.path(), options).await;
    let good = Parcel::embeddings();
    let changed = |at: usize, value: f32| {
        let mut parcel = good.clone();
        parcel.tensors[0].3[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
        parcel
    };
    let neighbours = |target: i32, score: f32| {
        let targets = [target; ITEMS].iter().flat_map(|v| v.to_le_bytes()).collect();
        good.clone().with("item_neighbours", Dtype::I32, &[ITEMS, 1], targets).with(
            "item_neighbours.scores",
            Dtype::F32,
            &[ITEMS, 1],
            floats(&[score; ITEMS]),
        )
    };
    let many = 12_000;
    let cases: Vec<(Parcel, &str)> = vec![
        (changed(4, f32::NAN), "not_finite"),
        (changed(4, f32::INFINITY), "not_finite"),
        (changed(4, f32::MAX), "out_of_scale"),
        (changed(3, 1e5), "norms"),
        (
            good.clone().with("item_embeddings", Dtype::F32, &[ITEMS, 3], vec![0; 144]),
            "zero_vectors",
        ),
        (good.clone().ids("item", ITEMS, |i| item(i / 2)), "duplicate_ids"),
        (good.clone().ids("item", ITEMS, |i| format!("x{i}")), "unknown_items"),
        (
            Parcel::default().ids("item", ITEMS, item).with(
                "item_priors",
                Dtype::F32,
                &[ITEMS],
                vec![0; 4 * ITEMS],
            ),
            "catalogue_coverage",
        ),
        (neighbours(1, 1e7), "out_of_scale"),
        (
            good.clone().with(
                "item_embeddings",
                Dtype::F32,
                &[ITEMS, 3],
                floats(&[1e-9; 3 * ITEMS]),
            ),
            "out_of_scale",
        ),
        (neighbours(12, 1.0), "places_out_of_range"),
        (neighbours(1, -1.0), "negative_scores"),
        (neighbours(1, f32::NAN), "not_finite"),
        (
            Parcel::default().ids("item", many, item).with(
                "item_priors",
                Dtype::F32,
                &[many],
                vec![0; 4 * many],
            ),
            "memory",
        ),
    ];
    for (parcel, failing) in cases {
        let refused = push(&server, &parcel).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{failing}: {refused:?}");
        let details = refused.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.reason, "MODEL_REFUSED");
        assert!(info.metadata[failing].ends_with(": failed"), "{failing}: {:?}", info.metadata);
        assert!(refused.message().contains(failing), "{refused:?}");
        let failures = &details.precondition_failure().unwrap().violations;
        assert!(failures.iter().any(|v| v.subject == failing), "{failures:?}");
    }
    assert_eq!(server.engine.generation(), 1);
    assert_eq!(push(&server, &good).await.unwrap().generation, 2, "the next push works");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_taken_up_again_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.push.max_mib = 1;
    let server = store(folder.path(), options).await;
    let bytes = Parcel::embeddings().bytes();
    let header = header(&bytes);
    let begin = || Part::Header(header.clone());
    let refused = |parts: Vec<Part>, field: &'static str, says: &'static str| {
        let server = &server;
        async move {
            let refused = stream(server, parts).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
            let details = refused.get_error_details();
            let violation = &details.bad_request().unwrap().field_violations[0];
            assert_eq!(violation.field, field);
            assert!(violation.description.contains(says), "{violation:?}");
        }
    };
    let sized = |size_bytes| Part::Header(pb::PushHeader { size_bytes, ..header.clone() });
    refused(vec![], "header", "the first message").await;
    refused(vec![commit(&bytes)], "header", "the first message").await;
    refused(
        vec![sized(10 << 30)],
        "header.size_bytes",
        "1 to 1048576 (push.max_mib), was 10737418240",
    )
    .await;
    refused(vec![sized(0)], "header.size_bytes", "was 0").await;
    let nameless = pb::PushHeader { push_id: String::new(), ..header.clone() };
    refused(vec![Part::Header(nameless)], "header.push_id", "1 to 256 bytes").await;
    let role = pb::PushHeader { role: pb::ModelRole::Canary.into(), ..header.clone() };
    refused(vec![Part::Header(role)], "header.share", "above 0 and up to 1").await;
    refused(vec![begin(), begin()], "part", "a chunk or the commit").await;
    refused(vec![begin(), chunk(7, &bytes)], "chunk.offset", "must be at most 0").await;
    refused(
        vec![begin(), chunk(0, &[&bytes[..], b"x"].concat())],
        "chunk.data",
        "header.size_bytes",
    )
    .await;
    refused(vec![begin(), commit(&bytes)], "commit.size_bytes", "what came, 0").await;
    let other = Part::Commit(pb::PushCommit { size_bytes: bytes.len() as u64, sha256: hex(b"x") });
    refused(vec![begin(), chunk(0, &bytes), other], "commit.sha256", "that of what came").await;

    let came = pb::GetPushRequest { push_id: header.push_id.clone() };
    let nothing = server.models().get_push(came.clone()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::NotFound, "other bytes than those committed are gone");
    refused(vec![begin(), chunk(0, &bytes[..100])], "commit", "the last message").await;
    let waits = server.models().get_push(came.clone()).await.unwrap().into_inner();
    assert_eq!(waits.received_bytes, 100);
    assert_eq!(files(folder.path()), ["0000000001", "HIGHEST", "ROLES"], "nothing has a name");
    let rest = vec![begin(), chunk(100, &bytes[100..]), commit(&bytes)];
    assert_eq!(stream(&server, rest).await.unwrap().generation, 2);
    assert_eq!(server.models().get_push(came).await.unwrap_err().code(), Code::NotFound);

    // The answer was lost: the client comes again, and nothing is published twice.
    let again = vec![begin(), commit(&bytes)];
    assert_eq!(stream(&server, again).await.unwrap().generation, 2);
    assert_eq!(server.engine.models().list().len(), 2);

    // No more than four wait: the one that waited longest makes room.
    for n in 0..5 {
        let header = pb::PushHeader { push_id: format!("p{n}"), ..header.clone() };
        let parts = vec![Part::Header(header), chunk(0, &bytes[..9])];
        let status = stream(&server, parts).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let came = async |n: usize| {
        let came = pb::GetPushRequest { push_id: format!("p{n}") };
        server.models().get_push(came).await.map(|came| came.into_inner().received_bytes)
    };
    assert_eq!(came(0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!((came(1).await.unwrap(), came(4).await.unwrap()), (9, 9));

    // A stream takes over from one that the server still believes in; bytes may come twice.
    let (slow, messages) = tokio::sync::mpsc::channel(4);
    let mut models = server.models();
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let pushing = tokio::spawn(async move { models.push_model(messages).await });
    let header = pb::PushHeader { push_id: "slow".into(), ..header.clone() };
    let part = |part| pb::PushModelRequest { part: Some(part) };
    slow.send(part(Part::Header(header.clone()))).await.unwrap();
    slow.send(part(chunk(0, &bytes[..64]))).await.unwrap();
    let slow_came = async || {
        let came = pb::GetPushRequest { push_id: "slow".into() };
        server.models().get_push(came).await.map_or(0, |came| came.into_inner().received_bytes)
    };
    for _ in 0..400 {
        if slow_came().await == 64 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let parts = vec![Part::Header(header), chunk(32, &bytes[32..]), commit(&bytes)];
    assert_eq!(stream(&server, parts).await.unwrap().generation, 3);
    slow.send(part(chunk(64, &bytes[64..]))).await.unwrap();
    let late = pushing.await.unwrap().unwrap_err();
    assert_eq!(late.code(), Code::ResourceExhausted, "{late:?}");
    server.stop().await;
}

/// Sixty shoppers of twenty tastes, whose next basket is always 40 items further on; a few
/// are a basket ahead of the others, by which those lists know what comes.
async fn habitual(folder: &Path) -> Server {
    let mut options = support::quiet();
    options.push.least_quality = 2.0;
    let server = Server::start(folder, options).await;
    let baskets = |u: usize| if u < 5 { 6 } else { 5 };
    let rows: Vec<(String, String, i64)> = (0..60)
        .flat_map(|u| (0..baskets(u)).map(move |basket| (u, basket)))
        .flat_map(|(u, basket)| {
            let number = |n| (u % 20 * 2 + n + 40 * basket) % 200;
            [0, 1].map(|n| (format!("u{u}"), item(number(n)), basket as i64 * 10))
        })
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i, d)| (u.as_str(), i.as_str(), *d)).collect();
    server.engine.record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn worse_lists_are_refused_unless_forced_and_better_ones_weigh_more() {
    let folder = tempfile::tempdir().unwrap();
    let server = habitual(folder.path()).await;
    // What comes next is 40 further on: one job knows, another says the contrary.
    let neighbours = |step: i64| {
        let targets = (0..200i64).map(|i| (i + step).rem_euclid(200));
        Parcel::default()
            .ids("item", 200, item)
            .with(
                "item_neighbours",
                Dtype::I64,
                &[200, 1],
                targets.flat_map(i64::to_le_bytes).collect(),
            )
            .with("item_neighbours.scores", Dtype::F32, &[200, 1], floats(&[1.0; 200]))
            // The fifth baskets came on day 40.
            .says("trained_until", &(1_600_000_000_000i64 + 35 * 86_400_000).to_string())
    };
    let bad = neighbours(7).bytes();
    let mut forced = header(&bad);
    let refused = push_as(&server, &bad, forced.clone()).await.unwrap_err();
    let info = refused.get_error_details().error_info().unwrap().clone();
    assert!(
        info.metadata["quality"].ends_with("held-out baskets, at least 2): failed"),
        "{info:?}"
    );
    forced.force = true;
    let model = push_as(&server, &bad, forced).await.unwrap();
    assert_eq!(verdicts(&model)["quality"], pb::Verdict::Overridden);
    assert!(model.lineage.unwrap().forced);
    server.models().rollback_model(pb::RollbackModelRequest {}).await.unwrap();

    let model = push(&server, &neighbours(40)).await.unwrap();
    assert_eq!(verdicts(&model)["quality"], pb::Verdict::Passed);
    assert!(model.quality["pushed_ndcg@10"] > model.quality["pushed_ndcg@10_before"]);
    let settings: serde_json::Value = serde_json::from_str(&model.settings_json).unwrap();
    assert!(settings["blend"]["pushed_items"].as_f64().unwrap() >= 0.5, "{settings}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_renewed_beside_what_the_server_trains() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let users = Parcel::embeddings().ids("user", 5, |u| format!("u{u}")).with(
        "user_embeddings",
        Dtype::F32,
        &[5, 3],
        floats(&[0.0, 1.0, 0.0].repeat(5)),
    );
    let bytes = users.bytes();
    let staged = pb::PushHeader { role: pb::ModelRole::Staged.into(), ..header(&bytes) };
    let staged = push_as(&server, &bytes, staged).await.unwrap();
    assert_eq!((staged.generation, staged.role()), (2, pb::ModelRole::Staged));
    assert_eq!(server.engine.generation(), 1);
    server.engine.record(purchases(&[("u1", "i11", 2)])).await.unwrap();
    trained(&server.engine).await;
    let request =
        pb::AssignModelRequest { generation: 2, role: pb::ModelRole::Canary.into(), share: 1.0 };
    let canary = server.models().assign_model(request).await.unwrap().into_inner().model.unwrap();
    assert_eq!((canary.generation, canary.role()), (4, pb::ModelRole::Canary));
    assert_eq!(canary.offset, 49, "beside what the third knows");
    assert_eq!(canary.lineage.unwrap().pushed_by, "the test");

    // Whoever is erased leaves the canary, which goes on under another number.
    server.engine.erase_user("u3").await.unwrap();
    trained(&server.engine).await;
    let answer = server.engine.recommend(&RecommendRequest {
        user_id: "u4".into(),
        limit: 4,
        ..RecommendRequest::default()
    });
    let generation = answer.unwrap().generation;
    assert!(generation > 5, "{generation}");
    let canary = server.engine.models().load(generation).unwrap();
    assert_eq!(canary.parts.pushed.user_vectors.users, [0, 1, 2, 4]);
    let kept: Vec<u64> = server.engine.models().list().iter().map(|m| m.generation).collect();
    assert_eq!(kept, [generation, 5]);
    server.stop().await;
}
