//! Keys and stores, of a data folder or of a running server, behind one interface. Both use the
//! protocol's messages; acts on a data folder are recorded in its audit log.

use std::sync::Arc;

use prost::Message;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

use super::Failure;
use super::remote::{Remote, ServerOptions};
use crate::access::audit::{Act, COMMAND_LINE};
use crate::access::{Audit, Keyring};
use crate::api::access::audited::code_name;
use crate::api::access::methods::METHODS;
use crate::api::services::key::KeyApi;
use crate::api::services::store::StoreApi;
use crate::api::wire::pb;
use crate::api::wire::pb::key_service_client::KeyServiceClient;
use crate::api::wire::pb::key_service_server::KeyService;
use crate::api::wire::pb::store_service_client::StoreServiceClient;
use crate::api::wire::pb::store_service_server::StoreService;
use crate::config::Config;
use crate::host::Host;

/// Keys and stores of a data folder, or of a server.
pub(super) enum Admin {
    /// Of a data folder.
    Local(Box<Config>),
    /// Called over gRPC.
    Remote(Remote),
}

/// Calls a method of either; an act on a data folder is recorded.
macro_rules! ask {
    ($admin:expr, $open:ident, $client:ident, $service:literal, $method:ident, $request:expr) => {{
        let request = $request;
        match $admin {
            Admin::Local(config) => {
                let message = request.encode_to_vec();
                let answer = $open(config)?.$method(Request::new(request)).await;
                recorded(config, concat!($service, "/"), stringify!($method), &message, answer)
            }
            Admin::Remote(remote) => {
                let answer = $client::new(remote.clone()).$method(request).await;
                answer.map(Response::into_inner).map_err(sentence)
            }
        }
    }};
}

impl Admin {
    /// Connects to the server, if one is named.
    ///
    /// # Errors
    /// A sentence, where no server answers.
    pub(super) async fn open(config: Config, options: &ServerOptions) -> Result<Self, Failure> {
        Ok(match &options.server {
            Some(address) => Admin::Remote(options.connect(address, None).await?),
            None => Admin::Local(Box::new(config)),
        })
    }

    /// Creates a key.
    ///
    /// # Errors
    /// A sentence, here and below.
    pub(super) async fn create_key(
        &self,
        request: pb::CreateKeyRequest,
    ) -> Result<pb::CreateKeyResponse, Failure> {
        ask!(self, key_api, KeyServiceClient, "KeyService", create_key, request)
    }

    /// All keys.
    pub(super) async fn keys(&self) -> Result<Vec<pb::Key>, Failure> {
        let request = pb::ListKeysRequest {};
        Ok(ask!(self, key_api, KeyServiceClient, "KeyService", list_keys, request)?.keys)
    }

    /// Revokes a key.
    pub(super) async fn revoke_key(&self, name: String) -> Result<pb::RevokeKeyResponse, Failure> {
        let request = pb::RevokeKeyRequest { name };
        ask!(self, key_api, KeyServiceClient, "KeyService", revoke_key, request)
    }

    /// Creates a store.
    pub(super) async fn create_store(
        &self,
        request: pb::CreateStoreRequest,
    ) -> Result<pb::CreateStoreResponse, Failure> {
        ask!(self, store_api, StoreServiceClient, "StoreService", create_store, request)
    }

    /// All stores.
    pub(super) async fn stores(&self) -> Result<Vec<pb::Store>, Failure> {
        let request = pb::ListStoresRequest {};
        Ok(ask!(self, store_api, StoreServiceClient, "StoreService", list_stores, request)?.stores)
    }

    /// Replaces the limits of a store.
    pub(super) async fn update_store(
        &self,
        request: pb::UpdateStoreRequest,
    ) -> Result<pb::UpdateStoreResponse, Failure> {
        ask!(self, store_api, StoreServiceClient, "StoreService", update_store, request)
    }

    /// Deletes a store.
    pub(super) async fn delete_store(
        &self,
        name: String,
    ) -> Result<pb::DeleteStoreResponse, Failure> {
        let request = pb::DeleteStoreRequest { name };
        ask!(self, store_api, StoreServiceClient, "StoreService", delete_store, request)
    }
}

fn key_api(config: &Config) -> Result<KeyApi, Failure> {
    Ok(KeyApi::new(Arc::new(Keyring::open(&config.data)?), config.data.clone()))
}

/// The stores of the data folder, which no server may have open.
fn store_api(config: &Config) -> Result<StoreApi, Failure> {
    let mut options = config.engine();
    options.train.automatic = false;
    let host = Arc::new(Host::open(&config.data, options)?);
    Ok(StoreApi::new(host, Arc::new(Keyring::open(&config.data)?)))
}

/// How long a key of some days is valid.
pub(super) fn valid_for(days: u32) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::from(days) * 86_400, nanos: 0 }
}

fn sentence(status: Status) -> Failure {
    status.message().into()
}

/// The answer to a call on a data folder; an act is recorded.
fn recorded<T>(
    config: &Config,
    service: &str,
    method: &str,
    message: &[u8],
    answer: Result<Response<T>, Status>,
) -> Result<T, Failure> {
    record(config, service, method, message, answer.as_ref().err());
    answer.map(Response::into_inner).map_err(sentence)
}

/// Records a call on a data folder, if it is an act.
pub(super) fn record(
    config: &Config,
    service: &str,
    method: &str,
    message: &[u8],
    status: Option<&Status>,
) {
    // The protocol's names are those of Rust, without the underscores.
    let name = method.replace('_', "");
    let known = METHODS.iter().find(|known| {
        let own = known.name.strip_prefix(service);
        own.is_some_and(|own| own.eq_ignore_ascii_case(&name))
    });

    if let Some((method, audit)) = known.and_then(|method| Some((method, method.audit?))) {
        let reason = status.and_then(StatusExt::get_details_error_info);
        let act = Act {
            by: COMMAND_LINE.to_owned(),
            store: String::new(),
            act: method.name.to_owned(),
            with: audit(message),
            outcome: code_name(status.map_or(Code::Ok, Status::code)),
            reason: reason.map_or_else(String::new, |info| info.reason),
        };
        // A failure is logged; what was done cannot be undone.
        let _ = Audit::of(&config.data, config.audit.clone()).record(&act);
    }
}
