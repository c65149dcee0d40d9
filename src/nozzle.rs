//! The nozzle: source → queue → decode → filter → enrich → encode → batch → deliver.

pub mod cf;
pub mod config;
pub mod metadata;
