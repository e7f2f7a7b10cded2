//! The catalogue is the law: whatever the catalogue, the filter and the behaviour, no list
//! holds what may not be offered, and every list is as long as what may be offered allows.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use qianmian::domain::{Event, EventKind, Item, ItemChange, Validity};
use qianmian::engine::{Answer, Engine, RecommendRequest, Write};
use qianmian::live::{Condition, Filter};
use qianmian::model::{Source, Window};
use qianmian::recommend::RepeatPolicy;

use crate::support;

const USERS: usize = 4;
/// The year 2200.
const FAR_MS: i64 = 7_258_118_400_000;

/// A store: what the catalogue says of each item, if anything, and who did what.
#[derive(Debug, Clone)]
struct Store {
    items: Vec<Option<Item>>,
    events: Vec<(usize, usize, EventKind)>,
}

fn item() -> impl Strategy<Value = Item> {
    let categories = prop::collection::vec(select(&["a", "a/b", "a/b/c", "d"][..]), 0..3);
    let tags = prop::collection::vec(select(&["s", "t"][..]), 0..2);
    let attributes =
        prop::collection::btree_map(select(&["k", "l"][..]), select(&["v", "w"][..]), 0..2);
    let brand = select(&["", "x", "y"][..]);
    let until_past = Validity { from_ms: None, until_ms: Some(1) };
    let now = Validity { from_ms: Some(1), until_ms: Some(FAR_MS) };
    let from_far = Validity { from_ms: Some(FAR_MS), until_ms: None };
    let validity = select(vec![Validity::default(), now, until_past, from_far]);
    let price = prop::option::of(0u8..20);
    (categories, brand, price, tags, any::<bool>(), attributes, validity).prop_map(
        |(categories, brand, price, tags, available, attributes, validity)| Item {
            categories: categories.into_iter().map(str::to_owned).collect(),
            brand: brand.to_owned(),
            price: price.map(f64::from),
            tags: tags.into_iter().map(str::to_owned).collect(),
            available,
            attributes: attributes.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            validity,
            ..Item::default()
        },
    )
}

fn store() -> impl Strategy<Value = Store> {
    prop::collection::vec(prop::option::weighted(0.8, item()), 2..30).prop_flat_map(|items| {
        let kind = prop_oneof![3 => Just(EventKind::Purchase), 1 => Just(EventKind::View)];
        let event = (0..USERS, 0..items.len(), kind);
        (Just(items), prop::collection::vec(event, 1..60))
            .prop_map(|(items, events)| Store { items, events })
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![
        select(&["a", "a/b", "d", "none"][..]).prop_map(|c| Condition::Category(c.into())),
        select(&["x", "y", "z"][..]).prop_map(|b| Condition::Brand(b.into())),
        select(&["s", "t", "u"][..]).prop_map(|t| Condition::Tag(t.into())),
        (select(&["k", "l", "m"][..]), select(&["v", "w"][..]))
            .prop_map(|(k, v)| Condition::Attribute(k.into(), v.into())),
        (0u8..20, 0u8..20).prop_map(|(a, b)| Condition::Price(a.min(b).into(), a.max(b).into())),
    ];
    leaf.prop_recursive(3, 12, 3, |part| {
        let parts = prop::collection::vec(part.clone(), 1..3);
        prop_oneof![
            parts.clone().prop_map(Condition::All),
            parts.prop_map(Condition::Any),
            part.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    (prop::option::of(condition()), any::<bool>()).prop_map(|(condition, include_unavailable)| {
        Filter { condition, include_unavailable, ..Filter::default() }
    })
}

/// Whether a condition holds, read from the item itself.
fn holds(condition: &Condition, item: &Item) -> bool {
    match condition {
        Condition::Category(path) => {
            item.categories.iter().any(|c| c == path || c.starts_with(&format!("{path}/")))
        }
        Condition::Brand(brand) => item.brand == *brand,
        Condition::Tag(tag) => item.tags.contains(tag),
        Condition::Attribute(name, value) => item.attributes.get(name) == Some(value),
        Condition::Price(min, max) => item.price.is_some_and(|p| p >= *min && p <= *max),
        Condition::All(parts) => parts.iter().all(|part| holds(part, item)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, item)),
        Condition::Not(part) => !holds(part, item),
    }
}

impl Store {
    fn open(&self, folder: &std::path::Path) -> Engine {
        let engine = Engine::open(folder, support::quiet()).unwrap();
        let described = self.items.iter().enumerate();
        let described =
            described.filter_map(|(i, item)| Some((name(i), ItemChange::whole(item.clone()?))));
        write(&engine, Write::Items(described.collect()));
        // Every item is heard of, if only because somebody looked at it.
        let seen = (0..self.items.len()).map(|i| (USERS, i, EventKind::View));
        let events = seen.chain(self.events.iter().copied()).enumerate();
        let event = |(at, (user, item, kind)): (usize, (usize, usize, EventKind))| {
            Event::new(kind, &format!("u{user}"), &name(item), 1_000_000 * at as i64)
        };
        write(&engine, Write::Events(events.map(event).collect()));
        engine
    }

    /// The items that a filter lets through.
    fn passing(&self, filter: &Filter) -> HashSet<String> {
        let passes = |item: &Item| {
            let Validity { from_ms, until_ms } = item.validity;
            let valid = from_ms != Some(FAR_MS) && until_ms != Some(1);
            (item.available && valid || filter.include_unavailable)
                && filter.condition.as_ref().is_none_or(|condition| holds(condition, item))
        };
        let of = |item: &Option<Item>| passes(item.as_ref().unwrap_or(&Item::default()));
        let items = self.items.iter().enumerate().filter(|(_, item)| of(item));
        items.map(|(i, _)| name(i)).collect()
    }

    fn bought(&self, user: usize) -> HashSet<String> {
        let bought = |e: &&(usize, usize, EventKind)| e.0 == user && e.2 == EventKind::Purchase;
        self.events.iter().filter(bought).map(|e| name(e.1)).collect()
    }
}

fn name(item: usize) -> String {
    format!("i{item}")
}

fn write(engine: &Engine, write: Write) {
    engine.writer().submit_blocking(write).unwrap().wait().unwrap();
}

/// An answer holds of `allowed` as many as it can, each once.
fn check(answer: &Answer, allowed: &HashSet<String>, limit: usize) -> Result<(), TestCaseError> {
    let listed: HashSet<String> = answer.entries.iter().map(|e| e.item_id.clone()).collect();
    prop_assert_eq!(listed.len(), answer.entries.len(), "an item twice");
    prop_assert!(listed.is_subset(allowed), "{:?} not in {:?}", listed, allowed);
    prop_assert_eq!(listed.len(), allowed.len().min(limit));
    Ok(())
}

/// Asks in every way there is.
fn ask(store: &Store, engine: &Engine, filter: &Filter, limit: usize) -> Result<(), TestCaseError> {
    let passing = store.passing(filter);
    let without = |id: &str| passing.iter().filter(|i| *i != id).cloned().collect();
    let of_user = |user: usize, strategy, repeat| RecommendRequest {
        user_id: format!("u{user}"),
        limit,
        filter: Arc::new(filter.clone()),
        strategy,
        repeat: Some(repeat),
        ..RecommendRequest::default()
    };
    for user in 0..USERS + 2 {
        let all =
            engine.recommender().recommend(&of_user(user, None, RepeatPolicy::Allow)).unwrap();
        check(&all, &passing, limit)?;
        let new = of_user(user, None, RepeatPolicy::ExcludePurchased);
        let left = passing.difference(&store.bought(user)).cloned().collect();
        check(&engine.recommender().recommend(&new).unwrap(), &left, limit)?;
    }
    for source in Source::BLENDED {
        let one = of_user(0, Some(source), RepeatPolicy::Allow);
        check(&engine.recommender().recommend(&one).unwrap(), &passing, limit)?;
    }
    let session = RecommendRequest {
        session: vec![name(1), name(0)],
        user_id: String::new(),
        exclude: vec![name(1)],
        ..of_user(0, None, RepeatPolicy::Allow)
    };
    let left = passing.iter().filter(|id| ![name(0), name(1)].contains(id)).cloned().collect();
    check(&engine.recommender().recommend(&session).unwrap(), &left, limit)?;
    check(
        &engine
            .recommender()
            .similar_items(&name(0), &crate::support::asked(filter, limit))
            .unwrap(),
        &without("i0"),
        limit,
    )?;
    check(
        &engine
            .recommender()
            .bought_together(&[name(1)], &crate::support::asked(filter, limit))
            .unwrap(),
        &without("i1"),
        limit,
    )?;
    for window in [Window::Days7, Window::Days30, Window::AllTime] {
        check(
            &engine.recommender().popular(window, &crate::support::asked(filter, limit)).unwrap(),
            &passing,
            limit,
        )?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_list_holds_what_is_forbidden_and_none_is_short(
        store in store(),
        filters in prop::collection::vec(filter(), 4),
        limit in 1usize..40,
        changed in (any::<prop::sample::Index>(), item()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let engine = store.open(folder.path());
        for filter in &filters {
            let popular = engine.recommender().popular(Window::AllTime, &crate::support::asked(filter, limit)).unwrap();
            check(&popular, &store.passing(filter), limit)?;
        }
        if store.events.iter().any(|e| e.2 == EventKind::Purchase) {
            // Not the quick way, so that lists are prepared too.
            engine.trainer().train_blocking(false).unwrap();
            filters.iter().try_for_each(|filter| ask(&store, &engine, filter, limit))?;
            // A change holds from its acknowledgement on.
            let (at, item) = changed;
            let at = at.index(store.items.len());
            write(&engine, Write::Items(vec![(name(at), ItemChange::whole(item.clone()))]));
            let mut changed = store.clone();
            changed.items[at] = Some(item);
            filters.iter().try_for_each(|filter| ask(&changed, &engine, filter, limit))?;
        }
    }
}
