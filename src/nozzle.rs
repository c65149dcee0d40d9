//! The nozzle: source → queue → decode → filter → enrich → encode → batch → deliver.

pub mod admin;
pub mod app;
pub mod batcher;
pub mod cf;
pub mod check;
pub mod config;
pub mod deliver;
pub mod demo;
pub mod encode;
pub mod enrich;
pub mod event;
pub mod event_type;
pub mod json;
pub mod ledger;
pub mod metadata;
pub mod own;
pub mod parking;
pub mod queue;
pub mod source;
pub mod status;
pub mod upstream;
pub mod watcher;
pub mod wire;
pub mod worker;
