//! The catalogue over the wire: what changes, what stays, what is gone.

use qianmian::api::wire::pb;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{self, Server, purchases, trained};

fn lamp() -> pb::Item {
    pb::Item {
        item_id: "lamp".into(),
        title: "Lamp".into(),
        categories: vec!["home/lighting".into()],
        brand: "Lux".into(),
        price: Some(9.5),
        tags: vec!["new".into()],
        availability: pb::Availability::Available.into(),
        attributes: [("colour".to_owned(), "red".to_owned()), ("size".to_owned(), "m".to_owned())]
            .into(),
        ..pb::Item::default()
    }
}

fn upsert(item: pb::Item, paths: &[&str]) -> pb::UpsertItemsRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    pb::UpsertItemsRequest {
        items: vec![item],
        update_mask: Some(prost_types::FieldMask { paths }),
    }
}

async fn get(server: &Server, id: &str) -> Result<pb::Item, tonic::Status> {
    let request = pb::GetItemRequest { item_id: id.into() };
    Ok(server.catalog().get_item(request).await?.into_inner().item.unwrap())
}

async fn offered(server: &Server) -> Vec<String> {
    let filter = pb::Filter { include_unavailable: true, ..Default::default() };
    let request = pb::RecommendRequest {
        user_id: "stranger".into(),
        limit: 50,
        filter: Some(filter),
        ..Default::default()
    };
    let answer = server.recommendations().recommend(request).await.unwrap().into_inner();
    answer.items.into_iter().map(|item| item.item_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_says_its_fields_and_leaves_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let all = pb::UpsertItemsRequest { items: vec![lamp()], update_mask: None };
    server.catalog().upsert_items(all).await.unwrap();

    let price = pb::Item { item_id: "lamp".into(), price: Some(7.0), ..Default::default() };
    server.catalog().upsert_items(upsert(price, &["price"])).await.unwrap();
    let mut expected = pb::Item { price: Some(7.0), ..lamp() };
    assert_eq!(get(&server, "lamp").await.unwrap(), expected);

    let colour = [("colour".to_owned(), "blue".to_owned())].into();
    let attributes = pb::Item { item_id: "lamp".into(), attributes: colour, ..Default::default() };
    let paths = ["attributes.colour", "attributes.size"];
    server.catalog().upsert_items(upsert(attributes.clone(), &paths)).await.unwrap();
    expected.attributes = attributes.attributes;
    assert_eq!(get(&server, "lamp").await.unwrap(), expected);

    let request = pb::SetAvailabilityRequest {
        item_ids: vec!["lamp".into(), "unheard".into()],
        availability: pb::Availability::Unavailable.into(),
    };
    let answer = server.catalog().set_availability(request).await.unwrap().into_inner();
    assert_eq!((answer.updated, answer.unknown_item_ids), (1, vec!["unheard".to_owned()]));
    expected.availability = pb::Availability::Unavailable.into();
    assert_eq!(get(&server, "lamp").await.unwrap(), expected);
    // An item may begin with some of its fields.
    let new = pb::Item { item_id: "new".into(), title: "New".into(), ..Default::default() };
    server.catalog().upsert_items(upsert(new, &["title"])).await.unwrap();
    assert_eq!(get(&server, "new").await.unwrap().title, "New");
    server.stop().await;

    let server = Server::start(folder.path(), support::quiet()).await;
    assert_eq!(get(&server, "lamp").await.unwrap(), expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_change_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let valid = |valid_from: Option<i64>, valid_until: Option<i64>| {
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        pb::Item { valid_from: valid_from.map(at), valid_until: valid_until.map(at), ..lamp() }
    };
    let all = pb::UpsertItemsRequest { items: vec![valid(Some(100), None)], update_mask: None };
    server.catalog().upsert_items(all).await.unwrap();
    for (request, field) in [
        (upsert(lamp(), &[]), "update_mask.paths"),
        (upsert(lamp(), &["colour"]), "update_mask.paths[0]"),
        (upsert(lamp(), &["attributes."]), "update_mask.paths[0]"),
        (upsert(lamp(), &["price"; 81]), "update_mask.paths"),
        // Each is right; the item that they make is not.
        (upsert(valid(None, Some(50)), &["valid_until"]), "items[0].valid_until"),
    ] {
        let refused = server.catalog().upsert_items(request).await.unwrap_err();
        let details = refused.get_error_details();
        let violation = &details.bad_request().expect(field).field_violations[0];
        assert_eq!((refused.code(), violation.field.as_str()), (Code::InvalidArgument, field));
    }
    let unsaid = pb::SetAvailabilityRequest { item_ids: vec!["lamp".into()], availability: 0 };
    let refused = server.catalog().set_availability(unsaid).await.unwrap_err();
    assert!(refused.message().contains("availability"), "{refused}");
    assert_eq!(get(&server, "lamp").await.unwrap(), valid(Some(100), None));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_item_is_gone_until_it_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    let rows = [("u", "lamp", 1), ("v", "lamp", 1), ("v", "tea", 1), ("w", "tea", 2)];
    server.engine.writer().record(purchases(&rows)).await.unwrap();
    let all = pb::UpsertItemsRequest { items: vec![lamp()], update_mask: None };
    server.catalog().upsert_items(all.clone()).await.unwrap();
    trained(&server.engine).await;

    let delete = || pb::DeleteItemRequest { item_id: "lamp".into() };
    server.catalog().delete_item(delete()).await.unwrap();
    server.stop().await;
    for _ in 0..2 {
        let server = Server::start(folder.path(), support::quiet()).await;
        assert_eq!(get(&server, "lamp").await.unwrap_err().code(), Code::NotFound);
        let again = server.catalog().delete_item(delete()).await.unwrap_err();
        assert_eq!(again.code(), Code::NotFound);
        assert!(!offered(&server).await.contains(&"lamp".to_owned()));
        let similar = pb::SimilarItemsRequest { item_id: "lamp".into(), ..Default::default() };
        let similar = server.recommendations().similar_items(similar).await.unwrap_err();
        assert_eq!(similar.code(), Code::NotFound);
        let list = server.catalog().list_items(pb::ListItemsRequest::default()).await.unwrap();
        let list = list.into_inner();
        assert!(list.total_size == 1 && list.items.iter().all(|item| item.item_id == "tea"));
        // Neither a purchase nor a word on its stock brings it back.
        server.engine.writer().record(purchases(&[("x", "lamp", 3)])).await.unwrap();
        let stock = pb::SetAvailabilityRequest {
            item_ids: vec!["lamp".into()],
            availability: pb::Availability::Available.into(),
        };
        let stock = server.catalog().set_availability(stock).await.unwrap().into_inner();
        assert_eq!((stock.updated, stock.unknown_item_ids.len()), (0, 1));
        assert!(!offered(&server).await.contains(&"lamp".to_owned()));
        server.stop().await;
    }

    let server = Server::start(folder.path(), support::quiet()).await;
    let title = pb::Item { item_id: "lamp".into(), title: "Lamp".into(), ..Default::default() };
    server.catalog().upsert_items(upsert(title, &["title"])).await.unwrap();
    let back = get(&server, "lamp").await.unwrap();
    assert_eq!((back.title.as_str(), back.brand.as_str()), ("Lamp", ""));
    server.stop().await;
}

#[test]
fn every_file_of_the_protocol_names_the_packages_of_other_languages() {
    use prost::Message;

    let files = prost_types::FileDescriptorSet::decode(pb::DESCRIPTORS).unwrap().file;
    let ours: Vec<_> = files.iter().filter(|file| file.package() == "qianmian.v1").collect();
    assert_eq!(ours.len(), 12);
    for file in ours {
        let options = file.options.clone().unwrap_or_default();
        let named = [options.go_package, options.java_package, options.csharp_namespace];
        assert!(named.iter().flatten().count() == 3, "{}", file.name());
        assert!(options.php_namespace.is_some() && options.ruby_package.is_some());
    }
}

/// Writes that share a group see each other in their order, whatever becomes of the group.
#[test]
fn changes_of_one_group_and_of_one_write_come_after_each_other() {
    use qianmian::domain::{Item, ItemChange, ItemField};
    use qianmian::engine::{Engine, Write};

    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    let whole = |title: &str| ItemChange::whole(Item { title: title.into(), ..Item::default() });
    let price = |price: f64| {
        let mut change = ItemChange::of(Item { price: Some(price), ..Item::default() });
        change.add(ItemField::Price);
        change
    };
    // Handed over at once, so that the committer takes them in one group where it can.
    let writes = [
        Write::Items(vec![("a".into(), whole("A")), ("b".into(), whole("B"))]),
        Write::Availability(vec!["a".into(), "c".into()], false),
        Write::Items(vec![("a".into(), price(1.0)), ("a".into(), price(2.0))]),
        Write::DeleteItems(vec!["b".into()]),
        Write::Availability(vec!["b".into()], true),
        Write::DeleteItems(vec!["b".into()]),
        Write::Items(vec![("b".into(), price(3.0))]),
    ];
    let pending: Vec<_> =
        writes.into_iter().map(|write| engine.writer().submit_blocking(write).unwrap()).collect();
    let recorded: Vec<usize> =
        pending.into_iter().map(|write| write.wait().unwrap().recorded).collect();
    assert_eq!(recorded, [2, 1, 2, 1, 0, 0, 1]);

    let check = |engine: &Engine| {
        let a = engine.directory().item("a").unwrap().1;
        assert_eq!((a.title.as_str(), a.price, a.available), ("A", Some(2.0), false));
        let b = engine.directory().item("b").unwrap().1;
        assert_eq!((b.title.as_str(), b.price, b.available), ("", Some(3.0), true));
        assert!(engine.directory().item("c").is_err());
    };
    check(&engine);
    drop(engine);
    check(&Engine::open(folder.path(), support::quiet()).unwrap());
}

/// Ten thousand items of thirty kilobytes are sold out at once by as many words, and a change that
/// would write them all anew is refused for itself.
#[test]
fn a_word_on_large_items_stays_small() {
    use qianmian::domain::{Item, ItemChange, ItemField};
    use qianmian::engine::{Engine, Write};

    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    let attributes: std::collections::BTreeMap<String, String> =
        (0..10).map(|n| (format!("text{n}"), "x".repeat(3_000))).collect();
    let ids: Vec<String> = (0..6_000).map(|n| format!("i{n}")).collect();
    for ids in ids.chunks(1_000) {
        let large =
            || ItemChange::whole(Item { attributes: attributes.clone(), ..Item::default() });
        let items = ids.iter().map(|id| (id.clone(), large())).collect();
        engine.writer().submit_blocking(Write::Items(items)).unwrap().wait().unwrap();
    }
    let write = |write: Write| engine.writer().submit_blocking(write).unwrap().wait();
    assert_eq!(write(Write::Availability(ids.clone(), false)).unwrap().recorded, 6_000);
    let price = || {
        let mut change = ItemChange::of(Item { price: Some(1.0), ..Item::default() });
        change.add(ItemField::Price);
        change
    };
    let prices = |ids: &[String]| ids.iter().map(|id| (id.clone(), price())).collect();
    let refused = write(Write::Items(prices(&ids))).unwrap_err().to_string();
    assert!(refused.contains("items: must take at most"), "{refused}");
    assert_eq!(write(Write::Items(prices(&ids[..100]))).unwrap().recorded, 100);
    let item = engine.directory().item("i7").unwrap().1;
    assert_eq!((item.price, item.available, item.attributes.len()), (Some(1.0), false, 10));
}
