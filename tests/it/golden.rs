//! The same log, settings and seed give the same lists, whatever was made faster since.
//! What the lists were is kept in `golden.txt`. After a change that is meant to change
//! them, delete that file: the test then fails once and writes it anew.

use std::convert::Infallible;
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use qianmian::domain::history::basket_number;
use qianmian::domain::progress::Control;
use qianmian::domain::{EventKind, HistoryEvent, Price};
use qianmian::live::{Catalogue, Filter};
use qianmian::matrix::UserEvents;
use qianmian::model::settings::EmbeddingTrainer;
use qianmian::model::{Manifest, Settings, Snapshot, Source};
use qianmian::recommend::{Query, RepeatPolicy, Scratch, Shelf, recommend};
use qianmian::sources::train;
use qianmian::train::TrainingData;

#[path = "../../src/bin/qianmian-bench/store.rs"]
mod store;

use store::Synth;

const USERS: usize = 300;
const ITEMS: usize = 400;
/// Every how many-th user is asked for.
const ASKED: usize = 25;
/// Processors round the last digits in their own ways.
const TOLERANCE: f32 = 1e-3;
/// And items whose scores are that close may change places.
const SAME_PLACES: f64 = 0.98;

fn log() -> UserEvents {
    let synth = Synth { users: USERS as u64, items: ITEMS as u64, events: 6_000, seed: 1 };
    let mut log = Vec::new();
    let Ok(()) = synth.write(|p| -> Result<(), Infallible> {
        let event = HistoryEvent {
            quantity: p.quantity as f32,
            basket: basket_number(&p.basket.to_string()),
            price: Price::new(Some(f64::from(p.price) / 100.0)),
            ..HistoryEvent::new(EventKind::Purchase, p.item as u32, p.time_ms)
        };
        log.push((p.user as u32, event));
        Ok(())
    });
    UserEvents::new(USERS, ITEMS, log)
}

/// Method and user of each list, and its items with their scores.
type Lists = Vec<(String, Vec<(u32, f32)>)>;

fn lists(events: &UserEvents, trainer: EmbeddingTrainer) -> Lists {
    let mut settings = Settings::default();
    settings.embedding.trainer = trainer;
    settings.embedding.dimensions = 16;
    Source::TRAINED.into_iter().for_each(|source| settings.blend.set_weight(source, 0.5));
    let cancel = AtomicBool::new(false);
    let control = Control::new(&|_| {}, &cancel);
    let data = TrainingData::new(events);
    let trained = train(&data, &settings, &Source::TRAINED, 1, &control).unwrap();
    let manifest = Manifest { settings, newest_ms: events.as_of_ms(), ..Manifest::default() };
    let snapshot = Snapshot { manifest, parts: trained.parts };
    let (catalogue, filter) = (Catalogue::default(), Filter::default());
    let shelf = Shelf::of(&catalogue, ITEMS, &filter, events.as_of_ms());
    let mut scratch = Scratch::default();
    let mut ask = |user: usize, strategy: Option<Source>| {
        let query = Query {
            user: Some(user as u32),
            history: events.of(user),
            limit: 10,
            strategy,
            repeat: RepeatPolicy::Allow,
            ..Query::on(shelf)
        };
        let items = recommend(&snapshot, &query, &mut scratch).items;
        let name = strategy.map_or("blend", Source::name);
        let entries = items.iter().map(|r| (r.item, r.score)).collect();
        (format!("{trainer:?} {name} {user}"), entries)
    };
    let strategies: Vec<Option<Source>> =
        Source::TRAINED.into_iter().map(Some).chain([None]).collect();
    (0..USERS)
        .step_by(ASKED)
        .flat_map(|u| strategies.iter().map(move |&s| (u, s)))
        .map(|(user, strategy)| ask(user, strategy))
        .collect()
}

fn write(lists: &Lists) -> String {
    let mut text = String::new();
    for (name, entries) in lists {
        text.push_str(name);
        entries.iter().for_each(|(item, score)| write!(text, " {item}:{score}").unwrap());
        text.push('\n');
    }
    text
}

fn read(text: &str) -> Lists {
    let entry = |word: &str| {
        let (item, score) = word.split_once(':').unwrap();
        (item.parse().unwrap(), score.parse().unwrap())
    };
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[..3].join(" "), words[3..].iter().map(|word| entry(word)).collect())
        })
        .collect()
}

#[test]
fn lists_are_what_they_were() {
    let events = log();
    let mut now = lists(&events, EmbeddingTrainer::Svd);
    now.extend(lists(&events, EmbeddingTrainer::Ials));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden.txt");
    let Ok(text) = std::fs::read_to_string(&path) else {
        std::fs::write(&path, write(&now)).unwrap();
        panic!("{} was missing and is written anew", path.display());
    };
    let before = read(&text);
    assert_eq!(before.len(), now.len());
    let (mut places, mut same) = (0, 0);
    for ((name, before), (name_now, now)) in before.iter().zip(&now) {
        assert_eq!(name, name_now);
        assert_eq!(before.len(), now.len(), "{name}");
        for ((item, score), (item_now, score_now)) in before.iter().zip(now) {
            let apart = (score - score_now).abs();
            assert!(apart <= TOLERANCE * score.abs().max(TOLERANCE), "{name}: {score} {score_now}");
            places += 1;
            same += usize::from(item == item_now);
        }
    }
    assert!(same as f64 >= SAME_PLACES * places as f64, "{same} of {places} places are the same");
}
