//! The cost of TLS and a key: one store behind two servers, one plain and open, one encrypted and
//! with keys, loaded in turn over kept connections.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use qianmian::cli::{Failure, output};
use qianmian::config::Config;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::asked::Asked;
use crate::load::{self, CONCURRENCY, Calls, Pace, Reached};
use crate::server::{Server, free_address, server_program};

/// Measure the cost of TLS and a key: requests/s with both, relative to neither, in the same run;
/// needs openssl
#[derive(Debug, Args)]
pub(crate) struct Secured {
    /// Length of the lists, 1 to 500
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
    /// Seconds of each load
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Loads of each server, in turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
}

impl Secured {
    pub(crate) fn run(self, config: &Config, data_given: bool) -> Result<(), Failure> {
        if !data_given {
            return Err("name a data folder with a model: --data DIR".into());
        }

        let asked = Asked::of(&config.data, config)?;
        let calls = asked.calls(self.limit);
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join("data");
        copy_folder(&config.data, &copy)?;
        let files = Files::create(folder.path())?;
        let authorization = format!("Bearer {}", create_key(&copy)?);

        let plain = serve(&config.data, &[])?;
        let variables = [
            ("QIANMIAN_SERVE__TLS__CERT", &*files.cert),
            ("QIANMIAN_SERVE__TLS__KEY", &*files.key),
        ];
        let secured = serve(&copy, &variables)?;
        let by_tls = Reached {
            address: secured.address.to_string(),
            tls: Some(files.connector()?),
            authorization,
        };

        println!("{}; {CONCURRENCY} requests at once, lists of {}\n", asked.store, self.limit);
        let mut rows = Vec::new();
        for name in ["Recommend", "Recommend, blended anew", "SimilarItems"] {
            let known = calls.iter().find(|(known, _)| known == name);
            let (_, calls) = known.ok_or("there is no such call")?;
            rows.push(self.compare(name, calls, &plain, &by_tls)?);
        }

        let header = ["method", "plain /s", "TLS and key /s", "ratio", "lowest", "highest"];
        println!("{}", output::table(&header, &header[1..], rows));
        Ok(())
    }

    /// The medians of both servers, and of the ratio of loads that follow each other.
    fn compare(
        &self,
        name: &str,
        calls: &Calls,
        plain: &Server,
        by_tls: &Reached,
    ) -> Result<Vec<String>, Failure> {
        let pace = Pace {
            duration: Duration::from_secs(self.seconds),
            concurrency: CONCURRENCY,
            rate: None,
        };
        let plainly = Reached::plainly(&plain.address.to_string());
        let rate = |reached: &Reached| -> Result<f64, Failure> {
            let outcome = load::run_by(reached, calls, pace)?;
            match outcome.refused {
                0 => Ok(outcome.rate()),
                refused => Err(format!("{refused} calls were refused").into()),
            }
        };

        // The first load of each warms it up.
        rate(&plainly)?;
        rate(by_tls)?;
        let mut both = Vec::new();
        for _ in 0..self.rounds {
            both.push((rate(&plainly)?, rate(by_tls)?));
        }

        let median = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = both.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let ratios = median(&|(plain, secured)| secured / plain);
        let middle = both.len() / 2;
        Ok(vec![
            name.to_owned(),
            format!("{:.0}", median(&|both| both.0)[middle]),
            format!("{:.0}", median(&|both| both.1)[middle]),
            format!("{:.2}", ratios[middle]),
            format!("{:.2}", ratios[0]),
            format!("{:.2}", ratios[both.len() - 1]),
        ])
    }
}

fn serve(data: &Path, variables: &[(&str, &Path)]) -> Result<Server, Failure> {
    let address = free_address()?;
    let listen = address.to_string();
    let data = data.display().to_string();
    Server::start_with(address, &["serve", "--listen", &listen, "--data", &data], variables)
}

/// Creates a key of a data folder, and returns it.
fn create_key(data: &Path) -> Result<String, Failure> {
    let created = Command::new(server_program()?)
        .args(["keys", "create", "--name", "bench", "--scope", "read", "--data"])
        .arg(data)
        .output()?;
    if !created.status.success() {
        return Err(String::from_utf8_lossy(&created.stderr).into());
    }
    Ok(String::from_utf8(created.stdout)?.trim().to_owned())
}

/// A root, a certificate for localhost, and its key.
struct Files {
    root: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Files {
    fn create(folder: &Path) -> Result<Self, Failure> {
        let file = |name: &str| folder.join(name);
        let files = Self { root: file("root.pem"), cert: file("cert.pem"), key: file("key.pem") };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let root = ["req", "-x509", "-subj", "/CN=root", "-days", "2", "-keyout", "root.key"];
        openssl(folder, &[&root[..], &curve, &["-out", "root.pem"]].concat())?;

        let leaf = ["req", "-x509", "-subj", "/CN=localhost", "-days", "2", "-keyout", "key.pem"];
        let names = ["-addext", "subjectAltName=DNS:localhost"];
        let by = [
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-CA",
            "root.pem",
            "-CAkey",
            "root.key",
        ];
        openssl(folder, &[&leaf[..], &curve, &names, &by, &["-out", "cert.pem"]].concat())?;
        Ok(files)
    }

    fn connector(&self) -> Result<TlsConnector, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.root)?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let made = Command::new("openssl").args(arguments).current_dir(folder).output();
    let made = made.map_err(|e| format!("openssl is needed: {e}"))?;
    if made.status.success() {
        return Ok(());
    }
    Err(format!("openssl: {}", String::from_utf8_lossy(&made.stderr)).into())
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
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
