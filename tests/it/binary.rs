//! The real binary: environment and flags, signals, exit codes, what it prints.
//!
//! Each test starts the peers it needs in this process and the nozzle as a child of it, with
//! nothing of this process's environment. A child that outlives its test is killed.

mod absent;
mod admin;
mod check;
mod demo;
mod faults;
mod forwarder;
mod output;
mod own;
mod peers;
pub(crate) mod process;
mod run;
mod secrets;
mod settings;
mod several;
mod spool;
mod stop;

pub(crate) use process::free_port;
