//! Time that is not what it seems: one event years after all others, a clock that was ahead.

use qianmian::domain::{DAY_MS, Event, EventKind, now_ms};
use qianmian::engine::{Engine, RecommendRequest, Write};
use qianmian::live::Filter;
use qianmian::model::Window;
use qianmian::recommend::RepeatPolicy;

use crate::support;

fn write(engine: &Engine, events: Vec<Event>) {
    engine.writer().submit_blocking(Write::Events(events)).unwrap().wait().unwrap();
}

/// Two hundred users over sixty days; item n is bought by those whose number it divides, and by
/// more of late the higher it is.
fn log(ends_ms: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for user in 0..200i64 {
        for n in 1..=12 {
            if user % n == 0 {
                let time_ms = ends_ms - (user % 60) * DAY_MS;
                let (user, item) = (format!("u{user}"), format!("item-{n}"));
                events.push(Event::new(EventKind::Purchase, &user, &item, time_ms));
            }
        }
    }
    events
}

fn cold(engine: &Engine) -> Vec<(String, f32)> {
    let request =
        RecommendRequest { user_id: "stranger".into(), limit: 10, ..RecommendRequest::default() };
    let entries = engine.recommender().recommend(&request).unwrap().entries;
    entries.into_iter().map(|item| (item.item_id, item.score)).collect()
}

fn names(list: &[(String, f32)]) -> Vec<&str> {
    list.iter().map(|(id, _)| id.as_str()).collect()
}

/// An event of today on a log that ended years ago: a crawler's view, or the first after an import.
#[test]
fn one_event_of_today_does_not_decide_everyones_list() {
    for years in [1, 3, 15] {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(folder.path(), support::quiet()).unwrap();
        write(&engine, log(now_ms() - years * 365 * DAY_MS));
        engine.trainer().train_blocking(true).unwrap();
        let before = cold(&engine);
        assert_eq!(before[0].0, "item-1", "{before:?}");

        for retrained in [false, true] {
            write(&engine, vec![Event::new(EventKind::View, "crawler", "item-11", now_ms())]);
            if retrained {
                engine.trainer().train_blocking(true).unwrap();
            }
            let after = cold(&engine);
            assert_eq!(names(&after)[..3], names(&before)[..3], "{years} years, {retrained}");
            assert!(after.iter().all(|(_, score)| *score > 0.0), "{after:?}");
            assert!(after.is_sorted_by(|a, b| a.1 >= b.1), "{after:?}");
        }
        let window = engine
            .recommender()
            .popular(Window::Days30, &crate::support::asked(&Filter::default(), 3))
            .unwrap();
        assert_eq!(window.entries[0].item_id, "item-1");

        // Enough users who do something today are heard at once.
        let now: Vec<Event> = (0..30)
            .map(|n| Event::new(EventKind::Purchase, &format!("new-{n}"), "item-7", now_ms()))
            .collect();
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        write(&engine, now);
        assert_eq!(cold(&engine)[0].0, "item-7");
    }
}

/// Events that a clock twenty years ahead wrote down count as of now, also after a restart.
#[test]
fn a_clock_that_was_ahead_poisons_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    write(&engine, log(now_ms() - DAY_MS));
    engine.trainer().train_blocking(true).unwrap();
    let before = cold(&engine);
    let ahead = now_ms() + 20 * 365 * DAY_MS;
    write(
        &engine,
        vec![
            Event::new(EventKind::Purchase, "u6", "item-12", ahead),
            Event::new(EventKind::Purchase, "u7", "item-11", ahead + 1),
        ],
    );
    drop(engine);

    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    assert!(engine.live().ahead_ms() > 19 * 365 * DAY_MS, "the start can warn of it");
    assert!(engine.live().newest_ms() <= now_ms());
    assert_eq!(names(&cold(&engine))[..3], names(&before)[..3]);
    engine.trainer().train_blocking(true).unwrap();
    let active = engine.models().active().unwrap();
    assert!(active.manifest.newest_ms <= now_ms());
    assert_eq!(names(&cold(&engine))[..3], names(&before)[..3]);
    let window = engine
        .recommender()
        .popular(Window::Days7, &crate::support::asked(&Filter::default(), 5))
        .unwrap();
    assert_eq!(window.entries[0].item_id, "item-1", "{:?}", window.entries);

    // Whoever was there with the wrong clock is not offered what they bought then.
    let request = RecommendRequest {
        user_id: "u6".into(),
        limit: 12,
        repeat: Some(RepeatPolicy::ExcludeWithin(30)),
        ..RecommendRequest::default()
    };
    let offered = engine.recommender().recommend(&request).unwrap().entries;
    assert!(offered.iter().all(|item| item.item_id != "item-12"), "{offered:?}");
}

/// What was bought stays bought, however little of a history is kept: serving and evaluation leave
/// out the same.
#[test]
fn what_was_bought_is_not_offered_again() {
    use qianmian::domain::history::standing;
    use qianmian::live::history_event;
    use qianmian::store::{Entry, Record};

    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.recommend.history_limit = 5;
    let engine = Engine::open(folder.path(), options.clone()).unwrap();
    let start = now_ms() - 90 * DAY_MS;
    let mut events = Vec::new();
    for user in 0..20i64 {
        for n in 0..25 {
            let item = format!("item-{}", (user * 7 + n * 3) % 40);
            let time_ms = start + n * DAY_MS;
            let kind = if n % 9 == 8 { EventKind::Refund } else { EventKind::Purchase };
            events.push(Event::new(kind, &format!("u{user}"), &item, time_ms));
        }
    }
    write(&engine, events);
    engine.trainer().train_blocking(true).unwrap();
    drop(engine);

    let engine = Engine::open(folder.path(), options).unwrap();
    let mut histories = vec![Vec::new(); 20];
    engine
        .replay(&mut |entry| {
            if let Entry::Record(_, Record::Event(event)) = entry {
                histories[event.user as usize].push(history_event(&event));
            }
        })
        .unwrap();
    for (user, history) in histories.iter().enumerate() {
        let request = RecommendRequest {
            user_id: format!("u{user}"),
            limit: 40,
            repeat: Some(RepeatPolicy::ExcludePurchased),
            ..RecommendRequest::default()
        };
        let offered = engine.recommender().recommend(&request).unwrap().entries;
        let offered: Vec<u32> =
            offered.iter().map(|item| engine.live().item(&item.item_id).unwrap()).collect();
        let bought = standing(history);
        assert!(bought.len() > 10 && offered.iter().all(|item| !bought.contains(item)));
        assert_eq!(offered.len(), engine.live().items.read().len() - bought.len());
    }
}
