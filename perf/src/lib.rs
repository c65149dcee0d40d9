//! Measures the nozzle and eventgen, and simulates many instances of the nozzle.
//!
//! The binaries beside this library are `perf` (`perf/run`), `perf-scale`, `perf-outage`, `perf-apps` and `perf-eventgen`:
//! what they measure is a process of its own, and CPU time and memory are those of the process alone. `perf-stages`,
//! `perf-generators` and `perf-floor` measure code on one thread.
//!
//! ```text
//!  perf: parent ── asks ──┬─ helper `load`: eventgen ─► output loggregator ─► simulated foundation
//!                         │                                                        │
//!                         ├─ the nozzle: a release binary, its own settings ◄──────┘
//!                         │      │
//!                         └─ helper `hec`: simulated HEC server ◄┘
//! ```
//!
//! Not here: what is fast enough. Nothing fails for being slow.

pub mod blaster;
pub mod ceilings;
pub mod corpus;
pub mod document;
pub mod five_tokens;
pub mod flags;
pub mod floor;
pub mod helper;
pub mod lines;
pub mod load;
pub mod machine;
pub mod nozzle;
pub mod null;
pub mod plan;
pub mod plot;
pub mod published;
pub mod report;
pub mod row;
pub mod scale;
pub mod search;
pub mod sink;
pub mod timing;
pub mod trial;
pub mod window;
