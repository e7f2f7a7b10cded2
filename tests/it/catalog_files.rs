//! Catalogues and users from files: what is offered afterwards, and what is not.

use std::fs;

use crate::files::{HEADER, Shop, count};
use crate::support::run;

#[test]
fn a_sold_out_item_is_never_offered_whatever_its_title() {
    let shop = Shop::new();
    let log = "u1,sold,2026-11-01\nu2,sold,2026-11-01\nu3,ok,2026-11-02\nu4,gone,2026-11-02\n";
    assert!(shop.import("log.csv", format!("{HEADER}\n{log}"), &[]).0);
    let items =
        "item_id,title,available\nsold,Old\rlamp,false\nok,New lamp,true\ngone,Plain,false\n";
    let (ok, report) = shop.import("items.csv", items, &["--items"]);
    assert!(ok && count(&report, "items taken") == Some(3), "{report}");
    assert_eq!(shop.offered(), ["ok"]);
}

#[test]
fn a_catalogue_takes_tags_attributes_and_validity_and_says_what_is_whole() {
    let shop = Shop::new();
    let items = "item_id,title,tags,valid_from,valid_until,Color,attributes.size,price\n\
                 a,Lamp,new|red,2020-01-01,2099-01-01,red,m,9\nb,Tea,,2099-01-01,,green,,3\nc,Cup,,,,,,1\n";
    let map = ["--items", "--map", "attributes.colour=Color"];
    let (ok, report) = shop.import("items.csv", items, &map);
    assert!(ok, "{report}");
    let item = shop.engine().directory().item("a").unwrap().1;
    assert_eq!(item.tags, ["new", "red"]);
    assert_eq!(
        item.attributes,
        [("colour", "red"), ("size", "m")].map(|(k, v)| (k.into(), v.into())).into()
    );
    assert_eq!(item.validity.until_ms, Some(4_070_908_800_000));
    assert_eq!(shop.offered(), ["a", "c"], "b is not valid yet");

    // A stock list changes what it has a column for.
    let (ok, report) = shop.import("stock.csv", "item_id,available\na,0\n", &["--items"]);
    assert!(ok, "{report}");
    let after = shop.engine().directory().item("a").unwrap().1;
    assert_eq!(after, qianmian::domain::Item { available: false, ..item });
    assert_eq!(shop.offered(), ["c"]);

    // The whole catalogue offers what it names, and nothing else.
    let (ok, report) =
        shop.import("all.csv", "item_id,title\na,Lamp\nd,Dish\n", &["--items", "--complete"]);
    assert!(
        ok && count(&report, "items now unavailable: not in the whole catalogue") == Some(2),
        "{report}"
    );
    assert_eq!(shop.offered(), ["a", "d"]);
    assert_eq!(shop.engine().directory().item("c").unwrap().1.title, "Cup");
    // Not where a row could not be read: it might be any item.
    let (ok, report) =
        shop.import("part.csv", "item_id,title\na,Lamp\n,Dish\n", &["--items", "--complete"]);
    assert!(!ok && report.contains("not complete"), "{report}");
    assert_eq!(shop.offered(), ["a", "d"]);
}

#[test]
fn users_from_a_file_keep_what_it_does_not_say() {
    let shop = Shop::new();
    // An objection is one whatever 0 stands for elsewhere.
    assert!(shop.import("no.csv", "user_id,consent\ncarl,0\n", &["--users", "--absent", "0"]).0);
    assert!(!shop.engine().directory().user("carl").unwrap().consent);
    let users = "user_id,attributes.country,consent\nanna,SE,yes\nbert,DE,no\n";
    let (ok, report) = shop.import("users.csv", users, &["--users"]);
    assert!(ok && count(&report, "users taken") == Some(2), "{report}");
    let (ok, report) = shop.import(
        "segments.csv",
        "id,Segment\nanna,gold\n",
        &["--users", "--map", "user_id=id,attributes.segment=Segment"],
    );
    assert!(ok, "{report}");
    let engine = shop.engine();
    let anna = engine.directory().user("anna").unwrap();
    assert_eq!(
        anna.attributes,
        [("country", "SE"), ("segment", "gold")].map(|(k, v)| (k.into(), v.into())).into()
    );
    assert!(anna.consent && !engine.directory().user("bert").unwrap().consent);
}

#[test]
fn a_catalogue_without_events_is_offered_and_has_neighbours() {
    let shop = Shop::new();
    let items = "item_id,category,brand\na,home/lamps,Lux\nb,home/lamps,Lux\nc,garden,Acme\n";
    assert!(shop.import("items.csv", items, &["--items"]).0);
    let data = shop.path("data");
    let data = data.to_str().unwrap();
    let (ok, list, error) = run(&["recommend", "anna", "--data", data]);
    assert!(ok && list.matches("catalog").count() == 3, "{list}{error}");
    let (ok, similar, error) = run(&["similar", "a", "--data", data, "--json"]);
    assert!(ok, "{error}");
    let similar: serde_json::Value = serde_json::from_str(&similar).unwrap();
    let first = &similar["items"][0];
    assert_eq!((first["item_id"].as_str(), first["source"].as_str()), (Some("b"), Some("content")));
}

#[test]
fn a_sold_out_item_is_offered_by_no_slip_of_a_file() {
    let shop = Shop::new();
    let first = "item_id,title,available\nsold,Old,false\nok,New,true\n";
    assert!(shop.import("c1.csv", first, &["--items", "--complete"]).0);
    let slips: [(&str, &str, &[&str]); 8] = [
        ("left.jsonl", "{\"item_id\":\"ok\",\"available\":true}\n{\"item_id\":\"sold\"}\n", &[]),
        ("empty.csv", "item_id,title,available\nsold,Old2,\nok,New,true\n", &[]),
        ("cut.csv", "item_id,title,available\nsold,Old2\nok,New,true\n", &[]),
        ("word.csv", "item_id,title,available\nsold,Old,OutOfStock\nok,New,InStock\n", &[]),
        ("none.csv", "item_id,title,available\nsold,Old,0\nok,New,1\n", &["--absent", "0,NULL"]),
        ("null.jsonl", "{\"item_id\":\"sold\",\"available\":null}\n{\"item_id\":\"ok\"}\n", &[]),
        ("inch.csv", "item_id,title,available\nsold,\"Old lamp,false\nok,\"New lamp\",true\n", &[]),
        ("odd.csv", "item_id,title,available\nsold,Old,perhaps\nok,New,true\n", &[]),
    ];
    for (name, content, options) in slips {
        for whole in [&["--items"][..], &["--items", "--complete"]] {
            let (_, report) = shop.import(name, content, &[whole, options].concat());
            assert_eq!(shop.offered(), ["ok"], "{name}: {report}");
        }
    }
    // A file without rows is no whole catalogue.
    let (only, empty) = (shop.path("only.csv"), shop.path("header.csv"));
    fs::write(&only, "item_id,title\nsold,Old\n").unwrap();
    fs::write(&empty, "item_id,title\n").unwrap();
    let data = shop.path("data");
    let files = [only.to_str().unwrap(), empty.to_str().unwrap()];
    let options = ["--items", "--complete", "--data", data.to_str().unwrap()];
    let (ok, _, error) = run(&[&["import"], &files[..], &options].concat());
    assert!(!ok && error.contains("not complete"), "{error}");
    assert!(shop.offered().contains(&"ok".to_owned()));
}

#[test]
fn what_is_sold_out_or_deleted_stays_so_whatever_a_log_says_of_it() {
    use qianmian::engine::Write;

    let shop = Shop::new();
    let log = |day: u32| {
        format!("{HEADER},title\nu,sold,2023-01-0{day},Lamp\nu,gone,2023-01-0{day},Tea\n")
    };
    assert!(
        shop.import("log.csv", format!("{HEADER}\nu,sold,2023-01-01\nu,gone,2023-01-01\n"), &[]).0
    );
    let engine = shop.engine();
    for write in
        [Write::Availability(vec!["sold".into()], false), Write::DeleteItems(vec!["gone".into()])]
    {
        engine.writer().submit_blocking(write).unwrap().wait().unwrap();
    }
    drop(engine);
    let (ok, report) = shop.import("more.csv", log(2), &[]);
    assert!(ok && count(&report, "items described") == Some(1), "{report}");
    let engine = shop.engine();
    let sold = engine.directory().item("sold").unwrap().1;
    assert_eq!((sold.title.as_str(), sold.available), ("Lamp", false));
    assert!(engine.directory().item("gone").is_err());
    drop(engine);
    assert!(shop.offered().is_empty());
    // An empty cell of a stock list is no stock; a word for it is.
    let (ok, report) =
        shop.import("stock.csv", "item_id,available,title\nsold,,Lamp 2\n", &["--items"]);
    assert!(ok && shop.offered().is_empty(), "{report}");
    assert!(shop.import("stock.csv", "item_id,available\nsold,in_stock\n", &["--items"]).0);
    assert_eq!(shop.offered(), ["sold"]);
    // A row for each of an item's variants: none takes back what another said.
    let variants = "item_id,title,brand,available\nsold,A,Lux,5\nsold,B,,0\nsold,,,\n";
    let (ok, report) = shop.import("variants.csv", variants, &["--items"]);
    assert!(ok && count(&report, "items taken") == Some(2), "{report}");
    let sold = shop.engine().directory().item("sold").unwrap().1;
    assert_eq!((sold.title.as_str(), sold.brand.as_str(), sold.available), ("B", "Lux", true));
    // A line that is cut short takes nothing back either.
    assert!(shop.import("cut.csv", "item_id,title,brand\nsold\n", &["--items"]).0);
    assert_eq!(shop.engine().directory().item("sold").unwrap().1, sold);
}
