//! `qianmian trainer`

use clap::Args;

use super::Failure;
use super::reload::{Read, SetLevel};
use super::serve::Serve;
use crate::config::Config;

/// Train for the servers that share an object store; answers as a follower too
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  qianmian trainer --store s3://bucket/shop --data DIR")]
pub struct Trainer {
    #[command(flatten)]
    pub(super) serve: Serve,
}

impl Trainer {
    pub(super) async fn run(
        self,
        config: Config,
        reading: (Read, SetLevel),
    ) -> Result<(), Failure> {
        if !config.object_store.is_on() {
            return Err(
                "a trainer needs the URL of an object store: --store s3://bucket/path".into()
            );
        }
        self.serve.into_trainer().run(config, true, reading).await
    }
}
