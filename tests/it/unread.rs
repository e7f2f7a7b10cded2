//! Clients that do not read their answers: these take a bounded share of memory, and end.

use std::time::{Duration, Instant};

use qianmian::api::pb;
use qianmian::api::pb::catalog_service_client::CatalogServiceClient;
use qianmian::api::pb::model_service_client::ModelServiceClient;
use qianmian::api::pb::recommendation_service_client::RecommendationServiceClient;
use tokio::io::AsyncReadExt;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::Channel;

use crate::strangers::{begin, is_served, server};

#[tokio::test(flavor = "multi_thread")]
async fn unread_batches_block_no_other_request_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[("QIANMIAN_SERVE__SEND_SECONDS", "1")]).await;
    let users: Vec<String> = (0..10_000).map(|n| format!("user-{n}")).collect();
    let ask = pb::BatchRecommendRequest { user_ids: users, limit: 3, ..Default::default() };
    let (mut unread, mut refused) = (Vec::new(), 0);
    for _ in 0..8 {
        // Windows that hold a part of every answer, and no whole one.
        let address = format!("http://{}", server.address);
        let endpoint = Channel::from_shared(address).unwrap().initial_stream_window_size(65_535);
        let mut client = RecommendationServiceClient::new(endpoint.connect().await.unwrap());
        for _ in 0..12 {
            match client.batch_recommend(ask.clone()).await {
                Ok(stream) => unread.push(stream.into_inner()),
                Err(status) => {
                    assert_eq!(status.code(), Code::ResourceExhausted);
                    refused += 1;
                }
            }
        }
    }
    // On a slow machine the first may have been cut short before the last are asked for.
    assert!(unread.len() >= 64 && unread.len() + refused == 96, "{} {refused}", unread.len());
    // What an operator asks is answered meanwhile.
    let channel = server.channel().await;
    let started = Instant::now();
    let mut models = ModelServiceClient::new(channel.clone());
    models.list_models(pb::ListModelsRequest {}).await.unwrap();
    models.rollback_model(pb::RollbackModelRequest {}).await.unwrap_err();
    is_served(&channel).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    // Who read nothing is told that the batch is not whole; and then there is room again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut stream = unread.swap_remove(0);
    drop(unread);
    let mut last = None;
    while let Some(message) = stream.next().await {
        last = Some(message);
    }
    assert_eq!(last.unwrap().unwrap_err().code(), Code::Unavailable);
    let mut client = RecommendationServiceClient::new(channel);
    let whole = client.batch_recommend(ask).await.unwrap().into_inner();
    assert_eq!(whole.filter(Result::is_ok).fold(0, |n, _| n + 1).await, 10_000);
    server.kill();
}

/// Large answers that their clients leave lying: those hold their share of memory for as long as
/// is set, and others are served.
#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_take_a_bounded_share_of_memory_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        [("QIANMIAN_SERVE__SEND_SECONDS", "2"), ("QIANMIAN_SERVE__MAX_INCOMING_MIB", "128")];
    let server = server(folder.path(), &settings).await;
    let channel = server.channel().await;
    let mut catalog = CatalogServiceClient::new(channel.clone());
    for n in 0..12 {
        let item = pb::Item {
            item_id: format!("large-{n}"),
            attributes: (0..60).map(|a| (format!("a{a}"), "v".repeat(4_000))).collect(),
            ..Default::default()
        };
        catalog
            .upsert_items(pb::UpsertItemsRequest { items: vec![item], update_mask: None })
            .await
            .unwrap();
    }
    let before = server.memory_mib();
    // A window of nothing: the answers' headers come, and no byte of them.
    let no_window = [0, 4, 0, 0, 0, 0];
    let mut unread = Vec::new();
    for _ in 0..4 {
        let body = (&[0, 0, 0, 0, 0][..], true);
        let method = "CatalogService/ListItems";
        unread.push(begin(&server.address, &no_window, 60, method, body).await);
    }
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    // The address of those clients may have used up its share; another has one of its own.
    is_served(&server.channel_from("127.0.0.2").await).await;
    assert!(server.memory_mib() < before + 200, "{} after {before} MiB", server.memory_mib());

    // A client that takes nothing of its answers is cut off. The later ones may have got refusals
    // alone, which are headers.
    let mut bytes = Vec::new();
    let read = unread[0].read_to_end(&mut bytes);
    let end = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(end.is_ok(), "it is still open");

    // Their address gets its share back when the server has let go of the answers, soon after.
    let mut recommendations = RecommendationServiceClient::new(channel.clone());
    let ask = pb::RecommendRequest { user_id: "a".into(), limit: 2, ..Default::default() };
    for _ in 0..50 {
        if recommendations.recommend(ask.clone()).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    is_served(&channel).await;
    server.kill();
}
