//! Every log and metric of a Cloud Foundry foundation, delivered to Splunk and accounted for.
//!
//! The folders follow the way of an event; see `ARCHITECTURE.md` for the map.

pub mod causes;
pub mod cli;
pub mod clock;
pub mod eventgen;
pub mod hec;
pub mod nozzle;
pub mod process;
pub mod proto;
pub mod proxy;
#[cfg(test)]
mod reference;
pub mod sim;
pub mod task;
pub mod telemetry;
pub mod tls;
pub mod units;
