//! What visitors looked at a moment ago, and come back to.

use qianmian::domain::{Event, EventKind, now_ms};
use qianmian::engine::{Engine, RecommendRequest, Write};
use qianmian::model::Source;

use crate::support;

/// Two hundred visitors, each with three views a minute apart.
fn viewed(items: impl Fn(usize) -> [usize; 3]) -> Vec<Event> {
    let start_ms = now_ms() - 86_400_000;
    let views = |visitor: usize| {
        let view = move |(at, item)| {
            let time_ms = start_ms + at * 60_000 + visitor as i64;
            let (user, item) = (format!("visitor{visitor}"), format!("item{item}"));
            Event::new(EventKind::View, &user, &item, time_ms)
        };
        (0i64..).zip(items(visitor)).map(view)
    };
    (0..200).flat_map(views).collect()
}

fn opened(folder: &tempfile::TempDir) -> Engine {
    let mut options = support::quiet();
    options.train.settings.blend.revisit = 1.0;
    Engine::open(folder.path(), options).unwrap()
}

fn trained(folder: &tempfile::TempDir, events: Vec<Event>) -> Engine {
    let engine = opened(folder);
    engine.writer().submit_blocking(Write::Events(events)).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    engine
}

/// What a session of the items 1, 2 and 3 is offered by returns, best first.
fn offered(engine: &Engine) -> Vec<String> {
    let request = RecommendRequest {
        session: ["item1", "item2", "item3"].map(str::to_owned).to_vec(),
        strategy: Some(Source::Revisit),
        limit: 5,
        ..RecommendRequest::default()
    };
    let answer = engine.recommender().recommend(&request).unwrap();
    let returns = answer.entries.iter().filter(|entry| entry.source == Source::Revisit);
    returns.map(|entry| entry.item_id.clone()).collect()
}

#[test]
fn visitors_who_come_back_are_offered_the_items_before_the_one_in_view() {
    let folder = tempfile::tempdir().unwrap();
    let back_and_forth = |visitor: usize| [visitor % 10, (visitor + 3) % 10, visitor % 10];
    let engine = trained(&folder, viewed(back_and_forth));
    assert_eq!(offered(&engine), ["item2", "item1"]);

    drop(engine);
    assert_eq!(offered(&opened(&folder)), ["item2", "item1"], "read from disk");
}

#[test]
fn where_visitors_never_come_back_nothing_is_offered_again() {
    let folder = tempfile::tempdir().unwrap();
    let onwards = |visitor: usize| [visitor % 10, (visitor + 3) % 10, (visitor + 5) % 10];
    assert!(offered(&trained(&folder, viewed(onwards))).is_empty());
}
