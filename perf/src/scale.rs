//! Many instances of the nozzle behind many routers, in virtual time.
//!
//! - `model`: routers, the buffers in front of each stream, the instances; pure, with a seed.
//! - `scenarios`: what is asked of the model.
//! - `arithmetic`: how much of everything a rate needs, from measured figures.
//! - `check`: the model against real nozzle processes.

pub mod arithmetic;
pub mod check;
pub mod model;
pub mod scenarios;
