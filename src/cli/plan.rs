//! `qianmian plan`

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::output::{json, table};
use crate::plan::fleet::least_memory;
use crate::plan::{Demand, Fleet, Luck, Machine, Shop, Simulated};

/// Bytes of a GiB.
const GIB: f64 = (1u64 << 30) as f64;

/// What a shop of any size needs: machines, memory, network, time
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "From figures that were measured on two cores, and from a simulation; docs/src/plan.md has both.\n\n\
                  Examples:\n  \
                  qianmian plan --users 1e6 --items 1e5 --events-per-day 1e6\n  \
                  qianmian plan --users 1e9 --items 1e8 --events-per-day 1e10 --history-limit 100 --memory-gib 2048"
)]
pub struct Plan {
    /// Users
    #[arg(long, value_parser = count)]
    users: f64,
    /// Items
    #[arg(long, value_parser = count)]
    items: f64,
    /// Events a day [default: a 365th of --events]
    #[arg(long, value_parser = amount, required_unless_present = "events")]
    events_per_day: Option<f64>,
    /// Events that the log holds [default: those of 365 days]
    #[arg(long, value_parser = amount)]
    events: Option<f64>,
    /// Lists a second in the busiest second [default: one for each event then]
    #[arg(long, value_parser = amount)]
    lists_per_second: Option<f64>,
    /// The busiest second of a day over the average one, from 1 to 2
    #[arg(long, value_parser = peak, default_value = "1.8")]
    peak: f64,
    /// Events that are kept of a user, at most: recommend.history_limit
    #[arg(long, value_parser = count, default_value = "2000")]
    history_limit: f64,
    /// Memory of one machine, in GiB
    #[arg(long, value_parser = amount, default_value = "256")]
    memory_gib: f64,
    /// Processor cores of one machine
    #[arg(long, value_parser = count, default_value = "32")]
    cores: f64,
    /// Days between two failures of one server, on average
    #[arg(long, value_parser = amount, default_value = "30")]
    days_between_failures: f64,
    /// object_store.lease_seconds
    #[arg(long, value_parser = amount, default_value = "10")]
    lease_seconds: f64,
    /// Days that are simulated
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=366))]
    days: u64,
    /// Seed of the simulation
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The plan as a program reads it.
#[derive(Serialize)]
struct Planned {
    #[serde(flatten)]
    fleet: Fleet,
    simulated: Simulated,
}

impl Plan {
    pub(super) fn run(&self) -> Result<(), Failure> {
        const YEAR: f64 = 365.0;
        let events_per_day =
            self.events_per_day.or(self.events.map(|all| all / YEAR)).unwrap_or_default();
        let shop = Shop {
            users: self.users,
            items: self.items,
            events: self.events.unwrap_or(events_per_day * YEAR),
            history_limit: self.history_limit,
        };
        let demand = Demand {
            events_per_day,
            lists_per_second: self
                .lists_per_second
                .unwrap_or(events_per_day / 86_400.0 * self.peak),
            peak: self.peak,
        };
        let machine = Machine { memory_bytes: self.memory_gib * GIB, cores: self.cores };
        let luck = Luck {
            days: self.days,
            seed: self.seed,
            days_between_failures: self.days_between_failures,
            lease_seconds: self.lease_seconds,
        };
        let fleet = Fleet::of(shop, demand, machine);
        if !fleet.fits {
            return Err(format!(
                "--items, --memory-gib: {} items take machines of at least {:.0} GiB, {} were given",
                self.items,
                (least_memory(shop) / GIB).ceil(),
                self.memory_gib
            )
            .into());
        }

        let simulated = fleet.simulation(demand, luck).run();
        if self.json {
            return json(&Planned { fleet, simulated });
        }
        println!("{}", needs(&fleet));
        println!("\nOne store, simulated for {} days:\n{}", self.days, told(&simulated));
        Ok(())
    }
}

/// A number, also as 1e9; above 0.
fn amount(text: &str) -> Result<f64, String> {
    let number: f64 =
        text.replace('_', "").parse().map_err(|_| "must be a number, as 5000 or 1e9")?;
    if number.is_finite() && (1e-9..=1e15).contains(&number) {
        Ok(number)
    } else {
        Err("must be above 0, and up to 1e15".to_owned())
    }
}

/// The same, at least 1.
fn count(text: &str) -> Result<f64, String> {
    let number = amount(text)?;
    if number >= 1.0 { Ok(number) } else { Err("must be from 1 to 1e15".to_owned()) }
}

fn peak(text: &str) -> Result<f64, String> {
    let peak = amount(text).unwrap_or_default();
    if (1.0..=2.0).contains(&peak) { Ok(peak) } else { Err("must be from 1 to 2".to_owned()) }
}

/// A time in the unit that people would name it in.
fn time(seconds: f64) -> String {
    let units = [("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)];
    let unit = units.into_iter().find(|(_, of)| seconds >= 2.0 * of);
    unit.map_or_else(
        || format!("{seconds:.2} s"),
        |(name, of)| format!("{:.1} {name}", seconds / of),
    )
}

fn needs(fleet: &Fleet) -> comfy_table::Table {
    let store = &fleet.store;
    let gib = |bytes: f64| {
        let (bytes, unit) = if bytes < GIB { (bytes * 1024.0, "MiB") } else { (bytes, "GiB") };
        format!("{:.1} {unit}", bytes / GIB)
    };
    let mbit = |bits: f64| format!("{:.2} Mbit/s", bits / 1e6);
    let (driver, share) = fleet.driver;
    let row = |what: &str, value: String| vec![what.to_owned(), value];

    let machines = [
        row("stores (by market or region)", format!("{:.0}", fleet.stores)),
        row("machines", format!("{:.0}", fleet.machines)),
        row("  that write", format!("{:.0}", fleet.writers)),
        row("  that follow", format!("{:.0}", fleet.followers)),
        row("  that train", format!("{:.0}", fleet.trainers)),
    ];
    let sizes = [
        row("memory of a server", gib(store.memory_bytes)),
        row("  most of it", format!("{driver}, {:.0} %", 100.0 * share)),
        row("memory of a training", gib(store.training_bytes)),
        row("log of a store", gib(store.log_bytes)),
        row("  grows each day, all stores", gib(fleet.log_bytes_per_day)),
        row("model of a store", gib(store.model_bytes)),
        row("object store", gib(fleet.object_bytes)),
    ];
    let times = [
        row("opening a store after a failure", time(store.opening_seconds)),
        row("  after an upgrade", time(store.upgrading_seconds)),
        row("trainings of a day, all stores", time(3_600.0 * fleet.training_hours)),
        row("into a server that writes, at the peak", mbit(fleet.writer_bits_per_second)),
        row("to all followers, at the peak", mbit(fleet.followers_bits_per_second)),
    ];
    let rows = machines.into_iter().chain(sizes).chain(times);
    table(&["", ""], &[], rows.collect())
}

fn told(simulated: &Simulated) -> comfy_table::Table {
    let Simulated {
        events,
        failures,
        followers,
        seconds_without_writer,
        taken_in,
        followed,
        answering,
    } = simulated;

    let row = |what: &str, of: &crate::plan::simulation::Quantiles| {
        vec![what.to_owned(), time(of.p50), time(of.p99), time(of.max)]
    };
    let fact =
        |what: &str, value: String| vec![what.to_owned(), value, String::new(), String::new()];

    table(
        &["", "half", "99 %", "slowest"],
        &["half", "99 %", "slowest"],
        vec![
            row("until an event is taken in", taken_in),
            row("until a follower has it", followed),
            fact("events", events.to_string()),
            fact("failures of servers, also of those that follow", failures.to_string()),
            fact("without a server that writes", time(*seconds_without_writer)),
            fact("followers that are simulated", followers.to_string()),
            fact("  that answer, on average", format!("{answering:.3}")),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        assert_eq!(amount("1e9"), Ok(1e9));
        assert_eq!(amount("1_000_000"), Ok(1e6));
        assert_eq!(time(1_209_600.0), "14.0 days");
        assert_eq!((time(100.0), time(130.0)), ("100.00 s".into(), "2.2 minutes".into()));
        assert!(count("0.5").is_err() && peak("0").is_err());
        for bad in ["0", "-1", "NaN", "inf", "many", "1e16"] {
            assert!(amount(bad).is_err(), "{bad}");
        }
    }
}
