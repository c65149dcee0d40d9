//! Compiles the protocol files once more, with prost's defaults: owned messages, tags in hash maps. `perf-floor` decodes
//! into them what everybody's generated code would decode.

use std::error::Error;

const FILES: [&str; 2] = ["loggregator-api/v2/envelope.proto", "dropsonde/events.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../proto");
    let descriptors = protox::compile(FILES, ["../proto"])?;
    prost_build::Config::new().compile_fds(descriptors)?;
    Ok(())
}
