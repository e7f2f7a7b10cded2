//! `qianmian check`

use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::serve::check_together;
use super::{Failure, output};
use crate::access::Keyring;
use crate::api::tls::Certificates;
use crate::api::topics::Topics;
use crate::config::Config;
use crate::domain::{DAY_MS, now_ms};
use crate::engine::pseudonyms::Pseudonyms;
use crate::model::disk;
use crate::store::folder::{StoreFolder, store_names};
use crate::store::priority::Pace;
use crate::store::{FrozenLog, files, memory};
use crate::telemetry::version;

/// Check the configuration, the data folder, the disk and the clock, before a start or from a monitor
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 where all is well, 1 with warnings, 2 where the server would not start \
                  or not write.\nA server may have the data folder open. qianmian verify reads every byte of it."
)]
pub struct Check {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How well a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Error,
}

/// A thing that was looked at.
#[derive(Debug, Serialize)]
struct Item {
    what: &'static str,
    verdict: Verdict,
    says: String,
}

/// The exit code of warnings, and of errors.
const WARNINGS: u8 = 1;
pub(super) const ERRORS: u8 = 2;
/// Days that a certificate should still be valid, and after which a backup is old.
const CERTIFICATE_DAYS: i64 = 14;
const BACKUP_DAYS: i64 = 2;
/// Free bytes that there should be, as a share of what the data uses: an erasure rewrites a file of
/// the log beside the old one.
const FREE: f64 = 0.5;
/// Bytes that should be free in any case.
const MIN_FREE: u64 = 1 << 30;
/// Seconds that a flush may take.
const SLOW_FLUSH: f64 = 0.2;
/// The clock must not be before 2025-01-01, when no version of this was out.
const NO_CLOCK_BEFORE_MS: i64 = 1_735_689_600_000;

impl Check {
    /// Looks at everything; returns the exit code.
    pub(super) fn run(self, config: &Config) -> Result<u8, Failure> {
        let mut items = vec![configuration(config)];
        items.push(certificates(config));
        items.push(keys(config));
        items.push(addresses(config));
        items.extend(topics(config));
        items.extend(folder(config));
        items.push(clock(config));
        items.push(memory_limit(config));

        let worst = items.iter().map(|item| item.verdict).max().unwrap_or(Verdict::Ok);
        if self.json {
            let version = version::LINE;
            output::json(
                &serde_json::json!({"version": version, "verdict": worst, "checks": items}),
            )?;
        } else {
            println!("qianmian {}", version::LINE);
            let cell = |item: &Item| {
                let verdict = format!("{:?}", item.verdict).to_lowercase();
                vec![verdict, item.what.to_owned(), item.says.clone()]
            };
            let rows = items.iter().map(cell).collect();
            println!("{}", output::table(&["", "what", ""], &[], rows));
        }
        Ok(match worst {
            Verdict::Ok => 0,
            Verdict::Warning => WARNINGS,
            Verdict::Error => ERRORS,
        })
    }
}

fn item(what: &'static str, verdict: Verdict, says: String) -> Item {
    Item { what, verdict, says }
}

fn configuration(config: &Config) -> Item {
    let what = "configuration";
    match check_together(config, false) {
        Ok(()) => item(what, Verdict::Ok, "it can be read".to_owned()),
        Err(error) => item(what, Verdict::Error, error),
    }
}

fn certificates(config: &Config) -> Item {
    let what = "certificates";
    match Certificates::read(&config.serve.tls) {
        Ok(None) => item(what, Verdict::Ok, "TLS is off".to_owned()),
        Err(error) => item(what, Verdict::Error, error),
        Ok(Some(certificates)) => {
            let left = (certificates.valid_until_ms() - now_ms()) / DAY_MS;
            let verdict = if left < CERTIFICATE_DAYS { Verdict::Warning } else { Verdict::Ok };
            item(what, verdict, format!("the first ends in {left} days"))
        }
    }
}

/// Whether topics can be read, where some are configured: the server starts without.
fn topics(config: &Config) -> Option<Item> {
    let look = || match Topics::look(&config.kafka) {
        Ok(partitions) => item("topics", Verdict::Ok, format!("{partitions} partitions")),
        Err(error) => item("topics", Verdict::Warning, error),
    };
    config.kafka.is_on().then(look)
}

/// Whether the server would start where it listens.
fn keys(config: &Config) -> Item {
    let what = "keys";
    let keys = match Keyring::open(&config.data) {
        Ok(keys) => keys,
        Err(error) => return item(what, Verdict::Error, error.to_string()),
    };
    let listen = &config.serve.listen;
    let addresses = listen.to_socket_addrs().map(Vec::from_iter);
    let address = addresses.ok().and_then(|addresses| addresses.into_iter().next());
    let Some(address) = address else {
        let says = format!("serve.listen {listen:?} is no address: must be HOST:PORT");
        return item(what, Verdict::Error, says);
    };

    let in_force = keys.is_in_force();
    match config.serve.check_safe(address, in_force) {
        Err(error) => item(what, Verdict::Error, error),
        Ok(()) if config.serve.insecure => {
            item(what, Verdict::Warning, "serve.insecure is set".to_owned())
        }
        Ok(()) => {
            let says = if in_force { "every request needs a key" } else { "no key is needed" };
            item(what, Verdict::Ok, says.to_owned())
        }
    }
}

/// The addresses of the admin listener and of the collector of traces.
fn addresses(config: &Config) -> Item {
    let what = "addresses";
    let admin = &config.serve.admin_listen;
    if !admin.is_empty() && admin.to_socket_addrs().is_err() {
        let says = format!("serve.admin_listen {admin:?} is no address: must be HOST:PORT");
        return item(what, Verdict::Error, says);
    }
    let endpoint = &config.traces.otlp_endpoint;
    if !endpoint.is_empty() && endpoint.parse::<http::Uri>().is_err() {
        let says = format!("traces.otlp_endpoint {endpoint:?} is no address");
        return item(what, Verdict::Error, says);
    }
    let admin = if admin.is_empty() { "no admin listener" } else { admin };
    item(what, Verdict::Ok, format!("{}, metrics and health: {admin}", config.serve.listen))
}

/// The data folder, its disk, and each store.
fn folder(config: &Config) -> Vec<Item> {
    let data = config.data.as_path();
    if !data.exists() {
        let says = format!("{} does not exist; the first start creates it", data.display());
        return vec![item("data folder", Verdict::Warning, says)];
    }

    let mut items = vec![disk(data)];
    let names = match store_names(data) {
        Ok(names) => names,
        Err(error) => {
            items.push(item("data folder", Verdict::Error, error.to_string()));
            return items;
        }
    };
    items.extend(names.iter().map(|name| store(config, name)));
    items.push(backup(data, &names));
    items
}

/// Writes and flushes a file, as the log does.
fn disk(data: &Path) -> Item {
    let what = "disk";
    let began = Instant::now();
    let probe = tempfile::Builder::new().prefix(".check-").tempfile_in(data);
    let written = probe.and_then(|probe| {
        std::fs::write(probe.path(), b"probe")?;
        probe.as_file().sync_all()
    });
    if let Err(error) = written {
        let says = format!("cannot write to {}: {error}", data.display());
        return item(what, Verdict::Error, says);
    }

    let seconds = began.elapsed().as_secs_f64();
    let free = files::disk_free(data).unwrap_or(u64::MAX);
    let used = folder_bytes(data);
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let says = format!(
        "{:.1} GiB free, {:.1} GiB used by the data; a flush takes {:.0} ms",
        gib(free),
        gib(used),
        seconds * 1e3
    );
    let is_full = free < MIN_FREE || (free as f64) < FREE * used as f64;
    let verdict = if is_full || seconds > SLOW_FLUSH { Verdict::Warning } else { Verdict::Ok };
    item(what, verdict, says)
}

/// The bytes of the files below a folder, as far as they can be read.
fn folder_bytes(folder: &Path) -> u64 {
    let names = files::names(folder).unwrap_or_default();
    let bytes = |name: String| {
        let path = folder.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&path),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        }
    };
    names.into_iter().map(bytes).sum()
}

fn store(config: &Config, name: &str) -> Item {
    let what = "store";
    let folder = match StoreFolder::beside(&config.data, name) {
        Ok(folder) => folder,
        Err(error) => return item(what, Verdict::Error, format!("{name}: {error}")),
    };
    let pseudonyms = Pseudonyms::new(config.privacy.pseudonym_key.reveal(), name);
    // Of the log, the newest file is read.
    let whole = FrozenLog::of(&folder.log(), &|_, _| true, &Pace::fast());
    let whole = whole.and_then(|_| folder.check_key(pseudonyms.fingerprint().as_deref()));
    if let Err(error) = whole {
        return item(what, Verdict::Error, format!("{name}: {error}"));
    }
    let models = match disk::list(&folder.snapshots()) {
        Ok(models) => models,
        Err(error) => return item(what, Verdict::Error, format!("{name}: {error}")),
    };

    let (bytes, segments) = folder.log_size();
    let mib = bytes as f64 / f64::from(1 << 20);
    let log = format!("{name}: {mib:.1} MiB of log in {segments} files");
    match models.first() {
        None => item(what, Verdict::Warning, format!("{log}, no model yet")),
        Some(newest) => {
            let days = (now_ms() - newest.created_ms) / DAY_MS;
            let says = format!("{log}, {} models, the newest {days} days old", models.len());
            item(what, Verdict::Ok, says)
        }
    }
}

fn backup(data: &Path, names: &[String]) -> Item {
    let of = |name: &String| {
        let folder = StoreFolder::beside(data, name).ok()?;
        folder.last_backup().map(|backup| backup.at_ms)
    };
    let times: Option<Vec<i64>> = names.iter().map(of).collect();
    match times.and_then(|times| times.into_iter().min()) {
        None => item("backup", Verdict::Warning, "a store has none: qianmian backup".to_owned()),
        Some(at_ms) => {
            let days = (now_ms() - at_ms) / DAY_MS;
            let verdict = if days >= BACKUP_DAYS { Verdict::Warning } else { Verdict::Ok };
            item("backup", verdict, format!("the last is {days} days old"))
        }
    }
}

/// Whether the clock is plausible: after the models that it dated.
fn clock(config: &Config) -> Item {
    let what = "clock";
    let now = now_ms();
    if now < NO_CLOCK_BEFORE_MS {
        let says = format!(
            "it shows {}, which is before this version was released",
            output::moment(Some(now / 1_000))
        );
        return item(what, Verdict::Error, says);
    }

    let names = store_names(&config.data).unwrap_or_default();
    let newest = names.iter().filter_map(|name| {
        let folder = StoreFolder::beside(&config.data, name).ok()?;
        let models = disk::list(&folder.snapshots()).ok()?;
        models.iter().map(|model| model.created_ms).max()
    });
    let newest = newest.max().unwrap_or(0);
    if newest > now {
        let minutes = (newest - now) / 60_000;
        let says = format!("a model was made {minutes} minutes after now: the clock went back");
        return item(what, Verdict::Warning, says);
    }
    item(what, Verdict::Ok, output::moment(Some(now / 1_000)))
}

fn memory_limit(config: &Config) -> Item {
    let what = "memory";
    let Some(available) = memory::available() else {
        return item(what, Verdict::Ok, "the system does not report it".to_owned());
    };
    let (limit, mib) = (config.limits.memory_mib, available >> 20);
    if limit > mib {
        let says = format!("limits.memory_mib is {limit}, and there are {mib} MiB");
        return item(what, Verdict::Warning, says);
    }
    item(what, Verdict::Ok, format!("{mib} MiB"))
}
