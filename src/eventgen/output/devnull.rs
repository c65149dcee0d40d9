//! Nothing is written: what is left is the cost of making events.

use super::ready;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputFuture};

/// The output `devnull`.
#[derive(Debug)]
pub(super) struct Devnull;

impl Output for Devnull {
    fn nature(&self) -> Nature {
        Nature::Instant
    }

    fn write<'a>(&'a mut self, _: &'a Batch) -> OutputFuture<'a> {
        ready(Ok(()))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        ready(Ok(()))
    }
}
