//! KeyService.

use std::path::PathBuf;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::access::{HeldKey, KeySpec, Keyring, Quota, Scope};
use crate::api::services::answer;
use crate::api::wire::pb::key_service_server::KeyService;
use crate::api::wire::{convert, pb};
use crate::domain::{Error, Result, Violation};
use crate::engine::DEFAULT_STORE;
use crate::host;

/// Creates, lists and revokes API keys.
#[derive(Debug, Clone)]
pub struct KeyApi {
    keys: Arc<Keyring>,
    /// The data folder, whose stores keys may open.
    data: PathBuf,
}

impl KeyApi {
    /// Serves the keys of a data folder.
    pub fn new(keys: Arc<Keyring>, data: PathBuf) -> Self {
        Self { keys, data }
    }

    fn create(&self, request: pb::CreateKeyRequest) -> Result<pb::CreateKeyResponse> {
        let spec = spec(request)?;
        if let Some(store) = &spec.store {
            spec.validate()?;
            if !host::exists(&self.data, store) {
                return Err(Error::NotFound { kind: "store", id: store.clone() });
            }
        }
        let (held, secret) = self.keys.create(spec)?;
        Ok(pb::CreateKeyResponse { key: Some(proto(&held)), secret: secret.reveal().to_owned() })
    }

    fn list(&self) -> pb::ListKeysResponse {
        pb::ListKeysResponse { keys: self.keys.list().iter().map(|held| proto(held)).collect() }
    }

    fn revoke(&self, request: &pb::RevokeKeyRequest) -> Result<pb::RevokeKeyResponse> {
        let held = self.keys.revoke(&request.name)?;
        Ok(pb::RevokeKeyResponse { key: Some(proto(&held)) })
    }
}

fn spec(request: pb::CreateKeyRequest) -> Result<KeySpec, Violation> {
    let each = request.scopes.iter().enumerate();
    let scopes: Vec<Scope> = each.map(|(i, number)| scope(i, *number)).collect::<Result<_, _>>()?;
    let opens_all = scopes.iter().any(|scope| scope.opens_all());
    let store = match request.store {
        store if !store.is_empty() => Some(store),
        _ if opens_all => None,
        _ => Some(DEFAULT_STORE.to_owned()),
    };

    let valid_ms = request.expires_in.map(|valid| {
        valid.seconds.saturating_mul(1_000).saturating_add(i64::from(valid.nanos) / 1_000_000)
    });
    let quota = request.quota.map(quota).unwrap_or_default();
    Ok(KeySpec { name: request.name, scopes, store, quota, valid_ms })
}

fn scope(at: usize, number: i32) -> Result<Scope, Violation> {
    match pb::Scope::try_from(number) {
        Ok(pb::Scope::Read) => Ok(Scope::Read),
        Ok(pb::Scope::Events) => Ok(Scope::Events),
        Ok(pb::Scope::Catalog) => Ok(Scope::Catalog),
        Ok(pb::Scope::Users) => Ok(Scope::Users),
        Ok(pb::Scope::Models) => Ok(Scope::Models),
        Ok(pb::Scope::Admin) => Ok(Scope::Admin),
        Ok(pb::Scope::Follow) => Ok(Scope::Follow),
        Ok(pb::Scope::Unspecified) | Err(_) => {
            let message = format!("must be 1 to 7, was {number}");
            Err(Violation::new(format!("scopes[{at}]"), message))
        }
    }
}

/// The number of a scope in the protocol.
pub fn scope_number(scope: Scope) -> i32 {
    let scope = match scope {
        Scope::Read => pb::Scope::Read,
        Scope::Events => pb::Scope::Events,
        Scope::Catalog => pb::Scope::Catalog,
        Scope::Users => pb::Scope::Users,
        Scope::Models => pb::Scope::Models,
        Scope::Admin => pb::Scope::Admin,
        Scope::Follow => pb::Scope::Follow,
    };
    scope.into()
}

/// A quota of the protocol.
pub(super) fn quota(given: pb::Quota) -> Quota {
    Quota {
        requests_per_second: given.requests_per_second,
        burst: given.burst,
        bytes_per_second: given.bytes_per_second,
    }
}

/// A quota as the protocol has it.
pub(super) fn quota_proto(quota: Quota) -> pb::Quota {
    pb::Quota {
        requests_per_second: quota.requests_per_second,
        burst: quota.burst,
        bytes_per_second: quota.bytes_per_second,
    }
}

fn proto(held: &HeldKey) -> pb::Key {
    let key = &held.key;
    pb::Key {
        name: key.name.clone(),
        scopes: key.scopes.iter().map(|scope| scope_number(*scope)).collect(),
        store: key.store.clone().unwrap_or_default(),
        quota: Some(quota_proto(key.quota)),
        created_at: Some(convert::timestamp(key.created_ms)),
        expires_at: key.expires_ms.map(convert::timestamp),
        revoked_at: key.revoked_ms.map(convert::timestamp),
        last_used_at: held.last_used_ms().map(convert::timestamp),
    }
}

#[tonic::async_trait]
impl KeyService for KeyApi {
    async fn create_key(
        &self,
        request: Request<pb::CreateKeyRequest>,
    ) -> Result<Response<pb::CreateKeyResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.create(asked)).await
    }

    async fn list_keys(
        &self,
        _: Request<pb::ListKeysRequest>,
    ) -> Result<Response<pb::ListKeysResponse>, Status> {
        Ok(Response::new(self.list()))
    }

    async fn revoke_key(
        &self,
        request: Request<pb::RevokeKeyRequest>,
    ) -> Result<Response<pb::RevokeKeyResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.revoke(&asked)).await
    }
}
