//! `qianmian serve`

use clap::Args;
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Failure, demo};
use crate::api::{self, Served};
use crate::config::Config;
use crate::engine::DEFAULT_STORE;
use crate::recommend::RepeatPolicy;

/// Serve recommendations over gRPC, and train in the background
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian serve --demo\n  \
                        qianmian serve --data DIR --listen 0.0.0.0:50051")]
pub struct Serve {
    /// Address to listen on [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
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
        // The demo shows a small server; `train` runs a tuning, which takes half as much memory
        // again.
        config.train.automatic &= !self.demo;
        // The home page of a gift shop shows what is new to its visitors, whatever the tuner finds.
        if self.demo && config.recommend.repeat_policy == RepeatPolicy::Auto {
            config.recommend.repeat_policy = RepeatPolicy::ExcludePurchased;
        }
    }

    pub(super) async fn run(self, mut config: Config, data_given: bool) -> Result<(), Failure> {
        // Registered before anything that takes long: a signal may arrive at any time.
        let stop = StopSignal::new()?;
        // Dropped last, with its content.
        let temporary = (self.demo && !data_given).then(tempfile::tempdir).transpose()?;

        if let Some(folder) = &temporary {
            config.data = folder.path().to_owned();
        }

        let listener = TcpListener::bind(&config.serve.listen)
            .await
            .map_err(|e| format!("cannot listen on {}: {e}", config.serve.listen))?;
        let address = listener.local_addr()?;
        let served = Served::open(&config.data, config.engine(), config.audit.clone())?;
        config.serve.check_safe(address, served.keys.is_in_force())?;
        tracing::info!(%address, data = %config.data.display(), tls = config.serve.tls.is_on(), keys = served.keys.is_in_force(), "serving");
        let host = served.host.clone();
        let demo = self.demo.then(|| {
            tokio::task::spawn_blocking(move || {
                let shown = host.store(DEFAULT_STORE).map_err(Failure::from);
                if let Err(error) = shown.and_then(|store| demo::run(&store.engine, address)) {
                    tracing::warn!(%error, "the demo has no model");
                }
            })
        });

        api::serve(served, listener, &config.serve, stop.given()).await?;
        if let Some(demo) = demo {
            demo.await?;
        }

        tracing::info!("stopped");
        drop(temporary);
        Ok(())
    }
}

/// The signals that ask the process to end; SIGHUP is ignored.
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

    /// Completes when one arrives.
    async fn given(mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                // SIGHUP: a terminal that closes, or an operator who asks for a reload.
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP is ignored; new settings need a restart");
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
    async fn given(self) {
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
            Serve { listen: None, demo }.configure(&mut config);
            config.recommend.repeat_policy
        };
        assert_eq!(configured(true, RepeatPolicy::Auto), RepeatPolicy::ExcludePurchased);
        assert_eq!(configured(true, RepeatPolicy::WhenDue), RepeatPolicy::WhenDue);
        assert_eq!(configured(false, RepeatPolicy::Auto), RepeatPolicy::Auto);
    }
}
