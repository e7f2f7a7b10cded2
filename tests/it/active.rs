//! Lists of active users follow each of their events, and are those that a request would blend.

use std::sync::Arc;
use std::time::Duration;

use qianmian::domain::{Event, EventKind, Item, ItemChange};
use qianmian::engine::stats::Made;
use qianmian::engine::{Answer, Engine, RecommendRequest, Write};

use crate::support::{self, purchases};

const USERS: usize = 40;
const ITEMS: usize = 30;

/// A trained store without a prepared list.
fn store(data: &std::path::Path, active_lists: usize) -> Arc<Engine> {
    let mut options = support::quiet();
    options.train.prepared_lists = 0;
    options.recommend.active_lists = active_lists;
    options.train.settings.embedding.dimensions = 8;
    let engine = Engine::open(data, options).unwrap();
    let names: Vec<(String, String)> = (0..USERS)
        .flat_map(|user| (0..8).map(move |n| (user, (user + n * n) % ITEMS)))
        .map(|(user, item)| (format!("u{user}"), format!("i{item}")))
        .collect();
    let rows: Vec<_> = names.iter().map(|(user, item)| (&user[..], &item[..], 1)).collect();
    engine.writer().submit_blocking(Write::Events(purchases(&rows))).unwrap().wait().unwrap();
    let items = (0..ITEMS).map(|item| titled(&format!("i{item}")));
    let items = Write::Items(items.collect());
    engine.writer().submit_blocking(items).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    Arc::new(engine)
}

/// All items are alike.
fn titled(id: &str) -> (String, ItemChange) {
    let item = Item { title: "lamp".to_owned(), ..Item::default() };
    (id.to_owned(), ItemChange::whole(item))
}

fn request() -> RecommendRequest {
    RecommendRequest { user_id: "u3".to_owned(), limit: 20, ..RecommendRequest::default() }
}

async fn write(engine: &Arc<Engine>, write: Write) {
    let engine = engine.clone();
    let waits = move || engine.writer().submit_blocking(write).unwrap().wait().unwrap();
    tokio::task::spawn_blocking(waits).await.unwrap();
}

async fn buy(engine: &Arc<Engine>, item: &str, time_ms: i64) {
    let event = Event::new(EventKind::Purchase, "u3", item, time_ms);
    write(engine, Write::Events(vec![event])).await;
}

/// The first answer that reads a list that was made; none within seconds.
async fn made(engine: &Engine) -> Option<Answer> {
    for _ in 0..200 {
        let answer = engine.recommender().serve(request()).await.unwrap();
        if answer.made == Made::Prepared {
            return Some(answer);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_after_a_click_is_made_before_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let engine = tokio::task::spawn_blocking(move || store(&path, 100)).await.unwrap();
    let first = engine.recommender().serve(request()).await.unwrap();
    assert_eq!(first.made, Made::Blended);
    write(&engine, Write::Items(vec![titled("new")])).await;

    let mut best = first.entries[0].item_id.clone();
    for time_ms in [10, 20, 30] {
        buy(&engine, &best, time_ms).await;
        let list = made(&engine).await.expect("it is made after the event");
        let anew = engine.recommender().recommend(&request()).unwrap();
        assert_eq!(anew.made, Made::Blended);
        let ids = |answer: &Answer| -> Vec<String> {
            answer.entries.iter().map(|entry| entry.item_id.clone()).collect()
        };
        assert_eq!(ids(&list), ids(&anew), "after {best}");
        assert!(!ids(&list).contains(&best), "it is bought: {list:?}");
        assert!(ids(&list).contains(&"new".to_owned()), "it is new: {list:?}");
        best.clone_from(&list.entries[0].item_id);
    }

    // An erased user's is gone with the rest.
    write(&engine, Write::Erase(vec!["u3".to_owned()], 40)).await;
    let after = engine.recommender().serve(request()).await.unwrap();
    assert_eq!(after.made, Made::Cold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_new_items_alone_gets_what_is_taken_now() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let engine = tokio::task::spawn_blocking(move || store(&path, 100)).await.unwrap();
    let request = || RecommendRequest { user_id: "visitor".to_owned(), ..request() };
    for time_ms in 10..15 {
        let event = Event::new(EventKind::View, "visitor", "new", time_ms);
        write(&engine, Write::Events(vec![event])).await;
        for _ in 0..3 {
            let answer = engine.recommender().serve(request()).await.unwrap();
            assert_eq!(answer.made, Made::Cold);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_may_keep_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let engine = tokio::task::spawn_blocking(move || store(&path, 0)).await.unwrap();
    for _ in 0..5 {
        buy(&engine, "i20", 10).await;
        let answer = engine.recommender().serve(request()).await.unwrap();
        assert_eq!(answer.made, Made::Blended);
    }
}
