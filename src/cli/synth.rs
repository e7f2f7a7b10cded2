//! `qianmian synth`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::Failure;
use crate::evaluate::synth::Synth as Store;

/// Make up the purchase log of a store of any size: Zipf popularity, clustered tastes, seasons,
/// baskets, repeats
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  qianmian synth --users 100000 --items 20000 --events 2000000 \
                        store.csv\n  qianmian import store.csv --data DIR")]
pub struct Synth {
    /// Shoppers
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    users: u64,
    /// Products
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    items: u64,
    /// Purchases
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000_000))]
    events: u64,
    /// The same numbers and seed give the same log
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write: CSV, compressed if the name ends in .gz
    out: PathBuf,
}

impl Synth {
    pub(super) fn run(self) -> Result<(), Failure> {
        let failed = |e: std::io::Error| format!("{}: {e}", self.out.display());
        let file = BufWriter::new(File::create(&self.out).map_err(failed)?);
        if self.out.extension().is_some_and(|e| e == "gz") {
            let mut file = GzEncoder::new(file, Compression::fast());
            self.write(&mut file).and_then(|()| file.finish()?.flush()).map_err(failed)?;
        } else {
            let mut file = file;
            self.write(&mut file).and_then(|()| file.flush()).map_err(failed)?;
        }
        Ok(())
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let Self { users, items, events, seed, .. } = *self;
        writeln!(out, "user_id,item_id,timestamp,quantity,price,basket_id")?;
        Store { users, items, events, seed }.write(|p| {
            let (user, item, seconds) = (p.user, p.item, p.time_ms / 1_000);
            let (euros, cents) = (p.price / 100, p.price % 100);
            writeln!(
                out,
                "u{user},i{item},{seconds},{},{euros}.{cents:02},{}",
                p.quantity, p.basket
            )
        })
    }
}
