//! Files as shops export them: what is taken from them, what is said of the rest.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use qianmian::engine::{Engine, RecommendRequest};
use tempfile::TempDir;

use crate::support::{self, run};

/// A data folder and files beside it.
pub(crate) struct Shop {
    folder: TempDir,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, imports it, and says whether that went well, and what was printed.
    pub(crate) fn import(
        &self,
        name: &str,
        content: impl AsRef<[u8]>,
        options: &[&str],
    ) -> (bool, String) {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        let data = self.path("data");
        let fixed = ["import", path.to_str().unwrap(), "--data", data.to_str().unwrap()];
        let (ok, out, error) = run(&[&fixed, options].concat());
        (ok, out + &error)
    }

    /// The events of the store: user, item, event, time, quantity, price.
    pub(crate) fn events(&self) -> Vec<[String; 6]> {
        let path = self.path("out.csv");
        let data = self.path("data");
        let arguments = ["export", "log", path.to_str().unwrap(), "--data", data.to_str().unwrap()];
        let (ok, out, error) = run(&arguments);
        assert!(ok, "{out}{error}");
        let mut rows = csv::Reader::from_path(path).unwrap();
        let rows = rows.records().map(|row| {
            let row = row.unwrap();
            std::array::from_fn(|at| row[at].to_owned())
        });
        rows.collect()
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        Arc::new(Engine::open(&self.path("data"), support::quiet()).unwrap())
    }

    /// Items that a stranger is offered.
    pub(crate) fn offered(&self) -> Vec<String> {
        let request = RecommendRequest { limit: 50, ..RecommendRequest::default() };
        let answer = self.engine().recommender().recommend(&request).unwrap();
        answer.entries.into_iter().map(|entry| entry.item_id).collect()
    }
}

/// The number at the end of the report's first line that holds `what`.
pub(crate) fn count(report: &str, what: &str) -> Option<u64> {
    let line = report.lines().find(|line| line.contains(what))?;
    line.split_whitespace().last()?.parse().ok()
}

pub(crate) const HEADER: &str = "user_id,item_id,timestamp";

#[test]
fn a_stray_carriage_return_loses_nothing() {
    let shop = Shop::new();
    let (ok, report) = shop.import(
        "log.csv",
        format!("{HEADER},event\nu1,i1,2023-01-01,view\nu2,i2,2023-01-02\r,view\nu3,i3,2023-01-03,view\n"),
        &[],
    );
    assert!(ok && count(&report, "read as view") == Some(3), "{report}");
    assert!(!report.contains("read as purchase"), "{report}");
    let times: Vec<String> = shop.events().into_iter().map(|event| event[3].clone()).collect();
    assert_eq!(times, ["2023-01-01T00:00:00Z", "2023-01-02T00:00:00Z", "2023-01-03T00:00:00Z"]);
}

#[test]
fn long_numeric_ids_stay_apart() {
    let shop = Shop::new();
    let log = r#"{"user_id": 18446744073709551617, "item_id": 20240101000000000001, "timestamp": 1682935200}
{"user_id": 18446744073709551618, "item_id": 20240101000000000002, "timestamp": 1682935200}
{"user_id": 9007199254740993, "item_id": 1.10, "timestamp": 1682935200}
{"user_id": 9007199254740992, "item_id": 1.1, "timestamp": 1682935200}
"#;
    assert!(shop.import("log.jsonl", log, &[]).0);
    let ids: Vec<(String, String)> =
        shop.events().into_iter().map(|[user, item, ..]| (user, item)).collect();
    let expected = [
        ("18446744073709551617", "20240101000000000001"),
        ("18446744073709551618", "20240101000000000002"),
        ("9007199254740993", "1.10"),
        ("9007199254740992", "1.1"),
    ];
    assert_eq!(ids, expected.map(|(user, item)| (user.to_owned(), item.to_owned())));
}

#[test]
fn times_in_twelve_spellings_of_one_file() {
    let shop = Shop::new();
    let times = [
        ("2023-05-01 10:00:00 UTC", "2023-05-01T10:00:00Z"),
        ("2023-05-01 10:00:00 +0800", "2023-05-01T02:00:00Z"),
        ("2023/05/01 10:00:00", "2023-05-01T10:00:00Z"),
        ("2023/5/1 10:00", "2023-05-01T10:00:00Z"),
        ("5/13/2023 2:05 PM", "2023-05-13T14:05:00Z"),
        ("20230501", "2023-05-01T00:00:00Z"),
        ("202305011000", "2023-05-01T10:00:00Z"),
        ("45047.4166666667", "2023-05-01T10:00:00Z"),
        ("2023年5月1日", "2023-05-01T00:00:00Z"),
        ("2023-05-01T10:00:00+08:00[Asia/Shanghai]", "2023-05-01T02:00:00Z"),
        ("1682935200", "2023-05-01T10:00:00Z"),
        ("1682935200000", "2023-05-01T10:00:00Z"),
    ];
    let rows: String =
        times.iter().enumerate().map(|(n, (text, _))| format!("u{n},i{n},{text}\n")).collect();
    let (ok, report) = shop.import("times.csv", format!("{HEADER}\n{rows}"), &[]);
    assert!(ok && count(&report, "events taken") == Some(12), "{report}");
    assert!(report.contains("times from 2023-05-01T00:00:00Z to 2023-05-13T14:05:00Z"), "{report}");
    let read: Vec<String> = shop.events().into_iter().map(|event| event[3].clone()).collect();
    assert_eq!(read, times.map(|(_, time)| time));
}

#[test]
fn day_and_month_are_read_in_one_way_for_a_whole_file() {
    let days = |rows: &[&str]| -> String {
        let rows = rows.iter().enumerate().map(|(n, text)| format!("u{n},i{n},{text}\n"));
        format!("{HEADER}\n{}", rows.collect::<String>())
    };
    let shop = Shop::new();
    let proven =
        days(&["31/01/2023 10:00", "01/02/2023 10:00", "12/02/2023 10:00", "13/02/2023 10:00"]);
    let (ok, report) = shop.import("log.csv", proven, &[]);
    assert!(ok && count(&report, "events taken") == Some(4), "{report}");
    let read: Vec<String> = shop.events().into_iter().map(|event| event[3].clone()).collect();
    assert_eq!(
        read,
        [
            "2023-01-31T10:00:00Z",
            "2023-02-01T10:00:00Z",
            "2023-02-12T10:00:00Z",
            "2023-02-13T10:00:00Z"
        ]
    );

    let shop = Shop::new();
    let open = days(&["01/02/2023", "03/04/2023"]);
    let (ok, report) = shop.import("log.csv", &open, &[]);
    assert!(!ok && report.contains("--time-format day-first or month-first"), "{report}");
    let (ok, _) = shop.import("log.csv", &open, &["--time-format", "day-first"]);
    assert!(ok && shop.events()[0][3] == "2023-02-01T00:00:00Z");

    let shop = Shop::new();
    let both = days(&["31/01/2023", "01/31/2023", "01/02/2023"]);
    let (ok, report) = shop.import("log.csv", both, &[]);
    assert!(!ok && report.contains("split the file"), "{report}");

    // A form that is given is the one that is read.
    let shop = Shop::new();
    let german = days(&["01.05.23 10:00"]);
    let options = ["--time-format", "%d.%m.%y %H:%M", "--time-zone", "Asia/Shanghai"];
    assert!(shop.import("log.csv", german, &options).0);
    assert_eq!(shop.events()[0][3], "2023-05-01T02:00:00Z");
}

#[test]
fn a_number_that_is_no_plausible_time_is_refused_or_asked_for() {
    let shop = Shop::new();
    let log = format!("{HEADER}\nu,i,86400\n");
    let (ok, report) = shop.import("log.csv", &log, &[]);
    assert!(!ok && report.contains("no time from 1990 to 2100"), "{report}");
    assert!(shop.import("log.csv", &log, &["--time-format", "unix"]).0);
    assert_eq!(shop.events()[0][3], "1970-01-02T00:00:00Z");
}

#[test]
fn marks_last_lines_and_exit_codes() {
    let shop = Shop::new();
    let bom = "\u{feff}{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":1682935200}\n\
               {\"user_id\":\"u2\",\"item_id\":\"i\",\"timestamp\":1682935200}\n";
    let (ok, report) = shop.import("bom.jsonl", bom, &[]);
    assert!(ok && count(&report, "events taken") == Some(2), "{report}");
    let inch = format!("{HEADER},title\nu1,i1,2023-01-01,5\" pipe\nu2,i2,2023-01-02,5\" pipe");
    let (ok, report) = shop.import("inch.csv", inch, &[]);
    assert!(ok && count(&report, "events taken") == Some(2), "{report}");
    assert_eq!(shop.engine().directory().item("i2").unwrap().1.title, "5\" pipe");

    let none = format!("{HEADER}\nu,i,someday\n");
    let (ok, report) = shop.import("none.csv", none, &[]);
    assert!(!ok && report.contains("no row was taken from"), "{report}");
    // What is known already is no failure, and neither is a file without rows.
    assert!(shop.import("bom.jsonl", bom, &[]).0);
    assert!(shop.import("empty.csv", format!("{HEADER}\n"), &[]).0);
}

#[test]
fn an_overlong_title_costs_the_item_its_end_and_nothing_else() {
    let shop = Shop::new();
    let title = "t".repeat(1_300);
    let log = format!(
        "{HEADER},title,category,brand,price\nu1,i1,2026-11-01,{title},home/pipes,Acme,9.5\n"
    );
    let (ok, report) = shop.import("log.csv", log, &[]);
    assert!(ok && count(&report, "dropped, the row taken: title beyond") == Some(1), "{report}");
    let item = shop.engine().directory().item("i1").unwrap().1;
    assert_eq!((item.title.len(), item.brand.as_str(), item.price), (1_024, "Acme", Some(9.5)));
    assert_eq!(item.categories, ["home/pipes"]);
}

#[test]
fn an_optional_field_that_cannot_be_read_is_dropped_and_counted() {
    let shop = Shop::new();
    let mut log = format!("{HEADER},price,quantity,title\n").into_bytes();
    log.extend(
        b"u,a,2023-01-01,$9.99,1,A\nu,b,2023-01-01,\"2,50\",-2,B\nu,c,2023-01-01,NULL,\\N,C\n",
    );
    log.extend(b"u,d,2023-01-01,1.5,1,caf\xe9\n");
    let (ok, report) = shop.import("log.csv", &log, &[]);
    assert!(ok && count(&report, "events taken") == Some(4), "{report}");
    assert_eq!(count(&report, "price is no number (is the comma"), Some(1), "{report}");
    assert_eq!(count(&report, "price is a word for an empty field"), Some(1), "{report}");
    assert_eq!(count(&report, "quantity is a word for an empty field"), Some(1), "{report}");
    assert!(report.contains("title is not UTF-8 (the file's encoding: --encoding"), "{report}");
    let kinds: Vec<[String; 3]> =
        shop.events().into_iter().map(|[_, _, kind, _, n, price]| [kind, n, price]).collect();
    let expected = [
        ["purchase", "1", ""],
        ["refund", "2", ""],
        ["purchase", "1", ""],
        ["purchase", "1", "1.5"],
    ];
    assert_eq!(kinds, expected.map(|row| row.map(str::to_owned)));

    let shop = Shop::new();
    let german = "user_id;item_id;timestamp;price\nu;a;2023-01-01;2,50\nu;b;2023-01-01;1.234,50\n";
    assert!(shop.import("log.csv", german, &["--decimal-comma"]).0);
    let prices: Vec<String> = shop.events().into_iter().map(|event| event[5].clone()).collect();
    assert_eq!(prices, ["2.5", "1234.5"]);
}

#[test]
fn the_report_says_what_was_read_and_warns_of_users_who_are_none() {
    let shop = Shop::new();
    let log = format!(
        "{HEADER},event\nNULL,a,2023-01-01,buy\n0,a,2023-01-02,pv\n,a,2023-01-03,buy\nu,a,2023-01-04,buy\n\
         u,a,2023-01-05,dance\n"
    );
    let (ok, report) = shop.import("log.csv", &log, &[]);
    assert!(ok && count(&report, "read as purchase") == Some(2), "{report}");
    assert_eq!(count(&report, "rows without a user (20.0 %)"), Some(1), "{report}");
    assert!(report.contains("event is of an unknown kind (name its kind: --event-map"), "{report}");
    for id in ["NULL", "0"] {
        assert!(report.contains(&format!("1 rows have the user_id \"{id}\"")), "{report}");
    }
    let shop = Shop::new();
    let (ok, report) =
        shop.import("log.csv", &log, &["--absent", "NULL,0", "--event-map", "dance=view"]);
    assert!(ok && count(&report, "refused: user_id is empty") == Some(3), "{report}");
    assert_eq!(count(&report, "read as view"), Some(1), "{report}");
}

#[test]
fn events_of_known_systems() {
    for (system, names, kinds) in [
        ("ga4", ["view_item", "add_to_wishlist", "begin_checkout"], "view,favorite"),
        ("shopify", ["product_viewed", "checkout_completed", "cart_viewed"], "view,purchase"),
        ("taobao", ["浏览", "加购", "购买"], "view,add_to_cart,purchase"),
        ("youzan", ["浏览商品", "支付成功", "退款成功"], "view,purchase,refund"),
    ] {
        let shop = Shop::new();
        let rows: String =
            names.iter().map(|name| format!("u,i-{name},2023-01-01,{name}\n")).collect();
        let (ok, report) =
            shop.import("log.csv", format!("{HEADER},event\n{rows}"), &["--event-map", system]);
        assert!(ok, "{report}");
        let read: Vec<String> = shop.events().into_iter().map(|event| event[2].clone()).collect();
        assert_eq!(read.join(","), kinds, "{system}");
    }
}

#[test]
fn encodings_and_separators_of_spreadsheets() {
    let text = "用户,商品,时间\r\n张三,茶,2023-01-01\r\n";
    let map = "user_id=用户,item_id=商品,timestamp=时间";
    let utf_16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let gb18030: &[u8] = b"\xd3\xc3\xbb\xa7,\xc9\xcc\xc6\xb7,\xca\xb1\xbc\xe4\r\n\
                           \xd5\xc5\xc8\xfd,\xb2\xe8,2023-01-01\r\n";
    for (content, options) in
        [(&utf_16[..], &["--map", map][..]), (gb18030, &["--map", map, "--encoding", "gb18030"])]
    {
        let shop = Shop::new();
        let (ok, report) = shop.import("log.csv", content, options);
        assert!(ok, "{report}");
        let event = &shop.events()[0];
        assert_eq!((event[0].as_str(), event[1].as_str()), ("张三", "茶"));
    }
    let (ok, report) = Shop::new().import("log.csv", gb18030, &["--map", map]);
    assert!(!ok && report.contains("--encoding gb18030"), "{report}");
    // The header alone would be read by its commas.
    let excel = "sep=;\r\nuser_id;item_id;timestamp;a,b,c,d,e\r\nu;i;2023-01-01;x\r\n";
    let (ok, report) = Shop::new().import("log.csv", excel, &[]);
    assert!(ok, "{report}");
}

#[test]
fn a_log_that_looks_dirty_is_noticed_with_what_helps() {
    let shop = Shop::new();
    let log = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n\
               1,POST,POSTAGE,1,2010-12-01,18,1.0\n1,A,LAMP,1,2010-12-01,2,1.0\n";
    let map = "user_id=CustomerID,item_id=StockCode,timestamp=InvoiceDate,title=Description";
    let (ok, report) = shop.import("log.csv", log, &["--map", map]);
    assert!(ok && report.contains("--preset online-retail"), "{report}");
    assert!(report.contains("--exclude-items POST"), "{report}");
    let shop = Shop::new();
    let (ok, report) = shop.import("log.csv", log, &["--map", map, "--exclude-items", "POST"]);
    assert!(ok && count(&report, "skipped: item of --exclude-items") == Some(1), "{report}");
    let (_, report) = Shop::new().import("log.csv", log, &["--preset", "online-retail"]);
    assert!(!report.contains("note:"), "{report}");
}

#[test]
fn an_event_that_a_file_has_a_column_for_is_never_guessed() {
    let shop = Shop::new();
    let log = format!("{HEADER},event\nu,a,2023-01-01,view\nu,b,2023-01-01,\nu,c,2023-01-01\n");
    let (ok, report) = shop.import("log.csv", log, &[]);
    assert!(ok && count(&report, "refused: event is empty") == Some(2), "{report}");
    let typo = r#"{"user_id":"u","item_id":"d","timestamp":"2023-01-01","event_type":"view"}"#;
    assert!(!shop.import("typo.jsonl", typo, &["--map", "event=event_typ"]).0);
    let null = r#"{"user_id":"u","item_id":"d","timestamp":"2023-01-01","event":null}"#;
    assert!(!shop.import("log.jsonl", null, &[]).0);
    let log = format!("{HEADER},event_type\nu,a,2023-01-01,view\n");
    let (ok, report) = shop.import("typo.csv", &log, &["--map", "event=EventType"]);
    assert!(!ok && report.contains("no column \"EventType\""), "{report}");
    let (_, report) = shop.import("typo.csv", &log, &[]);
    assert!(report.contains("columns that are not read: event_type"), "{report}");
    // A return whose sign cannot be read is no purchase.
    let log = format!(
        "{HEADER},quantity\nu,a,2023-01-02,\"-1,000\"\nu,b,2023-01-02,−2\nu,c,2023-01-02,5-\n"
    );
    let (ok, report) = Shop::new().import("neg.csv", log, &[]);
    assert!(!ok && count(&report, "quantity is below 0 and cannot be read") == Some(3), "{report}");
}

#[test]
fn rows_proved_too_late_or_by_no_date_are_not_read_in_two_ways() {
    let rows = |texts: &[&str]| -> String {
        texts.iter().enumerate().map(|(n, text)| format!("u{n},i,{text}\n")).collect()
    };
    let early: String = (0..100_000).map(|n| format!("v{n},i,2023-01-01\n")).collect();
    let late = rows(&["13/02/2023", "02/13/2023", "02/03/2023"]);
    let (ok, report) = Shop::new().import("late.csv", format!("{HEADER}\n{early}{late}"), &[]);
    assert!(ok && count(&report, "may name the day or the month first") == Some(3), "{report}");
    let none = rows(&["99/01/2023", "01/02/2023"]);
    let (ok, report) = Shop::new().import("none.csv", format!("{HEADER}\n{none}"), &[]);
    assert!(!ok, "{report}");
}

#[test]
fn a_file_is_not_overwritten_by_its_own_rejects() {
    let shop = Shop::new();
    let log = format!("{HEADER}\nu,i,2023-01-01\n");
    let path = shop.path("log.csv");
    let (ok, report) = shop.import("log.csv", &log, &["--rejects", path.to_str().unwrap()]);
    assert!(!ok && report.contains("would overwrite"), "{report}");
    assert_eq!(fs::read_to_string(path).unwrap(), log);
}
