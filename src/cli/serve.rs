//! `qianmian serve`

use std::sync::Arc;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::{Read, Reload, SetLevel};
use super::{Failure, demo};
use crate::api::follow;
use crate::api::{self, Listeners, Observer, ServeOptions, Served, Upstream};
use crate::config::Config;
use crate::engine::DEFAULT_STORE;
use crate::recommend::RepeatPolicy;
use crate::telemetry::version;

/// Serve recommendations over gRPC and HTTP, and train in the background
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  qianmian serve --demo\n  \
                        qianmian serve --data DIR --listen 0.0.0.0:50051")]
pub struct Serve {
    /// Address to listen on [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address of the admin listener: metrics and health over HTTP [default: 127.0.0.1:50052]; ""
    /// for none
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
    /// Origins of web pages that may call, as SCHEME://HOST:PORT; "*" for any [default: none]
    #[arg(long, value_name = "ORIGIN,…", value_delimiter = ',')]
    allow_origin: Vec<String>,
    /// Follow the server at this address: answer from a copy of its stores, and pass writes on to it
    #[arg(long, value_name = "ADDR", conflicts_with = "demo", value_parser = NonEmptyStringValueParser::new())]
    follow: Option<String>,
    /// Import the bundled Online Retail log, train, and print what to try next;
    /// without --data, into a temporary folder
    #[arg(long)]
    demo: bool,
}

impl Serve {
    pub(super) fn configure(&self, config: &mut Config) {
        if let Some(listen) = &self.listen {
            config.serve.listen.clone_from(listen);
        }
        if let Some(listen) = &self.admin_listen {
            config.serve.admin_listen.clone_from(listen);
        }
        if !self.allow_origin.is_empty() {
            config.serve.browsers.allowed_origins.clone_from(&self.allow_origin);
        }
        if let Some(primary) = &self.follow {
            config.follow.primary.clone_from(primary);
        }
        // The demo shows a small server; `train` runs a tuning, which takes half as much memory
        // again.
        config.train.automatic &= !self.demo;
        // The home page of a gift shop shows what is new to its visitors, whatever the tuner finds.
        if self.demo && config.recommend.repeat_policy == RepeatPolicy::Auto {
            config.recommend.repeat_policy = RepeatPolicy::ExcludePurchased;
        }
    }

    pub(super) async fn run(
        self,
        mut config: Config,
        data_given: bool,
        (read, set_level): (Read, SetLevel),
    ) -> Result<(), Failure> {
        // Registered before anything that takes long: a signal may arrive at any time.
        let stop = StopSignal::new()?;
        // Dropped last, with its content.
        let temporary = (self.demo && !data_given).then(tempfile::tempdir).transpose()?;

        if let Some(folder) = &temporary {
            config.data = folder.path().to_owned();
        }

        tracing::info!(version = version::VERSION, commit = version::COMMIT, "qianmian");
        let observer = Observer::new(config.logging.requests.clone(), &config.traces)?;
        let listeners = listen(&config.serve).await?;
        let address = listeners.callers.local_addr()?;
        let served = Served::open(&config.data, config.engine(), config.audit.clone())?;
        let upstream = config.follow.is_on().then(|| Upstream::new(&config.follow)).transpose()?;
        let upstream = upstream.map(Arc::new);
        let served = Served { observer: Arc::new(observer), upstream, ..served };
        if let Some(upstream) = &served.upstream
            && let Err(error) = follow::take_keys(upstream, &served.keys).await
        {
            let primary = &upstream.url;
            tracing::warn!(primary, %error, "the keys of the primary are not copied yet");
        }
        config.serve.check_safe(address, served.keys.is_in_force())?;
        report(&config, &listeners, served.keys.is_in_force())?;
        let host = served.host.clone();
        let reload = Reload {
            read,
            set_level,
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

        api::serve(served, listeners, &config.serve, stop.given(reload)).await?;
        if let Some(demo) = demo {
            demo.await?;
        }

        tracing::info!("stopped");
        drop(temporary);
        Ok(())
    }
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
    async fn given(mut self, mut reload: Reload) {
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
    async fn given(self, _: Reload) {
        let _ = tokio::signal::ctrl_c().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_leaves_out_what_was_bought_unless_something_else_is_set() {
        let configured = |demo: bool, policy: RepeatPolicy| {
            let mut config = Config::default();
            config.recommend.repeat_policy = policy;
            Serve {
                listen: None,
                admin_listen: None,
                allow_origin: Vec::new(),
                follow: None,
                demo,
            }
            .configure(&mut config);
            config.recommend.repeat_policy
        };
        assert_eq!(configured(true, RepeatPolicy::Auto), RepeatPolicy::ExcludePurchased);
        assert_eq!(configured(true, RepeatPolicy::WhenDue), RepeatPolicy::WhenDue);
        assert_eq!(configured(false, RepeatPolicy::Auto), RepeatPolicy::Auto);
    }
}
