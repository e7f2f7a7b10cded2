//! Servers that share an object store of S3's kind from which they are cut off.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::user_service_client::UserServiceClient;
use tonic::Code;

use crate::cut_off::Wire;
use crate::followers::until;
use crate::guarded::reason;
use crate::sharing::{
    Shop, buy, buy_some, channel, events, eventually, free_address, has_said, list,
};

/// moto's S3-compatible server; killed when it is dropped.
struct S3 {
    child: Child,
    address: String,
}

impl S3 {
    /// Starts it, where Python has it.
    fn start() -> Option<S3> {
        let found = Command::new("python3").args(["-c", "import moto.server, boto3"]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            eprintln!("skipped: Python has no moto here");
            return None;
        }
        let address = free_address();
        let port = address.rsplit(':').next().unwrap();
        let child = Command::new("python3")
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let s3 = S3 { child, address };
        let create = format!(
            "import boto3, time\nfor n in range(100):\n  try:\n    boto3.client('s3', \
             endpoint_url='http://{}', aws_access_key_id='x', aws_secret_access_key='x', \
             region_name='us-east-1').create_bucket(Bucket='shop'); break\n  except Exception: \
             time.sleep(0.2)\nelse: raise SystemExit(1)",
            s3.address
        );
        assert!(Command::new("python3").args(["-c", &create]).status().unwrap().success());
        Some(s3)
    }

    /// Servers that reach it at an address.
    fn shop(&self, address: &str) -> Shop {
        let variables = vec![
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "x".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "x".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        Shop::at("s3://shop/path", variables)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first server is cut off from the object store, and the second is not: at no time do both write.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_cut_off_stops_writing_before_another_begins() {
    let Some(s3) = S3::start() else { return };
    let wire = Wire::to(&s3.address).await;
    let cut_off = s3.shop(&wire.address);
    let others = s3.shop(&s3.address);
    let first = cut_off.serve("first");
    let to_first = channel(&first).await;
    buy_some(&to_first, "e", 5).await;
    let second = others.serve("second");
    let to_second = channel(&second).await;
    eventually("that the second one has the log", async || {
        list(&to_second, "user-1").await.ok().filter(|listed| !listed.stale)
    })
    .await;
    drop(to_second);

    wire.cut();
    let (mut last_of_first, mut first_of_second) = (Instant::now(), None);
    let begun = Instant::now();
    let mut n = 0;
    while first_of_second.is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the second one does not write");
        n += 1;
        let asked = Instant::now();
        match buy(&to_first, &format!("first-{n}"), "a", "x").await {
            Ok(_) => last_of_first = Instant::now(),
            Err(refused) => assert!(
                refused.code() == Code::Unavailable,
                "{}: {}",
                reason(&refused),
                refused.message()
            ),
        }
        assert!(list(&to_first, "user-1").await.is_ok(), "lists go on");
        if has_said(&second, "this server writes")
            && let Ok(to_second) = second.try_channel().await
            && buy(&to_second, &format!("second-{n}"), "b", "x").await.is_ok()
        {
            first_of_second = Some(asked);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(last_of_first < first_of_second.unwrap(), "two servers wrote at once");
    assert!(has_said(&first, "the lease to write is not renewed"));
    let refused = buy(&to_first, "late", "a", "x").await.unwrap_err();
    assert_eq!(reason(&refused), "SEAT_LOST");

    // What the first one wrote apart stays in its folder, and is no part of what they share.
    wire.mend();
    until("that it is set aside", || cut_off.data("first").join("apart").exists()).await;
    eventually("that the first one follows", async || {
        list(&channel(&first).await, "user-1").await.ok().filter(|listed| !listed.stale)
    })
    .await;
    assert!(first.terminate() && second.terminate());
    assert_eq!(events(&cut_off.data("first")), events(&others.data("second")));
}

/// The object store is away for longer than a lease: lists go on, writes wait, and all goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_object_store_lists_go_on_and_writes_wait() {
    let Some(s3) = S3::start() else { return };
    let wire = Wire::to(&s3.address).await;
    let shop = s3.shop(&wire.address);
    let writer = shop.serve("writer");
    let to_writer = channel(&writer).await;
    buy_some(&to_writer, "e", 5).await;
    let copy = shop.serve("copy");
    let to_copy = channel(&copy).await;
    eventually("a lease of the copy", async || {
        list(&to_copy, "user-1").await.ok().filter(|listed| !listed.stale)
    })
    .await;

    wire.cut();
    eventually("that writes are refused", async || {
        let refused = buy(&to_writer, "away", "a", "x").await.err()?;
        (reason(&refused) == "SEAT_LOST").then_some(())
    })
    .await;
    eventually("that the copy says that it is stale", async || {
        list(&to_copy, "user-1").await.ok().filter(|listed| listed.stale)
    })
    .await;
    // Another server might know of users who were erased by now.
    assert!(list(&to_writer, "user-1").await.unwrap().stale);
    let request = pb::GetUserRequest { user_id: "user-1".to_owned() };
    let refused = UserServiceClient::new(to_writer.clone()).get_user(request).await.unwrap_err();
    assert_eq!(reason(&refused), "LEASE_ENDED");
    let (_, _, page) = writer.get("/metrics");
    assert!(page.contains("qianmian_write_leased{store=\"default\"} 0"), "{page}");

    wire.mend();
    eventually("that writes are taken again", async || {
        buy(&channel(&writer).await, "away", "a", "x").await.ok()
    })
    .await;
    eventually("that the copy has a lease again", async || {
        list(&channel(&copy).await, "user-1").await.ok().filter(|listed| !listed.stale)
    })
    .await;
}
