//! StoreService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::key::{quota, quota_proto};
use crate::access::Keyring;
use crate::api::services::{answer, json};
use crate::api::wire::pb::store_service_server::StoreService;
use crate::api::wire::{convert, pb};
use crate::domain::{Result, Violation, limits};
use crate::host::{self, Host, Hosted, Limits, Listed};

/// Creates, lists and deletes stores.
#[derive(Debug, Clone)]
pub struct StoreApi {
    host: Arc<Host>,
    keys: Arc<Keyring>,
}

impl StoreApi {
    /// Serves the stores of a process, and the keys that open them.
    pub fn new(host: Arc<Host>, keys: Arc<Keyring>) -> Self {
        Self { host, keys }
    }

    fn create(&self, request: pb::CreateStoreRequest) -> Result<pb::CreateStoreResponse> {
        limits::name("name", &request.name)?;
        let limits = request.limits.map(limits_of).unwrap_or_default();
        // Of a store of before whose deletion a crash cut short.
        if !host::exists(self.host.data(), &request.name) {
            self.keys.revoke_of_store(&request.name)?;
        }
        let store = self.host.create(&request.name, limits)?;
        Ok(pb::CreateStoreResponse { store: Some(proto(&store)) })
    }

    fn list(&self) -> pb::ListStoresResponse {
        let listed = |Listed { name, store }| match store {
            Ok(store) => proto(&store),
            Err(failure) => pb::Store { name, failure, ..pb::Store::default() },
        };
        pb::ListStoresResponse { stores: self.host.list().into_iter().map(listed).collect() }
    }

    fn update(&self, request: pb::UpdateStoreRequest) -> Result<pb::UpdateStoreResponse> {
        limits::name("name", &request.name)?;
        let unsaid = || Violation::new("limits", "must be given, is absent");
        let limits = request.limits.map(limits_of).ok_or_else(unsaid)?;
        let store = self.host.limit(&request.name, limits)?;
        Ok(pb::UpdateStoreResponse { store: Some(proto(&store)) })
    }

    fn delete(&self, request: &pb::DeleteStoreRequest) -> Result<pb::DeleteStoreResponse> {
        limits::name("name", &request.name)?;
        self.host.delete(&request.name)?;
        // A later store of this name is not theirs.
        self.keys.revoke_of_store(&request.name)?;
        Ok(pb::DeleteStoreResponse {})
    }
}

fn limits_of(given: pb::StoreLimits) -> Limits {
    Limits {
        max_users: given.max_users,
        max_items: given.max_items,
        memory_mib: given.memory_mib,
        quota: given.quota.map(quota).unwrap_or_default(),
    }
}

fn proto(store: &Hosted) -> pb::Store {
    let settings = store.settings();
    let engine = &store.engine;
    let live = engine.live();
    // Read one after the other: the estimate of the memory reads them again.
    let users = live.users.read().len() as u64;
    let items = live.items.read().len() as u64;
    pb::Store {
        name: store.name.clone(),
        limits: Some(pb::StoreLimits {
            max_users: settings.limits.max_users,
            max_items: settings.limits.max_items,
            memory_mib: settings.limits.memory_mib,
            quota: Some(quota_proto(settings.limits.quota)),
        }),
        created_at: (settings.created_ms > 0).then(|| convert::timestamp(settings.created_ms)),
        users,
        items,
        events: live.events(),
        generation: engine.generation(),
        memory_bytes: engine.memory_bytes(),
        failure: String::new(),
    }
}

impl StoreApi {
    fn copy(&self) -> Result<pb::CopyServerResponse> {
        let copied = |listed: Listed| -> Option<Result<pb::StoreCopy>> {
            let store = listed.store.ok()?;
            Some(
                json(&*store.settings())
                    .map(|settings| pb::StoreCopy { name: listed.name, settings }),
            )
        };
        let stores = self.host.list().into_iter().filter_map(copied).collect::<Result<_>>()?;
        let keys: Vec<_> = self.keys.list().iter().map(|held| held.key.clone()).collect();
        let deleted = json(&self.host.tombstones()?)?;
        Ok(pb::CopyServerResponse { keys: json(&keys)?, stores, deleted })
    }
}

#[tonic::async_trait]
impl StoreService for StoreApi {
    async fn create_store(
        &self,
        request: Request<pb::CreateStoreRequest>,
    ) -> Result<Response<pb::CreateStoreResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.create(asked)).await
    }

    async fn list_stores(
        &self,
        _: Request<pb::ListStoresRequest>,
    ) -> Result<Response<pb::ListStoresResponse>, Status> {
        Ok(Response::new(self.list()))
    }

    async fn update_store(
        &self,
        request: Request<pb::UpdateStoreRequest>,
    ) -> Result<Response<pb::UpdateStoreResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.update(asked)).await
    }

    async fn delete_store(
        &self,
        request: Request<pb::DeleteStoreRequest>,
    ) -> Result<Response<pb::DeleteStoreResponse>, Status> {
        let api = self.clone();
        answer(request, move |asked| api.delete(&asked)).await
    }

    async fn copy_server(
        &self,
        request: Request<pb::CopyServerRequest>,
    ) -> Result<Response<pb::CopyServerResponse>, Status> {
        let api = self.clone();
        answer(request, move |_| api.copy()).await
    }
}
