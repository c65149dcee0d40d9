//! Message types generated from `proto/` at build time.
//!
//! They serve gRPC plumbing, the simulated foundation and differential tests.
//! The nozzle's hot path does not decode with them: see [`crate::nozzle::wire`].
#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::large_futures,
    reason = "generated code"
)]

/// Loggregator v2 (`loggregator.v2`).
pub mod loggregator {
    tonic::include_proto!("loggregator.v2");
}

/// Dropsonde v1 (`events`).
pub mod dropsonde {
    tonic::include_proto!("events");
}
