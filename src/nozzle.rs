//! The nozzle: source → queue → decode → filter → enrich → encode → batch → deliver.

pub mod batcher;
pub mod cf;
pub mod config;
pub mod encode;
pub mod event;
pub mod event_type;
pub mod ledger;
pub mod metadata;
pub mod parking;
pub mod queue;
pub mod source;
pub mod wire;
