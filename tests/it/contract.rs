//! One contract for every source that learns: on a checkerboard, where users of even number have
//! the items of even number, the withheld diagonal comes back.

use qianmian::domain::{Event, EventKind, Item, ItemChange};
use qianmian::engine::options::EngineOptions;
use qianmian::engine::serve::ScoredItem;
use qianmian::engine::{Engine, RecommendRequest, Write};
use qianmian::live::Filter;
use qianmian::model::{Source, Window};
use qianmian::recommend::{Basis, RepeatPolicy, Variety};

use crate::support::{self, purchases};

const SIZE: usize = 20;

fn options() -> EngineOptions {
    let mut options = support::quiet();
    // With as many dimensions as the matrix has rank, a factorisation only repeats it.
    options.train.settings.embedding.dimensions = 8;
    options.train.settings.graph_filter.dimensions = 8;
    options.train.settings.blend.graph_filter = 0.3;
    options
}

fn checkerboard(data: &std::path::Path) -> Engine {
    let engine = Engine::open(data, options()).unwrap();
    let names: Vec<(String, String)> = (0..SIZE)
        .flat_map(|u| (0..SIZE).map(move |i| (u, i)))
        .filter(|(u, i)| u % 2 == i % 2 && u != i)
        .map(|(u, i)| (format!("u{u}"), format!("i{i}")))
        .collect();
    let rows: Vec<_> = names.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    engine.writer().submit_blocking(Write::Events(purchases(&rows))).unwrap().wait().unwrap();
    engine
}

fn ask(user: usize, strategy: Option<Source>) -> RecommendRequest {
    RecommendRequest {
        user_id: format!("u{user}"),
        limit: 1,
        strategy,
        repeat: Some(RepeatPolicy::ExcludePurchased),
        ..Default::default()
    }
}

#[test]
fn the_withheld_diagonal_comes_back_from_every_source() {
    let folder = tempfile::tempdir().unwrap();
    let engine = checkerboard(folder.path());
    engine.trainer().train_blocking(true).unwrap();
    let sources = [Source::ItemCf, Source::UserCf, Source::Embedding, Source::GraphFilter];
    for strategy in sources.map(Some).into_iter().chain([None]) {
        for user in 0..SIZE {
            let answer = engine.recommender().recommend(&ask(user, strategy)).unwrap();
            assert_eq!(answer.basis, Basis::History);
            let best = &answer.entries[0];
            assert_eq!(best.item_id, format!("i{user}"), "{strategy:?} for user {user}");
            assert!(best.score > 0.0);
            if let Some(strategy) = strategy {
                assert_eq!(best.source, strategy);
            }
        }
    }
}

#[test]
fn related_lists_keep_to_their_colour() {
    let folder = tempfile::tempdir().unwrap();
    let engine = checkerboard(folder.path());
    engine.trainer().train_blocking(true).unwrap();
    let is_even = |id: &str| id[1..].parse::<usize>().unwrap().is_multiple_of(2);
    let even = |items: &[ScoredItem]| items.iter().all(|item| is_even(&item.item_id));
    let own = SIZE / 2;
    let similar = engine
        .recommender()
        .similar_items("i0", &crate::support::asked(&Filter::default(), own - 1))
        .unwrap();
    assert!(even(&similar.entries), "{similar:?}");
    let basket = ["i0".to_owned(), "i2".to_owned()];
    let together = engine
        .recommender()
        .bought_together(&basket, &crate::support::asked(&Filter::default(), own - 2))
        .unwrap();
    assert!(even(&together.entries), "{together:?}");
    assert!(together.entries.iter().all(|e| e.source == Source::BoughtTogether));
    let users = engine.recommender().similar_users("u0", own - 1).unwrap();
    assert!(users.entries.iter().all(|user| is_even(&user.user_id)), "{users:?}");
    let popular = engine
        .recommender()
        .popular(Window::AllTime, &crate::support::asked(&Filter::default(), 1))
        .unwrap();
    assert_eq!(popular.entries[0].score, (own - 1) as f32, "everyone but the diagonal's owner");
    assert_eq!(popular.entries[0].item_id, "i2", "ties go to the item heard of first, u0's");
}

#[test]
fn the_same_log_and_seed_give_the_same_answers() {
    let lists = || {
        let folder = tempfile::tempdir().unwrap();
        let engine = checkerboard(folder.path());
        engine.trainer().train_blocking(true).unwrap();
        let now_ms = 1_700_000_000_000;
        let ask = |user| RecommendRequest { limit: 10, ..ask(user, None) };
        (0..SIZE)
            .map(|user| engine.recommender().recommend_at(&ask(user), now_ms).unwrap().entries)
            .collect::<Vec<_>>()
    };
    assert_eq!(lists(), lists());
}

#[test]
fn a_prepared_list_is_the_one_made_when_asked_and_ends_with_the_next_event() {
    let folder = tempfile::tempdir().unwrap();
    drop(checkerboard(folder.path()));
    let lists = |engine: &Engine| -> Vec<_> {
        let now_ms = engine.models().active().unwrap().manifest.newest_ms;
        let asked =
            (0..SIZE).map(|user| engine.recommender().recommend_at(&ask(user, None), now_ms));
        asked.map(|answer| answer.unwrap().entries).collect()
    };
    let mut without = options();
    without.train.prepared_lists = 0;
    let engine = Engine::open(folder.path(), without).unwrap();
    engine.trainer().train_blocking(true).unwrap();
    let made_when_asked = lists(&engine);
    assert!(engine.models().active().unwrap().parts.prepared.items.is_empty());
    drop(engine);

    // The very first model gets them while it answers, later ones before they do.
    let engine = Engine::open(folder.path(), options()).unwrap();
    engine.trainer().train_blocking(true).unwrap();
    let first = || engine.models().active().unwrap().parts.prepared.items.len();
    for _ in 0..200 {
        if first() > 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(first(), SIZE * (SIZE / 2 + 1), "what each does not have");
    assert_eq!(lists(&engine), made_when_asked);
    engine.trainer().train_blocking(false).unwrap();
    let prepared = engine.models().active().unwrap().parts.prepared.clone();
    assert_eq!(prepared.items.len(), SIZE * (SIZE / 2 + 1), "what each does not have");
    assert_eq!(lists(&engine), made_when_asked);
    let bought = Write::Events(purchases(&[("u0", "i0", 2)]));
    engine.writer().submit_blocking(bought).unwrap().wait().unwrap();
    assert_ne!(engine.recommender().recommend(&ask(0, None)).unwrap().entries[0].item_id, "i0");
    assert_eq!(engine.recommender().recommend(&ask(1, None)).unwrap().entries, made_when_asked[1]);
}

/// Every user buys milk weekly and a fridge once; the fridge comes first.
#[test]
fn what_is_used_up_comes_back_when_it_is_due_and_what_lasts_does_not() {
    const DAY_MS: i64 = 86_400_000;
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    let bought = |item: &str, day: i64, user: i64| {
        Event::new(EventKind::Purchase, &format!("u{user}"), item, day * DAY_MS + user)
    };
    let of_user = |user| {
        let milk = (0..6).map(move |week| bought("milk", 7 * week, user));
        milk.chain([bought("fridge", 0, user), bought(&format!("own{user}"), 35, user)])
    };
    let events = (0..20).flat_map(of_user).collect();
    engine.writer().submit_blocking(Write::Events(events)).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    let offered = |repeat, days_later: i64| -> Vec<String> {
        let request = RecommendRequest {
            user_id: "u3".into(),
            limit: 50,
            repeat: Some(repeat),
            ..RecommendRequest::default()
        };
        let answer =
            engine.recommender().recommend_at(&request, (35 + days_later) * DAY_MS + 3).unwrap();
        let all = answer.entries.into_iter().map(|entry| entry.item_id);
        all.filter(|item| !item.starts_with("own")).collect()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(offered(RepeatPolicy::WhenDue, 3), nothing);
    assert_eq!(offered(RepeatPolicy::WhenDue, 7), ["milk"]);
    assert_eq!(offered(RepeatPolicy::WhenDue, 400), ["milk"]);
    assert_eq!(offered(RepeatPolicy::ExcludeWithin(30), 1), ["fridge"]);
    assert_eq!(offered(RepeatPolicy::ExcludeWithin(30), 31).len(), 2);
    assert_eq!(offered(RepeatPolicy::ExcludePurchased, 400), nothing);
}

/// Lamps that users took, and new ones that are alike: a list has places for these after its tenth,
/// whatever else is done to it, and whether it was prepared or not.
#[test]
fn new_items_have_their_places_in_the_list_that_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let engine = lamps(folder.path(), 50_000);
    assert!(!engine.models().active().unwrap().parts.prepared.items.is_empty());
    let asked = |user: usize| RecommendRequest { limit: 20, ..ask(user, None) };
    let now_ms = engine.models().active().unwrap().manifest.newest_ms;
    let list = |engine: &Engine, request: RecommendRequest| {
        engine.recommender().recommend_at(&request, now_ms).unwrap().entries
    };
    let new = |list: &[ScoredItem]| -> Vec<usize> {
        let are_new = list.iter().enumerate().filter(|(_, item)| item.item_id.starts_with("new"));
        are_new.map(|(place, _)| place).collect()
    };

    let whole = list(&engine, asked(3));
    assert_eq!(new(&whole), [14, 19], "{whole:?}");
    // What a filter takes out does not move new items up to the first page.
    let exclude: Vec<String> = whole[..6].iter().map(|item| item.item_id.clone()).collect();
    let filtered = RecommendRequest { exclude, ..asked(3) };
    assert_eq!(new(&list(&engine, filtered.clone())), [14, 19]);
    let varied = Variety { lambda: 0.9, exploration: 0.5, ..Variety::default() };
    let varied = RecommendRequest { variety: Some(varied), explain: true, ..asked(3) };
    let shown = list(&engine, varied);
    let drawn = shown.iter().filter(|item| item.propensity < 0.5).count();
    assert!(drawn > 0 && new(&shown).len() > 2, "{shown:?}");
    assert!([14, 19].into_iter().all(|at| shown[at].propensity == 1.0), "{shown:?}");
    for item in &shown {
        let why = item.explanation.as_ref().unwrap();
        let sum = why.blend_score + why.second_stage + why.room + why.variety;
        assert!((sum - item.score).abs() < 1e-4 && why.blend_score >= 0.0, "{item:?}");
    }

    // A later page goes on; scores fall from its first place on, which is a new item's.
    let ids = |list: &[ScoredItem]| list.iter().map(|item| item.idx.unwrap()).collect::<Vec<_>>();
    let first = RecommendRequest { limit: 14, ..asked(3) };
    let shown_before = ids(&list(&engine, first));
    let second = list(&engine, RecommendRequest { limit: 10, shown_before, ..asked(3) });
    assert_eq!(new(&second), [0, 5]);
    assert!(second.is_sorted_by(|a, b| a.score >= b.score), "{second:?}");

    let made_when_asked = lamps(&folder.path().join("other"), 0);
    assert_eq!(list(&made_when_asked, asked(3)), whole);
    assert_eq!(new(&list(&made_when_asked, filtered)), [14, 19]);
}

/// A store of lamps, with the second model: only the very first gets its lists while it answers.
fn lamps(data: &std::path::Path, prepared_lists: usize) -> Engine {
    let mut options = options();
    options.train.prepared_lists = prepared_lists;
    options.train.settings.content.room = 0.2;
    let engine = Engine::open(data, options).unwrap();
    let titled = |id: String, title: &str| {
        (id, ItemChange::whole(Item { title: title.into(), ..Item::default() }))
    };
    let known = (0..45).map(|n| titled(format!("lamp{n}"), "lamp"));
    let new = (0..12).map(|n| titled(format!("new{n}"), "lamp of a new kind"));
    let items = Write::Items(known.chain(new).collect());
    engine.writer().submit_blocking(items).unwrap().wait().unwrap();

    let names: Vec<(String, String)> = (0..30)
        .flat_map(|u| (0..20).map(move |n| (format!("u{u}"), format!("lamp{}", (u + n) % 45))))
        .collect();
    let rows: Vec<_> = names.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    engine.writer().submit_blocking(Write::Events(purchases(&rows))).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    engine.trainer().train_blocking(false).unwrap();
    engine
}
