//! Writes a snapshot's parts in the layout of [`crate::model::pushed::reader`], for a job that
//! continues from the server's model, or for another server.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;

use safetensors::tensor::{Dtype, TensorView, serialize};

use super::ExportError;
use crate::live::Vocabulary;
use crate::matrix::Csr;
use crate::model::Snapshot;

/// Neighbours written for each item.
const NEIGHBOURS: usize = 50;

/// A tensor to write.
struct Tensor {
    name: &'static str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn new<T: bytemuck::NoUninit>(
        name: &'static str,
        dtype: Dtype,
        shape: &[usize],
        values: &[T],
    ) -> Self {
        Self { name, dtype, shape: shape.to_vec(), bytes: bytemuck::cast_slice(values).to_vec() }
    }
}

/// Writes the embeddings, item neighbours and popularity of a snapshot, for the items with a vector
/// or, where none has one, for all items with purchases.
pub(super) fn write(
    snapshot: &Snapshot,
    names: &Vocabulary,
    mut file: File,
) -> Result<(), ExportError> {
    let parts = &snapshot.parts;
    let bought = parts.popularity.all_time.items.iter().copied();
    let embedded: Vec<u32> = bought.clone().filter(|&item| parts.embeddings.has(item)).collect();
    let known = if embedded.is_empty() { bought.collect() } else { embedded };
    let ids: Vec<&str> = known.iter().map(|&item| names.id(item)).collect();
    let rows = known.iter().flat_map(|&item| parts.embeddings.vector(item));
    let vectors: Vec<f32> = rows.copied().collect();
    let mut tensors = vectors_of(&ids, parts.embeddings.dimensions, &vectors);
    tensors.extend(neighbours(&known, &parts.item_cf));

    let priors: Vec<f32> =
        known.iter().map(|&item| parts.popularity.all_time.by_item[item as usize]).collect();
    tensors.push(Tensor::new("item_priors", Dtype::F32, &[known.len()], &priors));
    let bytes = encode(&tensors, metadata(snapshot))?;
    file.write_all(&bytes).map_err(|e| ExportError::Write(e.to_string()))
}

/// A file of item embeddings alone, `vectors` row by row.
///
/// # Errors
/// [`ExportError::Write`] where they are not `dimensions` values for each id.
pub fn embeddings(
    ids: &[String],
    dimensions: usize,
    vectors: &[f32],
) -> Result<Vec<u8>, ExportError> {
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    encode(&vectors_of(&ids, dimensions, vectors), HashMap::new())
}

fn encode(tensors: &[Tensor], metadata: HashMap<String, String>) -> Result<Vec<u8>, ExportError> {
    let failed = |e: &dyn std::fmt::Display| ExportError::Write(e.to_string());
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        view.map(|view| (tensor.name, view)).map_err(|e| failed(&e))
    });
    let views: Vec<_> = views.collect::<Result<_, _>>()?;
    serialize(views, Some(metadata)).map_err(|e| failed(&e))
}

fn metadata(snapshot: &Snapshot) -> HashMap<String, String> {
    let manifest = &snapshot.manifest;
    let mut metadata = HashMap::from([
        ("metric".to_owned(), "inner_product".to_owned()),
        ("fold_in".to_owned(), "sum".to_owned()),
        ("trained_until".to_owned(), manifest.newest_ms.to_string()),
        ("log_offset".to_owned(), manifest.offset.to_string()),
        ("generation".to_owned(), manifest.generation.to_string()),
    ]);

    if let Some(ridge) = &snapshot.parts.embeddings.ridge {
        let unobserved = manifest.settings.embedding.unobserved;
        metadata.insert("fold_in".to_owned(), "least_squares".to_owned());
        metadata.insert("unobserved_weight".to_owned(), unobserved.to_string());
        metadata.insert("regularisation".to_owned(), (ridge.each * ridge.all).to_string());
    }
    metadata
}

/// Ids and, if there are any, their vectors.
fn vectors_of(ids: &[&str], dimensions: usize, vectors: &[f32]) -> Vec<Tensor> {
    let mut utf8 = Vec::new();
    let mut offsets = vec![0u32];
    for id in ids {
        utf8.extend_from_slice(id.as_bytes());
        offsets.push(utf8.len() as u32);
    }

    let mut tensors = vec![
        Tensor::new("item_ids.utf8", Dtype::U8, &[utf8.len()], &utf8),
        Tensor::new("item_ids.offsets", Dtype::U32, &[offsets.len()], &offsets),
    ];

    if !vectors.is_empty() {
        let shape = [ids.len(), dimensions];
        tensors.push(Tensor::new("item_embeddings", Dtype::F32, &shape, vectors));
    }
    tensors
}

/// The best neighbours of each item, as indices into `items`.
fn neighbours(items: &[u32], table: &Csr) -> [Tensor; 2] {
    let places: HashMap<u32, i32> = items.iter().copied().zip(0..).collect();
    let mut targets = Vec::new();
    let mut scores = Vec::new();
    for &item in items {
        let mut row: Vec<(u32, f32)> = table.pairs(item as usize).filter(|p| p.1 > 0.0).collect();
        row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        row.truncate(NEIGHBOURS);
        row.resize(NEIGHBOURS, (u32::MAX, 0.0));
        targets.extend(row.iter().map(|(item, _)| places.get(item).copied().unwrap_or(-1)));
        scores.extend(row.iter().map(|(_, score)| *score));
    }

    let shape = [items.len(), NEIGHBOURS];
    [
        Tensor::new("item_neighbours", Dtype::I32, &shape, &targets),
        Tensor::new("item_neighbours.scores", Dtype::F32, &shape, &scores),
    ]
}
