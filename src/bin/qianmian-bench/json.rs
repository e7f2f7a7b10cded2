//! The cost of JSON in place of gRPC: one server, called in both in turn.

use clap::Args;
use prost_reflect::{DescriptorPool, DynamicMessage};
use qianmian::api::pb;
use qianmian::api::wire::codec::PREFIX_BYTES;
use qianmian::cli::{Failure, output};
use qianmian::config::Config;

use crate::asked::Asked;
use crate::compared::Loads;
use crate::load::{CONCURRENCY, Calls, Protocol, Reached};
use crate::server::Server;

/// Measure the cost of JSON in place of gRPC: requests/s of one server, over HTTP/2 and HTTP/1.1
#[derive(Debug, Args)]
pub(crate) struct Json {
    #[command(flatten)]
    loads: Loads,
}

impl Json {
    pub(crate) fn run(self, config: &Config, data_given: bool) -> Result<(), Failure> {
        if !data_given {
            return Err("name a data folder with a model: --data DIR".into());
        }

        let asked = Asked::of(&config.data, config)?;
        let calls = asked.calls(self.loads.limit);
        let server = Server::serve::<&str>(&config.data, &[])?;
        let grpc = Reached::plainly(&server.address.to_string());
        println!(
            "{}; {CONCURRENCY} requests at once, lists of {}\n",
            asked.store, self.loads.limit
        );

        let mut rows = Vec::new();
        for name in ["Recommend", "Recommend, blended anew", "SimilarItems"] {
            let known = calls.iter().find(|(known, _)| known == name);
            let (_, framed) = known.ok_or("there is no such call")?;
            let in_json = in_json(framed)?;
            for (version, protocol) in
                [("HTTP/2", Protocol::JsonHttp2), ("HTTP/1.1", Protocol::JsonHttp1)]
            {
                let json = Reached { protocol, ..grpc.clone() };
                let row = format!("{name}, {version}");
                rows.push(self.loads.compare(&row, (framed, &grpc), (&in_json, &json))?);
            }
        }

        let header = ["method", "gRPC /s", "JSON /s", "ratio", "lowest", "highest"];
        println!("{}", output::table(&header, &header[1..], rows));
        Ok(())
    }
}

/// The same calls in JSON.
fn in_json(calls: &Calls) -> Result<Calls, Failure> {
    let (service, name) = calls.path[1..].split_once('/').ok_or("a path without a method")?;
    let pool = DescriptorPool::decode(pb::DESCRIPTORS)?;
    let known = pool.get_service_by_name(service).ok_or("there is no such service")?;
    let method = known.methods().find(|method| method.name() == name);
    let input = method.ok_or("there is no such method")?.input();

    let write = |frame: &bytes::Bytes| -> Result<bytes::Bytes, Failure> {
        let message = DynamicMessage::decode(input.clone(), frame.slice(PREFIX_BYTES..))?;
        Ok(serde_json::to_vec(&message)?.into())
    };
    let frames = calls.frames.iter().map(write).collect::<Result<_, _>>()?;
    Ok(Calls { path: format!("/v1/{}/{name}", known.name()), frames })
}
