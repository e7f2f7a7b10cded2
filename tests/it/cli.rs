//! The command line as people use it.

use std::io::Write;

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::recommend::RepeatPolicy;

use crate::support::{self, Process, Server, online_retail, purchases, run, trained};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_answers_from_a_folder_and_from_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = online_retail(&folder, 20_000);
    let data = data.to_str().unwrap();
    let (ok, _, error) =
        run(&["import", log.to_str().unwrap(), "--preset", "online-retail", "--data", data]);
    assert!(ok, "{error}");
    let (ok, out, error) = run(&["models", "--data", data]);
    assert!(ok && out.contains("no model yet"), "{out}{error}");
    let (ok, out, error) = run(&["train", "--data", data]);
    assert!(ok && out.starts_with("generation 1"), "{out}{error}");
    assert!(error.contains("embeddings"), "{error}");
    let (ok, table, error) = run(&["recommend", "17850", "--data", data, "-n", "3"]);
    assert!(ok && table.contains("based on history"), "{table}{error}");
    let (_, similar, _) = run(&["similar", "85123A", "--data", data]);
    assert!(similar.contains("HEART"), "titles are shown: {similar}");
    let (ok, out, _) = run(&["models", "--json", "--data", data]);
    let models: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(ok && models[0]["role"] == "active");

    let items = |json: &str| -> serde_json::Value {
        serde_json::from_str::<serde_json::Value>(json).unwrap()["items"].clone()
    };
    let (_, local, _) = run(&["recommend", "17850", "--data", data, "--json"]);
    let server = Server::start(std::path::Path::new(data), support::quiet()).await;
    let address = server.address.clone();
    let remote = tokio::task::spawn_blocking(move || {
        let listed = run(&["recommend", "17850", "--server", &address, "--json"]);
        let trained = run(&["train", "--server", &address]);
        (listed, trained)
    });
    let ((ok, remote, error), (trained, out, _)) = remote.await.unwrap();
    assert!(ok, "{error}");
    assert_eq!(items(&local), items(&remote));
    assert!(trained && out.starts_with("generation 2"), "{out}");

    let (ok, _, error) = run(&["recommend", "17850", "--data", data]);
    assert!(!ok && error.contains("in use by another process"), "{error}");
    server.stop().await;
}

#[test]
fn refused_lines_are_counted_and_kept_and_the_rest_goes_in() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.jsonl.gz");
    let mut gz = flate2::write::GzEncoder::new(
        std::fs::File::create(&log).unwrap(),
        flate2::Compression::default(),
    );
    gz.write_all(
        b"{\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n\
          {\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n\
          {\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": \"never\"}\n\
          {\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": \"2199-01-01\"}\n",
    )
    .unwrap();
    gz.finish().unwrap();
    let rejects = folder.path().join("rejects.txt");
    let import = || {
        run(&[
            "import",
            log.to_str().unwrap(),
            "--map",
            "user_id=who",
            "--data",
            folder.path().join("data").to_str().unwrap(),
            "--rejects",
            rejects.to_str().unwrap(),
        ])
    };
    let (ok, out, error) = import();
    assert!(ok, "{error}");
    let count = |out: &str, what: &str| {
        out.lines()
            .find(|l| l.contains(what))
            .and_then(|l| l.split_whitespace().last()?.parse().ok())
    };
    assert_eq!(count(&out, "events taken"), Some(2), "true duplicates survive: {out}");
    assert_eq!(count(&out, "refused: timestamp cannot be read"), Some(1), "{out}");
    assert_eq!(count(&out, "refused: time breaks a limit"), Some(1), "{out}");
    let kept = std::fs::read_to_string(&rejects).unwrap();
    assert!(kept.contains("log.jsonl.gz:3\ttimestamp cannot be read\t\"never\""), "{kept}");

    let (_, out, _) = import();
    assert_eq!(count(&out, "events taken"), Some(0), "{out}");
    assert_eq!(count(&out, "skipped: already imported"), Some(2), "{out}");
    // The file grows by one row that is new and one that repeats a third time.
    let mut grown = Vec::new();
    std::io::Read::read_to_end(
        &mut flate2::read::GzDecoder::new(std::fs::File::open(&log).unwrap()),
        &mut grown,
    )
    .unwrap();
    grown.extend_from_slice(
        b"{\"who\": \"u\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n\
          {\"who\": \"v\", \"item_id\": \"i\", \"timestamp\": 1600000000}\n",
    );
    let mut gz = flate2::write::GzEncoder::new(
        std::fs::File::create(&log).unwrap(),
        flate2::Compression::default(),
    );
    gz.write_all(&grown).unwrap();
    gz.finish().unwrap();
    let (_, out, _) = import();
    assert_eq!(count(&out, "events taken"), Some(2), "{out}");
    assert_eq!(count(&out, "skipped: already imported"), Some(2), "{out}");
}

#[test]
fn a_wrong_file_costs_nothing_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let log = folder.path().join("log.csv");
    std::fs::write(&log, "a,b\n1,2\n").unwrap();
    let import = |file: &str| run(&["import", file, "--data", data.to_str().unwrap()]);
    let (ok, _, error) = import(log.to_str().unwrap());
    assert!(!ok && error.contains("--map user_id=COLUMN"), "{error}");
    let (ok, _, error) = import("/nowhere.csv");
    assert!(!ok && error.contains("/nowhere.csv"), "{error}");
    assert!(!data.exists());
    let (ok, _, error) = run(&["recommend", "u", "--data", data.to_str().unwrap()]);
    assert!(!ok && error.contains("there is no data folder"), "{error}");
    let (ok, _, error) = run(&["recommend", "u", "--server", "127.0.0.1:1"]);
    assert!(!ok && error.contains("no server answers"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_item_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), support::quiet()).await;
    server.engine.writer().record(purchases(&[("u", "i", 1), ("v", "i", 1)])).await.unwrap();
    trained(&server.engine).await;
    let address = server.address.clone();
    let (ok, _, error) =
        tokio::task::spawn_blocking(move || run(&["similar", "nope", "--server", &address]))
            .await
            .unwrap();
    assert!(!ok && error.contains("item \"nope\" is not known"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_closes_does_not_end_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    for _ in 0..3 {
        server.hang_up();
    }
    let channel = server.channel().await;
    let mut events = EventServiceClient::new(channel);
    let event = pb::Event {
        kind: pb::EventKind::Purchase.into(),
        user_id: "u".into(),
        item_id: "i".into(),
        ..Default::default()
    };
    events.write_events(pb::WriteEventsRequest { events: vec![event] }).await.unwrap();
    assert!(server.terminate(), "and SIGTERM still does, in order");
}

#[test]
fn an_encrypted_address_is_never_spoken_to_in_plain_text() {
    use std::io::Read as _;

    for verb in [
        &["recommend", "u"][..],
        &["similar", "i"],
        &["train"],
        &["models"],
        &["push", "Cargo.toml"],
        &["keys"],
        &["stores"],
    ] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("https://{}", listener.local_addr().unwrap());
        let heard = std::thread::spawn(move || {
            let mut first = [0; 1];
            listener.accept().unwrap().0.read_exact(&mut first).unwrap();
            first[0]
        });
        let (ok, _, error) = run(&[verb, &["--server", &server]].concat());
        assert!(!ok && error.contains("no server answers at https://"), "{verb:?}: {error}");
        assert_eq!(heard.join().unwrap(), 0x16, "a TLS handshake record");
    }

    let (ok, _, error) = run(&["models", "--server", "ftp://127.0.0.1:9"]);
    assert!(!ok && error.contains("ftp is not supported"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_says_whether_what_was_bought_may_come_back_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.recommend.repeat_policy = RepeatPolicy::Auto;
    let server = Server::start(folder.path(), options).await;
    server
        .engine
        .writer()
        .record(purchases(&[("u", "a", 1), ("u", "b", 2), ("v", "a", 1)]))
        .await
        .unwrap();
    trained(&server.engine).await;
    let ask = |policy: pb::RepeatPolicy| pb::RecommendRequest {
        user_id: "u".into(),
        repeat_policy: policy.into(),
        ..Default::default()
    };
    use pb::{RepeatPolicy as Policy, RepeatReason as Reason};
    for (asked, policy, reason) in [
        (Policy::Unspecified, Policy::ExcludePurchased, Reason::Default),
        (Policy::Allow, Policy::Allow, Reason::Request),
        (Policy::WhenDue, Policy::WhenDue, Reason::Request),
    ] {
        let answer = server.recommendations().recommend(ask(asked)).await.unwrap().into_inner();
        assert_eq!((answer.repeat_policy(), answer.repeat_reason()), (policy, reason));
    }
    let address = server.address.clone();
    let printed = tokio::task::spawn_blocking(move || {
        let target = ["recommend", "u", "--server", &address];
        [run(&target).1, run(&[&target[..], &["--repeat", "allow"]].concat()).1]
    });
    let [left_out, offered] = printed.await.unwrap();
    assert!(left_out.contains("bought before are excluded, until a tuning"), "{left_out}");
    assert!(offered.contains("bought before are offered, as asked"), "{offered}");
    server.stop().await;

    let mut options = support::quiet();
    options.recommend.repeat_policy = RepeatPolicy::WhenDue;
    let server = Server::start(folder.path(), options).await;
    let answer = server.recommendations().recommend(ask(Policy::Unspecified)).await.unwrap();
    assert_eq!(answer.into_inner().repeat_reason(), Reason::Setting);
    server.stop().await;
}

#[test]
fn a_request_of_a_user_needs_no_other_tool() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    std::fs::write(
        &log,
        "user_id,item_id,event,timestamp,price\nanna,tea,purchase,1700000000,3.5\n\
         anna,cup,view,1700000100,\nben,tea,purchase,1700000200,3.5\nben,cup,purchase,1700000300,8\n",
    )
    .unwrap();
    let users = folder.path().join("users.csv");
    std::fs::write(&users, "user_id,attributes.country\nanna,SE\n").unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let done = |arguments: &[&str]| {
        let (ok, output, error) = run(&[arguments, &["--data", data]].concat());
        assert!(ok, "{arguments:?}: {error}");
        output
    };
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&done(&[arguments, &["--json"]].concat())).unwrap()
    };
    done(&["import", log.to_str().unwrap()]);
    done(&["import", "--users", users.to_str().unwrap()]);

    let history = json(&["history", "anna"]);
    let events: Vec<_> =
        history.as_array().unwrap().iter().map(|e| (&e["event"], &e["item_id"])).collect();
    assert_eq!(events, [(&"purchase".into(), &"tea".into()), (&"view".into(), &"cup".into())]);
    assert_eq!(json(&["users", "get", "anna"])["attributes"]["country"], "SE");

    let item = json(&[
        "items",
        "set",
        "tea",
        "--title",
        "Green tea",
        "--tag",
        "hot",
        "--available",
        "false",
    ]);
    assert_eq!(
        (&item["title"], &item["available"], &item["price"]),
        (&"Green tea".into(), &false.into(), &3.5.into())
    );
    assert_eq!(json(&["items", "get", "tea"]), item);
    let (ok, _, error) = run(&["items", "set", "tea", "--price", "-1", "--data", data]);
    assert!(!ok && error.contains("price: must be"), "{error}");
    assert!(!run(&["items", "set", "tea", "--data", data]).0, "no field is named");

    let popular = json(&["popular", "--window", "all", "-n", "1"]);
    assert_eq!(popular["items"][0]["item_id"], "cup", "tea is sold out");
    let stats = json(&["log", "stats"]);
    assert_eq!(
        (&stats["events"], &stats["users"], &stats["kinds"]["view"]),
        (&4.into(), &2.into(), &1.into())
    );
    assert!(done(&["log", "tail", "-n", "2"]).contains("item"));

    done(&["users", "delete", "anna"]);
    let (ok, _, error) = run(&["history", "anna", "--data", data]);
    assert!(!ok && error.contains("\"anna\" is not known"), "{error}");
    assert!(!run(&["users", "get", "anna", "--data", data]).0);
    let audit = std::fs::read_to_string(folder.path().join("data/audit/audit.jsonl")).unwrap();
    assert!(audit.contains("UserService/DeleteUser") && !audit.contains("anna"), "{audit}");
    assert_eq!(json(&["log", "stats"])["kinds"]["purchase"], 3, "until the log is rewritten");
}

#[test]
fn check_names_what_is_wrong_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let check = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_qianmian"));
        command.args(["check", "--data", data.to_str().unwrap()]).args(arguments);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout) + &text(output.stderr))
    };
    let (code, said) = check(&[], &[]);
    assert_eq!((code, said.contains("the first start creates it")), (1, true), "{said}");
    let (code, said) = check(&[], &[("QIANMIAN_FOLLOW__SHARD", "1/2")]);
    assert_eq!((code, said.contains("--follow")), (2, true), "{said}");

    let log = online_retail(&folder, 2_000);
    let import = [
        "import",
        log.to_str().unwrap(),
        "--preset",
        "online-retail",
        "--data",
        data.to_str().unwrap(),
    ];
    assert!(run(&import).0);
    assert!(run(&["train", "--data", data.to_str().unwrap()]).0);
    let (code, said) = check(&[], &[]);
    assert_eq!((code, said.contains("qianmian backup")), (1, true), "{said}");
    let backup = folder.path().join("backup");
    assert!(run(&["backup", "--to", backup.to_str().unwrap(), "--data", data.to_str().unwrap()]).0);
    let (code, said) = check(&["--json"], &[("QIANMIAN_LIMITS__MEMORY_MIB", "100")]);
    assert!(code == 0 && said.contains("\"verdict\": \"ok\""), "{code} {said}");

    let (code, said) = check(&[], &[("QIANMIAN_SERVE__LISTEN", "0.0.0.0:50051")]);
    assert_eq!((code, said.contains("the server starts only with TLS")), (2, true), "{said}");
    let (code, said) = check(
        &[],
        &[("QIANMIAN_SERVE__TLS__CERT", "gone.pem"), ("QIANMIAN_SERVE__TLS__KEY", "gone.pem")],
    );
    assert_eq!((code, said.contains("serve.tls.cert gone.pem")), (2, true), "{said}");
    let (code, said) = check(&[], &[("QIANMIAN_TRAIN__SEED", "x")]);
    assert_eq!((code, said.contains("QIANMIAN_TRAIN__SEED")), (2, true), "{said}");
    std::fs::remove_file(data.join("stores/default/log/SEGMENTS")).unwrap();
    let (code, said) = check(&[], &[]);
    assert_eq!((code, said.contains("the store has lost")), (2, true), "{said}");
}

#[test]
fn hang_up_reads_the_configuration_again() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("q.toml");
    std::fs::write(&config, "[train]\nevery_minutes = 60\n").unwrap();
    let process = support::Process::start_with(&folder.path().join("data"), |command| {
        command.arg("--config").arg(&config);
    });
    let line = |after: &str| {
        for _ in 0..100 {
            let lines = process.log();
            let found = lines.iter().find(|line| line["fields"]["message"] == after);
            if let Some(found) = found {
                return found["fields"].clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("no line {after:?}: {:?}", process.log());
    };

    std::fs::write(&config, "[train]\nevery_minutes = 5\nthreads = 1\n[logging]\nlevel = \"info,qianmian=debug\"\n[serve]\nmax_requests = 700\n").unwrap();
    process.hang_up();
    assert_eq!(
        line("the configuration is read again")["changed"],
        "logging.level, train.every_minutes"
    );
    let fixed = line("these settings need a restart; they stay as they were");
    assert_eq!(fixed["settings"], "serve.max_requests, train.threads");

    std::fs::write(&config, "[train]\nevery_minute = 5\n").unwrap();
    process.hang_up();
    let refused = line("the configuration cannot be used; nothing is changed");
    assert!(refused["error"].as_str().unwrap().contains("every_minute"), "{refused}");
    assert_eq!(process.get("/healthz").0, 200);
}

#[test]
fn a_plan_says_what_a_shop_needs() {
    let (ok, out, error) = run(&[
        "plan",
        "--users",
        "1e6",
        "--items",
        "1e5",
        "--events-per-day",
        "1e5",
        "--days",
        "3",
    ]);
    assert!(
        ok && out.contains("that follow") && out.contains("until an event is taken in"),
        "{out}{error}"
    );
    let arguments =
        ["plan", "--users", "1e9", "--items", "1e6", "--events-per-day", "1e9", "--json"];
    let twice = [run(&arguments).1, run(&arguments).1];
    assert_eq!(twice[0], twice[1], "the same seed");
    let planned: serde_json::Value = serde_json::from_str(&twice[0]).unwrap();
    assert!(planned["stores"].as_f64().unwrap() > 1.0);
    assert!(planned["simulated"]["failures"].as_u64().unwrap() > 0);

    let (ok, _, error) =
        run(&["plan", "--users", "1e6", "--items", "1e12", "--events-per-day", "1"]);
    assert!(!ok && error.contains("--items"), "{error}");
    let (ok, _, error) = run(&["plan", "--users", "many", "--items", "1", "--events-per-day", "1"]);
    assert!(!ok && error.contains("must be a number"), "{error}");
    assert!(!run(&["plan", "--users", "1", "--items", "1"]).0, "events are needed");
}
