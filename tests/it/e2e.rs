//! The whole daemon in one process, between a simulated foundation and a simulated Splunk.
//!
//! Nothing of the nozzle is replaced: it is configured by the environment it would have as a pushed
//! app and speaks TLS to its peers over loopback. Every envelope carries a number. Loss and
//! duplicates are computed from those in what Splunk has, never from what the nozzle believes; each
//! test ends in [`World::finish`], which compares the two.

mod echo;
mod faults;
mod flow;
mod full;
mod hec_acks;
mod hec_busy;
mod hec_certificates;
mod hec_holds;
mod hec_indexes;
mod hec_refusals;
mod hec_slow;
mod hec_token;
mod malformed;
mod metadata;
mod migration;
mod recorded;
mod shard;
mod shutdown;
mod spool;
mod spool_acks;
mod verdict;
mod watch;
mod world;

use verdict::Verdict;
use world::{DEADLINE, Nozzle, Source, World, app_guid, log, long_log};
