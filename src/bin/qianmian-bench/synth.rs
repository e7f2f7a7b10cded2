//! `qianmian-bench synth`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::sheet::Sheet;
use crate::store::{Purchase, Synth as Store};
use qianmian::cli::Failure;

/// Make up the purchase log of a store of any size: Zipf popularity, clustered tastes, seasons,
/// baskets, repeats
#[derive(Debug, Args)]
pub(crate) struct Synth {
    /// Users
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    users: u64,
    /// Items
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    items: u64,
    /// Purchases
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    events: u64,
    /// The same numbers and seed give the same log
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Output file: Parquet if the name ends in .parquet, otherwise CSV, compressed if it ends in
    /// .gz
    out: PathBuf,
}

impl Synth {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.write().map_err(|e| format!("{}: {e}", self.out.display()).into())
    }

    fn write(&self) -> Result<(), Failure> {
        let Self { users, items, events, seed, .. } = *self;
        let store = Store { users, items, events, seed };
        let file = BufWriter::new(File::create(&self.out)?);
        match self.out.extension().and_then(|e| e.to_str()) {
            Some("parquet") => {
                let mut sheet = Sheet::new(file)?;
                store.write(|purchase| sheet.push(purchase))?;
                sheet.finish()?;
            }
            Some("gz") => {
                let mut file = GzEncoder::new(file, Compression::fast());
                csv(store, &mut file)?;
                file.finish()?.flush()?;
            }
            _ => {
                let mut file = file;
                csv(store, &mut file)?;
                file.flush()?;
            }
        }
        Ok(())
    }
}

fn csv(store: Store, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "user_id,item_id,timestamp,quantity,price,basket_id")?;
    store.write(|p: &Purchase| {
        let user = p.user;
        let item = p.item;
        let seconds = p.time_ms / 1_000;
        let euros = p.price / 100;
        let cents = p.price % 100;
        writeln!(out, "u{user},i{item},{seconds},{},{euros}.{cents:02},{}", p.quantity, p.basket)
    })
}
