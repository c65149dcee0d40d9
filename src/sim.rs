//! A simulated Cloud Foundry foundation and a scriptable HEC server, for the demo, for tests
//! and for measuring. Written from the protocol descriptions alone: it imports nothing of the
//! nozzle or of the HEC client, so that it cannot share their misunderstandings.

pub mod certs;
pub mod convert;
pub mod foundation;
pub mod hec;
mod listen;
pub mod load;
pub mod wire;
pub(crate) mod writer;
