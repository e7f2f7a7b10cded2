//! A pushed model in the making, and how it is sent.

use std::collections::HashMap;
use std::path::Path;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::push_model_request::Part;
use qianmian::domain::hex;
use qianmian::engine::options::EngineOptions;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sha2::{Digest, Sha256};
use tonic::Status;

use crate::support::{Server, purchases, trained};

pub(crate) const ITEMS: usize = 12;

/// Twelve items of two tastes, each user with three items of theirs: too little to hold anything
/// out.
pub(crate) async fn store(folder: &Path, options: EngineOptions) -> Server {
    let server = Server::start(folder, options).await;
    let rows: Vec<(String, String)> = (0..16)
        .flat_map(|u| (0..3).map(move |n| (format!("u{u}"), item(u % 2 + 2 * ((u / 2 + n) % 6)))))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&server.engine).await;
    server
}

pub(crate) fn item(number: usize) -> String {
    format!("i{number}")
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A file in the making.
#[derive(Clone, Default)]
pub(crate) struct Parcel {
    /// Names, types, shapes and bytes.
    pub tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl Parcel {
    /// Vectors that say: items of the same third are alike.
    pub(crate) fn embeddings() -> Self {
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
    pub(crate) fn of_every_kind() -> Self {
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

    pub(crate) fn ids(mut self, kind: &str, count: usize, id: impl Fn(usize) -> String) -> Self {
        let ids: Vec<String> = (0..count).map(id).collect();
        self.metadata.insert(format!("{kind}_ids"), serde_json::to_string(&ids).unwrap());
        self
    }

    pub(crate) fn with(
        mut self,
        name: &str,
        dtype: Dtype,
        shape: &[usize],
        bytes: Vec<u8>,
    ) -> Self {
        self.tensors.retain(|(other, ..)| other != name);
        self.tensors.push((name.to_owned(), dtype, shape.to_vec(), bytes));
        self
    }

    pub(crate) fn says(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, Some(self.metadata.clone())).unwrap()
    }
}

/// What is said of a file.
pub(crate) fn header(bytes: &[u8]) -> pb::PushHeader {
    pb::PushHeader {
        push_id: format!("push {}", hex(&Sha256::digest(bytes))),
        size_bytes: bytes.len() as u64,
        pushed_by: "the test".into(),
        ..Default::default()
    }
}

pub(crate) fn chunk(offset: usize, data: &[u8]) -> Part {
    Part::Chunk(pb::PushChunk { offset: offset as u64, data: data.to_vec() })
}

pub(crate) fn commit(bytes: &[u8]) -> Part {
    Part::Commit(pb::PushCommit {
        size_bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(bytes)),
    })
}

pub(crate) async fn stream(server: &Server, parts: Vec<Part>) -> Result<pb::Model, Status> {
    let messages = parts.into_iter().map(|part| pb::PushModelRequest { part: Some(part) });
    let response = server.models().push_model(tokio_stream::iter(messages)).await;
    response.map(|response| response.into_inner().model.unwrap())
}

pub(crate) async fn push_as(
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

pub(crate) async fn push(server: &Server, parcel: &Parcel) -> Result<pb::Model, Status> {
    let bytes = parcel.bytes();
    push_as(server, &bytes, header(&bytes)).await
}

pub(crate) fn verdicts(model: &pb::Model) -> HashMap<String, pb::Verdict> {
    let checks = &model.lineage.as_ref().unwrap().checks;
    checks.iter().map(|check| (check.name.clone(), check.verdict())).collect()
}

/// Files below the store's folder, for what must not be left behind.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let listed = std::fs::read_dir(folder.join("stores/default/snapshots")).unwrap();
    let mut names: Vec<String> =
        listed.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
