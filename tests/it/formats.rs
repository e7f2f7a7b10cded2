//! Data folders of every format that there ever was.

use std::fs;
use std::path::Path;

use qianmian::domain::Secret;
use qianmian::engine::{Engine, RecommendRequest};

use crate::disks::copied;
use crate::support;

/// Folders that earlier versions wrote open, answer, and are this version's from then on.
#[test]
fn folders_of_every_format_open() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures");
    let mut formats = 0;
    for (name, key) in [
        ("format-1", ""),
        ("format-2", ""),
        ("format-2-keyed", "a key of sixteen bytes"),
        ("format-3", ""),
        ("format-4", ""),
        ("format-5", ""),
        ("format-6", ""),
        ("format-7", ""),
        ("format-8", ""),
        ("format-9", ""),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copied(&fixtures.join(name), folder.path());
        for _ in 0..2 {
            let mut options = support::quiet();
            options.privacy.pseudonym_key = Secret::new(key);
            let engine = Engine::open(folder.path(), options).unwrap();
            assert_eq!(engine.live().events(), 48, "{name}");
            assert_eq!(
                engine.directory().item("item-3").unwrap().1.brand,
                if key.is_empty() { "brand-0" } else { "" }
            );
            if name == "format-5" {
                let (_, item) = engine.directory().item("described").unwrap();
                assert_eq!((item.group_id.as_str(), item.embeddings["image"].len()), ("lamps", 2));
            }
            if name == "format-6" {
                let (experiment, report) =
                    engine.steering().experiment_report("home-list").unwrap();
                assert!(experiment.is_running());
                let units = report.unwrap().variants.iter().map(|of| of.units).sum::<u64>();
                assert_eq!(units, 2, "two lists were recorded");
            }
            if name == "format-7" {
                let decided = engine.insight().preferences("user-5").unwrap();
                assert!(!decided.personalised && !decided.recorded);
                let decided = engine.insight().preferences("user-6").unwrap();
                assert!(decided.removed_tags.contains("category:none"));
            }
            if name == "format-8" {
                let data = engine.insight().user_data("user-5").unwrap();
                assert_eq!(data["contacts"].as_array().unwrap().len(), 1);
                assert_eq!(engine.directory().aliases("user-7"), ["user-8"]);
            }
            if name == "format-9" {
                let positions = engine.live().positions.read();
                assert_eq!(
                    (positions.next("events", 0), positions.next("events", 1)),
                    (Some(1), None)
                );
            }
            if name == "format-4" {
                assert!(engine.directory().item("gone").is_err(), "it was deleted");
                assert!(!engine.directory().item("sold-out").unwrap().1.available);
            }
            let request =
                RecommendRequest { user_id: "user-3".into(), limit: 3, ..Default::default() };
            let list = engine.recommender().recommend(&request).unwrap().entries;
            assert_eq!(list.len(), 3, "{name}");
            if key.is_empty() {
                assert_eq!(
                    (engine.generation(), list[0].item_id.as_str()),
                    (1, "item-3"),
                    "{name}"
                );
            }
        }
        let format = fs::read_to_string(folder.path().join("stores/default/FORMAT")).unwrap();
        assert_eq!(format, format!("{}\n", qianmian::store::folder::FORMAT), "{name}");
        formats += 1;

        let mut options = support::quiet();
        options.privacy.pseudonym_key = Secret::new("another key of many bytes");
        let error = Engine::open(folder.path(), options).map(drop).unwrap_err().to_string();
        assert!(error.contains("privacy.pseudonym_key"), "{name}: {error}");
    }
    assert_eq!(formats, 1 + qianmian::store::folder::FORMAT);
}
