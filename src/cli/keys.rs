//! `qianmian keys`

use clap::{Args, Subcommand};
use serde::Serialize;

use super::admin::{Admin, valid_for};
use super::remote::ServerOptions;
use super::{Failure, output};
use crate::access::Scope;
use crate::api::services::key::scope_number;
use crate::api::wire::pb;
use crate::config::Config;

/// List the API keys of a data folder or a server; create and revoke them
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  qianmian keys create --name storefront --scope read,events --data DIR\n  \
                  qianmian keys create --name ops --scope admin --data DIR\n  \
                  qianmian keys --server https://ADDR --key-file ops.key\n  \
                  qianmian keys revoke storefront --data DIR\n\n\
                  From the first key on a server refuses every call without one."
)]
pub struct Keys {
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
    /// Create a key, and print it: it is shown this once
    Create(Create),
    /// Revoke a key, for good
    Revoke {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Its name: a to z, 0 to 9, "-" and "_"
    #[arg(long)]
    name: String,
    /// What its holder may do: read, events, catalog, users, models, admin, follow
    #[arg(long = "scope", value_name = "SCOPE,…", value_delimiter = ',', required = true, value_parser = scope)]
    scopes: Vec<Scope>,
    /// Days for which it is valid [default: without end]
    #[arg(long, value_name = "DAYS")]
    days: Option<u32>,
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

fn scope(name: &str) -> Result<Scope, String> {
    let known = || Scope::ALL.map(Scope::name).join(", ");
    Scope::named(name).ok_or_else(|| format!("must be one of {}", known()))
}

/// A key, as it is printed.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    scopes: Vec<String>,
    /// Empty: every store.
    store: String,
    created: String,
    expires: String,
    revoked: String,
    last_used: String,
    requests_per_second: u32,
    burst: u32,
    bytes_per_second: u32,
    /// Shown once, when it is created.
    #[serde(skip_serializing_if = "String::is_empty")]
    secret: String,
}

impl Keys {
    pub(super) async fn run(self, config: Config, store: Option<String>) -> Result<(), Failure> {
        let admin = Admin::open(config, &self.server).await?;
        match self.action {
            None => {
                let keys = admin.keys().await?.into_iter().map(listed).collect();
                print(keys, self.json)
            }
            Some(Action::Create(create)) => {
                let answer = admin.create_key(create.request(store)).await?;
                let key = listed(answer.key.unwrap_or_default());
                if self.json {
                    return output::json(&Listed { secret: answer.secret, ..key });
                }
                eprintln!("The key {}, which is shown this once:", key.name);
                println!("{}", answer.secret);
                Ok(())
            }
            Some(Action::Revoke { name }) => {
                admin.revoke_key(name.clone()).await?;
                println!("the key {name} is revoked");
                Ok(())
            }
        }
    }
}

impl Create {
    fn request(self, store: Option<String>) -> pb::CreateKeyRequest {
        let quota = pb::Quota {
            requests_per_second: self.requests_per_second,
            burst: self.burst,
            bytes_per_second: self.bytes_per_second,
        };
        pb::CreateKeyRequest {
            name: self.name,
            scopes: self.scopes.into_iter().map(scope_number).collect(),
            store: store.unwrap_or_default(),
            quota: Some(quota),
            expires_in: self.days.map(valid_for),
        }
    }
}

fn listed(key: pb::Key) -> Listed {
    let quota = key.quota.unwrap_or_default();
    let scopes = key.scopes().map(|scope| output::name(scope.as_str_name(), "SCOPE_")).collect();
    Listed {
        scopes,
        store: key.store,
        created: output::moment(key.created_at.map(|time| time.seconds)),
        expires: output::moment(key.expires_at.map(|time| time.seconds)),
        revoked: output::moment(key.revoked_at.map(|time| time.seconds)),
        last_used: output::moment(key.last_used_at.map(|time| time.seconds)),
        requests_per_second: quota.requests_per_second,
        burst: quota.burst,
        bytes_per_second: quota.bytes_per_second,
        secret: String::new(),
        name: key.name,
    }
}

fn print(keys: Vec<Listed>, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(&keys);
    }
    if keys.is_empty() {
        println!("no keys: calls need none");
        return Ok(());
    }

    let header = ["key", "scopes", "store", "created", "expires", "revoked", "last used"];
    let rows = keys.into_iter().map(|key| {
        let store = if key.store.is_empty() { "(all)".to_owned() } else { key.store };
        let scopes = key.scopes.join(",");
        vec![key.name, scopes, store, key.created, key.expires, key.revoked, key.last_used]
    });
    println!("{}", output::table(&header, &[], rows.collect()));
    Ok(())
}
