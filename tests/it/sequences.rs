//! Vectors learned from what visitors did step by step.

use qianmian::domain::{Event, EventKind, now_ms};
use qianmian::engine::{Engine, RecommendRequest, Write};
use qianmian::model::Source;

use crate::support;

/// Visitors who view eight of forty items that follow each other in a circle, a minute apart.
fn visits() -> Vec<Event> {
    let start_ms = now_ms() - 86_400_000;
    let view = |(visitor, n): (usize, usize)| {
        let time_ms = start_ms + n as i64 * 60_000 + visitor as i64;
        let item = format!("item{}", (visitor + n) % 40);
        Event::new(EventKind::View, &format!("visitor{visitor}"), &item, time_ms)
    };
    (0..400).flat_map(|visitor| (0..8).map(move |n| (visitor, n))).map(view).collect()
}

fn opened(folder: &tempfile::TempDir) -> Engine {
    let mut options = support::quiet();
    options.train.settings.blend.sequence = 1.0;
    options.train.settings.sequence.visits = 40_000;
    Engine::open(folder.path(), options).unwrap()
}

/// The first new item that is offered after others, and the items of the user that it follows from.
fn next(engine: &Engine, session: [usize; 4]) -> (String, Vec<String>) {
    let session = session.map(|item| format!("item{item}")).to_vec();
    let request = RecommendRequest {
        session: session.clone(),
        strategy: Some(Source::Sequence),
        limit: 10,
        explain: true,
        ..RecommendRequest::default()
    };
    let answer = engine.recommender().recommend(&request).unwrap();
    let first = answer.entries.iter().find(|entry| !session.contains(&entry.item_id)).unwrap();
    assert_eq!(first.source, Source::Sequence);
    let led_by = first.explanation.as_ref().unwrap().led_by.iter();
    (first.item_id.clone(), led_by.map(|event| event.item_id.clone()).collect())
}

#[test]
fn a_session_is_offered_what_comes_next_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let engine = opened(&folder);
    engine.writer().submit_blocking(Write::Events(visits())).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    let (item, led_by) = next(&engine, [4, 5, 6, 7]);
    assert_eq!(item, "item8");
    assert!(led_by.contains(&"item7".to_owned()), "{led_by:?}");

    drop(engine);
    let engine = opened(&folder);
    assert_eq!(next(&engine, [36, 37, 38, 39]).0, "item0", "read from disk");
}
