//! The gate: the checks that a pushed file must pass. It reads the arrays into the store's idx;
//! every check has a figure and a verdict.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::arrays::{self, DefectCounts, IdMapping};
use super::assemble::NAMES_AT_ONCE;
use crate::domain::progress::Control;
use crate::domain::{Check, Error, ItemIdx, Result, Verdict, now_ms};
use crate::engine::options::PushOptions;
use crate::engine::state::State;
use crate::live::{Filter, ItemMask};
use crate::model::pushed::facts::Facts;
use crate::model::pushed::model::UserVectors;
use crate::model::pushed::reader::{Kind, PushReader};
use crate::model::settings::EmbeddingSettings;
use crate::model::{Embeddings, Pushed, Snapshot, Source};
use crate::train;
use crate::train::graph::build;
use crate::train::graph::build::REQUIRED_RECALL;
use crate::tune::pushed::{Judgement, Measured};

/// Maximum length of a vector over the median: by inner product a longer one would be the best of
/// every list.
const MAX_NORM_RATIO: f64 = 1_000.0;
/// Memory of an id while it is looked up, besides its bytes.
const ID_BYTES: u64 = 120;
const MIB: u64 = 1 << 20;

/// The checks of one file.
pub(super) struct Gate<'a> {
    pub(super) state: &'a State,
    pub(super) options: &'a PushOptions,
    /// The active snapshot.
    pub(super) active: &'a Snapshot,
    /// All checks, in the order in which they were made.
    pub(super) checks: Vec<Check>,
}

impl Gate<'_> {
    /// Reads a file into the store's idx.
    ///
    /// # Errors
    /// [`Error::Invalid`] where its layout is wrong, [`Error::Refused`] where a check fails.
    pub(super) fn read<R: Read + Seek>(
        &mut self,
        file: &mut PushReader<R>,
        facts: &Facts,
        pushed_ms: i64,
    ) -> Result<Pushed> {
        self.check_memory(file)?;
        let mut defects = DefectCounts::default();
        let items = self.id_mapping(file, Kind::Item, &mut defects)?;
        let users = self.id_mapping(file, Kind::User, &mut defects)?;
        let item_count = self.state.live.items.read().len();
        let user_count = self.state.live.users.read().len();
        let (vectors, norms) =
            arrays::matrix(file, "item_embeddings", &items, item_count, &mut defects)?;
        let embeddings = match file.columns("item_embeddings") {
            Some(d) => train::pushed::embeddings(vectors, d, facts.metric, facts.fold_in),
            None => Embeddings::default(),
        };

        let mut pushed = Pushed {
            user_vectors: arrays::user_vectors(file, &users, &mut defects)?,
            items: arrays::neighbours(file, "item_neighbours", &items, item_count, &mut defects)?,
            users: arrays::neighbours(file, "user_neighbours", &users, user_count, &mut defects)?,
            priors: arrays::priors(file, &items, item_count, &mut defects)?,
            embeddings,
            trained_until_ms: facts.trained_until_ms.unwrap_or(pushed_ms),
        };

        if pushed.embeddings.items() == 0 {
            // User vectors are useless without item vectors.
            pushed.user_vectors = UserVectors::default();
        }

        self.check_defects(&defects);
        self.check_unknown(&items, &users);
        if let Some(longest) = arrays::norm_ratio(norms) {
            let limit = format!("longest vector over the median, at most {MAX_NORM_RATIO}");
            self.check("norms", longest, limit, longest <= MAX_NORM_RATIO);
        }

        self.check_coverage(&pushed, item_count);
        self.ensure_none_failed()?;
        Ok(pushed)
    }

    fn check(&mut self, name: &str, figure: f64, limit: impl Into<String>, passes: bool) {
        self.checks.push(Check::new(name, figure, limit, passes));
    }

    /// Refuses the model, if any check has failed.
    pub(super) fn ensure_none_failed(&self) -> Result<()> {
        if self.checks.iter().any(|check| check.verdict == Verdict::Failed) {
            Err(Error::Refused(self.checks.clone()))
        } else {
            Ok(())
        }
    }

    /// Memory for preparing the model, computed from shapes alone.
    fn check_memory<R: Read + Seek>(&mut self, file: &PushReader<R>) -> Result<()> {
        let items = self.state.live.items.read().len() as u64;
        let users = self.state.live.users.read().len() as u64;
        let links = self.active.manifest.settings.embedding.links as u64;
        let n = file.ids_of(Kind::Item) as u64;
        let m = file.ids_of(Kind::User) as u64;
        let columns = |name| file.columns(name).unwrap_or(0) as u64;
        let d = columns("item_embeddings");

        // Vectors, a copy by direction while the graph is built, quantized vectors twice, the graph
        // three times.
        let vectors = if d > 0 { items * (d * (4 + 4 + 2) + links * 4 * 6 + 100) } else { 0 };
        // As read, and sorted.
        let user_vectors = m * columns("user_embeddings") * 4 * 2;
        let neighbours = n * columns("item_neighbours") + m * columns("user_neighbours");
        let rows = if neighbours > 0 { (items + users) * 48 } else { 0 };
        let ids = (n + m) * ID_BYTES + 3 * file.id_bytes();
        let bytes = vectors + user_vectors + neighbours * 40 + rows + ids;
        let max = self.options.memory_mib;

        let limit = format!("MiB, at most {max}");
        self.check("memory", bytes as f64 / MIB as f64, limit, bytes <= max * MIB);
        self.ensure_none_failed()
    }

    fn id_mapping<R: Read + Seek>(
        &self,
        file: &mut PushReader<R>,
        kind: Kind,
        defects: &mut DefectCounts,
    ) -> Result<IdMapping> {
        let ids = file.ids(kind)?;
        let mut seen = HashSet::with_capacity(ids.len());
        defects.duplicate += ids.iter().filter(|id| !seen.insert(id.as_str())).count();

        let mut places = IdMapping::with_capacity(ids.len());
        for some in ids.chunks(NAMES_AT_ONCE) {
            match kind {
                Kind::Item => {
                    let names = self.state.live.items.read();
                    places.extend(some.iter().map(|id| names.get(id)));
                }
                Kind::User => {
                    let inside: Vec<_> =
                        some.iter().map(|id| self.state.pseudonyms.of(id)).collect();
                    let names = self.state.live.users.read();
                    // An exported file has the names in the store already.
                    let both = some.iter().zip(inside);
                    places.extend(
                        both.map(|(id, inside)| names.get(&inside).or_else(|| names.get(id))),
                    );
                }
            }
        }
        Ok(places)
    }

    fn check_defects(&mut self, defects: &DefectCounts) {
        let counted = [
            ("duplicate_ids", defects.duplicate),
            ("not_finite", defects.not_finite),
            ("zero_vectors", defects.zero),
            ("negative_scores", defects.negative),
            ("places_out_of_range", defects.out_of_range),
        ];

        for (name, count) in counted {
            self.check(name, count as f64, "none", count == 0);
        }

        let limit = "lengths outside of 1e-6 to 1e6, scores above 1e6: none";
        self.check("out_of_scale", defects.too_large as f64, limit, defects.too_large == 0);
    }

    fn check_unknown(&mut self, items: &IdMapping, users: &IdMapping) {
        let max = self.options.max_unknown;
        for (name, places) in [("unknown_items", items), ("unknown_users", users)] {
            if !places.is_empty() {
                let unknown = places.iter().filter(|place| place.is_none()).count();
                let share = unknown as f64 / places.len() as f64;
                self.check(name, share, format!("share of the ids, at most {max}"), share <= max);
            }
        }
    }

    /// The share of the catalogue, and of last week's sales, that it knows.
    fn check_coverage(&mut self, pushed: &Pushed, items: usize) {
        let speaks = |item: ItemIdx| {
            let prior = pushed.priors.by_item.get(item as usize).is_some_and(|&prior| prior > 0.0);
            prior || pushed.embeddings.has(item) || pushed.items.degree(item as usize) > 0
        };
        let users_alone = pushed.sources() == [Source::PushedUsers];
        if users_alone {
            // Neighbours cover whatever their users have.
            return;
        }

        let mut offered = ItemMask::default();
        let catalogue = self.state.live.catalogue.read();
        catalogue.mask(&Filter::default(), items, now_ms(), &mut offered);
        drop(catalogue);
        let spoken = offered.iter().filter(|&item| speaks(item)).count();
        let share = spoken as f64 / offered.count().max(1) as f64;
        let min = self.options.min_catalogue;
        let limit = format!("share of the items that can be bought, at least {min}");
        self.check("catalogue_coverage", share, limit, share >= min);

        let sold = self.active.parts.popularity.days7.iter();
        let mut all = 0.0;
        let mut known = 0.0;
        for sale in sold {
            all += f64::from(sale.score);
            known += if speaks(sale.idx) { f64::from(sale.score) } else { 0.0 };
        }

        let share = if all > 0.0 { known / all } else { 1.0 };
        let min = self.options.min_sales;
        let limit = format!("share of the last week's sales, at least {min}");
        self.check("sales_coverage", share, limit, share >= min);
    }

    /// Builds the nearest-neighbour graph, where vectors are too many to be scanned.
    ///
    /// # Errors
    /// [`Error::Refused`] below the required recall, [`Error::Training`] when cancelled.
    pub(super) fn index(&mut self, pushed: &mut Pushed, control: &Control<'_>) -> Result<()> {
        if pushed.embeddings.quantized.is_empty() {
            return Ok(());
        }

        let settings = self.active.manifest.settings.embedding;
        // The client waits: fewer candidates find neighbours nearly as good, which is checked.
        let settings =
            EmbeddingSettings { ef_construction: settings.ef_construction / 2, ..settings };
        let seed = self.active.manifest.seed;
        let dimensions = pushed.embeddings.dimensions;
        let vectors = &pushed.user_vectors;
        let users = build::checked(vectors.users.len());
        let queries = users.map(|at| vectors.values[at * dimensions..][..dimensions].to_vec());
        let queries = queries.collect();
        let recall = build::build(&mut pushed.embeddings, &settings, queries, seed, control);
        let recall = recall.map_err(|e| Error::Training(e.into()))?;
        let limit = format!("share of the exact 10 best, at least {REQUIRED_RECALL}");
        self.check("ann_recall", recall, limit, recall >= REQUIRED_RECALL);
        self.ensure_none_failed()
    }

    /// The quality of lists with it, relative to lists of the active model; `force` accepts worse
    /// ones. Where it may have been trained on the cases, worse lists fail and better ones prove
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] where they are worse.
    pub(super) fn quality(&mut self, judgement: &Judgement, force: bool) -> Result<()> {
        let min = self.options.min_quality;
        let Some(measured) = judgement.measured.filter(|measured| measured.before > 0.0) else {
            let limit = "too few cases can be held out".to_owned();
            let verdict = Verdict::NotJudged;
            self.checks.push(Check { name: "quality".into(), figure: 0.0, limit, verdict });
            return Ok(());
        };

        let Measured { with, before, cases, unseen } = measured;
        let seen = if unseen { "" } else { " that it may have been trained on" };
        let limit = format!(
            "NDCG@10 {with:.4} over {before:.4} of the active model, on {cases} held-out \
             baskets{seen}, at least {min}"
        );
        let figure = with / before;
        let verdict = match (figure >= min, unseen, force) {
            (true, true, _) => Verdict::Passed,
            (true, false, _) => Verdict::NotJudged,
            (false, _, true) => Verdict::Overridden,
            (false, _, false) => Verdict::Failed,
        };

        self.checks.push(Check { name: "quality".into(), figure, limit, verdict });
        self.ensure_none_failed()
    }
}
