//! `qianmian serve`

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::process::Process;
use super::reload::{Read, SetLevel};
use super::{Failure, is_object_store, membership};
use crate::config::Config;
use crate::domain::Shard;
use crate::recommend::RepeatPolicy;
use crate::shared::Member;
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
    /// Follow the server at this address: answer from a copy of its stores, and pass writes on to it; or, with
    /// the URL of an object store, whichever server writes there
    #[arg(long, value_name = "ADDR", conflicts_with = "demo", value_parser = NonEmptyStringValueParser::new())]
    follow: Option<String>,
    /// Import the bundled Online Retail log, train, and print what to try next;
    /// without --data, into a temporary folder
    #[arg(long)]
    demo: bool,
    /// Whether it trains for the servers that share an object store.
    #[arg(skip)]
    trainer: bool,
}

impl Serve {
    /// The same as a trainer.
    pub(super) fn into_trainer(self) -> Self {
        Self { trainer: true, ..self }
    }

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

        match self.follow.as_deref() {
            Some(url) if is_object_store(url) => {
                config.object_store.url = url.to_owned();
                config.object_store.may_write = false;
            }
            Some(primary) => primary.clone_into(&mut config.follow.primary),
            None => {}
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
        reading: (Read, SetLevel),
    ) -> Result<(), Failure> {
        check_together(&config, self.trainer)?;
        tracing::info!(version = version::VERSION, commit = version::COMMIT, "qianmian");
        let process = Process::begin(&config, self.demo, reading)?;
        // Dropped last, with its content.
        let temporary = (self.demo && !data_given).then(tempfile::tempdir).transpose()?;
        if let Some(folder) = &temporary {
            config.data = folder.path().to_owned();
        }

        let options = &config.object_store;
        let shared = options.is_on().then(|| Member::open(options, self.trainer)).transpose()?;
        match shared {
            Some(member) => membership::serve(&process, &config, member).await?,
            None => process.serve_alone(&config).await?,
        }

        tracing::info!("stopped");
        drop(temporary);
        Ok(())
    }
}

/// Checks what a server may be at once.
pub(super) fn check_together(config: &Config, is_trainer: bool) -> Result<(), String> {
    let Config { follow, object_store, privacy, kafka, .. } = config;
    kafka.check()?;
    if follow.is_on() && object_store.is_on() {
        let url = &object_store.url;
        return Err(format!("follow.primary, and object_store.url {url}: give one of them"));
    }

    let shard = follow.shard;
    if shard == Shard::WHOLE {
        return Ok(());
    }
    let only_follows = follow.is_on() || object_store.is_on() && !object_store.may_write;
    if is_trainer || !only_follows {
        return Err(format!(
            "follow.shard = \"{shard}\": only a server that follows others, and does not train, may have a part of \
             the users (--follow)"
        ));
    }
    if !privacy.pseudonym_key.reveal().is_empty() {
        return Err(format!(
            "follow.shard = \"{shard}\": a user's shard follows from their id, which is not stored with \
             privacy.pseudonym_key"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    #[test]
    fn a_part_of_the_users_is_for_followers_without_pseudonyms() {
        let mut config = Config::default();
        config.follow.shard = "1/2".parse().unwrap();
        assert!(check_together(&config, false).unwrap_err().contains("--follow"));
        config.object_store.url = "s3://shop".to_owned();
        assert!(check_together(&config, false).unwrap_err().contains("--follow"));
        config.object_store.may_write = false;
        assert_eq!(check_together(&config, false), Ok(()));
        config.follow.primary = "shop:1".to_owned();
        assert!(check_together(&config, false).unwrap_err().contains("give one of them"));
        config.object_store.url.clear();
        assert_eq!(check_together(&config, false), Ok(()));
        config.privacy.pseudonym_key = Secret::new("k".repeat(32));
        assert!(check_together(&config, false).unwrap_err().contains("pseudonym_key"));
    }

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
                trainer: false,
            }
            .configure(&mut config);
            config.recommend.repeat_policy
        };
        assert_eq!(configured(true, RepeatPolicy::Auto), RepeatPolicy::ExcludePurchased);
        assert_eq!(configured(true, RepeatPolicy::WhenDue), RepeatPolicy::WhenDue);
        assert_eq!(configured(false, RepeatPolicy::Auto), RepeatPolicy::Auto);
    }
}
