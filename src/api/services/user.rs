//! UserService.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::api::wire::pb::user_service_server::UserService;
use crate::api::wire::status::from_error;
use crate::api::wire::{convert, pb};
use crate::domain::{Error, Result, User, Violation, limits};
use crate::engine::Engine;

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
                .and_then(|()| user(given))
                .map_err(|v| Error::Invalid(v.within(&format!("users[{i}]"))))
        });
        let receipt = self.engine.writer().upsert_users(users.collect::<Result<_>>()?).await?;
        Ok(pb::UpsertUsersResponse { upserted: receipt.recorded as i32, offset: receipt.offset })
    }

    fn get(&self, request: pb::GetUserRequest) -> Result<pb::GetUserResponse> {
        limits::id("user_id", &request.user_id)?;
        let found = self.engine.directory().user(&request.user_id)?;
        Ok(pb::GetUserResponse { user: Some(proto(request.user_id, found)) })
    }

    fn list(&self, request: pb::ListUsersRequest) -> Result<pb::ListUsersResponse> {
        let (from, size) = convert::page(request.page_size, &request.page_token)?;
        let (page, next) = self.engine.directory().users(from, size);
        Ok(pb::ListUsersResponse {
            users: page.into_iter().map(|(id, user)| proto(id, user)).collect(),
            next_page_token: next.map(|at| at.to_string()).unwrap_or_default(),
        })
    }

    async fn delete(&self, request: pb::DeleteUserRequest) -> Result<pb::DeleteUserResponse> {
        limits::id("user_id", &request.user_id)?;
        let receipt = self.engine.writer().erase_user(&request.user_id).await?;
        Ok(pb::DeleteUserResponse { offset: receipt.offset })
    }
}

fn user(given: pb::User) -> Result<(String, User), Violation> {
    let consent = match pb::Consent::try_from(given.consent) {
        Ok(pb::Consent::Unspecified | pb::Consent::Given) => true,
        Ok(pb::Consent::Denied) => false,
        Err(_) => {
            let message = format!("must be 0, 1 or 2, was {}", given.consent);
            return Err(Violation::new("consent", message));
        }
    };
    let user = User { attributes: given.attributes.into_iter().collect(), consent };
    user.validate()?;
    Ok((given.user_id, user))
}

fn proto(user_id: String, user: User) -> pb::User {
    let consent = if user.consent { pb::Consent::Given } else { pb::Consent::Denied };
    let attributes = user.attributes.into_iter().collect();
    pb::User { user_id, attributes, consent: consent.into() }
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
}
