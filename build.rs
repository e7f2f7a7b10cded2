//! Compiles the protocol with protox, so that building needs no protoc.

use std::path::PathBuf;

use prost::Message;

const PROTOS: [&str; 5] = [
    "qianmian/v1/catalog.proto",
    "qianmian/v1/event.proto",
    "qianmian/v1/model.proto",
    "qianmian/v1/recommendation.proto",
    "qianmian/v1/user.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Reflection serves these same descriptors.
    std::fs::write(out.join("qianmian.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .codec_path("crate::api::codec::WireCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
