//! `qianmian backup`, `qianmian restore`, `qianmian verify`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Failure, output};
use crate::api::admission::open_files::raise_open_files;
use crate::backup::{self, Manifest};
use crate::config::Config;
use crate::store::priority::{Pace, step_back};

/// Back up the data folder, also while a server runs on it
#[derive(Debug, Args)]
#[command(
    after_help = "A folder of backups keeps what has not changed once: a further backup adds only \
                  new files of the log and new models.\n\n\
                  Examples:\n  qianmian backup --to /backup/shop --data DIR\n  \
                  qianmian backup --to shop.tar.zst --data DIR"
)]
pub struct Backup {
    /// A folder of backups, created where it is missing, or a new file NAME.tar.zst
    #[arg(long, value_name = "DIR|FILE")]
    to: PathBuf,
    /// Backups that stay in the folder; older ones are removed
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    keep: u32,
    /// Without the rests that leave the machine to the server
    #[arg(long)]
    fast: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Restore a backup into a new data folder
#[derive(Debug, Args)]
#[command(
    after_help = "Users who were erased after the backup was made are back: erase them again.\n\n\
                  Examples:\n  qianmian restore /backup/shop --data DIR\n  \
                  qianmian restore /backup/shop --at 2026-11-26T18-20-00.000Z --data DIR\n  \
                  qianmian restore shop.tar.zst --data DIR"
)]
pub struct Restore {
    /// The folder of backups, or the file
    from: PathBuf,
    /// The backup's name in the folder [default: the newest]
    #[arg(long, value_name = "NAME")]
    at: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Read a backup, or the logs and models of the data folder, and compare them with their checksums
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian verify /backup/shop\n  qianmian verify --data DIR")]
pub struct Verify {
    /// The backup [default: the data folder]
    path: Option<PathBuf>,
}

impl Backup {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        // The server's requests come first.
        step_back();
        raise_open_files();
        let pace = if self.fast { Pace::fast() } else { Pace::gentle() };
        let created = backup::create(&config.data, &self.to, self.keep as usize, &pace)?;
        if self.json {
            return output::json(&json!({
                "name": created.name,
                "copied_bytes": created.copied,
                "total_bytes": created.manifest.total_bytes(),
                "stores": created.manifest.stores,
            }));
        }

        print_stores(&created.manifest);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let total = mib(created.manifest.total_bytes());
        let name = if created.name.is_empty() { "" } else { &format!(" as {}", created.name) };
        println!(
            "{total:.1} MiB backed up to {}{name}, of which {:.1} MiB are new",
            self.to.display(),
            mib(created.copied)
        );
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        let manifest = backup::restore(&self.from, &config.data, self.at.as_deref())?;
        if self.json {
            let stores = &manifest.stores;
            return output::json(&json!({"created_ms": manifest.created_ms, "stores": stores}));
        }
        print_stores(&manifest);
        let made = output::moment(Some(manifest.created_ms / 1_000));
        println!("restored into {}, as of {made}", config.data.display());
        println!(
            "users who were erased since then are back: erase them again (qianmian users delete)"
        );
        Ok(())
    }
}

impl Verify {
    pub(super) fn run(self, config: &Config) -> Result<(), Failure> {
        let path = self.path.as_ref().unwrap_or(&config.data);
        let verified = backup::verify(path)?;
        let what = match verified.backups {
            0 => "the data folder".to_owned(),
            backups => format!("{backups} backups"),
        };
        println!(
            "whole: {what}, {} stores, {} files, {:.1} MiB",
            verified.stores,
            verified.files,
            verified.bytes as f64 / f64::from(1 << 20)
        );
        Ok(())
    }
}

fn print_stores(manifest: &Manifest) {
    let rows = manifest.stores.iter().map(|store| {
        let numbers = [store.offset, store.segments as u64, store.models as u64];
        let numbers = numbers.map(|number| number.to_string());
        [vec![store.name.clone()], numbers.to_vec()].concat()
    });
    let header = ["store", "records", "log files", "models"];
    println!("{}", output::table(&header, &header[1..], rows.collect()));
}
