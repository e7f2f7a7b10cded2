//! `qianmian evaluate`

mod report;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use self::report::Measured;
use super::Failure;
use super::dialect::DialectArgs;
use crate::config::Config;
use crate::content::{Corpus, Reader};
use crate::domain::history::standing;
use crate::domain::progress::{Control, Stage};
use crate::domain::{Error, HistoryEvent, UserIdx, limits};
use crate::evaluate::harness::Harness;
use crate::evaluate::split::{self, Holdout};
use crate::evaluate::{Case, Dataset, Method, Row, Truth};
use crate::import::{ColumnMap, Dialect};
use crate::live::Catalogue;
use crate::matrix::UserEvents;
use crate::model::{Manifest, Snapshot, Source};
use crate::recommend::RepeatPolicy;
use crate::sources::train;
use crate::train::TrainingData;
use crate::tune::{Task, Tuned, Tuner, validation};

/// Measure the lists on held-out behaviour: train on one log, ask for lists, compare with another
#[derive(Debug, Args)]
#[command(
    after_long_help = "Trains on TRAIN alone, settings and blend weights included, then asks for the list of every \
user of TEST over the whole catalogue, as of TRAIN's newest event, and scores it. Without an event column \
every row is a purchase.

Examples:
  qianmian evaluate --train train.csv --test test.csv --seen mask
  qianmian evaluate --data log.csv --holdout last-basket --seen allow --json out.json --plot out.svg
  qianmian evaluate --train clicks.txt --test sessions.txt --protocol next-item \\
    --map user_id=SessionId,item_id=ItemId,timestamp=Time"
)]
pub struct Evaluate {
    /// Log to train on
    #[arg(long, value_name = "FILE", requires = "test", required_unless_present = "holdout")]
    train: Option<PathBuf>,
    /// Log with the held-out behaviour
    #[arg(long, value_name = "FILE", requires = "train")]
    test: Option<PathBuf>,
    /// Instead of two logs: how to cut the log file that --data names: last-basket, last-item,
    /// after:DATE
    #[arg(long, value_name = "CUT", value_parser = str::parse::<Holdout>, conflicts_with = "train")]
    holdout: Option<Holdout>,
    /// Catalogue of the items: titles, categories, brands, tags, attributes, prices
    #[arg(long, value_name = "FILE")]
    items: Option<PathBuf>,
    /// Columns of the catalogue, as --map
    #[arg(long, value_name = "COLUMN=NAME,…", requires = "items", value_parser = str::parse::<ColumnMap>)]
    items_map: Option<ColumnMap>,
    /// Know the catalogue's items, but nothing of what they are
    #[arg(long, requires = "items")]
    no_content: bool,
    /// Count only held-out items with fewer purchases than this in the training part
    #[arg(long, value_name = "N")]
    fewer_than: Option<usize>,
    #[command(flatten)]
    dialect: DialectArgs,
    /// Items of the user's past: allow ranks them like any other, mask neither ranks nor counts
    /// them, auto leaves it to the tuner (all counted)
    #[arg(long, value_enum, default_value_t = Seen::Auto)]
    seen: Seen,
    /// Lengths of lists, 1 to 500
    #[arg(long, value_delimiter = ',', default_values_t = [10, 20], value_parser = length)]
    k: Vec<usize>,
    /// holdout: known users, their truth as a set; next-item: unknown sessions,
    /// prefix by prefix
    #[arg(long, value_enum, default_value_t = Protocol::Holdout)]
    protocol: Protocol,
    /// Score the lists of this number of cases, evenly spread over all
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroUsize>,
    /// Also test the reasons: whether the events named for an item matter more to it than others
    #[arg(long)]
    faithful: bool,
    /// Also print what variety costs the blend's lists and gains: MMR and DPP, at several weights of
    /// relevance
    #[arg(long)]
    variety: bool,
    /// Rows to print: all, or names
    #[arg(long, value_delimiter = ',', default_value = "all")]
    methods: Vec<String>,
    /// Seed of every random number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Train with the settings as configured, untuned
    #[arg(long)]
    no_tune: bool,
    /// Write everything measured as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the comparison
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Seen {
    Allow,
    Mask,
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Holdout,
    NextItem,
}

/// A length of lists.
fn length(text: &str) -> Result<usize, String> {
    let length = text.parse().ok().filter(|k| (1..=limits::MAX_LIMIT).contains(k));
    length.ok_or_else(|| format!("a list has 1 to {} items, not {text:?}", limits::MAX_LIMIT))
}

/// The log in two parts.
struct Logs {
    data: Dataset,
    train: UserEvents,
    test: Vec<(UserIdx, HistoryEvent)>,
    known_users: usize,
    known_items: usize,
}

impl Evaluate {
    pub(super) fn run(mut self, config: &Config) -> Result<(), Failure> {
        self.k.sort_unstable();
        self.k.dedup();
        let (logs, catalogue) = self.read(config)?;
        let corpus = Arc::new(catalogue.corpus().clone());

        let bar = spinner();
        let report = |stage: Stage| {
            tracing::debug!(stage = stage.name(), "training");
            bar.set_message(stage.name());
        };
        let cancel = AtomicBool::new(false);
        let control = Control::new(&report, &cancel);
        let started = Instant::now();
        let (snapshot, repeat) = self.model(config, &logs.train, &corpus, &control)?;
        let train_seconds = started.elapsed().as_secs_f64();

        let (cases, unknown) = self.cases(&logs);
        let cases = sampled(cases, self.sample.unwrap_or(NonZeroUsize::MAX).get());
        if cases.is_empty() {
            return Err("the test log has no user who can be scored".into());
        }

        let harness = Harness {
            events: &logs.train,
            snapshot: &snapshot,
            catalogue: &catalogue,
            repeat,
            history_limit: config.recommend.history_limit,
            seed: self.seed,
        };

        let methods = self.methods(repeat)?;
        bar.set_length((methods.len() * cases.len()) as u64);
        let rows: Vec<Row> = methods
            .iter()
            .map(|&method| {
                bar.set_message(method.name());
                harness.row(method, &cases, &self.k, &|| bar.inc(1))
            })
            .collect();

        let faithfulness = self.faithful.then(|| harness.faithfulness(&cases));
        let varied = if self.variety { harness.varied(&cases, &self.k) } else { Vec::new() };
        bar.finish_and_clear();
        let name = |value: Option<PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let measured = Measured {
            protocol: name(self.protocol.to_possible_value()),
            seen: name(self.seen.to_possible_value()),
            seed: self.seed,
            snapshot: &snapshot,
            lists: cases.len(),
            unknown,
            rows: &rows,
            varied: &varied,
            faithfulness,
            train_seconds,
        };
        measured.print(&self.k, self.json.as_deref(), self.plot.as_deref())
    }

    /// Reads the logs and the catalogue; says which rows are left out.
    fn read(&self, config: &Config) -> Result<(Logs, Catalogue), Failure> {
        let plan = self.dialect.plan()?;
        let mut data = Dataset::default();
        let read = |data: &mut Dataset, path: &Path| -> Result<Vec<_>, Failure> {
            let log = data.read(path, &plan)?;
            for (why, n) in &log.left_out {
                eprintln!("{}: {n} rows {why}", path.display());
            }
            Ok(log.events)
        };

        let mut log = Vec::new();
        let mut test = Vec::new();
        if let Some(holdout) = self.holdout {
            (log, test) = split::cut(read(&mut data, &config.data)?, holdout);
        } else if let Some(train) = &self.train {
            log = read(&mut data, train)?;
        }
        let catalogue = self.catalogue(&mut data, config)?;

        // Idx of users known only to the held-out part follow all others.
        let known_users = data.users.len();
        let known_items = data.items.len();
        let train = data.events(log);
        if let Some(path) = &self.test {
            test = read(&mut data, path)?;
        }
        Ok((Logs { data, train, test, known_users, known_items }, catalogue))
    }

    /// What is compared of the catalogue's items; says how many rows were refused.
    fn catalogue(&self, data: &mut Dataset, config: &Config) -> Result<Catalogue, Failure> {
        let Some(path) = &self.items else { return Ok(Catalogue::default()) };
        let columns = self.items_map.clone().unwrap_or_default();
        let documents = Reader::open(&config.catalog.text_model).map_err(Error::from)?;
        let dialect = Dialect::of_columns(columns);
        let (catalogue, refused) = data.catalogue(path, &dialect, &documents)?;
        if refused > 0 {
            eprintln!("{}: {refused} rows refused", path.display());
        }
        Ok(if self.no_content { Catalogue::default() } else { catalogue })
    }

    /// Tunes and trains, on the training part alone.
    fn model(
        &self,
        config: &Config,
        events: &UserEvents,
        corpus: &Arc<Corpus>,
        control: &Control<'_>,
    ) -> Result<(Snapshot, RepeatPolicy), Failure> {
        let task = match (self.protocol, self.seen) {
            (Protocol::NextItem, _) => Task::NextItem,
            (Protocol::Holdout, Seen::Mask) => Task::NextBasket(RepeatPolicy::ExcludePurchased),
            (Protocol::Holdout, Seen::Allow) => Task::NextBasket(RepeatPolicy::Allow),
            (Protocol::Holdout, Seen::Auto) => Task::NextBasket(RepeatPolicy::Auto),
        };

        let tuner = Tuner {
            corpus: corpus.clone(),
            ..Tuner::new(events, config.train.settings, self.seed, control)
        };

        let tuned = if self.no_tune {
            Tuned::untuned(config.train.settings)
        } else {
            tuner.tune(task, config.train.budget())?
        };

        // Rows of single sources need parts that the blend omits. Their embeddings are scanned,
        // which needs no graph.
        let asked = tuned.sources();
        let mut sources = Source::TRAINED.to_vec();
        let embedded = self.variety || asked.contains(&Source::Embedding);
        sources.retain(|source| *source != Source::Embedding || embedded);
        let data = TrainingData::new(events).with_corpus(corpus);
        let trained = train(&data, &tuned.settings, &sources, self.seed, control)?;
        let manifest =
            Manifest { newest_ms: events.as_of_ms(), seed: self.seed, ..Manifest::default() };

        let repeat = match task {
            Task::NextBasket(repeat)
                if repeat.resolved(&tuned.settings) == RepeatPolicy::ExcludePurchased =>
            {
                RepeatPolicy::ExcludePurchased
            }
            _ => RepeatPolicy::Allow,
        };
        Ok((tuned.snapshot(trained, manifest), repeat))
    }

    /// The cases, and the number of test users unknown to training part.
    fn cases(&self, logs: &Logs) -> (Vec<Case>, usize) {
        let users = logs.data.users.len();
        let test = UserEvents::new(users, logs.data.items.len(), logs.test.clone());
        let mut sold = vec![0; logs.data.items.len()];
        logs.train.all().iter().for_each(|event| sold[event.item as usize] += 1);
        let mut cases = Vec::new();
        let mut unknown = 0;
        for user in (0..users).filter(|&u| !test.of(u).is_empty()) {
            if self.protocol == Protocol::NextItem {
                cases.extend(validation::prefixes(test.of(user)));
                continue;
            }

            let history = if user < logs.known_users { logs.train.of(user) } else { &[] };
            if history.is_empty() {
                unknown += 1;
                continue;
            }

            let masked = self.seen == Seen::Mask;
            let bought = if masked { standing(history) } else { Vec::new() };
            let seen = |item: u32| bought.binary_search(&item).is_ok();
            let counts =
                |item: u32| !seen(item) && self.fewer_than.is_none_or(|n| sold[item as usize] < n);
            let wanted = test.of(user).iter().map(|e| e.item).filter(|&item| counts(item));

            let (known, new): (Vec<_>, Vec<_>) =
                wanted.partition(|&item| (item as usize) < logs.known_items);
            let truth = Truth::new(known, Truth::new(new, 0).len);
            if truth.len > 0 {
                let user = Some(user as UserIdx);
                let history = history.to_vec();
                cases.push(Case { user, history, session: Vec::new(), truth, next: None });
            }
        }
        (cases, unknown)
    }

    fn methods(&self, repeat: RepeatPolicy) -> Result<Vec<Method>, Failure> {
        let mut all = vec![Method::Popularity, Method::Popularity30d];
        if repeat == RepeatPolicy::Allow && self.protocol == Protocol::Holdout {
            all.push(Method::PersonalFrequency);
        }

        all.extend(Source::TRAINED.map(Method::Source));
        all.push(Method::Blend);
        if self.methods == ["all"] {
            return Ok(all);
        }

        let named = |name: &String| {
            all.iter().copied().find(|m| m.name() == name).ok_or_else(|| {
                let names: Vec<&str> = all.iter().map(|m| m.name()).collect();
                format!("no method {name:?}; there are: {}", names.join(", ")).into()
            })
        };
        self.methods.iter().map(named).collect()
    }
}

/// Some of the cases, evenly spread.
fn sampled(cases: Vec<Case>, wanted: usize) -> Vec<Case> {
    let all = cases.len();
    let count = wanted.min(all);
    let chosen = |(at, _): &(usize, Case)| at * count / all != (at + 1) * count / all;
    cases.into_iter().enumerate().filter(chosen).map(|(_, case)| case).collect()
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = "{elapsed_precise} {msg:20} {bar:30} {pos}/{len}  {eta} left";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}
