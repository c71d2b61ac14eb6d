//! Compiles the node stream's messages without `protoc`.

use std::{env, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("proto");
    let file = root.join("skep/node/v1/node.proto");
    println!("cargo::rerun-if-changed={}", file.display());
    let descriptors = protox::compile([&file], [&root])?;
    tonic_prost_build::configure()
        .out_dir(PathBuf::from(env::var("OUT_DIR")?))
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
