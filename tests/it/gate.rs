//! What no server takes in: files that are laid out wrong, that fail a check, that come in
//! pieces or not at all.

use qianmian::api::wire::pb;
use qianmian::api::wire::pb::push_model_request::Part;
use qianmian::domain::hex;
use safetensors::Dtype;
use sha2::{Digest, Sha256};
use tonic::Code;
use tonic_types::StatusExt;

use crate::parcel::{
    ITEMS, Parcel, chunk, commit, files, floats, header, item, push, push_as, store, stream,
};
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_laid_out_wrong_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = store(folder.path(), support::quiet()).await;
    let good = Parcel::embeddings();
    let vectors = |shape: &[usize], bytes: usize| {
        good.clone().with("item_embeddings", Dtype::F32, shape, vec![0; bytes])
    };
    let offsets: Vec<u8> = [0u32, 2, 99].iter().flat_map(|v| v.to_le_bytes()).collect();
    let listed = Parcel::default()
        .with("item_ids.utf8", Dtype::U8, &[4], b"i0i1".to_vec())
        .with("item_ids.offsets", Dtype::U32, &[3], offsets)
        .with("item_priors", Dtype::F32, &[2], floats(&[1.0, 2.0]));
    let cases: Vec<(Parcel, &str, &str)> = vec![
        (Parcel::default().says("metric", "cosine"), "file", "holds no tensor"),
        (good.clone().with("weights", Dtype::F32, &[1], vec![0; 4]), "weights", "not a tensor of"),
        (
            good.clone().with("item_embeddings", Dtype::F64, &[ITEMS, 1], vec![0; 96]),
            "item_embeddings",
            "must be one of [F32, F16], is F64",
        ),
        (vectors(&[ITEMS * 3], 144), "item_embeddings", "must have 2 dimensions"),
        (vectors(&[ITEMS - 1, 3], 132), "item_embeddings", "a row for each of 12 ids, has 11"),
        (vectors(&[ITEMS, 0], 0), "item_embeddings", "1 to 1024 columns, has 0"),
        (vectors(&[ITEMS, 1_025], ITEMS * 4_100), "item_embeddings", "1 to 1024 columns, has 1025"),
        (
            good.clone().with("item_neighbours", Dtype::I32, &[ITEMS, 2], vec![0; 96]),
            "item_neighbours",
            "the shape of item_neighbours.scores",
        ),
        (
            good.clone().with("item_priors", Dtype::F32, &[3], vec![0; 12]),
            "item_priors",
            "a score for each of 12 items, has 3",
        ),
        (
            good.clone().ids("user", 2, item).with(
                "user_embeddings",
                Dtype::F32,
                &[2, 2],
                vec![0; 16],
            ),
            "user_embeddings",
            "the dimensions of item_embeddings",
        ),
        (good.clone().says("item_ids", "[1, 2]"), "item_ids", "a JSON list of strings"),
        (good.clone().ids("item", ITEMS, |i| "x".repeat(i)), "item_ids[0]", "1 to 256 bytes"),
        (listed, "item_ids.offsets[1]", "UTF-8 within item_ids.utf8, is 2..99"),
        (good.clone().says("metric", "euclidean"), "metric", "inner_product or cosine"),
        (good.clone().says("fold_in", "mean"), "fold_in", "sum or least_squares"),
        (good.clone().says("regularisation", "NaN"), "regularisation", "a number from"),
        (good.clone().says("trained_until", "yesterday"), "trained_until", "RFC 3339"),
        (
            good.clone().says("trained_until", "1900000000000000"),
            "trained_until",
            "at most one day ahead",
        ),
        (good.clone().says("log_offset", "-1"), "log_offset", "a whole number"),
        (good.clone().says("log_offset", "1000000"), "log_offset", "must be at most 48"),
    ];
    for (parcel, field, says) in cases {
        let refused = push(&server, &parcel).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        let details = refused.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, field, "{violation:?}");
        assert!(violation.description.contains(says), "{violation:?}");
    }
    // No safetensors at all, cut short, a header beyond the file, one that would fill memory.
    let whole = good.bytes();
    let huge = |length: u64| [&length.to_le_bytes()[..], b"{}"].concat();
    let texts = [
        b"hello".to_vec(),
        whole[..whole.len() - 5].to_vec(),
        huge(1 << 40),
        huge(100),
        b"\x02\0\0\0\0\0\0\0[]".to_vec(),
    ];
    for bytes in texts {
        let refused = push_as(&server, &bytes, header(&bytes)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().starts_with("file: "), "{refused:?}");
    }
    assert_eq!(server.engine.generation(), 1);
    assert_eq!(files(folder.path()), ["0000000001", "ROLES"]);
    assert_eq!(push(&server, &good).await.unwrap().generation, 2, "the next push works");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_a_check_is_refused_with_all_verdicts() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.push.memory_mib = 1;
    let server = store(folder.path(), options).await;
    let good = Parcel::embeddings();
    let changed = |at: usize, value: f32| {
        let mut parcel = good.clone();
        parcel.tensors[0].3[4 * at..4 * at + 4].copy_from_slice(&value.to_le_bytes());
        parcel
    };
    let neighbours = |target: i32, score: f32| {
        let targets = [target; ITEMS].iter().flat_map(|v| v.to_le_bytes()).collect();
        good.clone().with("item_neighbours", Dtype::I32, &[ITEMS, 1], targets).with(
            "item_neighbours.scores",
            Dtype::F32,
            &[ITEMS, 1],
            floats(&[score; ITEMS]),
        )
    };
    let many = 12_000;
    let cases: Vec<(Parcel, &str)> = vec![
        (changed(4, f32::NAN), "not_finite"),
        (changed(4, f32::INFINITY), "not_finite"),
        (changed(4, f32::MAX), "out_of_scale"),
        (changed(3, 1e5), "norms"),
        (
            good.clone().with("item_embeddings", Dtype::F32, &[ITEMS, 3], vec![0; 144]),
            "zero_vectors",
        ),
        (good.clone().ids("item", ITEMS, |i| item(i / 2)), "duplicate_ids"),
        (good.clone().ids("item", ITEMS, |i| format!("x{i}")), "unknown_items"),
        (
            Parcel::default().ids("item", ITEMS, item).with(
                "item_priors",
                Dtype::F32,
                &[ITEMS],
                vec![0; 4 * ITEMS],
            ),
            "catalogue_coverage",
        ),
        (neighbours(1, 1e7), "out_of_scale"),
        (
            good.clone().with(
                "item_embeddings",
                Dtype::F32,
                &[ITEMS, 3],
                floats(&[1e-9; 3 * ITEMS]),
            ),
            "out_of_scale",
        ),
        (neighbours(12, 1.0), "places_out_of_range"),
        (neighbours(1, -1.0), "negative_scores"),
        (neighbours(1, f32::NAN), "not_finite"),
        (
            Parcel::default().ids("item", many, item).with(
                "item_priors",
                Dtype::F32,
                &[many],
                vec![0; 4 * many],
            ),
            "memory",
        ),
    ];
    for (parcel, failing) in cases {
        let refused = push(&server, &parcel).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{failing}: {refused:?}");
        let details = refused.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(info.reason, "MODEL_REFUSED");
        assert!(info.metadata[failing].ends_with(": failed"), "{failing}: {:?}", info.metadata);
        assert!(refused.message().contains(failing), "{refused:?}");
        let failures = &details.precondition_failure().unwrap().violations;
        assert!(failures.iter().any(|v| v.subject == failing), "{failures:?}");
    }
    assert_eq!(server.engine.generation(), 1);
    assert_eq!(push(&server, &good).await.unwrap().generation, 2, "the next push works");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_taken_up_again_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = support::quiet();
    options.push.max_mib = 1;
    let server = store(folder.path(), options).await;
    let bytes = Parcel::embeddings().bytes();
    let header = header(&bytes);
    let begin = || Part::Header(header.clone());
    let refused = |parts: Vec<Part>, field: &'static str, says: &'static str| {
        let server = &server;
        async move {
            let refused = stream(server, parts).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
            let details = refused.get_error_details();
            let violation = &details.bad_request().unwrap().field_violations[0];
            assert_eq!(violation.field, field);
            assert!(violation.description.contains(says), "{violation:?}");
        }
    };
    let sized = |size_bytes| Part::Header(pb::PushHeader { size_bytes, ..header.clone() });
    refused(vec![], "header", "the first message").await;
    refused(vec![commit(&bytes)], "header", "the first message").await;
    refused(
        vec![sized(10 << 30)],
        "header.size_bytes",
        "1 to 1048576 (push.max_mib), was 10737418240",
    )
    .await;
    refused(vec![sized(0)], "header.size_bytes", "was 0").await;
    let nameless = pb::PushHeader { push_id: String::new(), ..header.clone() };
    refused(vec![Part::Header(nameless)], "header.push_id", "1 to 256 bytes").await;
    let role = pb::PushHeader { role: pb::ModelRole::Canary.into(), ..header.clone() };
    refused(vec![Part::Header(role)], "header.share", "above 0 and up to 1").await;
    refused(vec![begin(), begin()], "part", "a chunk or the commit").await;
    refused(vec![begin(), chunk(7, &bytes)], "chunk.offset", "must be at most 0").await;
    refused(
        vec![begin(), chunk(0, &[&bytes[..], b"x"].concat())],
        "chunk.data",
        "header.size_bytes",
    )
    .await;
    refused(vec![begin(), commit(&bytes)], "commit.size_bytes", "the bytes received, 0").await;
    let other = Part::Commit(pb::PushCommit {
        size_bytes: bytes.len() as u64,
        sha256: hex(&Sha256::digest(b"x")),
    });
    refused(vec![begin(), chunk(0, &bytes), other], "commit.sha256", "that of the received bytes")
        .await;

    let came = pb::GetPushRequest { push_id: header.push_id.clone() };
    let nothing = server.models().get_push(came.clone()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::NotFound, "other bytes than those committed are gone");
    refused(vec![begin(), chunk(0, &bytes[..100])], "commit", "the last message").await;
    let waits = server.models().get_push(came.clone()).await.unwrap().into_inner();
    assert_eq!(waits.received_bytes, 100);
    assert_eq!(files(folder.path()), ["0000000001", "ROLES"], "nothing has a name");
    let rest = vec![begin(), chunk(100, &bytes[100..]), commit(&bytes)];
    assert_eq!(stream(&server, rest).await.unwrap().generation, 2);
    assert_eq!(server.models().get_push(came).await.unwrap_err().code(), Code::NotFound);

    // The answer was lost: the client comes again, and nothing is published twice.
    let again = vec![begin(), commit(&bytes)];
    assert_eq!(stream(&server, again).await.unwrap().generation, 2);
    assert_eq!(server.engine.models().list().unwrap().len(), 2);

    // No more than four wait: the one that waited longest makes room.
    for n in 0..5 {
        let header = pb::PushHeader { push_id: format!("p{n}"), ..header.clone() };
        let parts = vec![Part::Header(header), chunk(0, &bytes[..9])];
        let status = stream(&server, parts).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
    let came = async |n: usize| {
        let came = pb::GetPushRequest { push_id: format!("p{n}") };
        server.models().get_push(came).await.map(|came| came.into_inner().received_bytes)
    };
    assert_eq!(came(0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!((came(1).await.unwrap(), came(4).await.unwrap()), (9, 9));

    // A stream takes over from one that the server still believes in; bytes may come twice.
    let (slow, messages) = tokio::sync::mpsc::channel(4);
    let mut models = server.models();
    let messages = tokio_stream::wrappers::ReceiverStream::new(messages);
    let pushing = tokio::spawn(async move { models.push_model(messages).await });
    let header = pb::PushHeader { push_id: "slow".into(), ..header.clone() };
    let part = |part| pb::PushModelRequest { part: Some(part) };
    slow.send(part(Part::Header(header.clone()))).await.unwrap();
    slow.send(part(chunk(0, &bytes[..64]))).await.unwrap();
    let slow_came = async || {
        let came = pb::GetPushRequest { push_id: "slow".into() };
        server.models().get_push(came).await.map_or(0, |came| came.into_inner().received_bytes)
    };
    for _ in 0..400 {
        if slow_came().await == 64 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let parts = vec![Part::Header(header), chunk(32, &bytes[32..]), commit(&bytes)];
    assert_eq!(stream(&server, parts).await.unwrap().generation, 3);
    slow.send(part(chunk(64, &bytes[64..]))).await.unwrap();
    let late = pushing.await.unwrap().unwrap_err();
    assert_eq!(late.code(), Code::ResourceExhausted, "{late:?}");
    server.stop().await;
}
