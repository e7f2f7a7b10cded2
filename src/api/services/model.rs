//! ModelService.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::api::admission::caller::Running;
use crate::api::services::answer;
use crate::api::services::manifest::model;
use crate::api::services::push;
use crate::api::wire::pb;
use crate::api::wire::pb::model_service_server::ModelService;
use crate::api::wire::status::from_error;
use crate::domain::progress::Stage;
use crate::domain::{Error, Result, Violation};
use crate::engine::{Engine, TrainingState, TrainingStatus, wait_for};
use crate::model::{Manifest, Role};

/// Interval of status messages while a training stays in one stage.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Default and maximum number of users whose lists are compared.
const SAMPLE_USERS: i32 = 200;
const MAX_SAMPLE_USERS: i32 = 10_000;

/// Trains and manages models.
#[derive(Debug, Clone)]
pub struct ModelApi {
    engine: Arc<Engine>,
}

impl ModelApi {
    /// Serves an engine's models.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    fn get(&self, request: pb::GetModelRequest) -> Result<pb::GetModelResponse> {
        let manifest = self.engine.models().find(self.or_active(request.generation))?;
        Ok(pb::GetModelResponse { model: Some(model(&self.engine, manifest)) })
    }

    fn or_active(&self, generation: u64) -> u64 {
        if generation == 0 { self.engine.generation() } else { generation }
    }

    /// Changes the role of a model on a thread that may block; returns it and the active generation before.
    async fn switch<R: Send + 'static>(
        &self,
        request: Request<R>,
        change: impl FnOnce(&Engine, R) -> Result<Manifest> + Send + 'static,
    ) -> Result<(Option<pb::Model>, u64), Status> {
        let previous = self.engine.generation();
        let engine = self.engine.clone();
        let manifest = answer(request, move |asked| change(&engine, asked)).await?;
        Ok((Some(model(&self.engine, manifest.into_inner())), previous))
    }

    async fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = self.engine.clone();
        wait_for(move || work(&engine)).await
    }

    /// Receives a push from any stream of messages.
    ///
    /// # Errors
    /// The service's status.
    pub async fn push(
        &self,
        messages: impl Stream<Item = Result<pb::PushModelRequest, Status>> + Unpin,
    ) -> Result<pb::PushModelResponse, Status> {
        let manifest = push::receive(self.engine.clone(), messages).await?;
        Ok(pb::PushModelResponse { model: Some(model(&self.engine, manifest)) })
    }

    async fn compare(
        &self,
        request: pb::CompareModelsRequest,
    ) -> Result<pb::CompareModelsResponse> {
        let users = match request.users {
            0 => SAMPLE_USERS,
            1..=MAX_SAMPLE_USERS => request.users,
            other => {
                let message = format!("must be 0 to {MAX_SAMPLE_USERS}, was {other}");
                return Err(Violation::new("users", message).into());
            }
        };

        let one = self.or_active(request.generation);
        let other = self.or_active(request.other_generation);
        self.wait_for(move |engine| {
            let described = |generation| -> Result<_> {
                Ok(Some(model(engine, engine.models().find(generation)?)))
            };
            let (settings, lists) =
                engine.recommender().compare_models(one, other, users as usize)?;
            let difference = |(path, value_json, other_value_json)| pb::SettingDifference {
                path,
                value_json,
                other_value_json,
            };

            Ok(pb::CompareModelsResponse {
                model: described(one)?,
                other: described(other)?,
                settings: settings.into_iter().map(difference).collect(),
                lists: lists.lists as i32,
                overlap: lists.overlap(),
                same_first: lists.same_first(),
            })
        })
        .await
    }

    /// Forwards the status of one training until it ends or the watcher leaves.
    fn watch(
        &self,
        wanted: String,
    ) -> Result<mpsc::Receiver<Result<pb::WatchTrainingResponse, Status>>> {
        let (latest, pending, mut changes) = self.engine.trainer().watch();
        let mut wanted = Some(wanted).filter(|id| !id.is_empty());
        let of_latest = latest.filter(|status| match &wanted {
            Some(id) => *id == status.id,
            None => !status.has_ended(),
        });

        if let Some(id) = &wanted
            && of_latest.is_none()
            && pending.as_ref() != Some(id)
        {
            return Err(Error::NotFound { kind: "training", id: id.clone() });
        }
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut next = of_latest;
            let mut sent: Option<TrainingStatus> = None;
            let mut ticks = tokio::time::interval(TELL_EVERY);
            loop {
                if let Some(status) = next.take()
                    && *wanted.get_or_insert_with(|| status.id.clone()) == status.id
                    && sent.as_ref().is_none_or(|sent| sent.state != status.state)
                {
                    let ended = status.has_ended();
                    sent = Some(status.clone());
                    if sender.send(Ok(progress(status))).await.is_err() || ended {
                        return;
                    }
                    ticks.reset();
                }

                tokio::select! {
                    () = sender.closed() => return,
                    _ = ticks.tick(), if sent.is_some() => {
                        let Some(status) = sent.clone() else { continue };
                        if sender.send(Ok(progress(status))).await.is_err() {
                            return;
                        }
                    }

                    change = changes.recv() => match change {
                        Ok(status) => next = Some(status),
                        Err(RecvError::Lagged(_)) => {}
                        Err(RecvError::Closed) => return,
                    },
                }
            }
        });
        Ok(receiver)
    }
}

fn progress(status: TrainingStatus) -> pb::WatchTrainingResponse {
    let (elapsed, left) = status.elapsed_and_left();
    let whole = |left: Duration| (elapsed + left).as_secs_f64().max(f64::MIN_POSITIVE);
    let [quality, previous_quality] = status.quality.map(|q| q.into_iter().collect());
    let mut message = pb::WatchTrainingResponse {
        training_id: status.id,
        stage_count: Stage::ALL.len() as i32,
        elapsed_seconds: elapsed.as_secs_f64(),
        progress: left.map(|left| elapsed.as_secs_f64() / whole(left)),
        remaining_seconds: left.map(|left| left.as_secs_f64()),
        quality,
        previous_quality,
        ..Default::default()
    };

    match status.state {
        TrainingState::Running(stage) => {
            message.state = pb::TrainingState::Running.into();
            message.stage = stage.name().to_owned();
            message.stage_number = stage.number() as i32;
        }
        TrainingState::Succeeded(generation) => {
            message.state = pb::TrainingState::Succeeded.into();
            message.stage_number = message.stage_count;
            message.progress = Some(1.0);
            message.generation = generation;
        }
        TrainingState::Failed(why) => {
            message.state = pb::TrainingState::Failed.into();
            message.error = why;
        }
    }
    message
}

#[tonic::async_trait]
impl ModelService for ModelApi {
    async fn train(
        &self,
        _: Request<pb::TrainRequest>,
    ) -> Result<Response<pb::TrainResponse>, Status> {
        let (training_id, started) = self.engine.trainer().request();
        Ok(Response::new(pb::TrainResponse { training_id, started }))
    }

    type WatchTrainingStream = ReceiverStream<Result<pb::WatchTrainingResponse, Status>>;

    async fn watch_training(
        &self,
        request: Request<pb::WatchTrainingRequest>,
    ) -> Result<Response<Self::WatchTrainingStream>, Status> {
        let statuses = self.watch(request.into_inner().training_id).map_err(from_error)?;
        Ok(Response::new(ReceiverStream::new(statuses)))
    }

    async fn get_model(
        &self,
        request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::GetModelResponse>, Status> {
        self.get(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn list_models(
        &self,
        _: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        let models = self.engine.models().list().map_err(from_error)?;
        let models = models.into_iter().map(|manifest| model(&self.engine, manifest)).collect();
        Ok(Response::new(pb::ListModelsResponse { models }))
    }

    async fn activate_model(
        &self,
        request: Request<pb::ActivateModelRequest>,
    ) -> Result<Response<pb::ActivateModelResponse>, Status> {
        let activate = |engine: &Engine, asked: pb::ActivateModelRequest| {
            engine.pushes().assign(asked.generation, Role::Active)
        };
        let (model, previous_generation) = self.switch(request, activate).await?;
        Ok(Response::new(pb::ActivateModelResponse { model, previous_generation }))
    }

    async fn rollback_model(
        &self,
        request: Request<pb::RollbackModelRequest>,
    ) -> Result<Response<pb::RollbackModelResponse>, Status> {
        let switched = self.switch(request, |engine, _| engine.models().rollback()).await;
        let (model, previous_generation) = switched?;
        Ok(Response::new(pb::RollbackModelResponse { model, previous_generation }))
    }

    async fn delete_model(
        &self,
        request: Request<pb::DeleteModelRequest>,
    ) -> Result<Response<pb::DeleteModelResponse>, Status> {
        let engine = self.engine.clone();
        let delete = move |asked: pb::DeleteModelRequest| {
            engine.models().delete(asked.generation)?;
            Ok(pb::DeleteModelResponse {})
        };
        answer(request, delete).await
    }

    async fn assign_model(
        &self,
        request: Request<pb::AssignModelRequest>,
    ) -> Result<Response<pb::AssignModelResponse>, Status> {
        let assign = |engine: &Engine, asked: pb::AssignModelRequest| {
            let role = push::role("role", asked.role, "share", asked.share)?;
            engine.pushes().assign(asked.generation, role)
        };
        let (model, _) = self.switch(request, assign).await?;
        Ok(Response::new(pb::AssignModelResponse { model }))
    }

    async fn push_model(
        &self,
        request: Request<Streaming<pb::PushModelRequest>>,
    ) -> Result<Response<pb::PushModelResponse>, Status> {
        self.push(request.into_inner()).await.map(Response::new)
    }

    async fn get_push(
        &self,
        request: Request<pb::GetPushRequest>,
    ) -> Result<Response<pb::GetPushResponse>, Status> {
        let received = self.engine.pushes().received(&request.into_inner().push_id);
        let received_bytes = received.map_err(from_error)?;
        Ok(Response::new(pb::GetPushResponse { received_bytes }))
    }

    async fn compare_models(
        &self,
        request: Request<pb::CompareModelsRequest>,
    ) -> Result<Response<pb::CompareModelsResponse>, Status> {
        // The work does not end with its caller, and is counted until it does.
        let running = request.extensions().get::<Running>().cloned();
        let api = self.clone();
        let work = tokio::spawn(async move {
            let compared = api.compare(request.into_inner()).await;
            drop(running);
            compared
        });
        let compared = work.await.map_err(|error| from_error(Error::Training(error.into())))?;
        compared.map(Response::new).map_err(from_error)
    }
}
