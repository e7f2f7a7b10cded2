//! Bytes that nobody meant: valid input is changed at random and handed to everything that
//! reads what it did not write. Whatever comes of it, nothing panics, and what a decoder
//! takes is within its limits.
//!
//! `FUZZ_ROUNDS` sets the rounds of each target; a longer run is
//! `cargo test --test it -- --ignored many_rounds`.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use prost::Message;
use qianmian::api::services::catalog::CatalogApi;
use qianmian::api::services::event::EventApi;
use qianmian::api::services::recommendation::RecommendationApi;
use qianmian::api::services::rule::RuleApi;
use qianmian::api::services::user::UserApi;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::catalog_service_server::CatalogService;
use qianmian::api::wire::pb::event_service_server::EventService;
use qianmian::api::wire::pb::recommendation_service_server::RecommendationService;
use qianmian::api::wire::pb::rule_service_server::RuleService;
use qianmian::api::wire::pb::user_service_server::UserService;
use qianmian::domain::{hex, now_ms};
use qianmian::engine::{Engine, PushRequest, RecommendRequest, Write};
use qianmian::import::{Column, Dialect, Row, convert, reader};
use qianmian::model::{Role, Source, disk, tensors};
use qianmian::store::{block, frame, replay};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};
use tonic::{Code, Request, Status};

use crate::parcel::Parcel;
use crate::support::{self, purchases};

const ROUNDS: usize = 2_000;
const MANY: usize = 100_000;

/// Changes some bytes, cuts, repeats, splices: what damage and malice look like.
fn mutate(seeds: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, [0, 0xff, b'"', b'\n', b',', b'{', 0x7f][rng.random_range(0..7)]),
            4 => {
                let end = (at + rng.random_range(0..20)).min(bytes.len());
                drop(bytes.drain(at..end));
            }
            5 => {
                let end = (at + rng.random_range(0..40)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let from = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Hands mutants of the seeds to `target`, which must not panic.
fn each(seeds: &[Vec<u8>], rounds: usize, mut target: impl FnMut(&[u8])) {
    let mut rng = StdRng::seed_from_u64(rounds as u64);
    let mut hand = |bytes: &[u8]| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) {
            let name = format!("qianmian-finding-{:x}", xxhash_rust::xxh3::xxh3_64(bytes));
            let finding = std::env::temp_dir().join(name);
            std::fs::write(&finding, bytes).unwrap();
            eprintln!("what it was handed is in {}", finding.display());
            resume_unwind(panic);
        }
    };
    seeds.iter().for_each(|seed| hand(seed));
    for _ in 0..rounds {
        hand(&mutate(seeds, &mut rng));
    }
}

fn rows(name: &str, bytes: &[u8]) {
    let dialect = Dialect::default();
    let required = [Column::UserId, Column::ItemId, Column::Timestamp];
    let input = Box::new(std::io::Cursor::new(bytes.to_vec()));
    let Ok(mut rows) = qianmian::import::from_stream(name, input, &dialect, &required) else {
        return;
    };
    read(rows.as_mut());
}

fn read(rows: &mut dyn reader::Reader) {
    let (mut row, now_ms) = (Row::default(), now_ms());
    let dialect = Dialect::default();
    while let Ok(Some(read)) = rows.next(&mut row) {
        if read.is_ok() {
            if let Ok(event) = convert::event(&row, &dialect, now_ms) {
                event.value.event.validate(now_ms).unwrap();
            }
            if let Ok(item) = convert::item(&row, &dialect) {
                item.value.1.applied(None).validate().unwrap();
            }
            if let Ok(user) = convert::user(&row, &dialect) {
                user.value.1.applied(None).validate().unwrap();
            }
        }
    }
}

fn imports(rounds: usize) {
    let csv = b"user_id,item_id,timestamp,event,quantity,price,title,category\n\
        u1,i1,2024-01-02 03:04:05,purchase,2,3.5,\"Lamp, red\",home/lamps\n\
        u2,\"i\"\"2\",1700000000,view,1,,,\nu3,i3,1700000000123,refund,-1,1e300,x,a//b\n";
    let tsv: Vec<u8> = csv.iter().map(|&b| if b == b',' { b'\t' } else { b }).collect();
    let json = b"{\"user_id\": 7, \"item_id\": \"i\", \"timestamp\": 1.5, \"price\": null}\n\
        {\"user_id\": \"u\", \"item_id\": \"\\u00e5\", \"timestamp\": \"2024-01-02\"}\n";
    let gzipped = {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(csv).unwrap();
        gz.finish().unwrap()
    };
    let zipped = zstd::encode_all(&csv[..], 1).unwrap();
    each(&[csv.to_vec()], rounds, |bytes| rows("log.csv", bytes));
    each(&[tsv], rounds, |bytes| rows("log.tsv", bytes));
    each(&[json.to_vec()], rounds, |bytes| rows("log.jsonl", bytes));
    each(&[gzipped], rounds, |bytes| rows("log.csv.gz", bytes));
    each(&[zipped], rounds, |bytes| rows("log.csv.zst", bytes));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.parquet");
    let name = path.to_str().unwrap();
    support::synth(&["--users", "20", "--items", "10", "--events", "200", name]);
    // Found in an earlier run: the library that reads pages panics.
    let found = include_bytes!("cases/log-with-an-unset-dictionary.parquet").to_vec();
    each(&[std::fs::read(&path).unwrap(), found], rounds / 3, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let required = [Column::UserId, Column::ItemId, Column::Timestamp];
        let rows = qianmian::import::open(&path, &Dialect::default(), &required, Arc::default());
        if let Ok(mut rows) = rows {
            read(rows.as_mut());
        }
    });
}

/// A store with a model, in `folder`.
fn store(folder: &std::path::Path) -> Engine {
    let engine = Engine::open(folder, support::quiet()).unwrap();
    let rows: Vec<(String, String)> =
        (0..60).map(|n| (format!("u{}", n % 12), format!("i{}", n * 7 % 10))).collect();
    let rows: Vec<_> = rows.iter().map(|(u, i)| (u.as_str(), i.as_str(), 1)).collect();
    engine.writer().submit_blocking(Write::Events(purchases(&rows))).unwrap().wait().unwrap();
    engine.trainer().train_blocking(true).unwrap();
    engine
}

fn files(rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    drop(store(folder.path()));
    let store = folder.path().join("stores/default");
    let only = |folder: &std::path::Path| {
        std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
    };
    let log = only(&store.join("log"));
    let whole = std::fs::read(&log).unwrap();
    let count =
        |visited: &mut usize| replay(&store.join("log"), u64::MAX, &mut |_| *visited += 1).is_ok();
    let mut entries = 0;
    assert!(count(&mut entries));
    each(std::slice::from_ref(&whole), rounds, |bytes| {
        std::fs::write(&log, bytes).unwrap();
        let mut visited = 0;
        // A tail may be torn; what is made up is never taken.
        assert!(!count(&mut visited) || visited <= entries, "{visited} of {entries}");
    });
    // Behind the checksums: the frame's header, and what a payload says.
    let header = whole[16..16 + frame::HEADER_BYTES].to_vec();
    each(&[header], rounds, |bytes| {
        if let Ok(bytes) = <&[u8; frame::HEADER_BYTES]>::try_from(bytes) {
            let _ = frame::decode_header(bytes);
        }
    });
    let mut header = [0; frame::HEADER_BYTES];
    header.copy_from_slice(&whole[16..16 + frame::HEADER_BYTES]);
    let header = frame::decode_header(&header).unwrap();
    let start = 16 + frame::HEADER_BYTES;
    let payload = frame::unpack(&header, &whole[start..start + header.stored as usize]).unwrap();
    each(&[payload], rounds, |bytes| {
        let _ = block::decode(bytes, 0, header.records, &mut |_| {});
    });
    let snapshot = only(&store.join("snapshots"));
    let arrays = std::fs::read(snapshot.join("model.safetensors")).unwrap();
    each(&[arrays], rounds, |bytes| drop(tensors::decode(bytes)));
    let manifest = snapshot.join("manifest.json");
    each(&[std::fs::read(&manifest).unwrap()], rounds, |bytes| {
        std::fs::write(&manifest, bytes).unwrap();
        let _ = disk::load_newest(&store.join("snapshots"), |_| true);
    });
}

/// What a service may say of a message that decodes.
fn proper<T>(what: &str, answer: Result<T, Status>) {
    if let Err(status) = answer {
        let expected = [Code::InvalidArgument, Code::NotFound, Code::ResourceExhausted];
        assert!(expected.contains(&status.code()), "{what}: {status:?}");
    }
}

fn requests(rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let engine = Arc::new(store(folder.path()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lists = RecommendationApi::new(engine.clone());
    let (events, items) = (EventApi::new(engine.clone()), CatalogApi::new(engine.clone()));
    let users = UserApi::new(engine.clone());
    let rules = RuleApi::new(engine.clone());
    let condition = |kind| pb::Condition { kind: Some(kind) };
    let filter = Some(pb::Filter {
        categories: vec!["a/b".into()],
        include_unavailable: true,
        condition: Some(condition(pb::condition::Kind::AnyOf(pb::Conditions {
            conditions: vec![
                condition(pb::condition::Kind::Brand("x".into())),
                condition(pb::condition::Kind::Price(pb::PriceRange { min: Some(1.0), max: None })),
            ],
        }))),
    });
    let recommend = pb::RecommendRequest {
        user_id: "u1".into(),
        session_item_ids: vec!["i1".into(), "i2".into()],
        limit: 5,
        filter: filter.clone(),
        exclude_item_ids: vec!["i3".into()],
        strategy: 1,
        repeat_policy: 2,
        exclude_purchased_days: 7,
        attributes: [("country".to_owned(), "SE".to_owned())].into(),
        explain: true,
        variety: Some(pb::Variety { max_of_brand: 2, ..Default::default() }),
        placement: String::new(),
        page_category: "a/b".into(),
        page_item_ids: vec!["i4".into()],
        paged: true,
        page_token: "AQEAAAA".into(),
        context: "SE".into(),
        session_id: "s".into(),
        forced_variants: Vec::new(),
    };
    let similar =
        pb::SimilarItemsRequest { item_id: "i1".into(), limit: 5, filter: filter.clone() };
    let popular = pb::PopularRequest { window: 1, limit: 3, filter };
    let rank =
        pb::RankRequest { user_id: "u1".into(), item_ids: vec!["i2".into()], ..Default::default() };
    let time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 });
    let event = pb::Event {
        event_id: "e".into(),
        kind: 4,
        user_id: "u1".into(),
        item_id: "i1".into(),
        time,
        quantity: Some(1.0),
        price: Some(2.5),
        ..Default::default()
    };
    let write = pb::WriteEventsRequest { events: vec![event.clone(), event] };
    let item = pb::Item {
        item_id: "i1".into(),
        title: "Lamp".into(),
        categories: vec!["a/b".into()],
        valid_from: time,
        attributes: [("k".to_owned(), "v".to_owned())].into(),
        ..Default::default()
    };
    let user = pb::User { user_id: "u1".into(), consent: 1, ..Default::default() };
    macro_rules! target {
        ($api:expr, $method:ident, $message:ty, $seed:expr) => {
            each(&[$seed.encode_to_vec()], rounds, |bytes| {
                if let Ok(message) = <$message>::decode(bytes) {
                    let what = format!("{message:?}");
                    proper(&what, runtime.block_on($api.$method(Request::new(message))));
                }
            });
        };
    }
    target!(lists, recommend, pb::RecommendRequest, recommend);
    target!(lists, similar_items, pb::SimilarItemsRequest, similar);
    target!(lists, popular, pb::PopularRequest, popular);
    target!(lists, rank, pb::RankRequest, rank);
    target!(
        items,
        upsert_items,
        pb::UpsertItemsRequest,
        pb::UpsertItemsRequest { items: vec![item], update_mask: None }
    );
    target!(
        users,
        upsert_users,
        pb::UpsertUsersRequest,
        pb::UpsertUsersRequest { users: vec![user] }
    );
    let rule = pb::Rule {
        name: "r".into(),
        items: Some(pb::ItemSelection {
            item_ids: vec!["i1".into()],
            arrived_within_days: 3,
            ..Default::default()
        }),
        when: Some(pb::RuleCondition {
            page_categories: vec!["a".into()],
            schedule: Some(pb::Schedule {
                start_time: time,
                weekly: vec![pb::WeeklyHours {
                    days: vec!["fri".into()],
                    start: "17:00".into(),
                    end: "02:00".into(),
                }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        action: Some(pb::rule::Action::Boost(pb::Boost { factor: 2.0 })),
        ..Default::default()
    };
    let set = pb::RuleSet { time_zone: "Asia/Shanghai".into(), rules: vec![rule] };
    let tried = pb::DryRunRulesRequest { rules: Some(set), users: 2, ..Default::default() };
    target!(rules, dry_run_rules, pb::DryRunRulesRequest, tried);
    let page = pb::ListItemsRequest { page_size: 7, page_token: "3".into() };
    target!(items, list_items, pb::ListItemsRequest, page);
    // Durable writes take their time: fewer of them.
    each(&[write.encode_to_vec()], rounds.min(3_000), |bytes| {
        if let Ok(message) = pb::WriteEventsRequest::decode(bytes) {
            let what = format!("{message:?}");
            proper(&what, runtime.block_on(events.write_events(Request::new(message))));
        }
    });
    // All that was taken can be read back, and asked for.
    drop((lists, events, items, users, rules));
    drop(engine);
    let engine = Engine::open(folder.path(), support::quiet()).unwrap();
    engine.trainer().train_blocking(true).unwrap();
}

/// Files of pushed models, through the gate and into the registry.
fn pushes(rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let engine = store(folder.path());
    // Publishing is durable and takes its time.
    each(&[Parcel::of_every_kind().bytes()], rounds.min(3_000), |bytes| {
        let request = PushRequest {
            id: "fuzz".into(),
            bytes: bytes.len() as u64,
            pushed_by: String::new(),
            note: String::new(),
            role: Role::Active,
            force: false,
        };
        let Ok(mut incoming) = engine.pushes().begin(&request) else { return };
        incoming.append(0, bytes).unwrap();
        if engine
            .pushes()
            .commit(incoming, &request, request.bytes, &hex(&Sha256::digest(bytes)))
            .is_ok()
        {
            let ask = |source| RecommendRequest {
                user_id: "u1".into(),
                limit: 5,
                strategy: source,
                ..RecommendRequest::default()
            };
            let sources = Source::PUSHED.into_iter().map(Some).chain([None]);
            sources.for_each(|source| drop(engine.recommender().recommend(&ask(source)).unwrap()));
        }
    });
    // All that was taken can be read back.
    let generation = engine.generation();
    assert!(generation > 1, "the seed itself is taken");
    drop(engine);
    assert_eq!(Engine::open(folder.path(), support::quiet()).unwrap().generation(), generation);
}

fn rounds() -> usize {
    std::env::var("FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap())
}

#[test]
fn parsers_of_imports_refuse_what_is_no_row() {
    imports(rounds());
}

#[test]
fn decoders_of_files_refuse_what_was_not_written() {
    files(rounds());
}

#[test]
fn validators_of_requests_refuse_what_breaks_a_limit() {
    requests(rounds());
}

#[test]
fn the_gate_refuses_what_is_no_model() {
    pushes(rounds());
}

#[test]
#[ignore = "takes minutes"]
fn many_rounds() {
    let threads =
        [imports, files, requests, pushes].map(|target| std::thread::spawn(move || target(MANY)));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
