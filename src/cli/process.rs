//! What serves as long as the process runs: signals, listeners, the configuration that is read again.

use std::sync::Arc;

use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

use super::reload::{Read, Reload, SetLevel};
use super::{Failure, demo};
use crate::api::follow;
use crate::api::{self, Listeners, Observer, Primary, ServeOptions, Served, Topics};
use crate::config::Config;
use crate::engine::{DEFAULT_STORE, EngineOptions};

/// What lasts as long as the process.
pub(super) struct Process {
    /// Whether it shows the demo.
    demo: bool,
    observer: Arc<Observer>,
    read: Read,
    set_level: SetLevel,
    signals: Arc<Mutex<StopSignal>>,
}

impl Process {
    /// Begins: registers for signals, which may arrive at any time from then on.
    pub(super) fn begin(
        config: &Config,
        demo: bool,
        (read, set_level): (Read, SetLevel),
    ) -> Result<Self, Failure> {
        let signals = Arc::new(Mutex::new(StopSignal::new()?));
        let observer = Arc::new(Observer::new(config.logging.requests.clone(), &config.traces)?);
        Ok(Self { demo, observer, read, set_level, signals })
    }

    /// Serves what is in the data folder, or follows the server that the configuration names.
    pub(super) async fn serve_alone(&self, config: &Config) -> Result<(), Failure> {
        let primary = config.follow.is_on().then(|| Primary::named(&config.follow)).transpose()?;
        let options = EngineOptions { shard: config.follow.shard, ..config.engine() };
        let served = self.open(config, options, primary.map(Arc::new)).await?;
        self.serve(config, served, std::future::pending()).await
    }

    /// Reads the settings again that can change while the server runs; where they cannot be used, those before
    /// stay.
    pub(super) fn read_again(&self, config: &mut Config) {
        match (self.read)() {
            Ok(read) => {
                config.train = read.train;
                config.limits = read.limits;
            }
            Err(error) => {
                tracing::error!(%error, "the configuration cannot be used; nothing is changed")
            }
        }
    }

    /// Opens the stores, and takes over the keys of the server that they are copied from.
    pub(super) async fn open(
        &self,
        config: &Config,
        options: EngineOptions,
        primary: Option<Arc<Primary>>,
    ) -> Result<Served, Failure> {
        let served = Served::open(&config.data, options, config.audit.clone())?;
        if let Some(upstream) = primary.as_ref().and_then(|primary| primary.copied())
            && let Err(error) = follow::take_keys(&upstream, &served.keys).await
        {
            let primary = &upstream.url;
            tracing::warn!(primary, %error, "the keys of the primary are not copied yet");
        }
        Ok(Served { observer: self.observer.clone(), primary, ..served })
    }

    /// Serves until a signal asks the process to end, or `until` completes.
    pub(super) async fn serve(
        &self,
        config: &Config,
        served: Served,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let listeners = listen(&config.serve).await?;
        let address = listeners.callers.local_addr()?;
        config.serve.check_safe(address, served.keys.is_in_force())?;
        report(config, &listeners, served.keys.is_in_force())?;
        let host = served.host.clone();
        // The server that writes is the one that takes them in.
        let takes_in = config.kafka.is_on() && served.primary.is_none();
        let topics = takes_in.then(|| Topics::start(&config.kafka, host.clone())).transpose()?;
        let reload = Reload {
            read: self.read.clone(),
            set_level: self.set_level.clone(),
            host: host.clone(),
            observer: served.observer.clone(),
            in_force: config.clone(),
        };
        let demo = self.demo.then(|| {
            tokio::task::spawn_blocking(move || {
                let shown = host.store(DEFAULT_STORE).map_err(Failure::from);
                if let Err(error) = shown.and_then(|store| demo::run(&store.engine, address)) {
                    tracing::warn!(%error, "the demo has no model");
                }
            })
        });

        let signals = self.signals.clone();
        let stop = async move {
            tokio::select! {
                () = stopped(signals, reload) => {}
                () = until => {}
            }
        };
        let ended = api::serve(served, listeners, &config.serve, stop).await;
        if let Some(topics) = topics {
            topics.stop().await;
        }
        ended?;
        if let Some(demo) = demo {
            demo.await?;
        }
        Ok(())
    }
}

/// Completes when a signal asks the process to end; SIGHUP reads the configuration again.
async fn stopped(signals: Arc<Mutex<StopSignal>>, reload: Reload) {
    signals.lock().await.given(reload).await;
}

/// Begins to listen, for callers and for monitoring.
async fn listen(options: &ServeOptions) -> Result<Listeners, Failure> {
    let bind = async |setting: &str, address: &str| {
        let bound = TcpListener::bind(address).await;
        bound.map_err(|e| format!("{setting}: cannot listen on {address}: {e}"))
    };
    let callers = bind("serve.listen", &options.listen).await?;
    let admin = match options.admin_listen.as_str() {
        "" => None,
        address => Some(bind("serve.admin_listen", address).await),
    };

    // A second server on one machine may do without; one that was given an address may not.
    let is_default = options.admin_listen == ServeOptions::default().admin_listen;
    let admin = match admin.transpose() {
        Err(error) if is_default => {
            tracing::warn!(error, "there is no admin listener");
            None
        }
        admin => admin?,
    };
    Ok(Listeners { callers, admin })
}

/// Logs where the server is reached, and by whom.
fn report(config: &Config, listeners: &Listeners, has_keys: bool) -> Result<(), Failure> {
    let address = listeners.callers.local_addr()?;
    let admin = listeners.admin.as_ref().map(TcpListener::local_addr).transpose()?;
    if admin.is_some_and(|admin| !admin.ip().to_canonical().is_loopback()) {
        tracing::warn!("serve.admin_listen: others can read the metrics, which need no key");
    }
    let admin = admin.map_or_else(String::new, |admin| admin.to_string());
    let data = config.data.display();
    let tls = config.serve.tls.is_on();
    tracing::info!(%address, admin, %data, tls, keys = has_keys, "serving");
    Ok(())
}

/// The signals that ask the process to end, and SIGHUP.
#[cfg(unix)]
struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

#[cfg(unix)]
impl StopSignal {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Completes when one asks the process to end; SIGHUP reads the configuration again.
    async fn given(&mut self, mut reload: Reload) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hang_up.recv() => {
                    // It reads files.
                    let reloaded = tokio::task::spawn_blocking(move || {
                        reload.run();
                        reload
                    });
                    match reloaded.await {
                        Ok(back) => reload = back,
                        Err(_) => return std::future::pending().await,
                    }
                }
            }
        }
    }
}

/// The signal that asks the process to end.
#[cfg(not(unix))]
struct StopSignal;

#[cfg(not(unix))]
impl StopSignal {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Completes when it arrives.
    async fn given(&mut self, _: Reload) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
