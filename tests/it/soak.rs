//! Everything at once for a long time: writes, lists, changes of the catalogue, users who
//! come and are erased, trainings. No error, and no memory that the data does not explain.
//!
//! `SOAK_SECONDS=600 cargo test --test it -- --ignored soak`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::catalog_service_client::CatalogServiceClient;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;

use crate::support::{self, Process};

const USERS: u64 = 2_000;
const ITEMS: u64 = 1_000;
/// Events of a batch, and batches a second.
const BATCH: u64 = 50;
const PAUSE: Duration = Duration::from_millis(50);
/// What an event may take in memory, in bytes: it is kept in histories, and the models of it
/// grow; and what allocators may keep, in MiB.
const EVENT_BYTES: u64 = 400;
const SLACK_MIB: u64 = 256;

fn batch(number: u64) -> pb::WriteEventsRequest {
    let event = |i: u64| {
        let at = number * BATCH + i;
        let user = at * 7_919 % USERS;
        pb::Event {
            event_id: format!("event {at}"),
            kind: if at.is_multiple_of(3) { 1 } else { 4 },
            user_id: format!("u{user}"),
            // Tastes, so that there is something to learn.
            item_id: format!("i{}", (user * 13 + at / 7 * 31 % 40) % ITEMS),
            price: Some((at % 90) as f64),
            ..Default::default()
        }
    };
    pb::WriteEventsRequest { events: (0..BATCH).map(event).collect() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn soak() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(60, |s| s.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    // Many short trainings rather than few long ones.
    let server = Process::start_with(folder.path(), |command| {
        command.env("QIANMIAN_TRAIN__TUNE", "false");
    });
    let channel = server.channel().await;
    let mut catalogue = CatalogServiceClient::new(channel.clone());
    let named = |item| pb::Item { item_id: format!("i{item}"), ..Default::default() };
    let all = pb::UpsertItemsRequest { items: (0..ITEMS).map(named).collect(), update_mask: None };
    catalogue.upsert_items(all).await.unwrap();
    let mut events = EventServiceClient::new(channel.clone());
    for number in 0..200 {
        events.write_events(batch(number)).await.unwrap();
    }
    let trained = support::watched(ModelServiceClient::new(channel.clone())).await;
    assert_eq!(trained.state(), pb::TrainingState::Succeeded);
    let end = Instant::now() + Duration::from_secs(seconds);
    let written = Arc::new(AtomicU64::new(200));
    let goes_on = move || Instant::now() < end;

    let (counter, mut client) = (written.clone(), events.clone());
    let writer = tokio::spawn(async move {
        while goes_on() {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            let receipt = client.write_events(batch(number)).await.unwrap().into_inner();
            assert_eq!((receipt.recorded, receipt.errors.len()), (BATCH as i32, 0));
            tokio::time::sleep(PAUSE).await;
        }
    });
    let readers: Vec<_> = (0..4u64)
        .map(|reader| {
            let mut client = RecommendationServiceClient::new(channel.clone());
            tokio::spawn(async move {
                let mut asked = reader;
                while goes_on() {
                    asked += 4;
                    let user_id = format!("u{}", asked * 31 % (USERS + 50));
                    let ask = pb::RecommendRequest { user_id, limit: 20, ..Default::default() };
                    let list = client.recommend(ask).await.unwrap().into_inner();
                    assert_eq!(list.items.len(), 20);
                    let item_id = format!("i{}", asked * 31 % 40);
                    let ask = pb::SimilarItemsRequest { item_id, limit: 10, filter: None };
                    assert_eq!(
                        client.similar_items(ask).await.unwrap().into_inner().items.len(),
                        10
                    );
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                asked
            })
        })
        .collect();
    let keeper = tokio::spawn(async move {
        for change in 0.. {
            let item = pb::Item {
                item_id: format!("i{}", change * 37 % ITEMS),
                categories: vec![format!("c{}/d{}", change % 5, change % 11)],
                brand: format!("b{}", change % 17),
                availability: if change % 9 == 0 { 2 } else { 1 },
                ..Default::default()
            };
            catalogue
                .upsert_items(pb::UpsertItemsRequest { items: vec![item], update_mask: None })
                .await
                .unwrap();
            tokio::time::sleep(PAUSE).await;
            if !goes_on() {
                break;
            }
        }
    });
    let mut users = UserServiceClient::new(channel.clone());
    let mut client = events.clone();
    let desk = tokio::spawn(async move {
        for visitor in 0.. {
            let user_id = format!("visitor {visitor}");
            let attributes = [("country".to_owned(), format!("C{}", visitor % 3))].into();
            let user = pb::User { user_id: user_id.clone(), attributes, consent: 0 };
            users.upsert_users(pb::UpsertUsersRequest { users: vec![user] }).await.unwrap();
            let mut visit = batch(visitor);
            visit.events.truncate(3);
            for event in &mut visit.events {
                (event.user_id, event.event_id) = (user_id.clone(), String::new());
            }
            client.write_events(visit).await.unwrap();
            users.delete_user(pb::DeleteUserRequest { user_id }).await.unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
            if !goes_on() {
                break;
            }
        }
    });
    let mut memory = Vec::new();
    while goes_on() {
        tokio::time::sleep(Duration::from_secs(2)).await;
        memory.push((server.memory_mib(), written.load(Ordering::Relaxed)));
    }
    writer.await.unwrap();
    let mut asked = 0;
    for reader in readers {
        asked = asked.max(reader.await.unwrap());
    }
    keeper.await.unwrap();
    desk.await.unwrap();
    let models = pb::ListModelsRequest {};
    let models = ModelServiceClient::new(channel.clone()).list_models(models).await.unwrap();
    let generation = models.into_inner().models[0].generation;
    drop((channel, events));
    let stopping = Instant::now();
    assert!(server.terminate(), "it ends in order when it is told to");
    let ended = stopping.elapsed();
    assert!(ended < Duration::from_secs(15), "{ended:?}");

    // The largest of each third, since trainings come and go.
    let third = memory.len() / 3;
    let max = |part: &[(u64, u64)]| part.iter().map(|m| m.0).max().unwrap();
    let (early, late) = (max(&memory[..third]), max(&memory[2 * third..]));
    let events = (memory[memory.len() - 1].1 - memory[third].1) * BATCH;
    println!(
        "{seconds} s: {} events, {asked} lists of each kind, generation {generation}; memory {early} MiB, \
         then {late} MiB; ended within {ended:?}",
        written.load(Ordering::Relaxed) * BATCH
    );
    let explained = early + SLACK_MIB + events * EVENT_BYTES / (1 << 20);
    assert!(late <= explained, "{early} MiB, then {late} MiB; {explained} MiB were to be expected");
}
