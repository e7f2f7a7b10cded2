//! Compiles the protocol with protox, so that building needs no protoc, and writes down the shape
//! of its messages: what may stand in them more than once. Names the sources by a hash.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

const PROTOS: [&str; 12] = [
    "qianmian/v1/catalog.proto",
    "qianmian/v1/event.proto",
    "qianmian/v1/experiment.proto",
    "qianmian/v1/insight.proto",
    "qianmian/v1/key.proto",
    "qianmian/v1/model.proto",
    "qianmian/v1/placement.proto",
    "qianmian/v1/recommendation.proto",
    "qianmian/v1/replication.proto",
    "qianmian/v1/rule.proto",
    "qianmian/v1/store.proto",
    "qianmian/v1/user.proto",
];
const PACKAGE: &str = "qianmian.v1";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rustc-env=BUILT_FROM_COMMIT={}", commit());
    println!("cargo:rustc-env=SOURCE_HASH={:016x}", source_hash(&["src", "Cargo.lock"])?);
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    // Reflection serves these same descriptors.
    std::fs::write(out.join("qianmian.bin"), descriptors.encode_to_vec())?;
    std::fs::write(out.join("shape.rs"), shape(&descriptors)?)?;
    tonic_prost_build::configure()
        .codec_path("crate::api::wire::codec::WireCodec")
        .compile_fds_with_config(descriptors, {
            let mut config = tonic_prost_build::Config::new();
            config.enable_type_names();
            config
        })?;
    Ok(())
}

/// The hash of files and of all in folders: what one build has folded from a log, another may fold otherwise.
fn source_hash(of: &[&str]) -> std::io::Result<u64> {
    let mut hash = DefaultHasher::new();
    for path in of.iter().map(Path::new).filter(|path| path.exists()) {
        println!("cargo:rerun-if-changed={}", path.display());
        hash_all(path, &mut hash)?;
    }
    Ok(hash.finish())
}

fn hash_all(path: &Path, hash: &mut DefaultHasher) -> std::io::Result<()> {
    path.hash(hash);
    if !path.is_dir() {
        std::fs::read(path)?.hash(hash);
        return Ok(());
    }
    let mut within = Vec::new();
    for entry in std::fs::read_dir(path)? {
        within.push(entry?.path());
    }
    within.sort();
    within.iter().try_for_each(|path| hash_all(path, hash))
}

/// The commit that a release is built from: as the builder names it, or as git knows it. Other builds
/// have none, or every commit would compile everything again.
fn commit() -> String {
    println!("cargo:rerun-if-env-changed=BUILD_COMMIT");
    if let Ok(named) = std::env::var("BUILD_COMMIT") {
        return named;
    }
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "debug") {
        return "development".to_owned();
    }

    let history = Path::new(".git/logs/HEAD");
    if history.exists() {
        println!("cargo:rerun-if-changed={}", history.display());
    }
    let asked = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = asked.ok().filter(|answer| answer.status.success());
    let commit = commit.and_then(|answer| String::from_utf8(answer.stdout).ok());
    commit.map_or_else(|| "unknown".to_owned(), |commit| commit.trim().to_owned())
}

/// The messages of the package, and those they hold, as a table in Rust, and the methods that take a stream.
fn shape(descriptors: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let mut messages = Vec::new();
    let (mut taken, mut given) = (Vec::new(), Vec::new());
    for file in &descriptors.file {
        // Those of other packages, which messages of ours hold, have their whole names.
        let package = match file.package() {
            PACKAGE => String::new(),
            other => format!("{other}."),
        };
        for message in &file.message_type {
            collect(message, format!("{package}{}", message.name()), &mut messages);
        }
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{PACKAGE}.{}/{}", service.name(), method.name());
                taken.extend(method.client_streaming().then(|| path.clone()));
                given.extend(method.server_streaming().then_some(path));
            }
        }
    }
    messages.sort_by(|a, b| a.0.cmp(&b.0));

    let place = |type_name: &str| {
        let ours = type_name.strip_prefix(&format!(".{PACKAGE}."));
        let name = ours.unwrap_or(type_name.trim_start_matches('.'));
        messages.iter().position(|(known, _)| known == name)
    };
    let mut text = String::from(
        "/// The messages of the package and those they hold, by name.\npub static MESSAGES: &[Shape] = &[\n",
    );
    for (name, message) in &messages {
        writeln!(text, "    Shape {{ name: {name:?}, fields: &[")?;
        for field in &message.field {
            let inner = match field.r#type() {
                Type::Message => place(field.type_name()),
                _ => None,
            };
            let repeated = field.label() == Label::Repeated;
            let whole =
                [Type::Enum, Type::Int32, Type::Int64, Type::Uint32, Type::Uint64, Type::Bool];
            let packed = repeated && whole.contains(&field.r#type());
            let (number, field) = (field.number(), field.name());
            writeln!(
                text,
                "        Field {{ number: {number}, name: {field:?}, repeated: {repeated}, packed: {packed}, message: {inner:?} }},"
            )?;
        }
        writeln!(text, "    ] }},")?;
    }
    writeln!(text, "];\n/// The methods that take a stream of messages.")?;
    writeln!(text, "pub static CLIENT_STREAMS: &[&str] = &{taken:?};")?;
    writeln!(text, "/// The methods that answer with a stream of messages.")?;
    writeln!(text, "pub static SERVER_STREAMS: &[&str] = &{given:?};")?;
    Ok(text)
}

/// A message and those that are declared within it, maps' entries among them.
fn collect<'d>(
    message: &'d DescriptorProto,
    name: String,
    messages: &mut Vec<(String, &'d DescriptorProto)>,
) {
    for nested in &message.nested_type {
        collect(nested, format!("{name}.{}", nested.name()), messages);
    }
    messages.push((name, message));
}
