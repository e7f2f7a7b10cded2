//! The connection to a running server: plain or encrypted, with the API key and the store of its
//! calls.

use std::path::{Path, PathBuf};

use clap::Args;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use super::Failure;
use crate::api::follow::address;
use crate::domain::Secret;

/// The variable with an API key. There is no flag for one: others can read arguments.
pub const KEY_VARIABLE: &str = "QIANMIAN_KEY";

/// How a running server is reached.
#[derive(Debug, Args, Default)]
pub struct ServerOptions {
    /// Ask a running server instead of the data folder: HOST:PORT, or https://HOST:PORT with TLS
    #[arg(long, global = true, value_name = "ADDR")]
    pub server: Option<String>,
    /// File with the roots that the server's certificate must come from [default: the system's]
    #[arg(long, global = true, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
    /// File with a client certificate, for a server that asks for one
    #[arg(long, global = true, value_name = "FILE", requires_all = ["server", "key"])]
    cert: Option<PathBuf>,
    /// File with the private key of the client certificate
    #[arg(long, global = true, value_name = "FILE", requires_all = ["server", "cert"])]
    key: Option<PathBuf>,
    /// File with the API key [default: the variable QIANMIAN_KEY]
    #[arg(long, global = true, value_name = "FILE", requires = "server")]
    key_file: Option<PathBuf>,
}

/// A connection whose calls carry their credentials.
pub type Remote = InterceptedService<Channel, Credentials>;

/// What every call carries.
#[derive(Clone, Default)]
pub struct Credentials {
    authorization: Option<AsciiMetadataValue>,
    store: Option<AsciiMetadataValue>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        if let Some(value) = &self.authorization {
            metadata.insert("authorization", value.clone());
        }
        if let Some(value) = &self.store {
            metadata.insert("store", value.clone());
        }
        Ok(request)
    }
}

impl ServerOptions {
    /// A plain connection without a key to an address.
    pub fn to(address: &str) -> Self {
        Self { server: Some(address.to_owned()), ..Self::default() }
    }

    /// Connects; calls go to the store `store`, or to the one that the key opens.
    ///
    /// # Errors
    /// A sentence, where a file cannot be used, or no server answers.
    pub async fn connect(&self, address: &str, store: Option<&str>) -> Result<Remote, Failure> {
        let url = address::url(address).map_err(|scheme| {
            format!(
                "--server {address}: {scheme} is not supported; give HOST:PORT or https://HOST:PORT"
            )
        })?;
        let is_encrypted = address::is_encrypted(&url);
        let credentials = self.credentials(&url, is_encrypted, store)?;
        let mut endpoint = Endpoint::from_shared(url.clone()).map_err(|_| {
            format!("--server {address:?} is not an address such as 127.0.0.1:50051")
        })?;

        if is_encrypted {
            endpoint = endpoint.tls_config(self.tls()?)?;
        } else if self.ca.is_some() || self.cert.is_some() {
            return Err("--ca and --cert are for TLS: give --server https://HOST:PORT".into());
        }
        let channel = endpoint.connect().await;
        let channel = channel
            .map_err(|e| format!("no server answers at {url}: {}", address::innermost(&e)))?;
        Ok(InterceptedService::new(channel, credentials))
    }

    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let config = match &self.ca {
            Some(file) => {
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("--ca", file)?))
            }
            None => ClientTlsConfig::new().with_native_roots(),
        };
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(config) };
        let identity = Identity::from_pem(read("--cert", cert)?, read("--key", key)?);
        Ok(config.identity(identity))
    }

    fn credentials(
        &self,
        url: &str,
        is_encrypted: bool,
        store: Option<&str>,
    ) -> Result<Credentials, Failure> {
        let key = self.api_key()?;
        if key.is_some() && !is_encrypted && !address::is_loopback(url) {
            return Err(format!(
                "{url} is not encrypted, so that others could read the API key; give --server \
                 https://HOST:PORT"
            )
            .into());
        }

        let authorization = key.map(|key| {
            let mut value = AsciiMetadataValue::try_from(format!("Bearer {}", key.reveal()))
                .map_err(|_| "the API key holds letters that no key has")?;
            value.set_sensitive(true);
            Ok::<_, Failure>(value)
        });
        let store = store.map(|name| {
            AsciiMetadataValue::try_from(name).map_err(|_| "--store holds letters that no name has")
        });
        Ok(Credentials { authorization: authorization.transpose()?, store: store.transpose()? })
    }

    /// The API key, from its file or its variable.
    fn api_key(&self) -> Result<Option<Secret>, Failure> {
        let key = |text: String| Secret::new(text.trim());
        if let Some(file) = &self.key_file {
            let text = String::from_utf8(read("--key-file", file)?).unwrap_or_default();
            if text.trim().is_empty() {
                return Err(format!("--key-file {} holds no key", file.display()).into());
            }
            return Ok(Some(key(text)));
        }

        let variable = std::env::var_os(KEY_VARIABLE).filter(|value| !value.is_empty());
        let text = variable.map(|value| {
            value.into_string().map_err(|_| format!("the variable {KEY_VARIABLE} holds no key"))
        });
        Ok(text.transpose()?.map(key))
    }
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|e| format!("{flag} {}: {e}", file.display()).into())
}
