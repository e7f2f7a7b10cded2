//! One store on several servers: followers copy the log, the models and the keys, answer as the primary does,
//! and pass on what changes anything.

use std::path::Path;
use std::time::{Duration, Instant};

use qianmian::access::Scope;
use qianmian::api::wire::pb;
use qianmian::api::{FollowOptions, ServeOptions, Served};
use qianmian::domain::Secret;
use qianmian::engine::options::EngineOptions;
use qianmian::engine::{Engine, RecommendRequest};
use qianmian::host::Limits;
use tonic::{Code, Request};

use crate::guarded::{Caller, Guarded, reason};
use crate::python::python;
use crate::support::{self, Server, purchases, quiet, run, trained};

/// A lease that tests can wait for.
pub(crate) const LEASE_SECONDS: u64 = 2;

pub(crate) fn short_leases() -> ServeOptions {
    ServeOptions { lease_seconds: LEASE_SECONDS, ..ServeOptions::default() }
}

/// A server that others follow.
pub(crate) async fn primary(data: &Path) -> Server {
    let served = Served::open(data, quiet(), Default::default()).unwrap();
    Server::serving(served, short_leases()).await
}

pub(crate) fn following(address: &str) -> FollowOptions {
    FollowOptions { primary: address.to_owned(), ..FollowOptions::default() }
}

async fn follower(data: &Path, primary: &Server) -> Server {
    Server::following(data, quiet(), &following(&primary.address)).await
}

/// Waits until something holds, within a minute.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a copy has everything of the original, and a lease.
pub(crate) async fn caught_up(copy: &Engine, original: &Engine) {
    until("that the copy catches up", || {
        copy.live().offset() == original.live().offset()
            && copy.generation() == original.generation()
            && copy.follower().unwrap().is_leased()
    })
    .await;
}

/// The lists of all users.
fn lists(engine: &Engine) -> Vec<String> {
    let users = engine.live().users.read();
    let ids: Vec<String> = (0..users.len() as u32).map(|idx| users.id(idx).to_owned()).collect();
    drop(users);
    let list = |user_id: &String| {
        let request =
            RecommendRequest { user_id: user_id.clone(), limit: 20, ..RecommendRequest::default() };
        let answer = engine.recommender().recommend(&request).unwrap();
        let items: Vec<&str> = answer.entries.iter().map(|entry| &*entry.item_id).collect();
        format!("{user_id} {} {:?} {}", answer.generation, answer.basis, items.join(","))
    };
    ids.iter().map(list).collect()
}

fn differing<'l>(one: &'l [String], other: &'l [String]) -> Vec<(&'l String, &'l String)> {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).filter(|(a, b)| a != b).collect()
}

pub(crate) fn clicks(pairs: &[(&str, &str)]) -> pb::WriteEventsRequest {
    let event = |(user, item): &(&str, &str)| pb::Event {
        user_id: (*user).to_owned(),
        item_id: (*item).to_owned(),
        kind: pb::EventKind::Click.into(),
        ..pb::Event::default()
    };
    pb::WriteEventsRequest { events: pairs.iter().map(event).collect() }
}

/// Writes clicks; returns the offset behind them.
pub(crate) async fn write(server: &Server, pairs: &[(&str, &str)]) -> u64 {
    server.events().write_events(clicks(pairs)).await.unwrap().into_inner().offset
}

#[tokio::test(flavor = "multi_thread")]
async fn three_servers_at_one_offset_answer_alike() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("primary");
    let file = support::online_retail(&folder, 20_000);
    let (ok, _, error) = run(&[
        "import",
        file.to_str().unwrap(),
        "--preset",
        "online-retail",
        "--data",
        data.to_str().unwrap(),
    ]);
    assert!(ok, "{error}");
    let primary = primary(&data).await;
    trained(&primary.engine).await;
    let first = follower(&folder.path().join("first"), &primary).await;
    caught_up(&first.engine, &primary.engine).await;

    // One that begins later, after more events and a second model, and events after that.
    write(&primary, &[("12346", "85123A")]).await;
    trained(&primary.engine).await;
    let second = follower(&folder.path().join("second"), &primary).await;
    let offset = write(&primary, &[("17850", "22423"), ("new", "22423")]).await;
    for copy in [&first, &second] {
        caught_up(&copy.engine, &primary.engine).await;
        assert_eq!(copy.engine.live().offset(), offset);
    }

    // Lists that are prepared beside the answers, after a quick training.
    let all = [&primary, &first, &second];
    let prepared = |server: &&Server| {
        let active = server.engine.models().active();
        active.is_some_and(|model| !model.parts.prepared.lengths.is_empty())
    };
    until("that lists are prepared", || all.iter().all(prepared)).await;

    let expected = lists(&primary.engine);
    assert!(expected.len() > 500, "{}", expected.len());
    assert!(expected.iter().filter(|list| list.contains("History")).count() > 400);
    for copy in [&first, &second] {
        assert_eq!(differing(&lists(&copy.engine), &expected), []);
    }

    // A copy is read again from its own folder, and goes on from there.
    first.stop().await;
    write(&primary, &[("17850", "22720")]).await;
    let first = follower(&folder.path().join("first"), &primary).await;
    caught_up(&first.engine, &primary.engine).await;
    assert_eq!(differing(&lists(&first.engine), &lists(&primary.engine)), []);

    // Lists that what was taken since the newest model is in, whichever model answers: also where a copy was away.
    first.stop().await;
    write(&primary, &[("12347", "22423"), ("12348", "22423"), ("12347", "22720")]).await;
    trained(&primary.engine).await;
    primary.engine.models().rollback().unwrap();
    write(&primary, &[("12348", "22720")]).await;
    let first = follower(&folder.path().join("first"), &primary).await;
    caught_up(&first.engine, &primary.engine).await;
    until("that lists are prepared", || [&primary, &first].iter().all(prepared)).await;
    assert_eq!(differing(&lists(&first.engine), &lists(&primary.engine)), []);

    // A rollback is followed too.
    let before = primary.engine.models().rollback().unwrap().generation;
    until("the rollback", || first.engine.generation() == before).await;
    for server in [second, first, primary] {
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_through_a_follower_is_read_there() {
    let folder = tempfile::tempdir().unwrap();
    let primary = primary(&folder.path().join("primary")).await;
    let first = purchases(&[("anna", "tea", 1), ("ben", "tea", 1), ("ben", "cup", 2)]);
    primary.engine.writer().record(first).await.unwrap();
    trained(&primary.engine).await;
    let copy = follower(&folder.path().join("copy"), &primary).await;
    caught_up(&copy.engine, &primary.engine).await;

    // A click that is written through the copy is in the next list from it.
    for n in 0..20 {
        let user = format!("user-{n}");
        let offset = write(&copy, &[(&user, "tea")]).await;
        assert_eq!(offset, primary.engine.live().offset());
        let mut request =
            Request::new(pb::RecommendRequest { user_id: user, ..Default::default() });
        request.metadata_mut().insert("qianmian-min-offset", offset.into());
        let answer = copy.recommendations().recommend(request).await.unwrap();
        let seen = answer.metadata().get("qianmian-offset").unwrap().to_str().unwrap();
        assert!(seen.parse::<u64>().unwrap() >= offset);
        assert_eq!(answer.into_inner().basis(), pb::Basis::History);
    }

    // What is shown there is recorded by the primary, before the click on it.
    let exposures = || primary.engine.stats().exposures.get();
    until("that the lists before are recorded", || exposures() == 20).await;
    let before = primary.engine.live().offset();
    let request = pb::RecommendRequest { user_id: "anna".to_owned(), ..Default::default() };
    let shown = copy.recommendations().recommend(request).await.unwrap().into_inner();
    let mut click = clicks(&[("anna", "cup")]);
    click.events[0].recommendation_id = shown.recommendation_id.clone();
    let offset = copy.events().write_events(click).await.unwrap().into_inner().offset;
    assert_eq!(offset, before + 2, "the list, then the click");
    let mut kinds = Vec::new();
    primary
        .engine
        .replay(&mut |entry| {
            if let qianmian::store::Entry::Record(at, record) = entry
                && at >= before
            {
                kinds.push(matches!(record, qianmian::store::Record::Exposure(_)));
            }
        })
        .unwrap();
    assert_eq!(kinds, [true, false]);

    python("followed.py", vec![copy.address.clone(), primary.address.clone()]).await;

    // Models are trained where the log is written, and nothing is written to a copy itself.
    support::watched(copy.models()).await;
    until("the second model", || copy.engine.generation() == 2).await;
    let refused = copy.engine.writer().record(purchases(&[("anna", "tea", 3)])).await.unwrap_err();
    assert!(refused.to_string().contains("follows another server"), "{refused}");

    // An offset that the log does not have.
    let mut ahead =
        Request::new(pb::RecommendRequest { user_id: "anna".into(), ..Default::default() });
    ahead.metadata_mut().insert("qianmian-min-offset", 1_000_000.into());
    let refused = copy.recommendations().recommend(ahead).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::FailedPrecondition, "OFFSET_AHEAD"));
    let mut wrong = Request::new(pb::PopularRequest::default());
    wrong.metadata_mut().insert("qianmian-min-offset", "soon".parse().unwrap());
    let refused = copy.recommendations().popular(wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("qianmian-min-offset"), "{refused}");
    copy.stop().await;

    // One that does not pass on says where to go.
    let data = folder.path().join("copy");
    let options = FollowOptions { forward: false, wait_ms: 0, ..following(&primary.address) };
    let copy = Server::following(&data, quiet(), &options).await;
    let refused = copy.events().write_events(clicks(&[("anna", "tea")])).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::FailedPrecondition, "FOLLOWER"));
    assert!(refused.message().contains(&primary.address), "{refused}");
    copy.stop().await;
    primary.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_stores_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let primary = Guarded::start(&folder.path().join("primary"), quiet(), short_leases()).await;
    let follow = primary.key("copy", &[Scope::Follow], None);
    let shop = primary.key("shop", &[Scope::Read, Scope::Events], Some("eu"));
    let events = primary.key("events", &[Scope::Events], Some("default"));
    let eu = primary.served.host.create("eu", Limits::default()).unwrap();
    eu.engine.writer().record(purchases(&[("anna", "tea", 1)])).await.unwrap();

    let options = FollowOptions { key: Secret::new(follow.clone()), ..following(&primary.address) };
    let copy = Server::following(&folder.path().join("copy"), quiet(), &options).await;
    let caller = |key: &str| Caller::new(&copy.channel, Some(key));
    let popular = || prost::Message::encode_to_vec(&pb::PopularRequest::default());
    let begun = Instant::now();
    while caller(&shop).call("RecommendationService/Popular", popular()).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the store is not followed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // Calls are passed on with their caller's key, and refused as the primary would.
    let write = prost::Message::encode_to_vec(&clicks(&[("anna", "cup")]));
    caller(&shop).call("EventService/WriteEvents", write.clone()).await.unwrap();
    assert_eq!(eu.engine.live().events(), 2);
    let missing = caller(&events).call("RecommendationService/Popular", popular()).await;
    assert_eq!(reason(&missing.unwrap_err()), "SCOPE_MISSING");
    let stranger = caller("qm_0").call("EventService/WriteEvents", write.clone()).await;
    assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated);
    // The key of a follower copies, and does nothing else.
    for method in
        ["EventService/WriteEvents", "RecommendationService/Popular", "KeyService/ListKeys"]
    {
        let refused = caller(&follow).call(method, Vec::new()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{method}");
    }
    let tail = Caller::new(&primary.channel().await, Some(&shop)).of_store("eu");
    let refused = tail.call("ReplicationService/TailLog", Vec::new()).await.unwrap_err();
    assert_eq!(reason(&refused), "SCOPE_MISSING");

    // A revoked key opens nothing any more, a deleted store is gone with its files.
    primary.served.keys.revoke("shop").unwrap();
    let begun = Instant::now();
    while caller(&shop).call("RecommendationService/Popular", popular()).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the key is not revoked");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(eu);
    let host = primary.served.host.clone();
    let deleted = folder.path().join("copy/stores/eu");
    tokio::task::spawn_blocking(move || host.delete("eu")).await.unwrap().unwrap();
    until("the deletion", || !deleted.exists()).await;
    copy.stop().await;
    primary.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_until_the_end_is_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let first = primary(&folder.path().join("primary")).await;
    first.engine.writer().record(purchases(&[("anna", "tea", 1)])).await.unwrap();
    let copy = follower(&folder.path().join("copy"), &first).await;
    caught_up(&copy.engine, &first.engine).await;

    // A caller that writes until it is refused, while the server stops.
    let mut events = first.events();
    let writing = tokio::spawn(async move {
        let mut last = 0;
        while let Ok(answer) = events.write_events(clicks(&[("ben", "cup")])).await {
            last = answer.into_inner().offset;
        }
        last
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.stop().await;
    let last = writing.await.unwrap();
    assert!(last > 5, "{last}");
    until("that the copy has all", || copy.engine.live().offset() >= last).await;
    copy.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_primary_does_not_list_stays_on_its_followers() {
    let folder = tempfile::tempdir().unwrap();
    let full = Guarded::start(&folder.path().join("full"), quiet(), short_leases()).await;
    let eu = full.served.host.create("eu", Limits::default()).unwrap();
    eu.engine.writer().record(purchases(&[("anna", "tea", 1)])).await.unwrap();
    let data = folder.path().join("copy");
    let copy = Server::following(&data, quiet(), &following(&full.address)).await;
    let events = async |data: &Path| {
        let mut events = 0;
        let count = &mut |_: qianmian::store::Entry<'_>| events += 1;
        let log = data.join("stores/eu/log");
        let read = qianmian::store::replay(&log, u64::MAX, count);
        read.map(|()| events)
    };
    let begun = Instant::now();
    while events(&data).await.ok() != Some(3) {
        assert!(begun.elapsed() < Duration::from_secs(30), "a user, an item and an event");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    copy.stop().await;
    drop(eu);
    full.stop().await;

    // An empty server, as after the loss of a disk, or at a mistaken address.
    let empty = primary(&folder.path().join("empty")).await;
    let copy = Server::following(&data, quiet(), &following(&empty.address)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    copy.stop().await;
    assert_eq!(events(&data).await.unwrap(), 3);
    empty.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_another_way_is_not_followed_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (original, copied) = (folder.path().join("primary"), folder.path().join("copy"));
    let first = primary(&original).await;
    first.engine.writer().record(purchases(&[("anna", "tea", 1)])).await.unwrap();
    let copy = follower(&copied, &first).await;
    caught_up(&copy.engine, &first.engine).await;
    copy.stop().await;

    // Opened without a server to follow, the copy takes over; the first follows it from where it ends.
    let promoted = primary(&copied).await;
    promoted.engine.writer().record(purchases(&[("ben", "cup", 2)])).await.unwrap();
    first.stop().await;
    let second = follower(&original, &promoted).await;
    caught_up(&second.engine, &promoted.engine).await;
    assert_eq!(second.engine.live().events(), 2);
    second.stop().await;

    // Both are written to: neither is a part of the other.
    let apart = primary(&original).await;
    apart.engine.writer().record(purchases(&[("carl", "pot", 3)])).await.unwrap();
    apart.stop().await;
    let second = follower(&original, &promoted).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(!second.engine.follower().unwrap().is_leased());
    assert_eq!(second.engine.live().events(), 3, "it keeps what it has");
    let position = second.engine.follower().unwrap().position();
    let refused = promoted.engine.source().grant(1, &position, Duration::from_secs(1)).unwrap_err();
    assert!(refused.to_string().contains("no part of this log"), "{refused}");
    second.stop().await;

    // A folder of a follower with another key for pseudonyms.
    let mut keyed: EngineOptions = quiet();
    keyed.privacy.pseudonym_key = Secret::new("a secret of enough bytes");
    let data = folder.path().join("keyed");
    let other = Server::following(&data, keyed, &following(&promoted.address)).await;
    let position = other.engine.follower().unwrap().position();
    let refused = promoted.engine.source().grant(1, &position, Duration::from_secs(1)).unwrap_err();
    assert!(refused.to_string().contains("privacy.pseudonym_key"), "{refused}");
    let not_a_source =
        other.engine.source().grant(1, &position, Duration::from_secs(1)).unwrap_err();
    assert!(not_a_source.to_string().contains("follow that one"), "{not_a_source}");
    other.stop().await;
    promoted.stop().await;
}
