//! PushModel's stream: a header, chunks, a commit.

use std::sync::Arc;
use std::time::Duration;

use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::api::wire::pb;
use crate::api::wire::pb::push_model_request::Part;
use crate::api::wire::status::from_error;
use crate::domain::{Error, Result, Violation};
use crate::engine::{Engine, Incoming, PushRequest, wait_for};
use crate::model::{Manifest, Role};

/// Maximum pause of a stream.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// A push while its stream runs.
struct Push {
    engine: Arc<Engine>,
    request: PushRequest,
    incoming: Incoming,
}

/// Receives a stream up to its commit; returns the model. Where the stream ends before, what was
/// received waits to be resumed.
pub(super) async fn receive(
    engine: Arc<Engine>,
    mut stream: impl Stream<Item = Result<pb::PushModelRequest, Status>> + Unpin,
) -> Result<Manifest, Status> {
    let Some(Part::Header(header)) = next(&engine, &mut stream).await?.and_then(|m| m.part) else {
        let message = "must be the first message of the stream";
        return Err(from_error(Violation::new("header", message).into()));
    };
    let request = push_request(header).map_err(from_error)?;
    let begun = wait_for(move || {
        let incoming = engine.pushes().begin(&request)?;
        Ok(Push { engine, request, incoming })
    });

    let mut push = begun.await.map_err(from_error)?;
    loop {
        let Some(message) = next(&push.engine, &mut stream).await? else {
            let message = "must be the last message of the stream";
            return Err(from_error(Violation::new("commit", message).into()));
        };
        match message.part {
            Some(Part::Chunk(chunk)) => push = push.append(chunk).await.map_err(from_error)?,
            Some(Part::Commit(commit)) => return push.commit(commit).await.map_err(from_error),
            Some(Part::Header(_)) | None => {
                let message = "must be a chunk or the commit, after the header";
                return Err(from_error(Violation::new("part", message).into()));
            }
        }
    }
}

/// The next message of a stream, within the maximum pause, unless the store closes.
async fn next(
    engine: &Engine,
    stream: &mut (impl Stream<Item = Result<pb::PushModelRequest, Status>> + Unpin),
) -> Result<Option<pb::PushModelRequest>, Status> {
    let waiting = tokio::time::timeout(MAX_PAUSE, stream.next());
    let message = engine.unless_closing(waiting).await;
    let message = message.ok_or_else(|| from_error(Error::ShuttingDown))?;
    let seconds = MAX_PAUSE.as_secs();
    let paused = |_| Status::deadline_exceeded(format!("no message arrived for {seconds} s"));
    message.map_err(paused)?.transpose()
}

impl Push {
    /// Writes a chunk, on a thread that may block.
    async fn append(mut self, chunk: pb::PushChunk) -> Result<Self> {
        wait_for(move || {
            self.incoming.append(chunk.offset, &chunk.data)?;
            Ok(self)
        })
        .await
    }

    async fn commit(self, commit: pb::PushCommit) -> Result<Manifest> {
        let Self { engine, request, incoming } = self;
        wait_for(move || {
            engine.pushes().commit(incoming, &request, commit.size_bytes, &commit.sha256)
        })
        .await
    }
}

fn push_request(header: pb::PushHeader) -> Result<PushRequest> {
    let role = role("header.role", header.role, "header.share", header.share)?;
    let pb::PushHeader { push_id: id, size_bytes: bytes, pushed_by, note, force, .. } = header;
    Ok(PushRequest { id, bytes, pushed_by, note, role, force })
}

/// A role that a request may ask for, with its share of the traffic.
pub(super) fn role(field: &str, value: i32, share_field: &str, share: f64) -> Result<Role> {
    let role = match pb::ModelRole::try_from(value) {
        Ok(pb::ModelRole::Staged) => Role::Staged,
        Ok(pb::ModelRole::Shadow) => Role::Shadow(share),
        Ok(pb::ModelRole::Canary) => Role::Canary(share),
        Ok(pb::ModelRole::Unspecified | pb::ModelRole::Active) => Role::Active,
        Ok(pb::ModelRole::Retired) | Err(_) => {
            let message = format!("must be STAGED, SHADOW, CANARY or ACTIVE, was {value}");
            return Err(Violation::new(field, message).into());
        }
    };

    let fits = match role {
        Role::Shadow(_) | Role::Canary(_) => share > 0.0 && share <= 1.0,
        Role::Staged | Role::Active | Role::Retired => share == 0.0,
    };

    if !fits {
        let message =
            format!("must be above 0 and up to 1 of a SHADOW or CANARY, else 0, was {share}");
        return Err(Violation::new(share_field, message).into());
    }
    Ok(role)
}
