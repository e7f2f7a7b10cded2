//! UserService.

use std::sync::Arc;
use std::vec::IntoIter;

use tokio_stream::Iter;
use tonic::{Request, Response, Status};

use crate::api::services::answer;
use crate::api::wire::json::Methods;
use crate::api::wire::pb::user_service_server::UserService;
use crate::api::wire::status::from_error;
use crate::api::wire::{convert, insight, pb, users};
use crate::domain::{Error, PreferenceChange, Result, Violation, limits};
use crate::engine::Engine;
use crate::live::links::MAX_ALIASES;

/// Size of a part of a text, in bytes.
const PART: usize = 1 << 20;

/// Reads, writes and erases users.
#[derive(Debug, Clone)]
pub struct UserApi {
    engine: Arc<Engine>,
}

impl UserApi {
    /// Serves an engine's users.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    async fn upsert(&self, request: pb::UpsertUsersRequest) -> Result<pb::UpsertUsersResponse> {
        let ids = request.users.iter().map(|user| user.user_id.as_str());
        convert::batch("users", ids, |i| format!("users[{i}].user_id"))?;
        let users = request.users.into_iter().enumerate().map(|(i, given)| {
            let known = self.engine.directory().user(&given.user_id).is_ok();
            let id = if known { limits::id } else { limits::new_id };
            id("user_id", &given.user_id)
                .and_then(|()| users::user(given))
                .map_err(|v| Error::Invalid(v.within(&format!("users[{i}]"))))
        });
        let receipt = self.engine.writer().upsert_users(users.collect::<Result<_>>()?).await?;
        Ok(pb::UpsertUsersResponse { upserted: receipt.recorded as i32, offset: receipt.offset })
    }

    fn get(&self, request: pb::GetUserRequest) -> Result<pb::GetUserResponse> {
        limits::id("user_id", &request.user_id)?;
        let directory = self.engine.directory();
        let found = directory.user(&request.user_id)?;
        let decided = self.engine.insight().preferences(&request.user_id)?;
        Ok(pb::GetUserResponse {
            user: Some(users::user_proto(directory.own_id(&request.user_id), found)),
            alias_ids: directory.aliases(&request.user_id),
            personalised: decided.personalised,
            records_events: decided.recorded,
        })
    }

    fn list(&self, request: pb::ListUsersRequest) -> Result<pb::ListUsersResponse> {
        let (from, size) = convert::page(request.page_size, &request.page_token)?;
        let (page, next) = self.engine.directory().users(from, size);
        Ok(pb::ListUsersResponse {
            users: page.into_iter().map(|(id, user)| users::user_proto(id, user)).collect(),
            next_page_token: next.map(|at| at.to_string()).unwrap_or_default(),
        })
    }

    async fn delete(&self, request: pb::DeleteUserRequest) -> Result<pb::DeleteUserResponse> {
        limits::id("user_id", &request.user_id)?;
        let mut erased = self.engine.writer().erase_user(&request.user_id).await;
        if self.engine.intake().is_on() {
            // What is in the topics already must not make the user known again.
            let reached = self.engine.unless_closing(self.engine.intake().reach_now()).await;
            reached.ok_or(Error::ShuttingDown)??;
            erased = self.engine.writer().erase_user(&request.user_id).await.or(erased);
        }
        Ok(pb::DeleteUserResponse { offset: erased?.offset })
    }
}

impl UserApi {
    async fn set_personalisation(
        &self,
        request: pb::SetPersonalisationRequest,
    ) -> Result<pb::SetPersonalisationResponse> {
        limits::id("user_id", &request.user_id)?;
        let (personalised, recorded) = (request.enabled, request.record_events.unwrap_or(true));
        let change = PreferenceChange::Personalisation { personalised, recorded };
        let receipt = self.engine.writer().prefer(&request.user_id, change, true).await?;
        Ok(pb::SetPersonalisationResponse { offset: receipt.offset })
    }

    async fn link(&self, request: pb::LinkUsersRequest) -> Result<pb::LinkUsersResponse> {
        limits::new_id("user_id", &request.user_id)?;
        aliases(&request.alias_ids)?;
        let receipt = self.engine.writer().link(&request.user_id, request.alias_ids).await?;
        Ok(pb::LinkUsersResponse { linked: receipt.recorded as u32, offset: receipt.offset })
    }

    async fn unlink(&self, request: pb::UnlinkUsersRequest) -> Result<pb::UnlinkUsersResponse> {
        aliases(&request.alias_ids)?;
        let receipt = self.engine.writer().unlink(request.alias_ids).await?;
        Ok(pb::UnlinkUsersResponse { unlinked: receipt.recorded as u32, offset: receipt.offset })
    }

    /// Everything about a user, as JSON.
    fn data(&self, id: &str) -> Result<String> {
        limits::id("user_id", id)?;
        let mut data = self.engine.insight().user_data(id)?;
        match self.engine.insight().user(id) {
            Ok(user) => {
                let methods = Methods::read().map_err(Error::Storage)?;
                data["portrait"] = methods.json(&insight::portrait(user))?;
            }
            // A user who objects has no portrait.
            Err(Error::NotReady(_)) => {}
            Err(error) => return Err(error),
        }
        serde_json::to_string(&data).map_err(|error| Error::Storage(error.into()))
    }
}

fn aliases(ids: &[String]) -> Result<(), Violation> {
    limits::count("alias_ids", ids.len(), 1, MAX_ALIASES)?;
    let mut ids = ids.iter().enumerate();
    ids.try_for_each(|(at, id)| limits::new_id(&format!("alias_ids[{at}]"), id))
}

/// A text in parts of at most [`PART`] bytes.
fn parts(text: &str) -> Vec<Result<pb::GetUserDataResponse, Status>> {
    let mut rest = text;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let mut end = rest.len().min(PART);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at(end);
        parts.push(Ok(pb::GetUserDataResponse { json_part: part.to_owned() }));
        rest = after;
    }
    parts
}

#[tonic::async_trait]
impl UserService for UserApi {
    async fn upsert_users(
        &self,
        request: Request<pb::UpsertUsersRequest>,
    ) -> Result<Response<pb::UpsertUsersResponse>, Status> {
        self.upsert(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn get_user(
        &self,
        request: Request<pb::GetUserRequest>,
    ) -> Result<Response<pb::GetUserResponse>, Status> {
        self.get(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        self.list(request.into_inner()).map(Response::new).map_err(from_error)
    }

    async fn delete_user(
        &self,
        request: Request<pb::DeleteUserRequest>,
    ) -> Result<Response<pb::DeleteUserResponse>, Status> {
        self.delete(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn set_personalisation(
        &self,
        request: Request<pb::SetPersonalisationRequest>,
    ) -> Result<Response<pb::SetPersonalisationResponse>, Status> {
        let done = UserApi::set_personalisation(self, request.into_inner()).await;
        done.map(Response::new).map_err(from_error)
    }

    async fn link_users(
        &self,
        request: Request<pb::LinkUsersRequest>,
    ) -> Result<Response<pb::LinkUsersResponse>, Status> {
        self.link(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    async fn unlink_users(
        &self,
        request: Request<pb::UnlinkUsersRequest>,
    ) -> Result<Response<pb::UnlinkUsersResponse>, Status> {
        self.unlink(request.into_inner()).await.map(Response::new).map_err(from_error)
    }

    type GetUserDataStream = Iter<IntoIter<Result<pb::GetUserDataResponse, Status>>>;

    async fn get_user_data(
        &self,
        request: Request<pb::GetUserDataRequest>,
    ) -> Result<Response<Self::GetUserDataStream>, Status> {
        let api = self.clone();
        let data = answer(request, move |asked| api.data(&asked.user_id)).await?;
        Ok(Response::new(tokio_stream::iter(parts(data.get_ref()))))
    }
}
