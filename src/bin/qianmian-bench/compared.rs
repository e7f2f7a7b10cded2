//! Two servers on one machine, or two ways to call one, loaded in turn, so that both see the same neighbours.

use std::time::Duration;

use clap::Args;
use qianmian::cli::Failure;

use crate::load::{self, CONCURRENCY, Calls, Pace, Reached};

/// The loads of a comparison.
#[derive(Debug, Clone, Args)]
pub(crate) struct Loads {
    /// Length of the lists, 1 to 500
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=500))]
    pub(crate) limit: i32,
    /// Seconds of each load
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Loads of each, in turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
}

impl Loads {
    /// A row of a table: the medians of both, each with its calls, and of the ratio of loads that follow each
    /// other, with its lowest and highest.
    pub(crate) fn compare(
        &self,
        name: &str,
        one: (&Calls, &Reached),
        other: (&Calls, &Reached),
    ) -> Result<Vec<String>, Failure> {
        let pace = Pace {
            duration: Duration::from_secs(self.seconds),
            concurrency: CONCURRENCY,
            rate: None,
        };
        let rate = |(calls, reached): (&Calls, &Reached)| -> Result<f64, Failure> {
            let outcome = load::run_by(reached, calls, pace)?;
            match outcome.refused {
                0 => Ok(outcome.rate()),
                refused => Err(format!("{refused} calls were refused").into()),
            }
        };

        // The first load of each warms it up.
        rate(one)?;
        rate(other)?;
        let mut both = Vec::new();
        for _ in 0..self.rounds {
            both.push((rate(one)?, rate(other)?));
        }

        let sorted = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = both.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let ratios = sorted(&|(one, other)| other / one);
        let middle = both.len() / 2;
        Ok(vec![
            name.to_owned(),
            format!("{:.0}", sorted(&|both| both.0)[middle]),
            format!("{:.0}", sorted(&|both| both.1)[middle]),
            format!("{:.3}", ratios[middle]),
            format!("{:.3}", ratios[0]),
            format!("{:.3}", ratios[both.len() - 1]),
        ])
    }
}
