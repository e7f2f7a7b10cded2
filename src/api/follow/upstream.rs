//! The connection to the primary. It is opened when it is needed, and again whenever it breaks.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};
use tower::{Service, ServiceExt};

use super::address;
use super::options::FollowOptions;
use crate::api::tls;
use crate::api::wire::pb::replication_service_client::ReplicationServiceClient;
use crate::api::wire::pb::store_service_client::StoreServiceClient;

/// Time within which a connection must be made.
const CONNECTING: Duration = Duration::from_secs(2);
/// Interval of pings, by which a connection that is cut is noticed, and the time that one has to be answered.
const PING_EVERY: Duration = Duration::from_secs(1);
const PING_PATIENCE: Duration = Duration::from_secs(2);
/// Maximum size of a message from the primary, in bytes.
const MAX_MESSAGE: usize = 64 << 20;
/// Marks a call that a follower has passed on, so that it is passed on once.
const FORWARDED: HeaderName = HeaderName::from_static("qianmian-forwarded");
/// Headers of a call that concern its own connection, or the page that it came from, which was checked here.
const OF_CONNECTION: [&str; 5] =
    ["host", "connection", "content-length", "transfer-encoding", "origin"];

/// The primary of a follower.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its address as a URL.
    pub url: String,
    /// Its address as it was given.
    pub address: String,
    /// Whether it was named by the servers that share an object store, so that another may be it any moment.
    pub may_change: bool,
    key: Option<AsciiMetadataValue>,
    /// Whether no one else can read what is sent.
    is_private: bool,
    /// For what is copied.
    copying: Channel,
    /// For leases, which wait behind nothing.
    leasing: Channel,
    /// For calls that are passed on: they do not wait behind the log.
    forwarding: Channel,
}

impl Upstream {
    /// The primary that the options name. Call it within a tokio runtime.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn new(options: &FollowOptions) -> Result<Self, String> {
        let given = &options.primary;
        let url = address::url(given)
            .map_err(|scheme| format!("follow.primary {given}: {scheme} is not supported"))?;
        let is_encrypted = address::is_encrypted(&url);
        let is_private = is_encrypted || address::is_loopback(&url);
        if !is_private && !options.key.reveal().is_empty() {
            return Err(readable(&url));
        }

        let endpoint = Endpoint::from_shared(url.clone()).ok().filter(|_| address::is_server(&url));
        let endpoint = endpoint.ok_or_else(|| {
            format!("follow.primary {given:?} is not an address such as HOST:50051")
        })?;
        let mut endpoint = endpoint
            .connect_timeout(CONNECTING)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE)
            .keep_alive_while_idle(true);
        if is_encrypted {
            let files = [&options.ca, &options.cert, &options.cert_key].map(|file| &**file);
            let tls = endpoint.tls_config(tls::of_client(files)?);
            endpoint = tls.map_err(|e| format!("follow: {}", address::innermost(&e)))?;
        }
        let key = Some(options.key.reveal()).filter(|key| !key.is_empty());
        Ok(Self {
            url,
            address: given.clone(),
            may_change: false,
            key: key.map(authorization).transpose()?,
            is_private,
            copying: endpoint.connect_lazy(),
            leasing: endpoint.connect_lazy(),
            forwarding: endpoint.connect_lazy(),
        })
    }

    /// The same as one that may change any moment.
    pub(super) fn changing(self) -> Self {
        Self { may_change: true, ..self }
    }

    /// Calls of the whole primary.
    pub(super) fn stores(&self) -> StoreServiceClient<Channel> {
        StoreServiceClient::new(self.copying.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Calls of one store.
    pub(super) fn replication(&self) -> ReplicationServiceClient<Channel> {
        ReplicationServiceClient::new(self.copying.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Calls for leases.
    pub(super) fn leases(&self) -> ReplicationServiceClient<Channel> {
        ReplicationServiceClient::new(self.leasing.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// A request with this follower's key, for a store.
    pub(super) fn request<T>(&self, store: Option<&str>, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(key) = &self.key {
            metadata.insert("authorization", key.clone());
        }
        // Names of stores are letters, digits and hyphens.
        if let Some(store) = store.and_then(|store| AsciiMetadataValue::try_from(store).ok()) {
            metadata.insert("store", store);
        }
        request
    }

    /// Passes a call on as it came, with its caller's key; none where another follower has passed it on
    /// already.
    ///
    /// # Errors
    /// A sentence, where the primary is not reached, or others could read the caller's key.
    pub(super) async fn forward(
        &self,
        mut request: Request<Body>,
    ) -> Result<Option<Response<Body>>, String> {
        let headers = request.headers_mut();
        if headers.contains_key(FORWARDED) {
            return Ok(None);
        }
        if !self.is_private && headers.contains_key(AUTHORIZATION) {
            return Err(readable(&self.url));
        }
        OF_CONNECTION.iter().for_each(|name| drop(headers.remove(*name)));
        headers.insert(FORWARDED, HeaderValue::from_static("1"));
        // The caller's connection here is of no concern there.
        request.extensions_mut().clear();
        *request.version_mut() = http::Version::HTTP_2;

        let unreached = |error: tonic::transport::Error| {
            format!("{} is not reached: {}", self.url, address::innermost(&error))
        };
        let mut channel = self.forwarding.clone();
        let ready = channel.ready().await.map_err(unreached)?;
        ready.call(request).await.map(Some).map_err(unreached)
    }
}

/// Why no key is sent to an address.
fn readable(url: &str) -> String {
    format!(
        "follow.primary {url} is not encrypted, so that others could read the API key; give \
         https://HOST:PORT"
    )
}

fn authorization(key: &str) -> Result<AsciiMetadataValue, String> {
    let value = AsciiMetadataValue::try_from(format!("Bearer {key}"));
    let mut value = value.map_err(|_| "follow.key holds letters that no key has".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Secret;

    fn options(primary: &str, key: &str) -> FollowOptions {
        let (primary, key) = (primary.to_owned(), Secret::new(key));
        FollowOptions { primary, key, ..FollowOptions::default() }
    }

    #[tokio::test]
    async fn no_key_leaves_this_machine_where_others_can_read_it() {
        let refused = Upstream::new(&options("192.0.2.1:5", "qm_1")).unwrap_err();
        assert!(refused.contains("is not encrypted"), "{refused}");
        Upstream::new(&options("127.0.0.1:5", "qm_1")).unwrap();

        // A caller's key, where the follower has none.
        let upstream = Upstream::new(&options("192.0.2.1:5", "")).unwrap();
        let mut call = Request::new(Body::empty());
        call.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer qm_1"));
        let refused = upstream.forward(call).await.unwrap_err();
        assert!(refused.contains("is not encrypted"), "{refused}");
    }
}
