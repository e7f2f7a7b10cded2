//! The cost of TLS and a key: one store behind two servers, one plain and open, one encrypted and
//! with keys, loaded in turn over kept connections.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;
use qianmian::cli::{Failure, output};
use qianmian::config::Config;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::asked::Asked;
use crate::compared::Loads;
use crate::load::{CONCURRENCY, Protocol, Reached};
use crate::server::{Server, copy_folder, server_program};

/// Measure the cost of TLS and a key: requests/s with both, relative to neither, in the same run;
/// needs openssl
#[derive(Debug, Args)]
pub(crate) struct Secured {
    #[command(flatten)]
    loads: Loads,
}

impl Secured {
    pub(crate) fn run(self, config: &Config, data_given: bool) -> Result<(), Failure> {
        if !data_given {
            return Err("name a data folder with a model: --data DIR".into());
        }

        let asked = Asked::of(&config.data, config)?;
        let calls = asked.calls(self.loads.limit);
        let folder = tempfile::tempdir()?;
        let copy = folder.path().join("data");
        copy_folder(&config.data, &copy)?;
        let files = Files::create(folder.path())?;
        let authorization = format!("Bearer {}", create_key(&copy)?);

        let plain = Server::serve::<&Path>(&config.data, &[])?;
        let variables = [
            ("QIANMIAN_SERVE__TLS__CERT", &*files.cert),
            ("QIANMIAN_SERVE__TLS__KEY", &*files.key),
        ];
        let secured = Server::serve(&copy, &variables)?;
        let plainly = Reached::plainly(&plain.address.to_string());
        let by_tls = Reached {
            address: secured.address.to_string(),
            tls: Some(files.connector()?),
            authorization,
            protocol: Protocol::Grpc,
        };

        println!(
            "{}; {CONCURRENCY} requests at once, lists of {}\n",
            asked.store, self.loads.limit
        );
        let mut rows = Vec::new();
        for name in ["Recommend", "Recommend, blended anew", "SimilarItems"] {
            let known = calls.iter().find(|(known, _)| known == name);
            let (_, calls) = known.ok_or("there is no such call")?;
            rows.push(self.loads.compare(name, (calls, &plainly), (calls, &by_tls))?);
        }

        let header = ["method", "plain /s", "TLS and key /s", "ratio", "lowest", "highest"];
        println!("{}", output::table(&header, &header[1..], rows));
        Ok(())
    }
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
