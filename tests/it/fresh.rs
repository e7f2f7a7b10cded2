//! What nobody was trained on: new items, new users, and what happened a moment ago.

use qianmian::domain::{Event, EventKind, Item, ItemChange, User, now_ms};
use qianmian::engine::{Answer, Engine, RecommendRequest, Write};
use qianmian::live::Filter;
use qianmian::model::Source;
use qianmian::recommend::Basis;

use crate::support::{self, purchases};

fn write(engine: &Engine, write: Write) {
    engine.writer().submit_blocking(write).unwrap().wait().unwrap();
}

/// Twenty users who bought three of ten old items each.
fn trained(folder: &tempfile::TempDir) -> Engine {
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    let rows: Vec<(String, String)> = (0..20)
        .flat_map(|u| (0..3).map(move |i| (format!("u{u}"), format!("old{}", (u + i) % 10))))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    write(&engine, Write::Events(purchases(&rows)));
    engine.trainer().train_blocking(true).unwrap();
    engine
}

fn ask(user: &str) -> RecommendRequest {
    RecommendRequest { user_id: user.into(), limit: 20, ..RecommendRequest::default() }
}

fn place(answer: &Answer, item: &str) -> Option<(usize, Source)> {
    let place = answer.entries.iter().position(|entry| entry.item_id == item)?;
    Some((place, answer.entries[place].source))
}

fn lamp(brand: &str) -> Item {
    Item { categories: vec!["home/lamps".into()], brand: brand.into(), ..Item::default() }
}

#[test]
fn a_new_item_has_neighbours_with_its_first_buyers() {
    let folder = tempfile::tempdir().unwrap();
    let engine = trained(&folder);
    let bought =
        |user: &str, item: &str| write(&engine, Write::Events(purchases(&[(user, item, 2)])));
    let alike = |item: &str| {
        engine
            .recommender()
            .similar_items(item, &crate::support::asked(&Filter::default(), 5))
            .unwrap()
    };
    bought("u0", "new");
    // One user's purchase: the item's neighbours are theirs, but nobody is shown it for it.
    let own = alike("new");
    assert!(
        place(&own, "old0").is_some_and(|(place, source)| place < 3 && source == Source::Fresh)
    );
    assert_eq!(
        place(&engine.recommender().recommend(&ask("u10")).unwrap(), "new").unwrap().1,
        Source::Catalog
    );
    for user in ["u1", "u9", "u19"] {
        bought(user, "new");
    }
    let (at, source) = place(&alike("old0"), "new").unwrap();
    assert!(at < 5 && source == Source::Fresh, "{at} {source:?}");
    // A user with the same items as those who took it.
    let (at, source) = place(&engine.recommender().recommend(&ask("u10")).unwrap(), "new").unwrap();
    assert!(at < 5 && source == Source::Fresh, "{at} {source:?}");
    let basket = ["new".to_owned()];
    let together = engine
        .recommender()
        .bought_together(&basket, &crate::support::asked(&Filter::default(), 3))
        .unwrap();
    assert!(together.entries.iter().all(|entry| entry.source == Source::Fresh), "{together:?}");
    // Taken off the shelf, it is gone; and the next training takes it all over.
    let gone = Item { available: false, ..Item::default() };
    write(&engine, Write::Items(vec![("new".into(), ItemChange::whole(gone))]));
    assert_eq!(place(&engine.recommender().recommend(&ask("u10")).unwrap(), "new"), None);
    assert_eq!(place(&alike("old0"), "new"), None);
    write(&engine, Write::Items(vec![("new".into(), ItemChange::whole(Item::default()))]));
    engine.trainer().train_blocking(true).unwrap();
    assert_eq!(place(&alike("old0"), "new").unwrap().1, Source::ItemCf);
}

#[test]
fn what_happened_since_the_training_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let engine = trained(&folder);
    for user in ["u0", "u1", "u9", "u19"] {
        write(&engine, Write::Events(purchases(&[(user, "new", 2)])));
    }
    let before = engine
        .recommender()
        .similar_items("old0", &crate::support::asked(&Filter::default(), 5))
        .unwrap()
        .entries;
    assert!(before.iter().any(|entry| entry.source == Source::Fresh), "{before:?}");
    drop(engine);
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    assert_eq!(
        engine
            .recommender()
            .similar_items("old0", &crate::support::asked(&Filter::default(), 5))
            .unwrap()
            .entries,
        before
    );
}

#[test]
fn items_that_have_no_user_in_common_are_not_alike() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    let pairs = [("u1", "a", "b"), ("u2", "a", "b"), ("u3", "c", "d"), ("u4", "c", "d")];
    let rows: Vec<_> =
        pairs.iter().flat_map(|&(user, one, other)| [(user, one, 1), (user, other, 1)]).collect();
    write(&engine, Write::Events(purchases(&rows)));
    engine.trainer().train_blocking(true).unwrap();
    let answer = engine
        .recommender()
        .similar_items("a", &crate::support::asked(&Filter::default(), 3))
        .unwrap();
    assert_eq!(place(&answer, "b"), Some((0, Source::ItemCf)));
    // Their embeddings point in no direction of a's: what is left of rounding is no likeness.
    for other in ["c", "d"] {
        assert_eq!(place(&answer, other).unwrap().1, Source::Popular, "{answer:?}");
    }
}

#[test]
fn items_that_nobody_took_are_known_by_the_catalogue() {
    let folder = tempfile::tempdir().unwrap();
    let engine = trained(&folder);
    let described = [("old3", "A"), ("old4", "B"), ("unseen", "A")];
    let items = described.map(|(id, brand)| (id.to_owned(), ItemChange::whole(lamp(brand))));
    write(&engine, Write::Items(items.to_vec()));
    let alike = engine
        .recommender()
        .similar_items("unseen", &crate::support::asked(&Filter::default(), 4))
        .unwrap();
    assert_eq!(place(&alike, "old3"), Some((0, Source::Content)));
    assert_eq!(place(&alike, "old4"), Some((1, Source::Content)));
    assert_eq!(alike.entries[2].source, Source::Popular);
    // In baskets, the lamps that are bought stand in for it.
    let together = engine
        .recommender()
        .bought_together(&["unseen".into()], &crate::support::asked(&Filter::default(), 3))
        .unwrap();
    assert!(together.entries.iter().all(|entry| entry.source == Source::Category), "{together:?}");
    // A visitor who looks at nothing but it gets what is like it.
    let session = RecommendRequest { session: vec!["unseen".into()], ..ask("") };
    let answer = engine.recommender().recommend(&session).unwrap();
    assert_eq!((answer.basis, answer.entries.len()), (Basis::Session, 10));
    assert_eq!(place(&answer, "old3"), Some((0, Source::Content)));
}

#[test]
fn who_has_done_nothing_gets_what_their_like_take_now() {
    let folder = tempfile::tempdir().unwrap();
    let engine = trained(&folder);
    let described = |user: &str, words: &[(&str, &str)]| {
        let attributes = words.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        write(&engine, Write::Users(vec![(user.into(), User { attributes, consent: true })]));
    };
    let now = now_ms();
    for n in 0..25 {
        let swede = format!("swede{n}");
        described(&swede, &[("country", "SE")]);
        let event = Event::new(EventKind::Purchase, &swede, "old7", now);
        write(&engine, Write::Events(vec![event]));
        let event = Event::new(EventKind::Purchase, &format!("other{n}"), "old2", now);
        write(
            &engine,
            Write::Events(vec![event.clone(), Event { item_id: "old5".into(), ..event }]),
        );
    }
    described("newcomer", &[("country", "SE"), ("device", "phone"), ("shoe size", "44")]);
    // Rankings are good for a second.
    let later = now + 2_000;
    let answer = engine.recommender().recommend_at(&ask("newcomer"), later).unwrap();
    assert_eq!((answer.basis, answer.cohort.as_str()), (Basis::Attributes, "country=SE"));
    let firsts: Vec<&str> =
        answer.entries.iter().map(|entry| entry.item_id.as_str()).take(3).collect();
    assert_eq!(firsts, ["old7", "old2", "old5"], "the cohort's, then everyone's of now");
    assert_eq!(answer.entries.len(), 10);
    // What the request says goes before what the store knows.
    let attributes = [("country".to_owned(), "NO".to_owned())].into();
    let elsewhere = RecommendRequest { attributes, ..ask("newcomer") };
    let answer = engine.recommender().recommend_at(&elsewhere, later).unwrap();
    assert_eq!((answer.basis, answer.cohort.as_str()), (Basis::Popular, ""));
    assert_eq!(answer.entries[0].item_id, "old2");
    // The first purchase ends it.
    write(&engine, Write::Events(purchases(&[("newcomer", "old1", 2)])));
    assert_eq!(
        engine.recommender().recommend_at(&ask("newcomer"), later).unwrap().basis,
        Basis::History
    );
}
