//! Certificates of the server: read and checked at start, and again whenever their files change.
//! What is wrong with new ones leaves those before in force.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{Error as TlsError, InconsistentKeys, RootCertStore, ServerConfig};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Time between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The protocols that are negotiated, the best first: HTTP/2, which gRPC needs, and HTTP/1.1.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// `[serve.tls]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsOptions {
    /// File of the certificate and those between it and its root (PEM); empty: no TLS.
    pub cert: PathBuf,
    /// File of its private key (PEM).
    pub key: PathBuf,
    /// File of the roots of clients' certificates (PEM): clients without one are refused. Empty:
    /// clients need none.
    pub client_ca: PathBuf,
}

impl TlsOptions {
    /// Whether connections are encrypted.
    pub fn is_on(&self) -> bool {
        *self != Self::default()
    }

    /// The files, with the names of their settings.
    fn files(&self) -> [(&'static str, &Path); 3] {
        [
            ("serve.tls.cert", &self.cert),
            ("serve.tls.key", &self.key),
            ("serve.tls.client_ca", &self.client_ca),
        ]
    }
}

/// The certificates in force.
#[derive(Debug, Clone)]
pub struct Certificates {
    options: TlsOptions,
    valid_until_ms: i64,
    /// The state of the files that are in force.
    read: Stamps,
    current: Arc<ArcSwap<ServerConfig>>,
}

/// What changes with the files.
type Stamps = [Option<(SystemTime, u64)>; 3];

impl Certificates {
    /// Reads the files; none where TLS is off.
    ///
    /// # Errors
    /// A sentence that names the setting, the file, and what is wrong with it: unreadable, not PEM,
    /// a key of another certificate, not valid now.
    pub fn read(options: &TlsOptions) -> Result<Option<Self>, String> {
        if !options.is_on() {
            return Ok(None);
        }
        let read = stamps(options);
        let current = Arc::new(ArcSwap::from_pointee(config(options)?));
        let valid_until_ms = first_end_ms(options)?;
        Ok(Some(Self { options: options.clone(), valid_until_ms, read, current }))
    }

    /// When the first of the certificates ends, in milliseconds since 1970, as they were read at the
    /// start.
    pub fn valid_until_ms(&self) -> i64 {
        self.valid_until_ms
    }

    /// What encrypts a new connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads the files again whenever they change, as long as it is polled. Where new ones cannot be
    /// used, those before stay in force.
    pub async fn follow(self) {
        let mut in_force = self.read;
        let mut failing: Option<String> = None;
        let mut failures: u64 = 0;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let options = self.options.clone();
            let look = move || {
                let found = stamps(&options);
                (found, (found != in_force).then(|| config(&options)))
            };

            // The files may be on a slow disk.
            let Ok((found, read)) = tokio::task::spawn_blocking(look).await else { return };
            match read {
                None => {}
                Some(Ok(config)) => {
                    self.current.store(Arc::new(config));
                    in_force = found;
                    failing = None;
                    tracing::info!("new certificates are in force");
                }
                // Tried again until it succeeds: a certificate may not be valid yet.
                Some(Err(error)) => {
                    failures += 1;
                    if failing.as_ref() != Some(&error) {
                        tracing::error!(
                            error,
                            failures,
                            "new certificates cannot be used; those before stay in force"
                        );
                    }
                    failing = Some(error);
                }
            }
        }
    }
}

/// When the first of the server's certificates ends, in milliseconds since 1970.
fn first_end_ms(options: &TlsOptions) -> Result<i64, String> {
    let [cert, ..] = options.files();
    let mut first = i64::MAX;
    for certificate in certificates(cert)? {
        let (_, read) = X509Certificate::from_der(&certificate).map_err(|e| failure(cert, e))?;
        first = first.min(read.validity().not_after.timestamp().saturating_mul(1_000));
    }
    Ok(first)
}

fn stamps(options: &TlsOptions) -> Stamps {
    options.files().map(|(_, path)| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// The configuration that the files give. TLS 1.2 and 1.3 are spoken.
fn config(options: &TlsOptions) -> Result<ServerConfig, String> {
    let [cert, key, client_ca] = options.files();
    for (setting, path) in [cert, key] {
        if path.as_os_str().is_empty() {
            return Err(format!(
                "{setting} must name a file, is empty; TLS needs a certificate and its key"
            ));
        }
    }

    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key.1).map_err(|e| failure(key, e))?;
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| failure(cert, e))?;

    let builder = if options.client_ca.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for root in certificates(client_ca)? {
            roots.add(root).map_err(|e| failure(client_ca, e))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().map_err(|e| failure(client_ca, e))?)
    };

    let mut config = builder.with_single_cert(chain, secret).map_err(|e| match e {
        TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            format!("{} is not the key of the certificate {}", shown(key), shown(cert))
        }
        other => failure(key, other),
    })?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

/// How a server that follows another meets it: the roots of the other's certificate, the system's where there is
/// no file; and its own certificate and key, if the other asks for one.
///
/// # Errors
/// The setting whose file cannot be read.
pub(super) fn of_client([ca, cert, key]: [&Path; 3]) -> Result<ClientTlsConfig, String> {
    let read = |setting: &'static str, path: &Path| {
        std::fs::read(path).map_err(|e| failure((setting, path), e))
    };
    let config = if ca.as_os_str().is_empty() {
        ClientTlsConfig::new().with_native_roots()
    } else {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("follow.ca", ca)?))
    };
    if cert.as_os_str().is_empty() {
        return Ok(config);
    }
    let identity = Identity::from_pem(read("follow.cert", cert)?, read("follow.cert_key", key)?);
    Ok(config.identity(identity))
}

/// The certificates in a file, which are valid now.
fn certificates(file: (&'static str, &Path)) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file.1).and_then(Iterator::collect);
    let all = all.map_err(|e| failure(file, e))?;
    if all.is_empty() {
        return Err(failure(file, "it holds no certificate in PEM"));
    }

    for certificate in &all {
        let (_, read) = X509Certificate::from_der(certificate).map_err(|e| failure(file, e))?;
        let validity = read.validity();
        if !validity.is_valid() {
            let why =
                format!("valid from {} to {}, not now", validity.not_before, validity.not_after);
            return Err(failure(file, why));
        }
    }
    Ok(all)
}

fn shown((setting, path): (&str, &Path)) -> String {
    format!("{setting} {}", path.display())
}

fn failure(file: (&str, &Path), what: impl std::fmt::Display) -> String {
    format!("{}: {what}", shown(file))
}
