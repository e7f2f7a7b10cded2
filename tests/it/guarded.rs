//! A server with keys, stores and certificates, and a client that calls any method by its path with
//! any bytes.

use std::path::Path;

use http::uri::PathAndQuery;
use prost::bytes::{Buf, BufMut};
use qianmian::access::{AuditOptions, KeySpec, Scope};
use qianmian::api::{self, ServeOptions, Served};
use qianmian::engine::options::EngineOptions;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt;

/// A server in this process.
pub(crate) struct Guarded {
    pub served: Served,
    pub address: String,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<(), String>>,
}

impl Guarded {
    /// Serves the data folder on a free port.
    pub(crate) async fn start(data: &Path, engine: EngineOptions, options: ServeOptions) -> Self {
        let served = Served::open(data, engine, AuditOptions::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = served.clone();
        let done = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            let ended = api::serve(serving, listener, &options, stopped).await;
            ended.map_err(|error| error.to_string())
        });
        Self { served, address, stop, done }
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// A key of a store, or of all stores where it is an admin's.
    pub(crate) fn key(&self, name: &str, scopes: &[Scope], store: Option<&str>) -> String {
        let (_, secret) = self.served.keys.create(KeySpec::new(name, scopes, store)).unwrap();
        secret.reveal().to_owned()
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) {
        let Self { served, stop, done, .. } = self;
        drop(served);
        stop.send(()).unwrap();
        done.await.unwrap().unwrap();
    }
}

/// A caller: a connection with a key and the name of a store.
#[derive(Clone)]
pub(crate) struct Caller {
    channel: Channel,
    key: Option<String>,
    store: Option<String>,
}

impl Caller {
    pub(crate) fn new(channel: &Channel, key: Option<&str>) -> Self {
        Self { channel: channel.clone(), key: key.map(str::to_owned), store: None }
    }

    pub(crate) fn of_store(self, store: &str) -> Self {
        Self { store: Some(store.to_owned()), ..self }
    }

    /// A request with its metadata.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(key) = &self.key {
            let value = format!("Bearer {key}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        if let Some(store) = &self.store {
            request.metadata_mut().insert("store", store.parse().unwrap());
        }
        // Streams without an end end here.
        request.set_timeout(std::time::Duration::from_secs(3));
        request
    }

    /// The first message of the answer to a message of any method ("Service/Method").
    pub(crate) async fn call(&self, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
        let path = PathAndQuery::try_from(format!("/qianmian.v1.{method}")).unwrap();
        let answer = client.server_streaming(self.request(message), path, Bytes).await?;
        let mut messages = answer.into_inner();
        let first = tokio::time::timeout(std::time::Duration::from_secs(5), messages.message());
        Ok(first.await.map_err(|_| Status::unknown("silent"))??.unwrap_or_default())
    }
}

/// The stable reason of a refusal.
pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(String::new, |info| info.reason)
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut message = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}
