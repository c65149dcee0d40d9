//! The HEC client between several simulated collectors, and what stands in front of them.
//!
//! Every event has a number. What was lost, and what came twice, is computed from what all
//! collectors together have indexed, never from what the client believes.

mod acks;
mod balance;
mod cutter;
mod failover;
mod gateways;
mod learned;
mod names;
mod proxies;
mod world;
