//! Measures the nozzle and eventgen, and simulates many instances of the nozzle.
//!
//! The binaries beside this library are `perf` (`perf/run`), `perf-scale`, `perf-apps`, `perf-eventgen`
//! and `perf-generators`. What is measured is always a process of its own, and so is what it talks to;
//! CPU time and memory are those of the process alone.
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
pub mod five_tokens;
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
pub mod trial;
pub mod window;
