//! Pushes embeddings from Rust to a running server: a safetensors file, made in memory, in one
//! stream of a header, chunks and a commit.
//!
//! `cargo run --release --example push -- ADDRESS ITEM ITEM…`
//!
//! The vectors are random, so the server's gate is right to refuse them; what it checked is
//! printed either way.

use std::collections::HashMap;
use std::error::Error;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;
use qianmian::api::wire::pb::push_model_request::Part;
use qianmian::domain::hex;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sha2::{Digest, Sha256};
use tonic_types::StatusExt;

const DIMENSIONS: usize = 16;
/// Bytes of a chunk; the server takes up to 4 MiB a message.
const CHUNK_BYTES: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, items @ ..] = arguments.as_slice() else {
        return Err("usage: push ADDRESS ITEM ITEM…".into());
    };
    let file = file(items)?;

    let mut client = ModelServiceClient::connect(format!("http://{address}")).await?;
    let answer = client.push_model(tokio_stream::iter(messages(&file))).await;

    match answer {
        Ok(answer) => {
            let model = answer.into_inner().model.ok_or("the server names no model")?;
            println!("generation {}, role {:?}", model.generation, model.role());
        }
        Err(status) => {
            println!("refused: {}", status.message());
            let violations = status.get_details_precondition_failure();
            for violation in violations.into_iter().flat_map(|details| details.violations) {
                println!("  {}: {}", violation.subject, violation.description);
            }
        }
    }
    Ok(())
}

/// A file with a random vector for each item.
fn file(items: &[String]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut random = SmallRng::seed_from_u64(1);
    let values = (0..items.len() * DIMENSIONS).map(|_| random.random_range(-1.0_f32..1.0));
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();

    let shape = vec![items.len(), DIMENSIONS];
    let vectors = TensorView::new(Dtype::F32, shape, &bytes)?;
    let metadata = HashMap::from([("item_ids".to_owned(), serde_json::to_string(items)?)]);
    Ok(safetensors::serialize([("item_embeddings", vectors)], Some(metadata))?)
}

/// The messages of a push. The same `push_id` resumes a push that broke off.
fn messages(file: &[u8]) -> Vec<pb::PushModelRequest> {
    let sha256 = hex(&Sha256::digest(file));
    let size_bytes = file.len() as u64;

    let header = Part::Header(pb::PushHeader {
        push_id: sha256.clone(),
        size_bytes,
        pushed_by: "examples/push.rs".to_owned(),
        ..pb::PushHeader::default()
    });
    let chunks = file.chunks(CHUNK_BYTES).enumerate().map(|(number, data)| {
        let offset = (number * CHUNK_BYTES) as u64;
        Part::Chunk(pb::PushChunk { offset, data: data.to_vec() })
    });
    let commit = Part::Commit(pb::PushCommit { size_bytes, sha256 });

    let parts = std::iter::once(header).chain(chunks).chain(std::iter::once(commit));
    parts.map(|part| pb::PushModelRequest { part: Some(part) }).collect()
}
