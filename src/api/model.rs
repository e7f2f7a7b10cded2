//! ModelService.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::pb::model_service_server::ModelService;
use super::status::from_error;
use super::{convert, pb};
use crate::domain::progress::Stage;
use crate::domain::{Error, Result};
use crate::engine::{Engine, TrainingState, TrainingStatus};
use crate::model::Manifest;

/// Trains models and shows them.
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
        let active = self.engine.generation();
        let wanted = if request.generation == 0 { active } else { request.generation };
        let manifest = self.engine.models().find(wanted)?;
        Ok(pb::GetModelResponse { model: Some(model(manifest, active)) })
    }

    /// Changes what answers, on a thread that may wait for the disk; the model that does
    /// then, and the generation before.
    async fn switch(
        &self,
        change: impl FnOnce(&Engine) -> Result<Manifest> + Send + 'static,
    ) -> Result<(Option<pb::Model>, u64)> {
        let previous = self.engine.generation();
        let manifest = self.wait_for(change).await?;
        let active = manifest.generation;
        Ok((Some(model(manifest, active)), previous))
    }

    async fn wait_for<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Engine) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let engine = self.engine.clone();
        let done = tokio::task::spawn_blocking(move || work(&engine)).await;
        done.map_err(|error| Error::Storage(error.to_string()))?
    }

    /// Forwards statuses of one training until it ends or the watcher leaves.
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
            let mut sent: Option<TrainingState> = None;
            loop {
                if let Some(status) = next.take()
                    && *wanted.get_or_insert_with(|| status.id.clone()) == status.id
                    && sent.as_ref() != Some(&status.state)
                {
                    let ended = status.has_ended();
                    sent = Some(status.state.clone());
                    if sender.send(Ok(progress(status))).await.is_err() || ended {
                        return;
                    }
                }
                tokio::select! {
                    () = sender.closed() => return,
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
    let mut message = pb::WatchTrainingResponse {
        training_id: status.id,
        stage_count: Stage::ALL.len() as i32,
        elapsed_seconds: status.elapsed.as_secs_f64(),
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
            message.generation = generation;
        }
        TrainingState::Failed(why) => {
            message.state = pb::TrainingState::Failed.into();
            message.error = why;
        }
    }
    message
}

fn model(manifest: Manifest, active: u64) -> pb::Model {
    pb::Model {
        generation: manifest.generation,
        active: manifest.generation == active,
        offset: manifest.offset,
        create_time: Some(convert::timestamp(manifest.created_ms)),
        train_seconds: manifest.train_seconds,
        users: manifest.users as i64,
        items: manifest.items as i64,
        interactions: manifest.interactions as i64,
        seed: manifest.seed,
        settings_json: serde_json::to_string(&manifest.settings).unwrap_or_default(),
        quality: manifest.quality.into_iter().collect(),
        size_bytes: manifest.bytes as i64,
    }
}

#[tonic::async_trait]
impl ModelService for ModelApi {
    async fn train(
        &self,
        _: Request<pb::TrainRequest>,
    ) -> Result<Response<pb::TrainResponse>, Status> {
        let (training_id, started) = self.engine.start_training();
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
        let active = self.engine.generation();
        let models = self.engine.models().list();
        let models = models.into_iter().map(|manifest| model(manifest, active)).collect();
        Ok(Response::new(pb::ListModelsResponse { models }))
    }

    async fn activate_model(
        &self,
        request: Request<pb::ActivateModelRequest>,
    ) -> Result<Response<pb::ActivateModelResponse>, Status> {
        let generation = request.into_inner().generation;
        let switched = self.switch(move |engine| engine.activate_model(generation)).await;
        let (model, previous_generation) = switched.map_err(from_error)?;
        Ok(Response::new(pb::ActivateModelResponse { model, previous_generation }))
    }

    async fn rollback_model(
        &self,
        _: Request<pb::RollbackModelRequest>,
    ) -> Result<Response<pb::RollbackModelResponse>, Status> {
        let switched = self.switch(Engine::rollback_model).await;
        let (model, previous_generation) = switched.map_err(from_error)?;
        Ok(Response::new(pb::RollbackModelResponse { model, previous_generation }))
    }

    async fn delete_model(
        &self,
        request: Request<pb::DeleteModelRequest>,
    ) -> Result<Response<pb::DeleteModelResponse>, Status> {
        let generation = request.into_inner().generation;
        self.wait_for(move |engine| engine.delete_model(generation)).await.map_err(from_error)?;
        Ok(Response::new(pb::DeleteModelResponse {}))
    }
}
