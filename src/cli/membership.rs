//! A server that shares an object store with others: it serves as the one that writes or as one that follows,
//! and begins again as the other when that changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Failure;
use super::process::Process;
use crate::access::Keyring;
use crate::api::{Primary, Served};
use crate::config::Config;
use crate::domain::Error;
use crate::engine::EngineOptions;
use crate::host::{self, Host};
use crate::shared::{Change, Member, Part};
use crate::store::StoreError;

/// Time that the stores get to close before they are opened anew, and time between two attempts.
const CLOSING: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time that the last uploads get when the server stops.
const LEAVING: Duration = Duration::from_secs(20);

/// What the server is.
enum Role {
    /// The one that writes; the task holds its seat.
    Writer(JoinHandle<()>),
    Follower,
}

impl Role {
    fn of(part: Part, member: &Arc<Member>) -> Self {
        match part {
            Part::Writer => {
                let member = member.clone();
                Role::Writer(tokio::spawn(async move { member.hold_seat().await }))
            }
            Part::Follower => Role::Follower,
        }
    }

    fn part(&self) -> Part {
        match self {
            Role::Writer(_) => Part::Writer,
            Role::Follower => Part::Follower,
        }
    }
}

/// What the server goes on with.
enum Next {
    Role(Role),
    /// As a follower, whose copy of this store is made anew.
    Anew(String),
}

/// Serves until a signal asks the process to end.
pub(super) async fn serve(
    process: &Process,
    config: &Config,
    member: Member,
) -> Result<(), Failure> {
    let member = Arc::new(member);
    let mut config = config.clone();
    // A seat is held from when it is taken on, also while the stores are opened.
    let mut role = Role::of(member.join(&config.data).await?, &member);
    while let Some(next) = serve_as(role, process, &config, &member).await? {
        role = match next {
            Next::Role(role) => role,
            Next::Anew(store) => {
                set_aside(&config, &store).await?;
                Role::Follower
            }
        };
        process.read_again(&mut config);
    }
    Ok(())
}

/// Serves in a role; returns what to go on with, none where the process is to end.
async fn serve_as(
    mut role: Role,
    process: &Process,
    config: &Config,
    member: &Arc<Member>,
) -> Result<Option<Next>, Failure> {
    let part = role.part();
    tracing::info!(?part, "opening the stores");
    let follows = part == Part::Follower;
    let shard = config.follow.shard;
    let options = EngineOptions { follows, shard, seats: member.seats(part), ..config.engine() };
    let primary = follows.then(|| Arc::new(Primary::unknown(&config.follow)));
    let seat = options.seats.writing.clone();
    let served = opened(process, config, options, primary.clone()).await?;
    let served = Served { seat, ..served };
    let (host, keys) = (served.host.clone(), served.keys.clone());
    if follows {
        member.take_keys(&config.data, &keys).await;
    }

    let (changed, change) = oneshot::channel::<()>();
    let until = async {
        // Without a change the sender lives as long as the server serves.
        let _ = change.await;
    };
    let serving = process.serve(config, served, until);
    let mut serving = std::pin::pin!(serving);
    let next = tokio::select! {
        served = &mut serving => {
            served?;
            None
        }
        next = beside(&mut role, member, (&host, keys.clone()), primary) => {
            let _ = changed.send(());
            serving.await?;
            Some(next)
        }
    };

    member.stop_training().await;
    if let (Role::Writer(seat), None) = (role, &next) {
        leave(member, seat, (&host, &keys)).await;
    }
    Ok(next)
}

/// Does what the role asks for beside serving; returns what the server goes on with.
async fn beside(
    role: &mut Role,
    member: &Arc<Member>,
    (host, keys): (&Arc<Host>, Arc<Keyring>),
    primary: Option<Arc<Primary>>,
) -> Next {
    let Role::Writer(seat) = role else {
        let set = |address: &str| primary.iter().for_each(|primary| primary.set_address(address));
        let change = tokio::select! {
            change = member.follow(host.clone(), keys) => change,
            never = member.follow_address(set) => match never {},
        };
        return match change {
            Change::Writes => Next::Role(Role::of(Part::Writer, member)),
            Change::Apart(store) => Next::Anew(store),
        };
    };
    tokio::select! {
        _ = seat => {}
        never = member.write(host.clone(), keys) => match never {},
    }
    Next::Role(Role::Follower)
}

/// Sets the folder of a store aside, once it is closed: what it has beyond the others stays there.
async fn set_aside(config: &Config, store: &str) -> Result<(), Failure> {
    let until = Instant::now() + CLOSING;
    loop {
        match host::set_aside(&config.data, store).map_err(Failure::from) {
            Err(error) if is_in_use(&error) && Instant::now() < until => {}
            aside => {
                let folder = aside?;
                let folder = folder.display();
                tracing::warn!(
                    store,
                    %folder,
                    "the log of this store has gone another way than that of the server that writes; it is set \
                     aside as a data folder, and copied anew"
                );
                return Ok(());
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Opens the stores, once those of the role before are closed.
async fn opened(
    process: &Process,
    config: &Config,
    options: EngineOptions,
    primary: Option<Arc<Primary>>,
) -> Result<Served, Failure> {
    let until = Instant::now() + CLOSING;
    loop {
        match process.open(config, options.clone(), primary.clone()).await {
            Err(error) if is_in_use(&error) && Instant::now() < until => {}
            opened => return opened,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_in_use(error: &Failure) -> bool {
    let Some(Error::Storage(cause)) = error.downcast_ref() else { return false };
    matches!(cause.downcast_ref(), Some(StoreError::InUse { .. }))
}

/// Uploads what is left, and leaves the seat to others.
async fn leave(member: &Member, seat: JoinHandle<()>, (host, keys): (&Arc<Host>, &Arc<Keyring>)) {
    let uploaded = tokio::time::timeout(LEAVING, member.finish(host, keys)).await;
    seat.abort();
    let _ = seat.await;
    match uploaded {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last records are not uploaded"),
        Err(_) => tracing::warn!("the last records are not uploaded in time"),
    }
    if let Err(error) = member.leave_seat().await {
        tracing::warn!(%error, "others write once the lease of this server has ended");
    }
}
