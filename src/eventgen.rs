//! Splunk Eventgen anew: existing `eventgen.conf` files run as they are, hundreds of times faster.
//!
//! ```text
//!  conf files ─► conf ─► SampleConfig ─┬─► sample, token ─► generator   (compiled once, at start)
//!                                      └─► rater, timer
//!
//!  timers ─► Part ─► workers ─► Batch ─► outputs
//!  (absolute         (threads)           (in order for each stanza,
//!   schedule)                             bounded, one stuck stops no other)
//! ```
//!
//! - [`config`]: what one stanza asks for, as types; all that the parts below know of conf files.
//! - [`event`]: the reused buffer events are written into.
//! - [`plugin`]: the three kinds of plugins (generator, rater, output) and their registry.
//! - [`timer`], [`engine`], [`output`], [`progress`]: when, by whom, where to, and what is seen of it.
//!
//! # What holds
//!
//! - The same conf, seed and starting clock give the same bytes in each stanza's stream, whatever
//!   the number of workers: a part has a random generator of its own, seeded by its place.
//! - Nothing fails silently: a stanza that produces nothing says why, and every event that was
//!   made and not written is counted with its reason.
//! - A failing sample or output never stops another one.

pub mod cli;
pub mod conf;
pub mod config;
pub mod engine;
pub mod event;
pub mod generator;
pub mod output;
pub mod pattern;
pub mod plugin;
pub mod progress;
pub mod rater;
mod sample;
#[cfg(test)]
mod testing;
pub mod time;
pub mod timer;
mod token;
