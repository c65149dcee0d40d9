//! What became of a batch: every event in exactly one place.

use bytes::Bytes;
use http::StatusCode;

use super::batch::Tally;
use super::reply::HecCode;

/// The most bytes of a refused event that [`Rejection::sample`] shows.
const SAMPLE_BYTES: usize = 256;

/// What became of the events of a batch. The four sums add up to the batch's tally.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Taken by the server.
    pub delivered: Tally,
    /// Refused for what they are; sending them again would not help.
    pub rejected: Vec<Rejection>,
    /// Given up on: the limit on attempts was reached.
    pub abandoned: Tally,
    /// Not delivered when the delivery was stopped. If a request was under way, the server may
    /// have taken what was in it.
    pub undelivered: Tally,
}

impl Outcome {
    /// All events, wherever they ended.
    pub fn total(&self) -> Tally {
        let mut total = self.delivered;
        for rejection in &self.rejected {
            total += rejection.tally;
        }
        total += self.abandoned;
        total += self.undelivered;
        total
    }
}

/// Neighbouring events that were refused for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why, where the server named a HEC code.
    pub code: Option<HecCode>,
    /// The HTTP status it came with.
    pub status: StatusCode,
    /// How many they are.
    pub tally: Tally,
    /// The events as they were sent. It shares the memory of the whole batch: a dead-letter
    /// writer should not keep it for long.
    pub body: Bytes,
}

impl Rejection {
    /// The first 256 bytes of what was refused, for a log line.
    pub fn sample(&self) -> String {
        String::from_utf8_lossy(&self.body[..self.body.len().min(SAMPLE_BYTES)]).into_owned()
    }
}
