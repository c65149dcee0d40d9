//! Compiles the protocol files with protox, so that building needs no `protoc`.

use std::error::Error;

const FILES: [&str; 4] = [
    "loggregator-api/v2/envelope.proto",
    "loggregator-api/v2/egress.proto",
    "loggregator-api/v2/ingress.proto",
    "dropsonde/events.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let mut prost = prost_build::Config::new();
    prost.bytes(["."]).btree_map(["."]);
    tonic_prost_build::configure().compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
