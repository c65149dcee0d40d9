//! Lines on standard output, a whole batch in one go: lines of several samples never mix.

use std::io::{self, Write as _};

use super::lines::{Ending, lines};
use super::{lost, ready};
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputError, OutputFuture};

/// The output `stdout`.
#[derive(Debug, Default)]
pub(super) struct Stdout {
    scratch: Vec<u8>,
}

impl Output for Stdout {
    fn nature(&self) -> Nature {
        Nature::Blocking
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        ready(print(lines(batch, Ending::Trimmed, &mut self.scratch), batch.len()))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        ready(Ok(()))
    }
}

/// Writes all of it. A reader that has gone away is the end of it.
pub(super) fn print(bytes: &[u8], events: usize) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| OutputError {
        closed: error.kind() == io::ErrorKind::BrokenPipe,
        ..lost(events, format!("standard output: {error}"))
    })
}
