//! Followers with a part of the users each: together they answer as a server with all of them, and each says whose a
//! user of another part is.

use std::path::Path;
use std::time::Duration;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::domain::Shard;
use qianmian::engine::{Engine, EngineOptions, RecommendRequest};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use crate::followers::{caught_up, clicks, following, primary, until, write};
use crate::python::python;
use crate::support::{self, Server, quiet, run, trained};

const SHARDS: u32 = 3;

async fn follower(data: &Path, primary: &Server, index: u32) -> Server {
    let shard = format!("{index}/{SHARDS}").parse().unwrap();
    let options = EngineOptions { shard, ..quiet() };
    Server::following(data, options, &following(&primary.address)).await
}

fn shard_of(user: &str) -> u32 {
    format!("0/{SHARDS}").parse::<Shard>().unwrap().of(user)
}

/// A list of a user, or why there is none.
fn list(engine: &Engine, user: &str) -> Result<String, String> {
    let request =
        RecommendRequest { user_id: user.to_owned(), limit: 20, ..RecommendRequest::default() };
    let answer = engine.recommender().recommend(&request).map_err(|error| error.to_string())?;
    let items: Vec<&str> = answer.entries.iter().map(|entry| &*entry.item_id).collect();
    Ok(format!("{user} {} {:?} {}", answer.generation, answer.basis, items.join(",")))
}

/// The lists of all users, from the server that makes each.
async fn compare(primary: &Server, followers: &[Server]) -> usize {
    // A ranking of what is taken now is reused for a second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let users: Vec<String> = {
        let users = primary.engine.live().users.read();
        let ids = (0..users.len() as u32).map(|idx| users.id(idx).to_owned());
        // Erased users have none.
        ids.filter(|id| !id.is_empty()).collect()
    };
    for user in &users {
        let of = primary.engine.live().user(user).unwrap();
        let of = shard_of(primary.engine.live().users.read().id(of));
        for (index, follower) in (0..).zip(followers) {
            match list(&follower.engine, user) {
                Ok(listed) => {
                    assert_eq!((index, Ok(listed)), (of, list(&primary.engine, user)));
                }
                Err(refused) => {
                    assert!(index != of && refused.contains(&format!("is of shard {of}")));
                }
            }
        }
    }

    // What all take, and take together, is the same everywhere.
    for follower in followers {
        assert_eq!(list(&follower.engine, ""), list(&primary.engine, ""));
        assert_eq!(follower.engine.live().buyers(), primary.engine.live().buyers());
        let related = |engine: &Engine, item: &str| {
            let request = RecommendRequest { limit: 20, ..RecommendRequest::default() };
            let answer = engine.recommender().similar_items(item, &request).unwrap();
            answer.entries.iter().map(|entry| entry.item_id.clone()).collect::<Vec<_>>()
        };
        for item in ["85123A", "22423", "71053"] {
            assert_eq!(related(&follower.engine, item), related(&primary.engine, item));
        }
    }
    users.len()
}

fn elsewhere(refused: &Status) -> (String, String) {
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let info = refused.get_details_error_info().unwrap();
    assert_eq!(info.reason, "OTHER_SHARD");
    (info.metadata["shard"].clone(), info.metadata["shards"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_a_part_of_the_users_answer_as_one_with_all() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("primary");
    let file = support::online_retail(&folder, 20_000);
    let preset = ["--preset", "online-retail", "--data", data.to_str().unwrap()];
    let (done, _, error) = run(&[&["import", file.to_str().unwrap()], &preset[..]].concat());
    assert!(done, "{error}");
    let primary = primary(&data).await;
    trained(&primary.engine).await;

    let mut followers = Vec::new();
    for index in 0..SHARDS {
        let copy = follower(&folder.path().join(index.to_string()), &primary, index).await;
        caught_up(&copy.engine, &primary.engine).await;
        followers.push(copy);
    }
    let prepared = |server: &Server| {
        let active = server.engine.models().active();
        active.is_some_and(|model| !model.parts.prepared.lengths.is_empty())
    };
    until("that lists are prepared", || prepared(&primary) && followers.iter().all(prepared)).await;
    assert!(compare(&primary, &followers).await > 500);

    // Events of users of all parts, twice for some items, and an alias of a user of another part.
    let events: Vec<(String, &str)> = (0..60)
        .map(|n| (format!("new-{}", n % 20), ["85123A", "22423", "22720"][n / 30]))
        .collect();
    let events: Vec<(&str, &str)> = events.iter().map(|(user, item)| (&**user, *item)).collect();
    write(&primary, &events).await;
    let apart = (1..20).find(|n| shard_of(&format!("new-{n}")) != shard_of("new-0")).unwrap();
    primary.engine.writer().link("new-0", vec![format!("new-{apart}")]).await.unwrap();
    write(&primary, &[("new-0", "22423"), ("17850", "22720")]).await;
    for copy in &followers {
        caught_up(&copy.engine, &primary.engine).await;
    }
    compare(&primary, &followers).await;

    // A copy reads its own folder again, and goes on from there; an erased user is in no count.
    let first = followers.remove(0);
    first.stop().await;
    let first = follower(&folder.path().join("0"), &primary, 0).await;
    followers.insert(0, first);
    caught_up(&followers[0].engine, &primary.engine).await;
    compare(&primary, &followers).await;
    primary.engine.writer().erase_user("new-0").await.unwrap();
    for copy in &followers {
        caught_up(&copy.engine, &primary.engine).await;
    }
    compare(&primary, &followers).await;

    let addresses = followers.iter().map(|copy| copy.address.clone()).collect();
    python("sharded.py", addresses).await;
    for server in followers {
        server.stop().await;
    }
    primary.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_says_whose_a_user_of_another_part_is() {
    let folder = tempfile::tempdir().unwrap();
    let primary = primary(&folder.path().join("primary")).await;
    write(&primary, &[("anna", "tea"), ("ben", "tea"), ("ben", "cup")]).await;
    let other = (shard_of("anna") + 1) % SHARDS;
    let copy = follower(&folder.path().join("copy"), &primary, other).await;
    caught_up(&copy.engine, &primary.engine).await;

    let whose = (shard_of("anna").to_string(), SHARDS.to_string());
    let user_id = "anna".to_owned();
    let mut client = RecommendationServiceClient::new(copy.channel.clone());
    let asked = pb::RecommendRequest { user_id: user_id.clone(), ..Default::default() };
    assert_eq!(elsewhere(&client.recommend(asked.clone()).await.unwrap_err()), whose);
    let request = pb::DiagnoseRequest { request: Some(asked.clone()) };
    assert_eq!(elsewhere(&client.diagnose(request).await.unwrap_err()), whose);
    let item_ids = vec!["tea".to_owned()];
    let request = pb::RankRequest { user_id: user_id.clone(), item_ids, ..Default::default() };
    assert_eq!(elsewhere(&client.rank(request).await.unwrap_err()), whose);
    let request = pb::SimilarUsersRequest { user_id, limit: 5 };
    assert_eq!(elsewhere(&client.similar_users(request).await.unwrap_err()), whose);
    let placements = vec!["recommend".to_owned()];
    let request = pb::RecommendPageRequest { request: Some(asked), placements };
    assert_eq!(elsewhere(&client.recommend_page(request).await.unwrap_err()), whose);
    let user_ids = vec!["anna".to_owned()];
    let request = pb::BatchRecommendRequest { user_ids, ..Default::default() };
    assert_eq!(elsewhere(&client.batch_recommend(request).await.unwrap_err()), whose);

    // Whoever is not named is answered everywhere, and events are passed on for everyone.
    let session_item_ids = vec!["tea".to_owned()];
    let request = pb::RecommendRequest { session_item_ids, ..Default::default() };
    assert!(!client.recommend(request).await.unwrap().into_inner().items.is_empty());
    let offset = copy.events().write_events(Request::new(clicks(&[("anna", "cup")]))).await;
    assert_eq!(offset.unwrap().into_inner().offset, primary.engine.live().offset());
    copy.stop().await;
    primary.stop().await;
}
