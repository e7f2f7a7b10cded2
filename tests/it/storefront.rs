//! What every storefront asks for: lists that go on, offers of a branch, and items that fade.

use qianmian::api::wire::pb;

use crate::merchandise::{ask, ids, recommend, shop, upsert};
use crate::rules::{apply, list, pin, rule};
use crate::support::{self, Server};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_without_repeats_and_pins_stay_on_its_first_page() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    apply(&server, vec![rule("mug first", &["i10"], pin(1))]).await.unwrap();
    let whole = recommend(&server, pb::RecommendRequest { limit: 9, ..ask("u1") }).await;
    assert_eq!(whole.next_page_token, "", "not asked for");
    let mut seen = Vec::new();
    let mut request = pb::RecommendRequest { limit: 4, paged: true, ..ask("u1") };
    loop {
        let page = recommend(&server, request.clone()).await;
        seen.extend(ids(&page.items).into_iter().map(str::to_owned));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(seen, ids(&whole.items), "every item once, in the order of one long list");
    let wrong = pb::RecommendRequest { page_token: "4".into(), ..request };
    let refused = server.recommendations().recommend(wrong).await.unwrap_err();
    assert_eq!(refused.message(), "page_token: must be a next_page_token of an answer");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_decide_availability_and_price_in_their_context() {
    let folder = tempfile::tempdir().unwrap();
    let server = shop(folder.path()).await;
    let offer = |available: pb::Availability, price| pb::Offer {
        availability: available.into(),
        price: Some(price),
    };
    let offers = [
        ("SE".to_owned(), offer(pb::Availability::Unavailable, 50.0)),
        ("DK".to_owned(), offer(pb::Availability::Available, 30.0)),
    ];
    let item = pb::Item {
        item_id: "i9".into(),
        price: Some(10.0),
        offers: offers.into(),
        ..Default::default()
    };
    upsert(&server, vec![item]).await.unwrap();
    let shown = |context: &str, max: Option<f64>| {
        let price = max.map(|max| pb::PriceRange { min: None, max: Some(max) });
        let condition =
            price.map(|price| pb::Condition { kind: Some(pb::condition::Kind::Price(price)) });
        let filter = Some(pb::Filter { condition, ..Default::default() });
        let request =
            pb::RecommendRequest { limit: 20, filter, context: context.into(), ..ask("u1") };
        let server = &server;
        async move { ids(&recommend(server, request).await.items).contains(&"i9") }
    };
    assert!(shown("", None).await && shown("DK", None).await && shown("NO", None).await);
    assert!(!shown("SE", None).await);
    assert!(shown("", Some(20.0)).await && !shown("DK", Some(20.0)).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_shown_again_and_again_fades_until_the_user_turns_to_it() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path()).await.stop().await;
    let mut options = support::quiet();
    options.recommend.fatigue_after = 3;
    options.recommend.fatigue_factor = 0.1;
    let server = Server::start(folder.path(), options).await;
    let before = list(&server, "u1").await;
    let event = |kind: pb::EventKind| pb::Event {
        kind: kind.into(),
        user_id: "u1".into(),
        item_id: before[0].clone(),
        ..Default::default()
    };
    let write = |events: Vec<pb::Event>| {
        let mut client = server.events();
        async move { client.write_events(pb::WriteEventsRequest { events }).await.unwrap() }
    };
    write(vec![event(pb::EventKind::Impression); 2]).await;
    assert_eq!(list(&server, "u1").await, before);
    write(vec![event(pb::EventKind::Impression); 2]).await;
    let request = pb::RecommendRequest { explain: true, limit: 12, ..ask("u1") };
    let faded = recommend(&server, request).await;
    assert_ne!(faded.items[0].item_id, before[0]);
    let tired = faded.items.iter().find(|item| item.item_id == before[0]).unwrap();
    let why = tired.explanation.as_ref().unwrap();
    let sum = why.blend_score + why.second_stage + why.room + why.fatigue;
    assert!(why.fatigue < 0.0 && (sum - tired.score).abs() < 1e-4, "{tired:?}");
    write(vec![event(pb::EventKind::Click)]).await;
    let request = pb::RecommendRequest { explain: true, limit: 12, ..ask("u1") };
    let rested = recommend(&server, request).await;
    let fatigue = |item: &pb::ScoredItem| item.explanation.as_ref().unwrap().fatigue;
    assert!(rested.items.iter().all(|item| fatigue(item) == 0.0), "{rested:?}");
    server.stop().await;
}
