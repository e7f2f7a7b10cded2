//! A follower that is cut off from its primary: it goes on, says how old it is, stops using what it has of
//! users when its lease ends, and catches up with nothing lost and nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::store::{Entry, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;

use crate::followers::{LEASE_SECONDS, caught_up, clicks, following, primary, until, write};
use crate::guarded::reason;
use crate::support::{Server, purchases, quiet, trained};

/// A wire between two servers. Cut, it passes nothing on and tells nobody, as a network that drops packets.
pub(crate) struct Wire {
    pub(crate) address: String,
    is_cut: Arc<AtomicBool>,
}

impl Wire {
    pub(crate) async fn to(address: &str) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire =
            Wire { address: listener.local_addr().unwrap().to_string(), is_cut: Arc::default() };
        let (to, is_cut) = (address.to_owned(), wire.is_cut.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(&to).await else { continue };
                let (near_in, near_out) = near.into_split();
                let (far_in, far_out) = far.into_split();
                tokio::spawn(pass(near_in, far_out, is_cut.clone()));
                tokio::spawn(pass(far_in, near_out, is_cut.clone()));
            }
        });
        wire
    }

    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

/// Passes bytes on in one direction; a connection over which something was lost stays dead.
async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    is_cut: Arc<AtomicBool>,
) {
    let mut bytes = vec![0; 16 << 10];
    let mut is_dead = false;
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        is_dead |= is_cut.load(Ordering::SeqCst);
        if !is_dead && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

async fn list(server: &Server, user: &str) -> tonic::Response<pb::RecommendResponse> {
    let request = pb::RecommendRequest { user_id: user.to_owned(), ..Default::default() };
    server.recommendations().recommend(request).await.unwrap()
}

/// Ids of the answers that the log of a server has as shown, and of its events.
fn recorded(server: &Server) -> (Vec<u128>, Vec<String>) {
    let (mut shown, mut events) = (Vec::new(), Vec::new());
    server
        .engine
        .replay(&mut |entry| match entry {
            Entry::Record(_, Record::Exposure(exposure)) => shown.push(exposure.recommendation_id),
            Entry::Record(_, Record::Event(event)) if !event.event_id.is_empty() => {
                events.push(event.event_id.to_owned());
            }
            _ => {}
        })
        .unwrap();
    (shown, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cut_off_goes_on_without_what_it_has_of_users() {
    let folder = tempfile::tempdir().unwrap();
    let primary = primary(&folder.path().join("primary")).await;
    let rows: Vec<(String, String)> =
        (0..40).map(|n| (format!("u{}", n % 10), format!("i{}", n % 7))).collect();
    let rows: Vec<(&str, &str, i64)> = rows.iter().map(|(u, i)| (&**u, &**i, 1)).collect();
    primary.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&primary.engine).await;
    let wire = Wire::to(&primary.address).await;
    let data = folder.path().join("copy");
    let copy = Server::following(&data, quiet(), &following(&wire.address)).await;
    caught_up(&copy.engine, &primary.engine).await;
    let answer = list(&copy, "u1").await;
    assert!(answer.metadata().get("qianmian-stale-seconds").is_none());
    assert!(!answer.get_ref().stale && answer.get_ref().basis() == pb::Basis::History);

    wire.cut();
    let cut_at = Instant::now();
    let user = pb::DeleteUserRequest { user_id: "u1".to_owned() };
    primary.users().delete_user(user).await.unwrap();
    let erased_at = Instant::now();
    let mut shown = vec![answer.into_inner().recommendation_id];
    let last_personal = loop {
        let asked = Instant::now();
        let answer = list(&copy, "u1").await;
        let age = answer.metadata().get("qianmian-stale-seconds").cloned();
        let answer = answer.into_inner();
        shown.push(answer.recommendation_id.clone());
        if answer.stale {
            assert!(age.is_some());
            assert_eq!(answer.basis(), pb::Basis::Popular);
            assert!(!answer.items.is_empty());
            break asked;
        }
        assert!(cut_at.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let lease = Duration::from_secs(LEASE_SECONDS);
    assert!(
        last_personal < erased_at + lease + Duration::from_millis(200),
        "the erasure is complete"
    );

    let refused = copy.users().get_user(pb::GetUserRequest { user_id: "u1".to_owned() }).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Unavailable, "LEASE_ENDED"));
    let refused = copy.events().write_events(clicks(&[("u2", "i1")])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    for n in 0..20 {
        shown.push(list(&copy, &format!("u{}", n % 9)).await.into_inner().recommendation_id);
    }
    // Written meanwhile.
    for n in 0..50 {
        let mut click = clicks(&[("u2", "i1")]);
        click.events[0].event_id = format!("e{n}");
        primary.events().write_events(click).await.unwrap();
    }

    wire.mend();
    let mended = Instant::now();
    until("a lease", || copy.engine.follower().unwrap().is_leased()).await;
    assert!(mended.elapsed() < Duration::from_secs(5), "{:?}", mended.elapsed());
    let after = list(&copy, "u2").await.into_inner();
    assert!(!after.stale && after.basis() == pb::Basis::History);
    assert_ne!(list(&copy, "u1").await.into_inner().basis(), pb::Basis::History, "erased");
    write(&copy, &[("u3", "i2")]).await;

    // Every answer is recorded, once, and so is every event.
    let ids = |shown: &[String]| -> Vec<u128> {
        shown.iter().map(|id| uuid::Uuid::parse_str(id).unwrap().as_u128()).collect()
    };
    let expected = ids(&shown);
    until("that all is recorded", || {
        let found = recorded(&primary).0;
        expected.iter().all(|id| found.contains(id))
    })
    .await;
    caught_up(&copy.engine, &primary.engine).await;
    for server in [&primary, &copy] {
        let (mut found, events) = recorded(server);
        let all = found.len();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), all, "none twice");
        let expected: Vec<String> = (0..50).map(|n| format!("e{n}")).collect();
        assert_eq!(events, expected);
    }
    copy.stop().await;
    primary.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_leaves_the_files_of_a_follower() {
    let folder = tempfile::tempdir().unwrap();
    let primary = primary(&folder.path().join("primary")).await;
    let secret = "zz-erased-secret-zz";
    let rows: Vec<String> = (0..30).map(|n| format!("u{n}")).collect();
    let mut rows: Vec<(&str, &str, i64)> = rows.iter().map(|u| (&**u, "tea", 1)).collect();
    rows.extend([(secret, "tea", 1), (secret, "cup", 2), ("u1", "cup", 3)]);
    primary.engine.writer().record(purchases(&rows)).await.unwrap();
    trained(&primary.engine).await;
    let data = folder.path().join("copy");
    let copy = Server::following(&data, quiet(), &following(&primary.address)).await;
    caught_up(&copy.engine, &primary.engine).await;

    let holds = |data: &std::path::Path| {
        let log = data.join("stores/default/log");
        let mut found = false;
        qianmian::store::replay(&log, u64::MAX, &mut |entry| {
            found |= matches!(entry, Entry::User(name) if name == secret);
        })
        .unwrap();
        found
    };
    assert!(holds(&data));
    let user = pb::DeleteUserRequest { user_id: secret.to_owned() };
    copy.users().delete_user(user).await.unwrap();
    until("the model without the user", || primary.engine.generation() > 1).await;
    until("that it is followed", || copy.engine.generation() == primary.engine.generation()).await;
    until("the rewriting of the copy", || !holds(&data)).await;
    until("that models before are gone", || copy.engine.models().list().unwrap().len() == 1).await;

    // The log goes on behind it, and the copy is read again.
    write(&primary, &[("u2", "cup")]).await;
    caught_up(&copy.engine, &primary.engine).await;
    copy.stop().await;
    let copy = Server::following(&data, quiet(), &following(&primary.address)).await;
    write(&primary, &[("u3", "cup")]).await;
    caught_up(&copy.engine, &primary.engine).await;
    copy.stop().await;
    primary.stop().await;
}
