//! Embeddings: score_j = ⟨q, y_j⟩ with q folded in from the user's row.

use std::sync::Arc;

use super::candidate::{CandidateSource, TrainingJob};
use super::memory::{DataSize, MemoryNeed};
use super::nearest::{index, nearest};
use super::query::Query;
use super::scratch::Scratch;
use super::search_space::{COUNTS, HALF_LIVES, Hyperparameter, STEP_FADING, costly, parameter};
use crate::model::settings::EmbeddingTrainer;
use crate::model::vectors::embeddings::SCAN_UP_TO;
use crate::model::{Embeddings, Parts, Settings, Snapshot};
use crate::train::graph::build::checked;
use crate::train::{self, TrainError, placement};

/// Bytes of a dimension of an item: the vector and its quantized copy.
const VECTOR_BYTES: u64 = 5;

/// The name of the graph's recall.
const RECALL: &str = "ann_recall@10";

pub(super) struct Embedding;

impl CandidateSource for Embedding {
    fn train(&self, job: &TrainingJob<'_>, parts: &mut Parts) -> Result<(), TrainError> {
        let settings = &job.settings.embedding;
        let matrix = job.data.matrix(settings.weighting.training());
        let mut trained = train::embeddings(&matrix, settings, job.seed, job.control)?;
        let fields = &job.settings.content.fields;
        placement::place(&mut trained, job.data.corpus(), fields, job.seed, job.control)?;
        trained.encode();
        parts.embeddings = Arc::new(trained);
        Ok(())
    }

    /// The nearest-neighbour graph, where the vectors are too many to be scanned.
    fn index(
        &self,
        job: &TrainingJob<'_>,
        parts: &mut Parts,
    ) -> Result<Option<(String, f64)>, TrainError> {
        let embeddings = Arc::make_mut(&mut parts.embeddings);
        let earlier = job.data.earlier().map(|earlier| &*earlier.parts.embeddings);
        let mut recall = index(embeddings, earlier, users(job, embeddings), job)?;
        if recall.is_none() && embeddings.items() > SCAN_UP_TO && !embeddings.placed.is_empty() {
            // Of many new items that are much alike, links reach too few.
            embeddings.remove_placed();
            recall = index(embeddings, None, users(job, embeddings), job)?;
        }
        Ok(recall.map(|recall| (RECALL.to_owned(), recall)))
    }

    fn memory(&self, size: &DataSize, settings: &Settings) -> MemoryNeed {
        let dimensions = settings.embedding.dimensions as u64;
        let vectors = size.items * dimensions * VECTOR_BYTES;
        let decomposition = size.decomposition(settings.embedding.dimensions);
        MemoryNeed::new(0, decomposition).then(size.graph(vectors))
    }

    fn propose(&self, snapshot: &Snapshot, query: &Query<'_>, k: usize, scratch: &mut Scratch) {
        let settings = query.settings(snapshot);
        query.profile(settings.embedding.weighting.profile(), scratch);
        let model = &snapshot.parts.embeddings;
        let Scratch { profile, mask, candidates, query: vector, search, .. } = scratch;
        model.user_vector(profile, vector);
        *candidates = nearest(model, vector, k, mask, search);
    }

    fn search_space(&self) -> Vec<Hyperparameter> {
        let is_ials = |s: &Settings| s.embedding.trainer == EmbeddingTrainer::Ials;
        let trainer = Hyperparameter {
            name: "embedding.trainer",
            grid: &[0.0, 1.0],
            retrains: true,
            min_gain: 0.0,
            applies: |_| true,
            get: |s| f64::from(u8::from(s.embedding.trainer == EmbeddingTrainer::Ials)),
            set: |s, ials| {
                s.embedding.trainer =
                    if ials == 1.0 { EmbeddingTrainer::Ials } else { EmbeddingTrainer::Svd };
            },
        };

        vec![
            trainer,
            Hyperparameter {
                applies: is_ials,
                ..parameter!(true, embedding.unobserved, f32, [0.01, 0.03, 0.1, 0.3, 1.0])
            },
            Hyperparameter {
                applies: is_ials,
                ..parameter!(
                    true,
                    embedding.regularisation,
                    f32,
                    [0.0003, 0.001, 0.003, 0.01, 0.03]
                )
            },
            parameter!(true, embedding.weighting.half_life_days, f64, HALF_LIVES),
            parameter!(false, embedding.weighting.profile_half_life_days, f64, HALF_LIVES),
            parameter!(false, embedding.weighting.step_fading, f32, STEP_FADING),
            parameter!(true, embedding.weighting.counts, f32, COUNTS),
            costly(parameter!(true, embedding.dimensions, usize, [64.0, 128.0, 256.0])),
        ]
    }

    fn is_always_trained(&self) -> bool {
        true
    }

    fn tuning_order(&self) -> u8 {
        3
    }

    fn copy_weighting(&self) -> Option<fn(&mut Settings)> {
        Some(|settings| settings.embedding.weighting = settings.user_cf.weighting)
    }
}

/// The vectors of users, for whom the graph is searched: they are not distributed like items'.
fn users(job: &TrainingJob<'_>, embeddings: &Embeddings) -> Vec<Vec<f32>> {
    let by_user = &job.data.matrix(job.settings.embedding.weighting.training()).by_user;
    let active: Vec<usize> = (0..by_user.rows()).filter(|&user| by_user.degree(user) > 0).collect();
    let vector = |at: usize| embeddings.vector_of_row(by_user.pairs(active[at]));
    checked(active.len()).map(vector).collect()
}
