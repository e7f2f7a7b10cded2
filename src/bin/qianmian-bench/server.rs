//! Processes of a measurement: the server and the ceiling, and the store that they serve.

use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use qianmian::cli::Failure;

/// Maximum time for a server to start.
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes a synthetic store of `size` users, items and events, imports it and trains.
pub(crate) fn prepare(folder: &Path, data: &Path, size: [u64; 3]) -> Result<(), Failure> {
    let log: PathBuf = folder.join("store.csv");
    let log = log.display().to_string();
    let data = data.display().to_string();
    let numbers = size.map(|n| n.to_string());
    let [users, items, events] = &numbers;

    let synth = ["synth", "--users", users, "--items", items, "--events", events, &log];
    let import = ["import", &log, "--data", &data];
    let train = ["train", "--data", &data];
    let bench = std::env::current_exe()?;
    let server = server_program()?;
    for (program, arguments) in [(&bench, &synth[..]), (&server, &import), (&server, &train)] {
        let started = Instant::now();
        let status = Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{} failed", arguments[0]).into());
        }
        println!("{:<8} {:.1} s", arguments[0], started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// A process that serves until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Child,
}

impl Server {
    /// Starts the server of this version.
    pub(crate) fn start(address: SocketAddr, arguments: &[&str]) -> Result<Self, Failure> {
        Self::spawn(address, &server_program()?, arguments)
    }

    /// Starts the ceiling service of this program.
    pub(crate) fn ceiling(arguments: &[&str], address: SocketAddr) -> Result<Self, Failure> {
        Self::spawn(address, &std::env::current_exe()?, arguments)
    }

    /// Starts the server of this version on a data folder, with variables of its own.
    pub(crate) fn serve<V: AsRef<OsStr> + Copy>(
        data: &Path,
        variables: &[(&str, V)],
    ) -> Result<Self, Failure> {
        let address = free_address()?;
        let (listen, data) = (address.to_string(), data.display().to_string());
        let arguments = ["serve", "--listen", &listen, "--data", &data];
        Self::spawn_with(address, &server_program()?, &arguments, variables)
    }

    fn spawn(address: SocketAddr, program: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        Self::spawn_with::<&str>(address, program, arguments, &[])
    }

    fn spawn_with<V: AsRef<OsStr> + Copy>(
        address: SocketAddr,
        program: &Path,
        arguments: &[&str],
        variables: &[(&str, V)],
    ) -> Result<Self, Failure> {
        let process = Command::new(program)
            .args(arguments)
            .env("QIANMIAN_TRAIN__AUTOMATIC", "false")
            .env("QIANMIAN_SERVE__ADMIN_LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;

        let mut server = Self { address, process };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if server.process.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                return Err(format!("{} does not start", arguments[0]).into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Processor time so far; none where the system does not report it.
    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // After the name in parentheses: the 12th and 13th field, in hundredths of a second.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (f64, f64) =
            (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + system) / 100.0)
    }

    /// A line of the system's report on its memory, in MiB; none where there is none.
    pub(crate) fn memory_mib(&self, line: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find(|l| l.starts_with(line))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1_024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server's program, which is built beside this one.
pub(crate) fn server_program() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name("qianmian");
    if !program.exists() {
        return Err(format!(
            "{} does not exist; run cargo build --release --bins first",
            program.display()
        )
        .into());
    }
    Ok(program)
}

pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Copies a folder with all it holds.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
