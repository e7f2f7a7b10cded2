//! A snapshot's arrays as safetensors: named, typed, flat, little-endian.
//! Sparse matrices are three tensors, `NAME.starts`, `.columns`, `.values`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::second_stage::{FEATURES, Trees};
use super::{
    Ann, Embeddings, Habits, Parts, Popularity, Prepared, Pushed, Ranking, SecondStage, Sessions,
    Source, UserCf,
};
use crate::matrix::Csr;
use crate::model::pushed::model::UserVectors;
use crate::model::vectors::embeddings::Ridge;
use crate::model::vectors::graph::Layer;

/// All arrays of a snapshot, ready to be written.
pub fn encode(parts: &Parts) -> Vec<u8> {
    let mut out = Writer::default();
    for (name, ranking) in rankings(&parts.popularity) {
        out.f32(&format!("popularity.{name}"), &ranking.by_item);
    }

    out.f32("habits.again", &parts.habits.again);
    out.f32("habits.gap_days", &parts.habits.gap_days);
    out.f32("habits.age_days", &parts.habits.age_days);
    out.f32("habits.idle_days", &parts.habits.idle_days);
    out.f32("habits.price", &parts.habits.price);
    out.csr("item_cf", &parts.item_cf);
    out.csr("similar", &parts.similar);
    out.csr("together", &parts.together);
    out.trees("second_stage", &parts.second_stage);
    out.trees("session_stage", &parts.session_stage);
    out.csr("ease", &parts.ease);
    out.csr("transition", &parts.transition);
    out.csr("sessions.items", &parts.sessions.items);
    out.csr("sessions.newest", &parts.sessions.newest);
    out.f32("sessions.idf", &parts.sessions.idf);
    out.csr("user_cf.by_user", &parts.user_cf.by_user);
    out.csr("user_cf.newest_by_item", &parts.user_cf.newest_by_item);
    out.f32("user_cf.item_norm", &parts.user_cf.item_norm);
    out.numbers("prepared.repeats", &[u64::from(parts.prepared.repeats)]);
    out.push("prepared.stamps", Dtype::U64, &parts.prepared.stamps);
    out.u32("prepared.starts", &parts.prepared.starts);
    out.push("prepared.lengths", Dtype::U8, &parts.prepared.lengths);
    out.u32("prepared.items", &parts.prepared.items);
    out.f32("prepared.scores", &parts.prepared.scores);
    out.push("prepared.sources", Dtype::U8, &parts.prepared.sources);
    for (source, table) in &parts.tables {
        out.csr(&format!("{TABLES}{}", source.name()), table);
    }
    out.embeddings("", &parts.embeddings);
    if parts.sequence.items() > 0 {
        out.embeddings(SEQUENCE, &parts.sequence);
    }

    if !parts.pushed.is_empty() {
        out.pushed(&parts.pushed);
    }
    out.finish()
}

/// Reads all arrays back.
///
/// # Errors
/// What is missing or does not fit, in words.
pub fn decode(bytes: &[u8]) -> Result<Parts, String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let from = Reader(&tensors);
    let ranking = |name: &str| -> Result<Ranking, String> {
        Ok(Ranking::new(from.f32(&format!("popularity.{name}"))?))
    };
    let popularity = Popularity {
        days7: ranking("days7")?,
        days30: ranking("days30")?,
        all_time: ranking("all_time")?,
        trending: ranking("trending")?,
    };

    let user_cf = UserCf {
        by_user: from.csr("user_cf.by_user")?,
        newest_by_item: from.csr("user_cf.newest_by_item")?,
        item_norm: from.f32("user_cf.item_norm")?,
    };

    let sessions = Sessions {
        items: from.csr("sessions.items")?,
        newest: from.csr("sessions.newest")?,
        idf: from.f32("sessions.idf")?,
    };

    Ok(Parts {
        second_stage: Arc::new(from.trees("second_stage")?),
        session_stage: Arc::new(from.trees("session_stage")?),
        popularity: Arc::new(popularity),
        habits: Arc::new(Habits {
            again: from.f32("habits.again")?,
            gap_days: from.f32("habits.gap_days")?,
            age_days: from.f32("habits.age_days")?,
            idle_days: from.f32("habits.idle_days")?,
            price: from.f32("habits.price")?,
        }),
        item_cf: Arc::new(from.csr("item_cf")?),
        similar: Arc::new(from.csr("similar")?),
        together: Arc::new(from.csr("together")?),
        user_cf: Arc::new(user_cf),
        ease: Arc::new(from.csr("ease")?),
        sessions: Arc::new(sessions),
        transition: Arc::new(from.csr("transition")?),
        prepared: Arc::new(from.prepared()?),
        tables: from.tables()?,
        embeddings: Arc::new(from.embeddings("")?),
        sequence: Arc::new(from.sequence()?),
        pushed: Arc::new(from.pushed()?),
    })
}

fn rankings(popularity: &Popularity) -> [(&'static str, &Ranking); 4] {
    [
        ("days7", &popularity.days7),
        ("days30", &popularity.days30),
        ("all_time", &popularity.all_time),
        ("trending", &popularity.trending),
    ]
}

/// Prefix of the tensors of [`Parts::tables`].
const TABLES: &str = "table.";
/// Prefix of the tensors of [`Parts::sequence`].
const SEQUENCE: &str = "sequence.";
/// Prefix of the tensors of a pushed model.
const PUSHED: &str = "pushed.";

#[derive(Default)]
struct Writer<'a> {
    tensors: Vec<(String, Dtype, usize, Cow<'a, [u8]>)>,
}

impl<'a> Writer<'a> {
    fn push<T: bytemuck::NoUninit>(&mut self, name: &str, dtype: Dtype, values: &'a [T]) {
        let bytes = Cow::Borrowed(bytemuck::cast_slice(values));
        self.tensors.push((name.to_owned(), dtype, values.len(), bytes));
    }

    fn u32(&mut self, name: &str, values: &'a [u32]) {
        self.push(name, Dtype::U32, values);
    }

    fn f32(&mut self, name: &str, values: &'a [f32]) {
        self.push(name, Dtype::F32, values);
    }

    /// A few numbers that are not an array of the snapshot.
    fn numbers(&mut self, name: &str, values: &[u64]) {
        let bytes = Cow::Owned(bytemuck::cast_slice(values).to_vec());
        self.tensors.push((name.to_owned(), Dtype::U64, values.len(), bytes));
    }

    fn trees(&mut self, name: &str, stage: &'a SecondStage) {
        let trees = stage.trees();
        self.u32(&format!("{name}.roots"), &trees.roots);
        self.u32(&format!("{name}.depths"), &trees.depths);
        self.u32(&format!("{name}.feature"), &trees.feature);
        self.f32(&format!("{name}.value"), &trees.value);
        self.u32(&format!("{name}.left"), &trees.left);
        self.u32(&format!("{name}.right"), &trees.right);
    }

    fn embeddings(&mut self, prefix: &str, embeddings: &'a Embeddings) {
        self.f32(&format!("{prefix}embeddings.vectors"), &embeddings.vectors);
        self.f32(&format!("{prefix}embeddings.fold_in"), &embeddings.fold_in);
        if let Some(ridge) = &embeddings.ridge {
            self.f32(&format!("{prefix}embeddings.gram"), &ridge.gram);
            self.f32(&format!("{prefix}embeddings.each"), std::slice::from_ref(&ridge.each));
            self.f32(&format!("{prefix}embeddings.all"), std::slice::from_ref(&ridge.all));
        }

        let ann = &embeddings.ann;
        self.u32(&format!("{prefix}ann.side"), &ann.side);
        self.numbers(
            &format!("{prefix}ann.shape"),
            &[
                embeddings.dimensions as u64,
                u64::from(ann.entry),
                ann.ef as u64,
                ann.layers.len() as u64,
            ],
        );

        for (level, layer) in ann.layers.iter().enumerate() {
            self.u32(&format!("{prefix}ann.layer{level}.starts"), &layer.starts);
            self.u32(&format!("{prefix}ann.layer{level}.links"), &layer.links);
        }
    }

    fn pushed(&mut self, pushed: &'a Pushed) {
        self.embeddings(PUSHED, &pushed.embeddings);
        self.u32("pushed.user_vectors.users", &pushed.user_vectors.users);
        self.f32("pushed.user_vectors.values", &pushed.user_vectors.values);
        self.csr("pushed.items", &pushed.items);
        self.csr("pushed.users", &pushed.users);
        self.f32("pushed.priors", &pushed.priors.by_item);
        self.numbers("pushed.trained_until_ms", &[pushed.trained_until_ms as u64]);
    }

    fn csr(&mut self, name: &str, matrix: &'a Csr) {
        self.push(&format!("{name}.starts"), Dtype::U64, &matrix.starts);
        self.u32(&format!("{name}.columns"), &matrix.columns);
        self.f32(&format!("{name}.values"), &matrix.values);
        self.numbers(&format!("{name}.width"), &[matrix.width as u64]);
    }

    fn finish(self) -> Vec<u8> {
        let views = self.tensors.iter().filter_map(|(name, dtype, len, bytes)| {
            Some((name.as_str(), TensorView::new(*dtype, vec![*len], bytes).ok()?))
        });
        // This fails only where a shape contradicts its bytes, and both come from one slice.
        serialize(views, None).unwrap_or_else(|e| unreachable!("tensors: {e}"))
    }
}

struct Reader<'t, 'b>(&'t SafeTensors<'b>);

impl Reader<'_, '_> {
    /// The tables that the file holds, by source; those of sources unknown here are left.
    fn tables(&self) -> Result<BTreeMap<Source, Arc<Csr>>, String> {
        let mut tables = BTreeMap::new();
        for source in Source::BLENDED {
            let name = format!("{TABLES}{}", source.name());
            if self.0.tensor(&format!("{name}.starts")).is_ok() {
                tables.insert(source, Arc::new(self.csr(&name)?));
            }
        }
        Ok(tables)
    }

    fn values<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(
        &self,
        name: &str,
        dtype: Dtype,
    ) -> Result<Vec<T>, String> {
        let tensor = self.0.tensor(name).map_err(|_| format!("tensor {name} is missing"))?;
        if tensor.dtype() != dtype {
            return Err(format!("tensor {name} is {:?}, not {dtype:?}", tensor.dtype()));
        }
        Ok(bytemuck::pod_collect_to_vec(tensor.data()))
    }

    fn u32(&self, name: &str) -> Result<Vec<u32>, String> {
        self.values(name, Dtype::U32)
    }

    fn f32(&self, name: &str) -> Result<Vec<f32>, String> {
        self.values(name, Dtype::F32)
    }

    fn numbers(&self, name: &str) -> Result<Vec<u64>, String> {
        self.values(name, Dtype::U64)
    }

    fn trees(&self, name: &str) -> Result<SecondStage, String> {
        let trees = Trees {
            roots: self.u32(&format!("{name}.roots"))?,
            depths: self.u32(&format!("{name}.depths"))?,
            feature: self.u32(&format!("{name}.feature"))?,
            value: self.f32(&format!("{name}.value"))?,
            left: self.u32(&format!("{name}.left"))?,
            right: self.u32(&format!("{name}.right"))?,
        };
        if trees.is_consistent(FEATURES) {
            Ok(SecondStage::new(trees))
        } else {
            Err(format!("the trees of {name} do not fit together"))
        }
    }

    fn csr(&self, name: &str) -> Result<Csr, String> {
        let width = self.numbers(&format!("{name}.width"))?;
        let matrix = Csr {
            starts: self.numbers(&format!("{name}.starts"))?,
            columns: self.u32(&format!("{name}.columns"))?,
            values: self.f32(&format!("{name}.values"))?,
            width: width.first().map_or(0, |&w| w as usize),
        };
        if matrix.is_consistent() { Ok(matrix) } else { Err(format!("matrix {name} is ragged")) }
    }

    fn prepared(&self) -> Result<Prepared, String> {
        let prepared = Prepared {
            repeats: self.numbers("prepared.repeats")?.first() == Some(&1),
            stamps: self.numbers("prepared.stamps")?,
            starts: self.u32("prepared.starts")?,
            lengths: self.values("prepared.lengths", Dtype::U8)?,
            items: self.u32("prepared.items")?,
            scores: self.f32("prepared.scores")?,
            sources: self.values("prepared.sources", Dtype::U8)?,
        };
        if prepared.is_consistent() {
            Ok(prepared)
        } else {
            Err("the prepared lists do not fit together".to_owned())
        }
    }

    /// Absent with an SVD.
    fn ridge(&self, prefix: &str) -> Option<Ridge> {
        let all = |name: &str| self.f32(&format!("{prefix}embeddings.{name}")).ok();
        let one = |name: &str| all(name)?.first().copied();
        Some(Ridge { gram: all("gram")?, each: one("each")?, all: one("all")? })
    }

    /// Absent without a pushed model.
    fn pushed(&self) -> Result<Pushed, String> {
        let Ok(trained_until) = self.numbers("pushed.trained_until_ms") else {
            return Ok(Pushed::default());
        };
        let pushed = Pushed {
            embeddings: self.embeddings(PUSHED)?,
            user_vectors: UserVectors {
                users: self.u32("pushed.user_vectors.users")?,
                values: self.f32("pushed.user_vectors.values")?,
            },
            items: self.csr("pushed.items")?,
            users: self.csr("pushed.users")?,
            priors: Ranking::new(self.f32("pushed.priors")?),
            trained_until_ms: trained_until.first().map_or(0, |&ms| ms as i64),
        };

        if pushed.is_consistent() {
            Ok(pushed)
        } else {
            Err("the pushed model's arrays do not fit together".to_owned())
        }
    }

    /// Absent where the blend does not ask them.
    fn sequence(&self) -> Result<Embeddings, String> {
        if self.0.tensor(&format!("{SEQUENCE}ann.shape")).is_err() {
            return Ok(Embeddings::default());
        }
        self.embeddings(SEQUENCE)
    }

    fn embeddings(&self, prefix: &str) -> Result<Embeddings, String> {
        let &[dimensions, entry, ef, layers] = &self.numbers(&format!("{prefix}ann.shape"))?[..]
        else {
            return Err(format!("tensor {prefix}ann.shape has not four values"));
        };
        let layers = (0..layers)
            .map(|level| {
                Ok(Layer {
                    starts: self.u32(&format!("{prefix}ann.layer{level}.starts"))?,
                    links: self.u32(&format!("{prefix}ann.layer{level}.links"))?,
                })
            })
            .collect::<Result<Vec<_>, String>>()?;

        let side = self.u32(&format!("{prefix}ann.side"))?;
        let mut embeddings = Embeddings {
            dimensions: dimensions as usize,
            vectors: self.f32(&format!("{prefix}embeddings.vectors"))?,
            fold_in: self.f32(&format!("{prefix}embeddings.fold_in"))?,
            ridge: self.ridge(prefix),
            ann: Ann { entry: entry as u32, layers, side, ef: ef as usize },
            ..Embeddings::default()
        };

        let items = embeddings.fold_in.len();
        let inside = |ids: &[u32]| ids.iter().all(|&n| (n as usize) < items);
        let gram = embeddings.ridge.as_ref().map(|ridge| ridge.gram.len() as u64);
        let fits = embeddings.vectors.len() as u64 == (items as u64).saturating_mul(dimensions)
            && gram.is_none_or(|gram| gram == dimensions.saturating_mul(dimensions))
            && inside(&embeddings.ann.side)
            && (embeddings.ann.is_empty() || dimensions > 0 && inside(&[embeddings.ann.entry]))
            && embeddings.ann.layers.iter().all(|layer| {
                layer.starts.len() == items + 1
                    && layer.starts.is_sorted()
                    && layer.starts.last() == Some(&(layer.links.len() as u32))
                    && inside(&layer.links)
            });

        if !fits {
            return Err("the embeddings' arrays do not fit together".into());
        }

        // Recomputed, since it is not worth the space on disk.
        embeddings.encode();
        Ok(embeddings)
    }
}
