//! Certificates: encrypted connections, clients that need a certificate, files that change or
//! cannot be used, handshakes that stall.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use qianmian::access::Scope;
use qianmian::api::tls::Certificates;
use qianmian::api::{ServeOptions, TlsOptions};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::guarded::{Caller, Guarded};
use crate::support::{self, run};

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A root that issues certificates.
pub(crate) fn root() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // A name of its own: one that issues its own name is taken for self-signed.
    params.distinguished_name.push(DnType::CommonName, "root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for this machine and its key, in PEM.
pub(crate) fn issued(
    root: &Issuer,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, root).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Writes a certificate and its key, and options that name them.
pub(crate) fn options(folder: &Path, (cert, key): &(String, String)) -> TlsOptions {
    let options = TlsOptions {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        client_ca: Default::default(),
    };
    std::fs::write(&options.cert, cert).unwrap();
    std::fs::write(&options.key, key).unwrap();
    options
}

async fn connect(
    address: &str,
    root: &Issuer,
    identity: Option<&(String, String)>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(root.pem()))
        .domain_name("localhost");
    if let Some((cert, key)) = identity {
        tls = tls.identity(Identity::from_pem(cert, key));
    }
    let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
    endpoint.tls_config(tls)?.connect().await
}

async fn lists(channel: &Channel, key: Option<&str>) -> bool {
    Caller::new(channel, key).call("CatalogService/ListItems", Vec::new()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_encrypted_and_new_certificates_are_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (root(), root());
    let tls = options(folder.path(), &issued(&old, |_| {}));
    let (cert, key) = (tls.cert.clone(), tls.key.clone());
    let options = ServeOptions { tls, ..ServeOptions::default() };
    let server = Guarded::start(&folder.path().join("data"), support::quiet(), options).await;
    let secret = server.key("shop", &[Scope::Read], Some("default"));

    let channel = connect(&server.address, &old, None).await.unwrap();
    assert!(lists(&channel, Some(&secret)).await && !lists(&channel, None).await);
    assert!(connect(&server.address, &new, None).await.is_err(), "another root");
    let plain = Channel::from_shared(format!("http://{}", server.address)).unwrap();
    let plain = plain.connect_lazy();
    assert!(!lists(&plain, Some(&secret)).await, "plain text is not spoken");

    // What cannot be used leaves the old one in force.
    let (newer, newer_key) = issued(&new, |_| {});
    std::fs::write(&cert, &newer).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    connect(&server.address, &old, None).await.unwrap();
    std::fs::write(&key, &newer_key).unwrap();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(connect(&server.address, &old, None).await.is_err());
    let renewed = connect(&server.address, &new, None).await.unwrap();
    assert!(lists(&renewed, Some(&secret)).await);
    assert!(lists(&channel, Some(&secret)).await, "a connection that is open stays");

    // The command line, with the key in a file and in its variable.
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, new.pem()).unwrap();
    let key_file = folder.path().join("shop.key");
    std::fs::write(&key_file, &secret).unwrap();
    let url = format!("https://{}", server.address.replace("127.0.0.1", "localhost"));
    let ask = ["similar", "x", "--server", &url, "--ca", ca.to_str().unwrap()];
    let with_key = [&ask[..], &["--key-file", key_file.to_str().unwrap()]].concat();
    let (known, unknown) = tokio::task::block_in_place(|| (run(&with_key), run(&ask)));
    assert!(known.2.contains("item \"x\" is not known"), "{known:?}");
    assert!(unknown.2.contains("an API key is needed"), "{unknown:?}");

    drop((channel, renewed, plain));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_need_a_certificate_where_a_root_for_them_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs, strangers) = (root(), root(), root());
    let mut tls = options(folder.path(), &issued(&ours, |_| {}));
    tls.client_ca = folder.path().join("clients.pem");
    std::fs::write(&tls.client_ca, theirs.pem()).unwrap();
    let options = ServeOptions { tls, ..ServeOptions::default() };
    let server = Guarded::start(&folder.path().join("data"), support::quiet(), options).await;

    let known = connect(&server.address, &ours, Some(&issued(&theirs, |_| {}))).await.unwrap();
    assert!(lists(&known, None).await);
    for other in [None, Some(issued(&strangers, |_| {}))] {
        // In TLS 1.3 the client learns of the refusal with its first answer.
        let refused = match connect(&server.address, &ours, other.as_ref()).await {
            Ok(channel) => !lists(&channel, None).await,
            Err(_) => true,
        };
        assert!(refused);
    }
    drop(known);
    server.stop().await;
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = root();
    let good = issued(&root, |_| {});
    let other = issued(&root, |_| {});
    let expired = issued(&root, |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let early = issued(&root, |params| {
        params.not_before = rcgen::date_time_ymd(2100, 1, 1);
        params.not_after = rcgen::date_time_ymd(2101, 1, 1);
    });

    let said = |files: &(String, String)| {
        Certificates::read(&options(folder.path(), files)).map(drop).unwrap_err()
    };
    let pair = |cert: &str, key: &str| (cert.to_owned(), key.to_owned());
    for (files, expected) in [
        (pair(&good.0, &other.1), "is not the key of the certificate"),
        (expired, "serve.tls.cert"),
        (early, "not now"),
        (pair("", &good.1), "it holds no certificate in PEM"),
        (
            pair("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &good.1),
            "serve.tls.cert",
        ),
        (pair(&good.0, "nothing"), "serve.tls.key"),
    ] {
        let error = said(&files);
        assert!(error.contains(expected) && error.contains(".pem"), "{error}");
    }

    let mut missing = options(folder.path(), &good);
    assert!(Certificates::read(&missing).unwrap().is_some());
    missing.client_ca = folder.path().join("nothing.pem");
    assert!(Certificates::read(&missing).unwrap_err().contains("serve.tls.client_ca"));
    missing.key = Default::default();
    assert!(Certificates::read(&missing).unwrap_err().contains("serve.tls.key must name a file"));
    assert!(Certificates::read(&TlsOptions::default()).unwrap().is_none());

    // The program stops with the same words.
    let data = folder.path().join("data");
    let config = folder.path().join("q.toml");
    let cert = folder.path().join("cert.pem");
    std::fs::write(&config, format!("[serve.tls]\ncert = {cert:?}\nkey = \"gone.pem\"\n")).unwrap();
    let (ok, _, error) = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--config",
        config.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ]);
    assert!(!ok && error.contains("serve.tls.key gone.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_stall_end_and_hold_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = root();
    let tls = options(folder.path(), &issued(&root, |_| {}));
    let options = ServeOptions { tls, handshake_seconds: 2, ..ServeOptions::default() };
    let server = Guarded::start(&folder.path().join("data"), support::quiet(), options).await;
    let mut stalled = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        // The head of a record that never comes.
        stream.write_all(&[0x16, 3, 1, 1, 0]).await.unwrap();
        stalled.push(stream);
    }
    let began = std::time::Instant::now();
    let channel = connect(&server.address, &root, None).await.unwrap();
    assert!(lists(&channel, None).await);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());

    for mut stream in stalled {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
        let _ = ended.await.expect("the connection ends");
    }
    drop(channel);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_spoken_by_tls_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let root = root();
    let tls = options(folder.path(), &issued(&root, |_| {}));
    let options = ServeOptions { tls, ..ServeOptions::default() };
    let server = Guarded::start(&folder.path().join("data"), support::quiet(), options).await;
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    // A client of HTTP/1.1 says so, or says nothing.
    for protocols in [vec![b"http/1.1".to_vec()], Vec::new()] {
        config.alpn_protocols = protocols;
        let stream = tokio::net::TcpStream::connect(&server.address).await.unwrap();
        let tls = TlsConnector::from(Arc::new(config.clone()));
        let mut stream = tls.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        let request = "POST /v1/CatalogService/ListItems HTTP/1.1\r\nHost: localhost\r\nContent-Type: \
            application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // The server ends the connection, with a close of TLS or without.
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\"totalSize\":\"0\""),
            "{answer}"
        );
    }
    server.stop().await;
}
