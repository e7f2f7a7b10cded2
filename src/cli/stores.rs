//! `qianmian stores`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::admin::Admin;
use super::remote::ServerOptions;
use super::{Failure, output};
use crate::api::wire::pb;
use crate::config::Config;

/// List the stores of a data folder or a server; create, limit and delete them
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  qianmian stores create eu --server https://ADDR --key-file ops.key\n  \
                  qianmian stores limit eu --memory-mib 2048 --data DIR\n  \
                  qianmian import log.csv --store eu --data DIR"
)]
pub struct Stores {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create an empty store
    Create {
        /// Its name: a to z, 0 to 9, "-" and "_"
        name: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Replace the limits of a store
    Limit {
        /// Its name
        name: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Delete a store and everything in it, for good
    Delete {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
struct Limits {
    /// Maximum number of users [default: limits.max_users]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    max_users: u64,
    /// Maximum number of items [default: limits.max_items]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    max_items: u64,
    /// Memory in MiB, as estimated, beyond which it takes no more [default: no limit of its own]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    memory_mib: u64,
    /// Requests per second [default: no limit]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    requests_per_second: u32,
    /// Requests at once after a pause [default: as many as per second]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    burst: u32,
    /// Bytes of requests per second [default: no limit]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    bytes_per_second: u32,
}

impl Limits {
    fn proto(&self) -> pb::StoreLimits {
        pb::StoreLimits {
            max_users: self.max_users,
            max_items: self.max_items,
            memory_mib: self.memory_mib,
            quota: Some(pb::Quota {
                requests_per_second: self.requests_per_second,
                burst: self.burst,
                bytes_per_second: self.bytes_per_second,
            }),
        }
    }
}

/// A store, as it is printed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    created: String,
    users: u64,
    items: u64,
    events: u64,
    generation: u64,
    memory_bytes: u64,
    max_users: u64,
    max_items: u64,
    memory_mib: u64,
    requests_per_second: u32,
    burst: u32,
    bytes_per_second: u32,
    /// Why it did not open; empty where it is open.
    failure: String,
}

impl Stores {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let admin = Admin::open(config, &self.server).await?;
        match self.action {
            None => print(admin.stores().await?.into_iter().map(listed).collect(), self.json),
            Some(Action::Create { name, limits }) => {
                let limits = Some(limits.proto());
                let request = pb::CreateStoreRequest { name: name.clone(), limits };
                admin.create_store(request).await?;
                println!("the store {name} is created");
                Ok(())
            }
            Some(Action::Limit { name, limits }) => {
                let limits = Some(limits.proto());
                let request = pb::UpdateStoreRequest { name: name.clone(), limits };
                admin.update_store(request).await?;
                println!("the limits of the store {name} are in force");
                Ok(())
            }
            Some(Action::Delete { name }) => {
                admin.delete_store(name.clone()).await?;
                println!("the store {name} is deleted");
                Ok(())
            }
        }
    }
}

fn listed(store: pb::Store) -> Listed {
    let limits = store.limits.unwrap_or_default();
    let quota = limits.quota.unwrap_or_default();
    Listed {
        name: store.name,
        created: output::moment(store.created_at.map(|time| time.seconds)),
        users: store.users,
        items: store.items,
        events: store.events,
        generation: store.generation,
        memory_bytes: store.memory_bytes,
        max_users: limits.max_users,
        max_items: limits.max_items,
        memory_mib: limits.memory_mib,
        requests_per_second: quota.requests_per_second,
        burst: quota.burst,
        bytes_per_second: quota.bytes_per_second,
        failure: store.failure,
    }
}

fn print(stores: Vec<Listed>, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(&stores);
    }
    let header = ["store", "created", "users", "items", "events", "generation", "MiB", ""];
    let rows = stores.into_iter().map(|store| {
        vec![
            store.name,
            store.created,
            store.users.to_string(),
            store.items.to_string(),
            store.events.to_string(),
            store.generation.to_string(),
            (store.memory_bytes >> 20).to_string(),
            store.failure,
        ]
    });
    let right = ["users", "items", "events", "generation", "MiB"];
    println!("{}", output::table(&header, &right, rows.collect()));
    Ok(())
}
