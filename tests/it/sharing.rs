//! Servers that share an object store, for the tests that start them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::event_service_client::EventServiceClient;
use qianmian::api::wire::pb::model_service_client::ModelServiceClient;
use qianmian::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use qianmian::engine::Engine;
use qianmian::store::{Entry, Record};
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::Channel;

use crate::support::{Process, quiet};

/// A lease that tests can wait for.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// Servers with folders of their own, which share an object store.
pub(crate) struct Shop {
    pub(crate) folder: TempDir,
    pub(crate) url: String,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Shop {
    /// With a folder as the object store.
    pub(crate) fn new() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("file://{}", folder.path().join("shared").display());
        Shop { folder, url, variables: Vec::new() }
    }

    /// With the object store at `url`, which takes these variables.
    pub(crate) fn at(url: &str, variables: Vec<(&'static str, String)>) -> Shop {
        Shop { url: url.to_owned(), variables, ..Shop::new() }
    }

    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn shared(&self) -> PathBuf {
        self.folder.path().join("shared")
    }

    /// Starts a server, or a trainer, with a folder of this name.
    pub(crate) fn start(
        &self,
        verb: &str,
        name: &str,
        change: impl FnOnce(&mut Command),
    ) -> Process {
        self.start_at(verb, &free_address(), name, change)
    }

    /// The same at an address.
    pub(crate) fn start_at(
        &self,
        verb: &str,
        address: &str,
        name: &str,
        change: impl FnOnce(&mut Command),
    ) -> Process {
        Process::start_as(verb, address, &self.data(name), |command| {
            command
                .args(["--store", &self.url])
                .env("QIANMIAN_OBJECT_STORE__EVERY_MS", "200")
                .env("QIANMIAN_OBJECT_STORE__LEASE_SECONDS", LEASE.as_secs().to_string())
                .env("QIANMIAN_OBJECT_STORE__ADVERTISE", address)
                .env("QIANMIAN_TRAIN__TUNE", "false");
            command.envs(self.variables.iter().map(|(name, value)| (name, value)));
            change(command);
        })
    }

    pub(crate) fn serve(&self, name: &str) -> Process {
        self.start("serve", name, |_| {})
    }
}

pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Whether a line was logged by now.
pub(crate) fn has_said(process: &Process, message: &str) -> bool {
    said(process, message) > 0
}

/// How often a line was logged by now.
pub(crate) fn said(process: &Process, message: &str) -> usize {
    let lines = process.log();
    lines.iter().filter(|line| line["fields"]["message"] == message).count()
}

/// A channel of a server, which may be opening its stores anew.
pub(crate) async fn channel(process: &Process) -> Channel {
    for _ in 0..300 {
        if let Ok(channel) = process.try_channel().await {
            return channel;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} is not reached", process.address);
}

/// Writes one purchase, which its id names.
pub(crate) async fn buy(
    channel: &Channel,
    id: &str,
    user: &str,
    item: &str,
) -> Result<u64, Status> {
    let event = pb::Event {
        user_id: user.to_owned(),
        item_id: item.to_owned(),
        event_id: id.to_owned(),
        kind: pb::EventKind::Purchase.into(),
        ..pb::Event::default()
    };
    let request = pb::WriteEventsRequest { events: vec![event] };
    let mut client = EventServiceClient::new(channel.clone());
    let patient = tokio::time::timeout(Duration::from_secs(5), client.write_events(request)).await;
    let written = patient.map_err(|_| Status::unavailable("no answer"))??;
    Ok(written.into_inner().offset)
}

/// Writes purchases of a little shop; the ids begin with `prefix`.
pub(crate) async fn buy_some(channel: &Channel, prefix: &str, users: usize) {
    for user in 0..users {
        for item in 0..4 {
            let id = format!("{prefix}-{user}-{item}");
            let item = format!("item-{}", (user + item) % 9);
            buy(channel, &id, &format!("user-{user}"), &item).await.unwrap();
        }
    }
}

pub(crate) fn asking(user: &str) -> pb::RecommendRequest {
    pb::RecommendRequest { user_id: user.to_owned(), ..Default::default() }
}

pub(crate) async fn list(channel: &Channel, user: &str) -> Result<pb::RecommendResponse, Status> {
    let request = asking(user);
    let mut client = RecommendationServiceClient::new(channel.clone());
    Ok(client.recommend(request).await?.into_inner())
}

pub(crate) async fn items(channel: &Channel, user: &str) -> Vec<String> {
    let listed = list(channel, user).await.unwrap();
    assert!(!listed.stale, "{user}");
    listed.items.into_iter().map(|item| item.item_id).collect()
}

/// Waits for an answer that satisfies.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} does not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How often the log in a folder has each event, by its id.
pub(crate) fn events(data: &Path) -> BTreeMap<String, usize> {
    let engine = Engine::open(data, quiet()).unwrap();
    let mut found = BTreeMap::new();
    let count = &mut |entry: Entry<'_>| {
        if let Entry::Record(_, Record::Event(event)) = entry {
            *found.entry(event.event_id.to_owned()).or_default() += 1;
        }
    };
    engine.replay(count).unwrap();
    found
}

pub(crate) async fn generations(channel: &Channel) -> Vec<u64> {
    let mut client = ModelServiceClient::new(channel.clone());
    let listed = client.list_models(pb::ListModelsRequest::default()).await.unwrap().into_inner();
    listed.models.iter().map(|model| model.generation).collect()
}
