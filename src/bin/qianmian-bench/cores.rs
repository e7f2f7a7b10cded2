//! Holds processes to cores of the machine, by util-linux's taskset.

use std::process::Command;
use std::str::FromStr;

use qianmian::cli::Failure;

use crate::server::Server;

/// Cores of the servers, and of the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores {
    servers: String,
    load: String,
}

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_list = |list: &str| {
            !list.is_empty() && list.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '-')
        };
        match text.split_once(':') {
            Some((servers, load)) if is_list(servers) && is_list(load) => {
                Ok(Self { servers: servers.to_owned(), load: load.to_owned() })
            }
            _ => Err("must name the servers' cores and the load's, as 0:1 or 0-3:4,5".to_owned()),
        }
    }
}

impl Cores {
    /// Holds servers, and this process as the load, to their cores.
    ///
    /// # Errors
    /// Where there is no taskset, or no such core.
    pub(crate) fn hold(&self, servers: &[&Server]) -> Result<(), Failure> {
        for server in servers {
            pin(&self.servers, server.process.id())?;
        }
        pin(&self.load, std::process::id())
    }
}

/// Holds every thread of a process to cores.
fn pin(cores: &str, pid: u32) -> Result<(), Failure> {
    let held = Command::new("taskset").args(["-acp", cores, &pid.to_string()]).output();
    let held = held.map_err(|error| format!("taskset: {error}"))?;
    if held.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&held.stderr);
    Err(format!("taskset does not hold a process to cores {cores}: {}", said.trim()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_two_lists() {
        let cores = "0-1,3:2".parse::<Cores>().unwrap();
        assert_eq!((cores.servers.as_str(), cores.load.as_str()), ("0-1,3", "2"));
        for wrong in ["0", ":1", "0:", "a:b", "0:1:2"] {
            assert!(wrong.parse::<Cores>().is_err(), "{wrong}");
        }
    }
}
