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
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::ack::lanes::Credit;
use super::ack::receipt::Receipt;
use super::batch::{Batch, EventMark, Tally};
use super::buffers::Buffers;
use super::outcome::{Outcome, Rejection};
use super::pool::MemberId;
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
    /// Refused once by something that may not be the HEC.
    suspect: bool,
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
    /// Nothing but suspects are left.
    Deferred,
}

/// A batch on its way, taken apart as far as replies demand it.
#[derive(Debug)]
pub(crate) struct Repair {
    index: Arc<str>,
    body: Bytes,
    marks: Vec<EventMark>,
    /// Where the memory of the body goes.
    home: Option<Buffers>,
    todo: VecDeque<Part>,
    /// What `Form::Usual` has come to mean for this batch: uncompressed, once compressing was
    /// under suspicion. So only one part is ever sent in both forms.
    usual: Form,
    sequential: u32,
    outcome: Outcome,
    /// Whether another index may do for that of the batch.
    index_policy: IndexPolicy,
    /// Events whose index is refused, and how.
    misplaced: Vec<(Range<usize>, Refusal)>,
    /// Events that were taken and are to be confirmed.
    pending: Vec<(Range<usize>, Receipt, MemberId)>,
    #[cfg(debug_assertions)]
    total: Tally,
}

/// What happens to events whose index is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexPolicy {
    /// They are rejected.
    Reject,
    /// They are handed back, for another index.
    HandBack,
}

/// What has no verdict when a repair ends before its time, or by its index.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// Suspects: see [`Repair::only_suspects`].
    pub(crate) deferred: Option<Batch>,
    /// What was stopped; the outcome counts it.
    pub(crate) undelivered: Option<Batch>,
    /// Events whose index is refused, with the last refusal.
    pub(crate) misplaced: Option<(Batch, Refusal)>,
    /// Events that were taken and are to be confirmed: each request's, with who took it.
    pub(crate) pending: Vec<(Batch, Receipt, MemberId)>,
}

impl Repair {
    pub(crate) fn new(mut batch: Batch, index_policy: IndexPolicy) -> Self {
        let index = Arc::clone(batch.index());
        #[cfg(debug_assertions)]
        let total = batch.tally();
        let home = batch.take_home();
        let (body, marks) = batch.into_parts();
        let mut todo = VecDeque::new();
        if !marks.is_empty() {
            todo.push_back(Part { events: 0..marks.len(), form: Form::Usual, suspect: false });
        }
        Self {
            index,
            body,
            marks,
            home,
            todo,
            usual: Form::Usual,
            sequential: 0,
            outcome: Outcome::default(),
            index_policy,
            misplaced: Vec::new(),
            pending: Vec::new(),
            #[cfg(debug_assertions)]
            total,
        }
    }

    /// Goes on with events each of which was refused by something that may not be the HEC.
    pub(crate) fn of_suspects(batch: Batch, index_policy: IndexPolicy) -> Self {
        let mut repair = Self::new(batch, index_policy);
        let each = |event| Part { events: event..event + 1, form: Form::Plain, suspect: true };
        repair.todo = (0..repair.marks.len()).map(each).collect();
        repair
    }

    /// The index of the batch.
    pub(crate) fn index(&self) -> &Arc<str> {
        &self.index
    }

    /// Whether nothing is left but events that were refused, each by itself, by something that may not be
    /// the HEC: only other data can show what is to blame.
    pub(crate) fn only_suspects(&self) -> bool {
        self.todo.iter().all(|part| part.suspect)
    }

    /// The next part to send, of at most `bytes_max` unless it is a single event.
    pub(crate) fn next(&mut self, bytes_max: usize) -> Option<Part> {
        let mut part = self.todo.pop_front()?;
        if part.form == Form::Usual {
            part.form = self.usual;
        }
        Some(self.cut(part, bytes_max))
    }

    /// As much of a part as may be sent where there is a limit, at least one event; the rest is next.
    pub(crate) fn cut(&mut self, mut part: Part, bytes_max: usize) -> Part {
        while part.len() > 1 && self.bytes(&part).len() > bytes_max {
            let (first, second) = self.halves(part);
            self.todo.push_front(second);
            part = first;
        }
        part
    }

    /// The body of a part, sharing the batch's memory.
    pub(crate) fn bytes(&self, part: &Part) -> Bytes {
        self.body.slice(self.offset(part.events.start)..self.offset(part.events.end))
    }

    /// The part was taken, by this endpoint, and counts for that.
    pub(crate) fn accepted(&mut self, part: &Part, credit: Credit, by: MemberId) {
        self.take(part.events.clone(), credit, by);
    }

    fn take(&mut self, events: Range<usize>, credit: Credit, by: MemberId) {
        match credit {
            Credit::Delivered => self.outcome.delivered += self.tally(&events),
            Credit::Unconfirmed => self.outcome.unconfirmed += self.tally(&events),
            Credit::Pending(receipt) => self.pending.push((events, receipt, by)),
        }
    }

    /// The part is to be sent again before the others.
    pub(crate) fn put_back(&mut self, part: Part) {
        self.todo.push_front(part);
    }

    /// The part is suspect, and to be sent again after the others.
    pub(crate) fn put_last(&mut self, part: Part) {
        self.todo.push_back(Part { suspect: true, ..part });
    }

    /// The index is known to be refused: settles all that is left by that.
    pub(crate) fn refused_index(&mut self, refusal: Refusal) {
        while let Some(part) = self.todo.pop_front() {
            self.misplace(part.events, refusal);
        }
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

    /// The part was refused: settles what the reply settles, and queues the rest. `taken` is what the events before
    /// a named one count for, and who has them.
    pub(crate) fn refused(
        &mut self,
        part: Part,
        refusal: Refusal,
        sent: super::Compression,
        taken: (Credit, MemberId),
    ) {
        match self.blame(&part, refusal) {
            Blame::Whole => self.misplace(part.events, refusal),
            Blame::Size => self.too_large(part, refusal),
            Blame::Event(event) => self.named(part, event, refusal, taken),
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
    pub(crate) fn finish(mut self, cutoff: Cutoff) -> (Outcome, Rest) {
        let mut rest = Rest::default();
        let left: Vec<_> = self.todo.drain(..).map(|part| part.events).collect();
        let tally = left.iter().fold(Tally::default(), |mut sum, events| {
            sum += self.tally(events);
            sum
        });
        match cutoff {
            Cutoff::Abandoned => self.outcome.abandoned += tally,
            Cutoff::Stopped => {
                self.outcome.undelivered += tally;
                rest.undelivered = self.batch_of(&left);
            }
            Cutoff::Deferred => rest.deferred = self.batch_of(&left),
        }
        let misplaced = std::mem::take(&mut self.misplaced);
        if let Some((_, refusal)) = misplaced.last().cloned() {
            let events: Vec<_> = misplaced.into_iter().map(|(events, _)| events).collect();
            rest.misplaced = self.batch_of(&events).map(|batch| (batch, refusal));
        }
        rest.pending = self.batches_pending();
        #[cfg(debug_assertions)]
        {
            let mut total = self.outcome.total();
            let batches = [rest.deferred.as_ref(), rest.misplaced.as_ref().map(|(batch, _)| batch)];
            let pending = rest.pending.iter().map(|(batch, ..)| batch);
            batches.into_iter().flatten().chain(pending).for_each(|batch| total += batch.tally());
            debug_assert_eq!(total, self.total, "an event is lost or counted twice");
        }
        if let Some(home) = self.home {
            home.give_back(self.body);
        }
        (self.outcome, rest)
    }

    /// What is pending, each request by itself: in the memory of the batch if that is all of it.
    fn batches_pending(&mut self) -> Vec<(Batch, Receipt, MemberId)> {
        let mut pending = std::mem::take(&mut self.pending);
        match pending.pop() {
            Some((events, receipt, by)) if events == (0..self.marks.len()) => {
                let (body, marks) = (std::mem::take(&mut self.body), std::mem::take(&mut self.marks));
                vec![(Batch::of_parts(Arc::clone(&self.index), body, marks), receipt, by)]
            }
            last => {
                let pending = pending.into_iter().chain(last);
                pending
                    .filter_map(|(events, receipt, by)| Some((self.batch_of(&[events])?, receipt, by)))
                    .collect()
            }
        }
    }

    /// Some of the events in a batch of their own; none if there are none.
    fn batch_of(&self, events: &[Range<usize>]) -> Option<Batch> {
        let mut batch = Batch::new(Arc::clone(&self.index), 0);
        for event in events.iter().flat_map(Clone::clone) {
            let mark = self.marks[event];
            batch.buffer().extend_from_slice(&self.body[self.offset(event)..mark.end as usize]);
            batch.commit_for(mark.flow, mark.units);
        }
        (!batch.is_empty()).then_some(batch)
    }

    fn named(&mut self, part: Part, event: usize, refusal: Refusal, (credit, by): (Credit, MemberId)) {
        let at = part.events.start + event;
        if event > 0 {
            self.take(part.events.start..at, credit, by);
        }
        if self.sequential >= SEQUENTIAL_MAX {
            // That the events before it are taken is still believed: it cannot be checked, and
            // sending them again would repeat them on real Splunk.
            self.halve(Part { events: at..part.events.end, ..part }, refusal);
            return;
        }
        self.sequential += 1;
        self.reject(at..at + 1, refusal);
        if at + 1 < part.events.end {
            let form = part.form.of_remains();
            self.todo.push_front(Part { events: at + 1..part.events.end, form, ..part });
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
        (Part { events: start..cut, ..part.clone() }, Part { events: cut..end, ..part })
    }

    /// The index of these events is refused.
    fn misplace(&mut self, events: Range<usize>, refusal: Refusal) {
        match self.index_policy {
            IndexPolicy::Reject => self.reject(events, refusal),
            IndexPolicy::HandBack => self.misplaced.push((events, refusal)),
        }
    }

    fn reject(&mut self, events: Range<usize>, refusal: Refusal) {
        let tally = self.tally(&events);
        let start = self.offset(events.start);
        let body = self.body.slice(start..self.offset(events.end));
        let ends = self.marks[events].iter().map(|mark| mark.end as usize - start).collect();
        let Refusal { status, code, .. } = refusal;
        self.outcome.rejected.push(Rejection {
            code,
            status,
            index: Arc::clone(&self.index),
            tally,
            ends,
            body,
        });
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
