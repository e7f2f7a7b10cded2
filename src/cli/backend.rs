//! One interface to a data folder and to a running server. Both use the protocol's messages, so
//! each verb is written once.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio_stream::StreamExt;
use tonic::{Code, Request, Streaming};
use tonic_types::StatusExt;

use super::remote::{Remote, ServerOptions};
use super::{Failure, admin, check_store};
use crate::api::services::catalog::CatalogApi;
use crate::api::services::event::EventApi;
use crate::api::services::model::ModelApi;
use crate::api::services::recommendation::RecommendationApi;
use crate::api::services::user::UserApi;
use crate::api::wire::pb;
use crate::api::wire::pb::catalog_service_client::CatalogServiceClient;
use crate::api::wire::pb::catalog_service_server::CatalogService;
use crate::api::wire::pb::event_service_client::EventServiceClient;
use crate::api::wire::pb::event_service_server::EventService;
use crate::api::wire::pb::model_service_client::ModelServiceClient;
use crate::api::wire::pb::model_service_server::ModelService;
use crate::api::wire::pb::push_model_request::Part;
use crate::api::wire::pb::recommendation_service_client::RecommendationServiceClient;
use crate::api::wire::pb::recommendation_service_server::RecommendationService;
use crate::api::wire::pb::user_service_client::UserServiceClient;
use crate::api::wire::pb::user_service_server::UserService;
use crate::config::Config;
use crate::engine::{DEFAULT_STORE, Engine};

/// Where a verb runs.
#[derive(Debug, Args)]
pub struct Target {
    #[command(flatten)]
    server: ServerOptions,
}

/// A service's error status, re-exported for callers that need not name tonic.
pub use tonic::Status as Refused;

/// A data folder, or a server.
pub enum Backend {
    /// Opened by this process.
    Local(Arc<Engine>),
    /// Called over gRPC.
    Remote(Remote),
}

/// Calls a method of either backend.
macro_rules! ask {
    ($backend:expr, $api:ident as $service:ident, $client:ident, $method:ident, $request:expr) => {
        match $backend {
            Backend::Local(engine) => {
                $service::$method(&$api::new(engine.clone()), Request::new($request)).await
            }
            Backend::Remote(remote) => $client::new(remote.clone()).$method($request).await,
        }
        .map(tonic::Response::into_inner)
    };
}

pub(super) use ask;

impl Target {
    /// Opens the data folder, or connects to the server.
    ///
    /// # Errors
    /// A sentence, where neither works.
    pub async fn open(&self, config: &Config) -> Result<Backend, Failure> {
        let Some(address) = &self.server.server else {
            if !config.data.is_dir() {
                return Err(format!(
                    "there is no data folder {}; name one with --data, import a log into it, or ask a \
                     server with --server",
                    config.data.display()
                )
                .into());
            }
            check_store(config)?;
            return Ok(Backend::Local(Arc::new(Engine::open(&config.data, config.engine())?)));
        };
        let store = (config.store != DEFAULT_STORE).then_some(config.store.as_str());
        Ok(Backend::Remote(self.server.connect(address, store).await?))
    }
}

impl Backend {
    /// Connects to a server without TLS and keys.
    ///
    /// # Errors
    /// A sentence, where none answers.
    pub async fn connect(address: &str) -> Result<Self, Failure> {
        Ok(Backend::Remote(ServerOptions::to(address).connect(address, None).await?))
    }

    /// Records events.
    ///
    /// # Errors
    /// The service's status.
    pub async fn write_events(
        &self,
        events: Vec<pb::Event>,
    ) -> Result<pb::WriteEventsResponse, Refused> {
        let request = pb::WriteEventsRequest { events };
        ask!(self, EventApi as EventService, EventServiceClient, write_events, request)
    }

    /// Asks for a personalised list.
    ///
    /// # Errors
    /// The service's status.
    pub async fn recommend(
        &self,
        request: pb::RecommendRequest,
    ) -> Result<pb::RecommendResponse, Refused> {
        ask!(
            self,
            RecommendationApi as RecommendationService,
            RecommendationServiceClient,
            recommend,
            request
        )
    }

    /// Asks for similar items.
    ///
    /// # Errors
    /// The service's status.
    pub async fn similar_items(
        &self,
        request: pb::SimilarItemsRequest,
    ) -> Result<pb::SimilarItemsResponse, Refused> {
        ask!(
            self,
            RecommendationApi as RecommendationService,
            RecommendationServiceClient,
            similar_items,
            request
        )
    }

    /// Asks for the most bought items.
    ///
    /// # Errors
    /// The service's status.
    pub async fn popular(
        &self,
        request: pb::PopularRequest,
    ) -> Result<pb::PopularResponse, Refused> {
        ask!(
            self,
            RecommendationApi as RecommendationService,
            RecommendationServiceClient,
            popular,
            request
        )
    }

    /// Asks for items bought together.
    ///
    /// # Errors
    /// The service's status.
    pub async fn bought_together(
        &self,
        request: pb::BoughtTogetherRequest,
    ) -> Result<pb::BoughtTogetherResponse, Refused> {
        ask!(
            self,
            RecommendationApi as RecommendationService,
            RecommendationServiceClient,
            bought_together,
            request
        )
    }

    /// An item of the catalogue.
    ///
    /// # Errors
    /// The service's status.
    pub async fn item(&self, item_id: String) -> Result<pb::Item, Refused> {
        Ok(self.item_and_reputation(item_id).await?.item.unwrap_or_default())
    }

    /// An item of the catalogue, and what users think of it.
    ///
    /// # Errors
    /// The service's status.
    pub async fn item_and_reputation(
        &self,
        item_id: String,
    ) -> Result<pb::GetItemResponse, Refused> {
        let request = pb::GetItemRequest { item_id };
        ask!(self, CatalogApi as CatalogService, CatalogServiceClient, get_item, request)
    }

    /// Creates an item, or changes the named fields of it.
    ///
    /// # Errors
    /// The service's status.
    pub async fn set_item(&self, item: pb::Item, fields: Vec<String>) -> Result<(), Refused> {
        let update_mask = Some(prost_types::FieldMask { paths: fields });
        let request = pb::UpsertItemsRequest { items: vec![item], update_mask };
        ask!(self, CatalogApi as CatalogService, CatalogServiceClient, upsert_items, request)?;
        Ok(())
    }

    /// A user.
    ///
    /// # Errors
    /// The service's status.
    pub async fn user(&self, user_id: String) -> Result<pb::User, Refused> {
        let request = pb::GetUserRequest { user_id };
        let response = ask!(self, UserApi as UserService, UserServiceClient, get_user, request);
        Ok(response?.user.unwrap_or_default())
    }

    /// Erases a user, recorded in the audit log; returns the offset of the record.
    ///
    /// # Errors
    /// A sentence.
    pub async fn delete_user(&self, config: &Config, user_id: String) -> Result<u64, Failure> {
        let request = pb::DeleteUserRequest { user_id };
        let answer = ask!(self, UserApi as UserService, UserServiceClient, delete_user, request);
        if let Backend::Local(_) = self {
            // Its request names a person, and is left out.
            admin::record(config, "UserService/", "delete_user", &[], answer.as_ref().err());
        }
        Ok(answer.map_err(|status| status.message().to_owned())?.offset)
    }

    /// An item's title; empty without one.
    pub async fn title(&self, item_id: &str) -> String {
        let item = self.item(item_id.to_owned()).await;
        item.map(|item| item.title).unwrap_or_default()
    }

    /// The models kept.
    ///
    /// # Errors
    /// The service's status.
    pub async fn models(&self) -> Result<Vec<pb::Model>, Refused> {
        let request = pb::ListModelsRequest {};
        let response =
            ask!(self, ModelApi as ModelService, ModelServiceClient, list_models, request);
        Ok(response?.models)
    }

    /// Activates a model: the named one or, without a name, the one before. Returns the active
    /// generation and the one before.
    ///
    /// # Errors
    /// The service's status.
    pub async fn activate(&self, generation: Option<u64>) -> Result<(u64, u64), Refused> {
        let (model, previous) = match generation {
            Some(generation) => {
                let request = pb::ActivateModelRequest { generation };
                let response = ask!(
                    self,
                    ModelApi as ModelService,
                    ModelServiceClient,
                    activate_model,
                    request
                )?;
                (response.model, response.previous_generation)
            }
            None => {
                let request = pb::RollbackModelRequest {};
                let response = ask!(
                    self,
                    ModelApi as ModelService,
                    ModelServiceClient,
                    rollback_model,
                    request
                )?;
                (response.model, response.previous_generation)
            }
        };

        Ok((model.map_or(0, |model| model.generation), previous))
    }

    /// Removes a model.
    ///
    /// # Errors
    /// The service's status.
    pub async fn delete_model(&self, generation: u64) -> Result<(), Refused> {
        let request = pb::DeleteModelRequest { generation };
        ask!(self, ModelApi as ModelService, ModelServiceClient, delete_model, request)?;
        Ok(())
    }

    /// Gives a model a role.
    ///
    /// # Errors
    /// The service's status.
    pub async fn assign(&self, request: pb::AssignModelRequest) -> Result<pb::Model, Refused> {
        let response =
            ask!(self, ModelApi as ModelService, ModelServiceClient, assign_model, request);
        Ok(response?.model.unwrap_or_default())
    }

    /// Compares two models.
    ///
    /// # Errors
    /// The service's status.
    pub async fn compare(
        &self,
        request: pb::CompareModelsRequest,
    ) -> Result<pb::CompareModelsResponse, Refused> {
        ask!(self, ModelApi as ModelService, ModelServiceClient, compare_models, request)
    }

    /// Pushes a file that `header` describes; resumes a push with the same id.
    ///
    /// # Errors
    /// The service's status.
    pub async fn push(
        &self,
        header: pb::PushHeader,
        sha256: String,
        file: &File,
    ) -> Result<pb::Model, Refused> {
        let remote = match self {
            Backend::Local(engine) => {
                let messages = tokio_stream::iter(parts(header, sha256, file, 0)?).map(Ok);
                let pushed = ModelApi::new(engine.clone()).push(messages).await;
                return Ok(pushed?.model.unwrap_or_default());
            }
            Backend::Remote(remote) => remote,
        };

        let mut client = ModelServiceClient::new(remote.clone());
        for attempt in 1.. {
            let request = pb::GetPushRequest { push_id: header.push_id.clone() };
            let came = client.get_push(request).await;
            let came = came.map_or(0, |response| response.into_inner().received_bytes);
            let messages = parts(header.clone(), sha256.clone(), file, came)?;
            match client.push_model(tokio_stream::iter(messages)).await {
                Ok(response) => return Ok(response.into_inner().model.unwrap_or_default()),
                Err(status) if status.code() == Code::Unavailable && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_secs(attempt)).await;
                }
                Err(status) => return Err(status),
            }
        }
        Err(Refused::unavailable("the server cannot be reached"))
    }

    /// Trains, passing every status message to `report`, including the last.
    ///
    /// # Errors
    /// The service's status; a training that fails is a message, not a status.
    pub async fn train(
        &self,
        mut report: impl FnMut(&pb::WatchTrainingResponse),
    ) -> Result<pb::WatchTrainingResponse, Refused> {
        let mut stream = match self {
            Backend::Local(engine) => {
                let api = ModelApi::new(engine.clone());
                let started = api.train(Request::new(pb::TrainRequest {})).await?.into_inner();
                let watch = pb::WatchTrainingRequest { training_id: started.training_id };
                Progress::Local(api.watch_training(Request::new(watch)).await?.into_inner())
            }
            Backend::Remote(remote) => {
                let mut client = ModelServiceClient::new(remote.clone());
                let started = client.train(pb::TrainRequest {}).await?.into_inner();
                let watch = pb::WatchTrainingRequest { training_id: started.training_id };
                Progress::Remote(Box::new(client.watch_training(watch).await?.into_inner()))
            }
        };

        let mut last = None;
        while let Some(message) = stream.next().await? {
            report(&message);
            last = Some(message);
        }
        last.ok_or_else(|| Refused::unavailable("the server ended before the training did"))
    }
}

/// The gate's checks, where they are why a model was refused.
pub fn checks(refused: &Refused) -> Vec<String> {
    let details = refused.get_error_details();
    let told = details.error_info().filter(|info| info.reason == "MODEL_REFUSED");
    let mut checks: Vec<String> =
        told.into_iter().flat_map(|i| i.metadata.values().cloned()).collect();
    checks.sort();
    checks
}

/// Bytes of a pushed file in one message.
const CHUNK: usize = 512 << 10;
/// Number of times that a push is resumed after the connection breaks.
const ATTEMPTS: u64 = 5;

/// The messages of a push, from byte `from` on. A read error ends them with a warning; the server
/// notices by the size.
fn parts(
    header: pb::PushHeader,
    sha256: String,
    file: &File,
    from: u64,
) -> Result<impl Iterator<Item = pb::PushModelRequest> + Send + 'static, Refused> {
    let failed = |e: std::io::Error| Refused::invalid_argument(format!("the file: {e}"));
    let mut file = file.try_clone().map_err(failed)?;
    let mut offset = file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let size_bytes = header.size_bytes;
    let chunks = std::iter::from_fn(move || {
        let mut data = Vec::new();
        let read = Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(&mut data);
        let read = read.inspect_err(|error| tracing::warn!(%error, "the file cannot be read"));
        let read = read.ok()?;
        let chunk = pb::PushChunk { offset, data };
        offset += read as u64;
        (read > 0).then_some(Part::Chunk(chunk))
    });

    let commit = Part::Commit(pb::PushCommit { size_bytes, sha256 });
    let parts = std::iter::once(Part::Header(header)).chain(chunks).chain([commit]);
    Ok(parts.map(|part| pb::PushModelRequest { part: Some(part) }))
}

enum Progress {
    Local(<ModelApi as ModelService>::WatchTrainingStream),
    Remote(Box<Streaming<pb::WatchTrainingResponse>>),
}

impl Progress {
    async fn next(&mut self) -> Result<Option<pb::WatchTrainingResponse>, Refused> {
        match self {
            Progress::Local(stream) => tokio_stream::StreamExt::next(stream).await.transpose(),
            Progress::Remote(stream) => stream.message().await,
        }
    }
}
