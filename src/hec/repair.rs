//! Finding and removing the events a server refuses, without losing or repeating the others.
//!
//! Real Splunk takes a batch up to the first bad event, and names it. So the events before it
//! are delivered, it alone is rejected, and the rest is sent again. Where the reply does not
//! say, or says what cannot be, the batch is halved until single events are refused.
//!
//! Pure: [`Repair`] is a list of parts still to be sent and the account of what is settled. Each
//! event is in exactly one part or settled in exactly one place. The work is bounded: at most
//! [`SEQUENTIAL_MAX`] requests more for named events, then two for each event at the very worst.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use http::StatusCode;

use super::batch::{Batch, EventMark, Tally};
use super::outcome::{Outcome, Rejection};
use super::reply::HecCode;

/// How many events of one batch are removed at the server's word, one after another. After
/// that a server that blames each event in turn is no longer believed, and halves are sent.
pub(crate) const SEQUENTIAL_MAX: u32 = 50;

/// A body larger than this (bytes, uncompressed) that is refused as malformed at its first event
/// is taken to be too large: so Splunk Cloud says it.
pub(crate) const OVERSIZE_BYTES: usize = 1_000_000;

/// How a part was sent, or is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the endpoint takes it.
    Usual,
    /// Uncompressed, to see whether something damaged the compressed one on its way.
    Trial,
    /// Uncompressed, because compressing was not the fault.
    Plain,
}

impl Form {
    /// That of what is left of a part that was refused in this form.
    fn of_remains(self) -> Self {
        match self {
            Self::Usual => Self::Usual,
            Self::Trial | Self::Plain => Self::Plain,
        }
    }
}

/// Neighbouring events to send as one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    events: Range<usize>,
    pub(crate) form: Form,
}

impl Part {
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

/// A refusal of a part for what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<HecCode>,
    pub(crate) event_number: Option<u64>,
}

/// What a refusal says about the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// All of it.
    Whole,
    /// This event; those before it are taken.
    Event(usize),
    /// Its size.
    Size,
    /// It does not say.
    Unknown,
}

/// What ends a delivery before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cutoff {
    /// The limit on attempts.
    Abandoned,
    /// The caller.
    Stopped,
}

/// A batch on its way, taken apart as far as replies demand it.
#[derive(Debug)]
pub(crate) struct Repair {
    body: Bytes,
    marks: Vec<EventMark>,
    todo: VecDeque<Part>,
    /// What `Form::Usual` has come to mean for this batch: uncompressed, once compressing was
    /// under suspicion. So only one part is ever sent in both forms.
    usual: Form,
    sequential: u32,
    outcome: Outcome,
    #[cfg(debug_assertions)]
    total: Tally,
}

impl Repair {
    pub(crate) fn new(batch: Batch) -> Self {
        #[cfg(debug_assertions)]
        let total = batch.tally();
        let (body, marks) = batch.into_parts();
        let mut todo = VecDeque::new();
        if !marks.is_empty() {
            todo.push_back(Part { events: 0..marks.len(), form: Form::Usual });
        }
        Self {
            body,
            marks,
            todo,
            usual: Form::Usual,
            sequential: 0,
            outcome: Outcome::default(),
            #[cfg(debug_assertions)]
            total,
        }
    }

    /// The next part to send, of at most `bytes_max` unless it is a single event.
    pub(crate) fn next(&mut self, bytes_max: usize) -> Option<Part> {
        let mut part = self.todo.pop_front()?;
        if part.form == Form::Usual {
            part.form = self.usual;
        }
        while part.len() > 1 && self.bytes(&part).len() > bytes_max {
            let (first, second) = self.halves(part);
            self.todo.push_front(second);
            part = first;
        }
        Some(part)
    }

    /// The body of a part, sharing the batch's memory.
    pub(crate) fn bytes(&self, part: &Part) -> Bytes {
        self.body.slice(self.offset(part.events.start)..self.offset(part.events.end))
    }

    /// The part was taken.
    pub(crate) fn accepted(&mut self, part: &Part) {
        self.outcome.delivered += self.tally(&part.events);
    }

    /// The part is to be sent again before the others.
    pub(crate) fn put_back(&mut self, part: Part) {
        self.todo.push_front(part);
    }

    /// The part is to be sent again after the others.
    pub(crate) fn put_last(&mut self, part: Part) {
        self.todo.push_back(part);
    }

    /// What a refusal says about a part.
    pub(crate) fn blame(&self, part: &Part, refusal: Refusal) -> Blame {
        let Some(code) = refusal.code else { return Blame::Unknown };
        match (code, refusal.event_number) {
            // The batch is of one index: the first event has it, and nothing was taken. Real
            // Splunk names the event after the first, others the first.
            (HecCode::INDEX, None | Some(0 | 1)) => Blame::Whole,
            (HecCode::FORMAT, Some(0)) if self.bytes(part).len() > OVERSIZE_BYTES => Blame::Size,
            (
                HecCode::FORMAT | HecCode::EVENT_REQUIRED | HecCode::EVENT_BLANK | HecCode::FIELDS,
                Some(number),
            ) => match usize::try_from(number) {
                Ok(event) if event < part.len() => Blame::Event(event),
                _ => Blame::Unknown,
            },
            _ => Blame::Unknown,
        }
    }

    /// The part was refused: settles what the reply settles, and queues the rest.
    pub(crate) fn refused(&mut self, part: Part, refusal: Refusal, sent: super::Compression) {
        match self.blame(&part, refusal) {
            Blame::Whole => self.reject(part.events, refusal),
            Blame::Size => self.too_large(part, refusal),
            Blame::Event(event) => self.named(part, event, refusal),
            Blame::Unknown if sent == super::Compression::Gzip && part.form == Form::Usual => {
                self.usual = Form::Plain;
                self.todo.push_front(Part { form: Form::Trial, ..part });
            }
            Blame::Unknown => self.halve(part, refusal),
        }
    }

    /// The part was refused for its size: sends halves; a single event cannot be helped.
    pub(crate) fn too_large(&mut self, part: Part, refusal: Refusal) {
        self.halve(part, refusal);
    }

    /// Ends the delivery: everything not settled goes where the reason says.
    pub(crate) fn finish(mut self, cutoff: Cutoff) -> Outcome {
        let mut left = Tally::default();
        while let Some(part) = self.todo.pop_front() {
            left += self.tally(&part.events);
        }
        match cutoff {
            Cutoff::Abandoned => self.outcome.abandoned += left,
            Cutoff::Stopped => self.outcome.undelivered += left,
        }
        #[cfg(debug_assertions)]
        debug_assert_eq!(self.outcome.total(), self.total, "an event is lost or counted twice");
        self.outcome
    }

    fn named(&mut self, part: Part, event: usize, refusal: Refusal) {
        let at = part.events.start + event;
        self.outcome.delivered += self.tally(&(part.events.start..at));
        if self.sequential >= SEQUENTIAL_MAX {
            // That the events before it are taken is still believed: it cannot be checked, and
            // sending them again would repeat them on real Splunk.
            self.halve(Part { events: at..part.events.end, form: part.form }, refusal);
            return;
        }
        self.sequential += 1;
        self.reject(at..at + 1, refusal);
        if at + 1 < part.events.end {
            let form = part.form.of_remains();
            self.todo.push_front(Part { events: at + 1..part.events.end, form });
        }
    }

    fn halve(&mut self, part: Part, refusal: Refusal) {
        if part.len() <= 1 {
            self.reject(part.events, refusal);
            return;
        }
        let form = part.form.of_remains();
        let (first, second) = self.halves(Part { form, ..part });
        self.todo.push_front(second);
        self.todo.push_front(first);
    }

    /// Two parts of about the same number of bytes, each with at least one event.
    fn halves(&self, part: Part) -> (Part, Part) {
        let Range { start, end } = part.events;
        let half = self.offset(start) + (self.offset(end) - self.offset(start)) / 2;
        let inner = &self.marks[start..end];
        let cut = start + inner.partition_point(|mark| mark.end as usize <= half);
        let cut = cut.clamp(start + 1, end - 1);
        (Part { events: start..cut, ..part }, Part { events: cut..end, ..part })
    }

    fn reject(&mut self, events: Range<usize>, refusal: Refusal) {
        let tally = self.tally(&events);
        let body = self.body.slice(self.offset(events.start)..self.offset(events.end));
        let Refusal { status, code, .. } = refusal;
        self.outcome.rejected.push(Rejection { code, status, tally, body });
    }

    /// Where an event begins.
    fn offset(&self, event: usize) -> usize {
        event.checked_sub(1).map_or(0, |before| self.marks[before].end as usize)
    }

    fn tally(&self, events: &Range<usize>) -> Tally {
        let marks = &self.marks[events.clone()];
        Tally { events: marks.len() as u64, units: marks.iter().map(|mark| u64::from(mark.units)).sum() }
    }
}

#[cfg(test)]
mod tests;
