//! Ratings and reviews: what users think of an item, live, after a restart, and from an imported file.

use std::fs;

use qianmian::api::wire::pb;
use tonic::{Code, Status};

use crate::support::{self, Server, run};

fn rating(user: &str, item: &str, rating: f64, text: &str, sentiment: Option<f64>) -> pb::Event {
    let has_review = !text.is_empty() || sentiment.is_some();
    let review = has_review.then(|| pb::Review { text: text.into(), sentiment });
    pb::Event {
        kind: pb::EventKind::Rating.into(),
        user_id: user.into(),
        item_id: item.into(),
        rating: Some(rating),
        review,
        ..Default::default()
    }
}

async fn write(server: &Server, events: Vec<pb::Event>) -> Result<pb::WriteEventsResponse, Status> {
    let request = pb::WriteEventsRequest { events };
    Ok(server.events().write_events(request).await?.into_inner())
}

async fn reputation(server: &Server, item: &str) -> Option<pb::Reputation> {
    let request = pb::GetItemRequest { item_id: item.into() };
    server.catalog().get_item(request).await.unwrap().into_inner().reputation
}

#[tokio::test(flavor = "multi_thread")]
async fn ratings_and_reviews_become_the_reputation_of_an_item() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let mut events: Vec<pb::Event> = (0..8)
        .map(|n| rating(&format!("u{n}"), "mug", 5.0, "Lovely, perfect gift", None))
        .collect();
    events.extend((0..8).map(|n| rating(&format!("u{n}"), "pot", 2.0, "质量很差，失望", None)));
    events.push(rating("u9", "pot", 2.0, "It is a pot", Some(0.5)));
    events.push(rating("u9", "cup", 4.0, "", None));
    assert_eq!(write(&server, events).await.unwrap().recorded, 18);
    let mug = reputation(&server, "mug").await.unwrap();
    assert_eq!((mug.ratings, mug.mean_rating, mug.mean_sentiment), (8, Some(5.0), Some(1.0)));
    let pot = reputation(&server, "pot").await.unwrap();
    // Eight reviews of -1 by their words, and one of the shop's own score.
    assert_eq!((pot.reviews, pot.mean_sentiment), (9, Some(-7.5 / 9.0)));
    let cup = reputation(&server, "cup").await.unwrap();
    assert!(mug.quality > 0.3 && pot.quality < -0.3 && cup.quality.abs() < 0.2, "{mug:?} {pot:?}");
    assert_eq!((cup.reviews, cup.mean_sentiment), (0, None));

    // Who objects adds nothing from then on.
    let off = pb::SetPersonalisationRequest { user_id: "u9".into(), ..Default::default() };
    server.users().set_personalisation(off).await.unwrap();
    write(&server, vec![rating("u9", "mug", 1.0, "Terrible", None)]).await.unwrap();
    assert_eq!(reputation(&server, "mug").await, Some(mug));

    // What is no review is refused by its field.
    let purchase =
        pb::Event { kind: pb::EventKind::Purchase.into(), ..rating("u", "mug", 1.0, "x", None) };
    let wild = rating("u", "mug", 1.0, "x", Some(1.5));
    let long = rating("u", "mug", 1.0, &"x".repeat(16_385), None);
    for (event, field) in [(purchase, "review"), (wild, "review.sentiment"), (long, "review.text")]
    {
        let refused = write(&server, vec![event]).await;
        let errors = refused.map(|answer| answer.errors);
        let said =
            errors.map_or_else(|status| status.message().to_owned(), |of| of[0].field.clone());
        assert!(said.contains(field), "{field}: {said}");
    }

    let request = pb::GetUserDataRequest { user_id: "u0".into() };
    let mut data = server.users().get_user_data(request).await.unwrap().into_inner();
    let part = data.message().await.unwrap().unwrap().json_part;
    assert!(part.contains("\"review\":\"Lovely, perfect gift\""), "{part}");
    let missing = pb::GetItemRequest { item_id: "none".into() };
    assert_eq!(server.catalog().get_item(missing).await.unwrap_err().code(), Code::NotFound);

    server.stop().await;
    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(reputation(&server, "mug").await.unwrap().ratings, 8);
    server.stop().await;
}

#[test]
fn reviews_are_imported_and_exported() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("reviews.csv"), folder.path().join("out.csv"));
    let rows = "user_id,item_id,timestamp,event,rating,review,sentiment\n\
                a,mug,1700000000,rating,5,\"Good, sturdy\",\n\
                b,mug,1700000001,rating,1,Meh,-0.25\n";
    fs::write(&file, rows).unwrap();
    let data = folder.path().join("data");
    let (data, file, out) = (data.to_str().unwrap(), file.to_str().unwrap(), out.to_str().unwrap());
    for arguments in
        [["import", file, "--data", data].as_slice(), &["export", "log", out, "--data", data]]
    {
        let (succeeds, _, error) = run(arguments);
        assert!(succeeds, "{error}");
    }
    let written = fs::read_to_string(out).unwrap();
    assert!(written.contains("\"Good, sturdy\"") && written.contains("Meh,-0.25"), "{written}");
    let (_, shown, error) = run(&["items", "get", "mug", "--data", data]);
    assert!(shown.contains("2, mean 3.00") && shown.contains("2, mean 0.38"), "{shown} {error}");
}
