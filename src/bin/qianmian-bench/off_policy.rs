//! `qianmian-bench off-policy`: the estimates of `experiment::off_policy` for decisions in a file, so that they
//! can be compared with those of another library. `loadtest/off_policy.py` does.

use std::path::PathBuf;

use clap::Args;
use qianmian::cli::Failure;
use qianmian::experiment::off_policy::{Logged, OffPolicy};

/// Estimate what a candidate would have earned, from a CSV file with the columns reward, propensity,
/// probability, expected and expected_of_candidate
#[derive(Debug, Args)]
pub(crate) struct Estimates {
    /// The file
    file: PathBuf,
}

impl Estimates {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut reader = csv::Reader::from_path(&self.file)?;
        let mut decisions = Vec::new();
        for row in reader.deserialize() {
            let (reward, propensity, probability, expected, expected_of_candidate) = row?;
            decisions.push(Logged {
                reward,
                propensity,
                probability,
                expected,
                expected_of_candidate,
            });
        }

        let estimated = OffPolicy::new(&decisions);
        let estimated = estimated.ok_or("the candidate takes none of the decisions")?;
        println!("ips {:.9}", estimated.ips.value);
        println!("snips {:.9}", estimated.snips.value);
        println!("dr {:.9}", estimated.dr.value);
        println!("effective {:.3}", estimated.effective);
        Ok(())
    }
}
