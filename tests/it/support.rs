//! What the tests share: logs, a server in this process, a server in another.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use qianmian::access::AuditOptions;
use qianmian::api::wire::pb;
use qianmian::api::wire::pb::catalog_service_client::CatalogServiceClient;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;
use qianmian::api::wire::pb::placement_service_client::PlacementServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::api::wire::pb::rule_service_client::RuleServiceClient;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;
use qianmian::api::{self, FollowOptions, Primary, ServeOptions, Served};
use qianmian::domain::{Event, EventKind};
use qianmian::engine::options::EngineOptions;
use qianmian::engine::{DEFAULT_STORE, Engine, RecommendRequest};
use qianmian::live::Filter;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Options under which nothing happens unasked, and nothing is tuned.
pub(crate) fn quiet() -> EngineOptions {
    let mut options = EngineOptions::default();
    options.train.automatic = false;
    options.train.tune = false;
    options
}

/// A server in this process.
pub(crate) struct Server {
    pub engine: Arc<Engine>,
    pub channel: Channel,
    pub address: String,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Server {
    /// Serves the store in `data` on a free port.
    pub(crate) async fn start(data: &Path, options: EngineOptions) -> Server {
        let served = Served::open(data, options, AuditOptions::default()).unwrap();
        Server::serving(served, ServeOptions::default()).await
    }

    /// Serves a copy of another server's stores.
    pub(crate) async fn following(
        data: &Path,
        options: EngineOptions,
        follow: &FollowOptions,
    ) -> Server {
        let options = EngineOptions { follows: true, ..options };
        let served = Served::open(data, options, AuditOptions::default()).unwrap();
        let primary = Some(Arc::new(Primary::named(follow).unwrap()));
        Server::serving(Served { primary, ..served }, ServeOptions::default()).await
    }

    /// Serves on a free port.
    pub(crate) async fn serving(served: Served, options: ServeOptions) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let engine = served.host.store(DEFAULT_STORE).unwrap().engine.clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            api::serve(served, listener, &options, stopped).await.unwrap();
        });
        let channel =
            Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Server { engine, channel, address, stop, done }
    }

    /// Stops it and waits until the data folder is free.
    pub(crate) async fn stop(self) {
        let Server { engine, channel, stop, done, .. } = self;
        drop(channel);
        stop.send(()).unwrap();
        done.await.unwrap();
        // The server's last connection may hold the engine a moment longer.
        let mut engine = Some(engine);
        for _ in 0..200 {
            match Arc::try_unwrap(engine.take().unwrap()) {
                Ok(engine) => return drop(engine),
                Err(shared) => engine = Some(shared),
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the engine is still held after the server stopped");
    }

    pub(crate) fn recommendations(&self) -> RecommendationServiceClient<Channel> {
        RecommendationServiceClient::new(self.channel.clone())
    }

    pub(crate) fn events(&self) -> EventServiceClient<Channel> {
        EventServiceClient::new(self.channel.clone())
    }

    pub(crate) fn catalog(&self) -> CatalogServiceClient<Channel> {
        CatalogServiceClient::new(self.channel.clone())
    }

    pub(crate) fn users(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.channel.clone())
    }

    pub(crate) fn rules(&self) -> RuleServiceClient<Channel> {
        RuleServiceClient::new(self.channel.clone())
    }

    pub(crate) fn placements(&self) -> PlacementServiceClient<Channel> {
        PlacementServiceClient::new(self.channel.clone())
    }

    pub(crate) fn models(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel.clone())
    }
}

/// A request for a list of `limit` items that pass a filter.
pub(crate) fn asked(filter: &Filter, limit: usize) -> RecommendRequest {
    let filter = Arc::new(filter.clone());
    RecommendRequest { limit, filter, ..RecommendRequest::default() }
}

/// Purchases as a log: (user, item, day).
pub(crate) fn purchases(rows: &[(&str, &str, i64)]) -> Vec<Event> {
    rows.iter()
        .map(|(user, item, day)| {
            Event::new(EventKind::Purchase, user, item, 1_600_000_000_000 + day * 86_400_000)
        })
        .collect()
}

/// Trains and waits for the model.
pub(crate) async fn trained(engine: &Arc<Engine>) -> u64 {
    let engine = engine.clone();
    tokio::task::spawn_blocking(move || engine.trainer().train_blocking(true))
        .await
        .unwrap()
        .unwrap()
}

/// Trains over the wire and waits; the last message of its progress.
pub(crate) async fn watched(mut models: ModelServiceClient<Channel>) -> pb::WatchTrainingResponse {
    let started = models.train(pb::TrainRequest {}).await.unwrap().into_inner();
    let watch = pb::WatchTrainingRequest { training_id: started.training_id };
    let mut progress = models.watch_training(watch).await.unwrap().into_inner();
    let mut last = None;
    while let Some(message) = progress.message().await.unwrap() {
        last = Some(message);
    }
    last.unwrap()
}

/// The first `lines` lines of the bundled log, as a file.
pub(crate) fn online_retail(folder: &TempDir, lines: usize) -> PathBuf {
    let path = folder.path().join("log.csv");
    let file =
        std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/data/online_retail.csv.gz"));
    let text = BufReader::new(flate2::read::GzDecoder::new(file.unwrap()));
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for line in text.lines().take(lines) {
        writeln!(out, "{}", line.unwrap()).unwrap();
    }
    out.flush().unwrap();
    path
}

/// Runs the binary to its end; its output as text.
pub(crate) fn run(arguments: &[&str]) -> (bool, String, String) {
    run_with(arguments, &[])
}

/// The same with variables.
pub(crate) fn run_with(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
    run_program(env!("CARGO_BIN_EXE_qianmian"), arguments, variables)
}

/// Writes a synthetic log by `qianmian-bench synth`.
pub(crate) fn synth(arguments: &[&str]) {
    let bench = env!("CARGO_BIN_EXE_qianmian-bench");
    let (ok, _, error) = run_program(bench, &[&["synth"], arguments].concat(), &[]);
    assert!(ok, "{error}");
}

fn run_program(
    program: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (bool, String, String) {
    let mut command = Command::new(program);
    command.args(arguments).env("QIANMIAN_TRAIN__TUNE", "false").envs(variables.iter().copied());
    let output = command.env("QIANMIAN_SERVE__ADMIN_LISTEN", "127.0.0.1:0").output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// An HTTP request: the code, the headers and the body of the answer.
pub(crate) fn http_get(address: &str, path: &str) -> (u16, String, String) {
    let (code, head, body) = http_send(address, &format!("GET {path}"), &[], b"");
    (code, head, String::from_utf8(body).unwrap())
}

/// An HTTP request with headers and a body, over a connection of its own; the headers of the answer
/// are in lower case.
pub(crate) fn http_send(
    address: &str,
    what: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut head = format!("{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    // The server may refuse a body before it has taken it.
    let _ = stream.write_all(body);

    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
    let head = String::from_utf8(answer[..at].to_vec()).unwrap();
    let code = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (code, head.to_ascii_lowercase(), answer[at + 4..].to_vec())
}

/// A server in a process of its own, which can be killed.
pub(crate) struct Process {
    child: Child,
    pub address: String,
    /// Of the admin listener.
    pub admin: String,
    log: Arc<Mutex<String>>,
}

impl Process {
    /// Serves the store in `data` on a free port, without automatic training.
    pub(crate) fn start(data: &Path) -> Process {
        Self::start_with(data, |_| {})
    }

    /// The same with a command that `change` has changed.
    pub(crate) fn start_with(data: &Path, change: impl FnOnce(&mut Command)) -> Process {
        Self::start_at("127.0.0.1:0", data, change)
    }

    /// The same at an address.
    pub(crate) fn start_at(
        address: &str,
        data: &Path,
        change: impl FnOnce(&mut Command),
    ) -> Process {
        Self::start_as("serve", address, data, change)
    }

    /// The same with another verb.
    pub(crate) fn start_as(
        verb: &str,
        address: &str,
        data: &Path,
        change: impl FnOnce(&mut Command),
    ) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qianmian"));
        command
            .args([verb, "--listen", address, "--data"])
            .arg(data)
            .env("QIANMIAN_LOGGING__FORMAT", "json")
            .env("QIANMIAN_SERVE__ADMIN_LISTEN", "127.0.0.1:0")
            .env("QIANMIAN_TRAIN__AUTOMATIC", "false");
        change(&mut command);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        let (address, admin) = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the server ended: {seen}");
            let fields: serde_json::Value = serde_json::from_str(&line).unwrap();
            seen += &line;
            if let Some(address) = fields["fields"]["address"].as_str() {
                let admin = fields["fields"]["admin"].as_str().unwrap();
                break (address.to_owned(), admin.to_owned());
            }
        };
        // Its further lines must be read, or they would fill the pipe.
        let log = Arc::new(Mutex::new(seen));
        let reads = log.clone();
        std::thread::spawn(move || {
            lines
                .lines()
                .map_while(Result::ok)
                .for_each(|line| *reads.lock().unwrap() += &(line + "\n"));
        });
        Process { child, address, admin, log }
    }

    /// The lines that it has logged so far.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let log = self.log.lock().unwrap().clone();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Asks the admin listener: the code, the headers and the body.
    pub(crate) fn get(&self, path: &str) -> (u16, String, String) {
        http_get(&self.admin, path)
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.try_channel().await.unwrap()
    }

    pub(crate) async fn try_channel(&self) -> Result<Channel, tonic::transport::Error> {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await
    }

    /// A channel from another address of this machine: to the server, another client.
    pub(crate) async fn channel_from(&self, local: &str) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.local_address(Some(local.parse().unwrap())).connect().await.unwrap()
    }

    /// Its memory.
    pub(crate) fn memory_mib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
    }

    /// Processor time that it has spent, in milliseconds.
    pub(crate) fn processor_ms(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // Ticks of a hundredth of a second, of the user's and of the system's.
        10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
    }

    /// `kill -HUP`, as a terminal that closes does.
    pub(crate) fn hang_up(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }

    /// `kill`, which it may answer by ending in order; whether it did.
    pub(crate) fn terminate(mut self) -> bool {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        self.child.wait().unwrap().success()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.address, self.log.lock().unwrap());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
