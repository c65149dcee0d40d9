//! A client for Splunk's HTTP Event Collector. Knows nothing of Cloud Foundry.

pub mod backoff;
pub mod batch;
pub mod classify;
pub mod compress;
mod gate;
pub mod hold;
pub mod outcome;
mod repair;
pub mod reply;

pub use self::compress::Compression;
