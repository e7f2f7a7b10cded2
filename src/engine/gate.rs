//! The gate: what a pushed file must be to serve. It reads the arrays into the store's own
//! numbering and looks at them on the way; every check says a figure and a verdict.

use std::collections::HashSet;
use std::io::{Read, Seek};

use super::State;
use super::options::PushOptions;
use super::pseudonyms::Pseudonyms;
use crate::domain::progress::Control;
use crate::domain::{Check, Error, ItemIdx, Result, Verdict, Violation, now_ms};
use crate::live::{Filter, ItemMask};
use crate::matrix::Csr;
use crate::model::push_facts::Facts;
use crate::model::push_reader::{Kind, PushReader};
use crate::model::pushed::UserVectors;
use crate::model::settings::EmbeddingSettings;
use crate::model::{Embeddings, Pushed, Ranking, Snapshot};
use crate::train::ann::REQUIRED_RECALL;
use crate::train::{self, ann};
use crate::tune::pushed::Worth;

/// No vector may be so many times as long as the one in the middle: by inner product it
/// would be everybody's best.
const LONGEST: f64 = 1_000.0;
/// What an id takes while it is looked up.
const ID_BYTES: u64 = 200;
const MIB: u64 = 1 << 20;

/// What was looked at so far, in a store and under its rules.
pub(super) struct Gate<'a> {
    pub(super) state: &'a State,
    pub(super) pseudonyms: &'a Pseudonyms,
    pub(super) options: &'a PushOptions,
    /// What answers now.
    pub(super) active: &'a Snapshot,
    /// All checks, in the order in which they were made.
    pub(super) checks: Vec<Check>,
}

/// Ids of the file, in its order, as the store numbers them; none for one it does not know.
type Places = Vec<Option<u32>>;

/// What makes arrays unfit, counted over all of them.
#[derive(Default)]
struct Faults {
    not_finite: usize,
    zero: usize,
    negative: usize,
    out_of_range: usize,
    duplicate: usize,
}

impl Gate<'_> {
    /// Reads a file into the store's numbering.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is not laid out as it should be, [`Error::Refused`] where a
    /// check fails.
    pub(super) fn read<R: Read + Seek>(
        &mut self,
        file: &mut PushReader<R>,
        facts: &Facts,
        pushed_ms: i64,
    ) -> Result<Pushed> {
        self.memory(file)?;
        let mut faults = Faults::default();
        let items = self.places(file, Kind::Item, &mut faults)?;
        let users = self.places(file, Kind::User, &mut faults)?;
        let (item_count, user_count) =
            (self.state.live.items.read().len(), self.state.live.users.read().len());
        let (vectors, norms) = matrix(file, "item_embeddings", &items, item_count, &mut faults)?;
        let embeddings = match file.columns("item_embeddings") {
            Some(d) => train::pushed::embeddings(vectors, d, facts.metric, facts.fold_in),
            None => Embeddings::default(),
        };
        let pushed = Pushed {
            user_vectors: user_vectors(file, &users, &mut faults)?,
            items: neighbours(file, "item_neighbours", &items, item_count, &mut faults)?,
            users: neighbours(file, "user_neighbours", &users, user_count, &mut faults)?,
            priors: priors(file, &items, item_count, &mut faults)?,
            embeddings,
            trained_until_ms: facts.trained_until_ms.unwrap_or(pushed_ms),
        };
        self.tell(&faults);
        self.known(&items, &users);
        if let Some(longest) = stretch(norms) {
            let limit = format!("longest vector over the median, at most {LONGEST}");
            self.check("norms", longest, limit, longest <= LONGEST);
        }
        self.coverage(&pushed, item_count);
        self.so_far()?;
        Ok(pushed)
    }

    fn check(&mut self, name: &str, figure: f64, limit: impl Into<String>, passes: bool) {
        self.checks.push(Check::new(name, figure, limit, passes));
    }

    /// Refuses, if any check has failed.
    pub(super) fn so_far(&self) -> Result<()> {
        match self.checks.iter().any(|check| check.verdict == Verdict::Failed) {
            true => Err(Error::Refused(self.checks.clone())),
            false => Ok(()),
        }
    }

    /// What the model will take while it is made ready, from shapes alone.
    fn memory<R: Read + Seek>(&mut self, file: &PushReader<R>) -> Result<()> {
        let items = self.state.live.items.read().len() as u64;
        let links = self.active.manifest.settings.embedding.links as u64;
        let (n, m) = (file.ids_of(Kind::Item) as u64, file.ids_of(Kind::User) as u64);
        let columns = |name| file.columns(name).unwrap_or(0) as u64;
        let d = columns("item_embeddings");
        // Vectors, once more by direction while the graph is built, codes, the graph twice.
        let vectors = if d > 0 { items * (d * (4 + 4 + 1) + links * 4 * 4) } else { 0 };
        let users = m * columns("user_embeddings") * 4;
        let neighbours = n * columns("item_neighbours") + m * columns("user_neighbours");
        let bytes = vectors + users + neighbours * 24 + (n + m) * ID_BYTES;
        let most = self.options.memory_mib;
        let limit = format!("MiB, at most {most}");
        self.check("memory", bytes as f64 / MIB as f64, limit, bytes <= most * MIB);
        self.so_far()
    }

    fn places<R: Read + Seek>(
        &self,
        file: &mut PushReader<R>,
        kind: Kind,
        faults: &mut Faults,
    ) -> Result<Places> {
        let ids = file.ids(kind)?;
        let mut seen = HashSet::with_capacity(ids.len());
        faults.duplicate += ids.iter().filter(|id| !seen.insert(id.as_str())).count();
        let live = &self.state.live;
        Ok(match kind {
            Kind::Item => {
                let names = live.items.read();
                ids.iter().map(|id| names.get(id)).collect()
            }
            Kind::User => {
                let names = live.users.read();
                // What was exported holds the names inside already.
                let known =
                    |id: &String| names.get(&self.pseudonyms.of(id)).or_else(|| names.get(id));
                ids.iter().map(known).collect()
            }
        })
    }

    fn tell(&mut self, faults: &Faults) {
        let counted = [
            ("duplicate_ids", faults.duplicate),
            ("not_finite", faults.not_finite),
            ("zero_vectors", faults.zero),
            ("negative_scores", faults.negative),
            ("places_out_of_range", faults.out_of_range),
        ];
        for (name, count) in counted {
            self.check(name, count as f64, "none", count == 0);
        }
    }

    fn known(&mut self, items: &Places, users: &Places) {
        let most = self.options.most_unknown;
        for (name, places) in [("unknown_items", items), ("unknown_users", users)] {
            if !places.is_empty() {
                let unknown = places.iter().filter(|place| place.is_none()).count();
                let share = unknown as f64 / places.len() as f64;
                self.check(name, share, format!("share of the ids, at most {most}"), share <= most);
            }
        }
    }

    /// How much of the catalogue, and of what was sold in the last week, it speaks of.
    fn coverage(&mut self, pushed: &Pushed, items: usize) {
        let speaks = |item: ItemIdx| {
            let prior = pushed.priors.by_item.get(item as usize).is_some_and(|&prior| prior > 0.0);
            prior || pushed.embeddings.has(item) || pushed.items.degree(item as usize) > 0
        };
        if pushed.is_empty()
            || (0..items as ItemIdx).all(|item| !speaks(item)) && !pushed.users.columns.is_empty()
        {
            // Neighbours of users speak of whatever those have.
            return;
        }
        let mut offered = ItemMask::default();
        let catalogue = self.state.live.catalogue.read();
        catalogue.mask(&Filter::default(), items, now_ms(), &mut offered);
        drop(catalogue);
        let spoken = offered.iter().filter(|&item| speaks(item)).count();
        let share = spoken as f64 / offered.count().max(1) as f64;
        let least = self.options.least_catalogue;
        let limit = format!("share of the items that can be bought, at least {least}");
        self.check("catalogue_coverage", share, limit, share >= least);
        let sold = self.active.parts.popularity.days7.iter();
        let (mut all, mut known) = (0.0, 0.0);
        for sale in sold {
            all += f64::from(sale.score);
            known += if speaks(sale.idx) { f64::from(sale.score) } else { 0.0 };
        }
        let share = if all > 0.0 { known / all } else { 1.0 };
        let least = self.options.least_sales;
        let limit = format!("share of the last week's sales, at least {least}");
        self.check("sales_coverage", share, limit, share >= least);
    }

    /// Builds the nearest-neighbour graph, where vectors are too many to be scanned.
    ///
    /// # Errors
    /// [`Error::Refused`] where it finds too little, [`Error::Training`] when told to stop.
    pub(super) fn index(&mut self, pushed: &mut Pushed, control: &Control<'_>) -> Result<()> {
        if pushed.embeddings.codes.is_empty() {
            return Ok(());
        }
        let settings: EmbeddingSettings = self.active.manifest.settings.embedding;
        let seed = self.active.manifest.seed;
        let recall = ann::build(&mut pushed.embeddings, &settings, seed, control);
        let recall = recall.map_err(|e| Error::Training(e.to_string()))?;
        let limit = format!("share of the exact 10 best, at least {REQUIRED_RECALL}");
        self.check("ann_recall", recall.unwrap_or(0.0), limit, recall.is_some());
        self.so_far()
    }

    /// What lists are worth with it against without; `force` lets worse ones pass.
    ///
    /// # Errors
    /// [`Error::Refused`] where they are worse.
    pub(super) fn quality(&mut self, worth: &Worth, force: bool) -> Result<()> {
        let least = self.options.least_quality;
        let Some(measured) = worth.measured else {
            let limit = "too little behaviour can be held out to say".to_owned();
            let verdict = Verdict::NotJudged;
            self.checks.push(Check { name: "quality".into(), figure: 0.0, limit, verdict });
            return Ok(());
        };
        let figure = measured.with / measured.without.max(f64::MIN_POSITIVE);
        let (with, without, cases) = (measured.with, measured.without, measured.cases);
        let seen = if measured.unseen { "" } else { " that it may have been trained on" };
        let limit = format!(
            "NDCG@10 {with:.4} over {without:.4} of lists without it, on {cases} held-out \
             baskets{seen}, at least {least}"
        );
        self.check("quality", figure, limit, figure >= least);
        if force
            && let Some(last) = self.checks.last_mut()
            && last.verdict == Verdict::Failed
        {
            last.verdict = Verdict::Overridden;
        }
        self.so_far()
    }
}

/// The longest length over the one in the middle.
fn stretch(mut norms: Vec<f32>) -> Option<f64> {
    norms.sort_unstable_by(f32::total_cmp);
    let middle = *norms.get(norms.len() / 2)?;
    Some(f64::from(*norms.last()?) / f64::from(middle))
}

/// Rows of floats put where the store has their ids, `count` of them; and their lengths.
fn matrix<R: Read + Seek>(
    file: &mut PushReader<R>,
    name: &str,
    places: &Places,
    count: usize,
    faults: &mut Faults,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let Some(width) = file.columns(name) else { return Ok(Default::default()) };
    let mut vectors = vec![0.0; count * width];
    let mut norms = Vec::with_capacity(places.len());
    each_row(file, name, width, faults, |at, row, norm| {
        if let Some(place) = places[at] {
            vectors[place as usize * width..][..width].copy_from_slice(row);
        }
        norms.push(norm);
    })?;
    Ok((vectors, norms))
}

/// Hands out the rows of a tensor that are vectors, with their places and lengths.
fn each_row<R: Read + Seek>(
    file: &mut PushReader<R>,
    name: &str,
    width: usize,
    faults: &mut Faults,
    mut take: impl FnMut(usize, &[f32], f32),
) -> Result<(), Violation> {
    let (mut row, mut at) = (Vec::with_capacity(width), 0);
    file.floats(name, |value| {
        row.push(value);
        if row.len() < width {
            return Ok(());
        }
        let norm = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32;
        if !norm.is_finite() {
            faults.not_finite += 1;
        } else if norm < f32::MIN_POSITIVE {
            faults.zero += 1;
        } else {
            take(at, &row, norm);
        }
        row.clear();
        at += 1;
        Ok(())
    })
}

fn user_vectors<R: Read + Seek>(
    file: &mut PushReader<R>,
    places: &Places,
    faults: &mut Faults,
) -> Result<UserVectors> {
    let Some(width) = file.columns("user_embeddings") else { return Ok(UserVectors::default()) };
    let mut found: Vec<(u32, usize)> = Vec::new();
    let mut values = Vec::new();
    each_row(file, "user_embeddings", width, faults, |at, row, _| {
        if let Some(user) = places[at] {
            found.push((user, values.len()));
            values.extend_from_slice(row);
        }
    })?;
    found.sort_unstable();
    found.dedup_by_key(|(user, _)| *user);
    let mut sorted = UserVectors::default();
    for (user, start) in found {
        sorted.users.push(user);
        sorted.values.extend_from_slice(&values[start..start + width]);
    }
    Ok(sorted)
}

/// Neighbours of items or users, best first; a score of 0 says none, as does a place below 0.
fn neighbours<R: Read + Seek>(
    file: &mut PushReader<R>,
    name: &str,
    places: &Places,
    count: usize,
    faults: &mut Faults,
) -> Result<Csr> {
    let Some(width) = file.columns(name) else { return Ok(Csr::default()) };
    let mut targets: Vec<Option<u32>> = Vec::new();
    file.integers(name, |place| {
        let target = usize::try_from(place).ok().map(|place| places.get(place));
        faults.out_of_range += usize::from(target == Some(None));
        targets.push(target.flatten().copied().flatten());
        Ok(())
    })?;
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); count];
    let mut at = 0;
    file.floats(&format!("{name}.scores"), |score| {
        let (own, target) = (places[at / width], targets[at]);
        at += 1;
        if !score.is_finite() {
            faults.not_finite += 1;
        } else if score < 0.0 {
            faults.negative += 1;
        } else if let (Some(own), Some(target)) = (own, target)
            && own != target
            && score > 0.0
        {
            rows[own as usize].push((target, score));
        }
        Ok(())
    })?;
    for row in &mut rows {
        row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut listed = HashSet::with_capacity(row.len());
        row.retain(|(target, _)| listed.insert(*target));
    }
    Ok(Csr::from_rows(count, rows))
}

fn priors<R: Read + Seek>(
    file: &mut PushReader<R>,
    places: &Places,
    count: usize,
    faults: &mut Faults,
) -> Result<Ranking> {
    if !file.has("item_priors") {
        return Ok(Ranking::default());
    }
    let (mut scores, mut at) = (vec![0.0; count], 0);
    file.floats("item_priors", |score| {
        let place = places[at];
        at += 1;
        if !score.is_finite() {
            faults.not_finite += 1;
        } else if score < 0.0 {
            faults.negative += 1;
        } else if let Some(place) = place {
            scores[place as usize] = score;
        }
        Ok(())
    })?;
    Ok(Ranking::new(scores))
}
