//! `qianmian serve`

use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;

use super::{Failure, demo};
use crate::api;
use crate::config::Config;
use crate::engine::Engine;

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
        // The demo shows a small server; tuning, asked for by `train`, takes half as much again.
        config.train.automatic &= !self.demo;
    }

    pub(super) async fn run(self, mut config: Config, data_given: bool) -> Result<(), Failure> {
        // Dropped last, and with it what it holds.
        let temporary = (self.demo && !data_given).then(tempfile::tempdir).transpose()?;
        if let Some(folder) = &temporary {
            config.data = folder.path().to_owned();
        }
        let listener = TcpListener::bind(&config.serve.listen)
            .await
            .map_err(|e| format!("cannot listen on {}: {e}", config.serve.listen))?;
        let address = listener.local_addr()?;
        let engine = Arc::new(Engine::open(&config.data, config.engine())?);
        tracing::info!(%address, data = %config.data.display(), "serving");
        let demo = self.demo.then(|| {
            let engine = engine.clone();
            tokio::task::spawn_blocking(move || {
                if let Err(error) = demo::run(&engine, address) {
                    tracing::warn!(%error, "the demo has no model");
                }
            })
        });
        api::serve(engine.clone(), listener, &config.serve, stop_signal()).await?;
        if let Some(demo) = demo {
            demo.await?;
        }
        tracing::info!("stopped");
        drop(engine);
        drop(temporary);
        Ok(())
    }
}

/// Completes when the process is asked to end.
async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
