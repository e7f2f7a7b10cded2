//! The audit log: acts of administration and their outcomes.

use std::time::Duration;

use prost::Message;
use qianmian::access::Scope;
use qianmian::api::ServeOptions;
use qianmian::api::access::methods::METHODS;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::store_service_client::StoreServiceClient;
use tonic::Code;

use crate::guarded::{Caller, Guarded};
use crate::support::{self, purchases, trained};

#[tokio::test(flavor = "multi_thread")]
async fn acts_of_administration_are_recorded_without_persons() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let engine = server.served.host.store("default").unwrap().engine.clone();
    engine
        .writer()
        .record(purchases(&[("anna-berg", "lamp", 1), ("ben", "lamp", 1)]))
        .await
        .unwrap();
    trained(&engine).await;
    drop(engine);
    let admin = server.key("ops", &[Scope::Admin], None);
    let shop = server.key("shop", &[Scope::Read], Some("default"));
    let channel = server.channel().await;
    let ops = Caller::new(&channel, Some(&admin));

    let person = pb::DeleteUserRequest { user_id: "anna-berg".into() }.encode_to_vec();
    let header = pb::PushHeader {
        push_id: "push-1".into(),
        size_bytes: 9,
        force: true,
        pushed_by: "anna-berg".into(),
        ..Default::default()
    };
    let part = Some(pb::push_model_request::Part::Header(header));
    let pushed = pb::PushModelRequest { part }.encode_to_vec();
    let rules = pb::ApplyRulesRequest {
        rules: Some(pb::RuleSet::default()),
        note: "for anna-berg".into(),
        ..Default::default()
    };
    let rules = rules.encode_to_vec();
    let placements = Some(pb::PlacementSet::default());
    let placements = pb::ApplyPlacementsRequest { placements, ..Default::default() };
    let placements = placements.encode_to_vec();
    let named =
        |name: &str| pb::CreateStoreRequest { name: name.into(), limits: None }.encode_to_vec();
    let key = pb::CreateKeyRequest { name: "k".into(), scopes: vec![1], ..Default::default() };
    let variant = |name: &str| pb::ExperimentVariant {
        name: name.into(),
        share: 0.5,
        placement: String::new(),
    };
    let experiment = pb::Experiment {
        name: "e".into(),
        placement: "recommend".into(),
        variants: vec![variant("a"), variant("b")],
        control: "a".into(),
        traffic: 1.0,
        ..Default::default()
    };
    let note = "for anna-berg".into();
    let put = pb::PutExperimentRequest { experiment: Some(experiment), note }.encode_to_vec();
    let of_experiment = pb::StartExperimentRequest { name: "e".into() }.encode_to_vec();
    let adopt = pb::AdoptVariantRequest { name: "e".into(), variant: "b".into() };
    let settings = Some(pb::InsightSettings::default());
    let insight = pb::ApplyInsightSettingsRequest { settings, ..Default::default() };
    let acts: Vec<(&str, Vec<u8>)> = vec![
        ("UserService/DeleteUser", person.clone()),
        ("UserService/DeleteUser", person.clone()),
        ("UserService/GetUserData", person.clone()),
        ("ModelService/Train", Vec::new()),
        ("ModelService/ActivateModel", pb::ActivateModelRequest { generation: 9 }.encode_to_vec()),
        ("ModelService/RollbackModel", Vec::new()),
        (
            "ModelService/AssignModel",
            pb::AssignModelRequest { generation: 9, role: 1, share: 0.0 }.encode_to_vec(),
        ),
        ("ModelService/DeleteModel", pb::DeleteModelRequest { generation: 9 }.encode_to_vec()),
        ("ModelService/PushModel", pushed),
        ("RuleService/ApplyRules", rules),
        ("RuleService/RollbackRules", Vec::new()),
        ("PlacementService/ApplyPlacements", placements),
        ("PlacementService/RollbackPlacements", Vec::new()),
        ("ExperimentService/PutExperiment", put),
        ("ExperimentService/StartExperiment", of_experiment.clone()),
        ("ExperimentService/StopExperiment", of_experiment.clone()),
        ("ExperimentService/AdoptVariant", adopt.encode_to_vec()),
        ("ExperimentService/DeleteExperiment", of_experiment),
        ("ExperimentService/SetHoldout", Vec::new()),
        ("InsightService/ApplyInsightSettings", insight.encode_to_vec()),
        ("InsightService/RollbackInsightSettings", Vec::new()),
        ("KeyService/CreateKey", key.encode_to_vec()),
        ("KeyService/RevokeKey", pb::RevokeKeyRequest { name: "k".into() }.encode_to_vec()),
        ("StoreService/CreateStore", named("eu")),
        ("StoreService/UpdateStore", named("eu")),
        ("StoreService/DeleteStore", named("eu")),
    ];
    let mut expected = Vec::new();
    for (method, message) in acts {
        let outcome = ops.call(method, message).await;
        let code = outcome.err().map_or(Code::Ok, |status| status.code());
        expected.push((method.to_owned(), "ops".to_owned(), format!("{code:?}").to_lowercase()));
    }
    // What is refused for its size is recorded in a short line.
    let large = pb::RevokeKeyRequest { name: "x".repeat(1_000) }.encode_to_vec();
    let larger = pb::RevokeKeyRequest { name: "\u{1}".repeat(1 << 20) }.encode_to_vec();
    for message in [large, larger] {
        ops.call("KeyService/RevokeKey", message).await.unwrap_err();
        let row = ("KeyService/RevokeKey", "ops", "notfound");
        expected.push((row.0.to_owned(), row.1.to_owned(), row.2.to_owned()));
    }

    let mut audited: Vec<&str> =
        METHODS.iter().filter(|m| m.audit.is_some()).map(|m| m.name).collect();
    audited.retain(|name| !expected.iter().any(|(method, ..)| method == name));
    assert_eq!(audited, [""; 0], "every act was tried");

    // Refused acts of one key do not fill the log.
    for _ in 0..50 {
        Caller::new(&channel, Some(&shop))
            .call("UserService/DeleteUser", person.clone())
            .await
            .unwrap_err();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let path = folder.path().join("audit/audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short = |line: &serde_json::Value| {
        let word = |key: &str| line[key].as_str().unwrap().to_owned();
        (word("act"), word("by"), word("outcome").to_lowercase().replace('_', ""))
    };
    assert_eq!(lines[..expected.len()].iter().map(short).collect::<Vec<_>>(), expected);
    assert_eq!(lines.len() - expected.len(), 10, "{text}");
    assert!(lines[expected.len()..].iter().all(|line| short(line).2 == "permissiondenied"));

    assert!(!text.contains("anna"), "{text}");
    assert!(text.lines().all(|line| line.len() < 2_000), "{text}");
    let of = |act: &str| lines.iter().find(|line| line["act"] == act).unwrap();
    assert_eq!(of("ModelService/PushModel")["with"]["force"], true);
    assert_eq!(of("ModelService/ActivateModel")["with"]["generation"], 9);
    assert_eq!(of("ModelService/ActivateModel")["reason"], "NOT_FOUND");
    assert_eq!(of("StoreService/CreateStore")["with"]["name"], "eu");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!(mode(&folder.path().join("access/KEYS")), 0o600);
        assert_eq!(mode(&folder.path().join("access")), 0o700);
    }
    drop((channel, ops));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_recorded_whether_or_not_its_caller_waits() {
    let folder = tempfile::tempdir().unwrap();
    let server = Guarded::start(folder.path(), support::quiet(), ServeOptions::default()).await;
    let admin = server.key("ops", &[Scope::Admin], None);
    let channel = server.channel().await;
    let ops = Caller::new(&channel, Some(&admin));
    let mut client = StoreServiceClient::new(channel.clone());
    for n in 0..12 {
        let create = pb::CreateStoreRequest { name: format!("s{n}"), limits: None };
        let mut request = ops.request(create);
        // Most callers give up before it is done; the last wait, also on a busy machine.
        request.set_timeout(Duration::from_millis(n * n * 4));
        let _ = client.create_store(request).await;
    }

    let folder = folder.path().to_owned();
    let listed = server.served.host.list().len();
    assert!(listed < 14);
    drop((channel, ops, client));
    server.stop().await;
    let text = std::fs::read_to_string(folder.join("audit/audit.jsonl")).unwrap_or_default();
    let stores = std::fs::read_dir(folder.join("stores")).unwrap().count() - 1;
    assert_eq!(text.lines().filter(|line| line.contains("\"outcome\":\"OK\"")).count(), stores);
    assert!(stores > 0, "some were created");
}
