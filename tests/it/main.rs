//! Tests of the whole, and of stages against recorded data. One binary: one link.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
mod binary;
mod e2e;
mod endpoints;
mod eventgen;
mod gateway;
mod golden;
mod golden_events;
mod golden_frames;
mod golden_ways;
mod hec_poison;
mod spooled;
mod structure;
mod tools;
mod upstream;
