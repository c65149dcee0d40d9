//! Single replies by table, and whole deliveries against models of servers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// Who takes and refuses.
const BY: MemberId = MemberId(0);
use crate::hec::Compression;
use crate::hec::buffers::Buffers;

fn batch(lengths: &[usize]) -> Batch {
    let mut batch = Batch::new(Arc::from("main"), 0);
    for (number, length) in lengths.iter().enumerate() {
        let digits = number.to_string();
        let zeros = "0".repeat(length.saturating_sub(digits.len()));
        batch.buffer().extend_from_slice(format!("{zeros}{digits};").as_bytes());
        batch.commit(u32::try_from(number % 3).unwrap());
    }
    batch
}

fn refusal(code: i64, event_number: Option<u64>) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, code: Some(HecCode(code)), event_number }
}

const BARE: Refusal = Refusal { status: StatusCode::BAD_REQUEST, code: None, event_number: None };

/// Numbers of neighbouring events.
type Runs = Vec<Range<usize>>;

/// Delivered events, refused ones, and what is still to be sent, as event numbers.
fn after(n: usize, sent: Compression, refusal: Refusal) -> (u64, Runs, Runs) {
    let mut repair = Repair::new(batch(&vec![4; n]), IndexPolicy::Reject);
    let part = repair.next(usize::MAX).unwrap();
    repair.refused(part, refusal, sent, (Credit::Delivered, BY));
    let todo = repair.todo.iter().map(|part| part.events.clone()).collect();
    let rejected = repair.outcome.rejected.iter().map(|it| numbers(&it.body)).collect();
    (repair.outcome.delivered.events, rejected, todo)
}

/// The events in a body: their numbers are their text.
fn numbers(body: &[u8]) -> Range<usize> {
    let text = std::str::from_utf8(body).unwrap();
    let all: Vec<usize> = text.split_terminator(';').map(|number| number.parse().unwrap()).collect();
    assert!(all.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{text}");
    all[0]..all[all.len() - 1] + 1
}

#[test]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, some of one")]
fn a_reply_settles_what_it_says_and_no_more() {
    let cases: Vec<(usize, Refusal, u64, Runs, Runs)> = vec![
        (10, refusal(6, Some(3)), 3, vec![3..4], vec![4..10]),
        (10, refusal(12, Some(0)), 0, vec![0..1], vec![1..10]),
        (10, refusal(13, Some(9)), 9, vec![9..10], vec![]),
        (1, refusal(15, Some(0)), 0, vec![0..1], vec![]),
        // Out of range, or not given: halves.
        (10, refusal(6, Some(10)), 0, vec![], vec![0..5, 5..10]),
        (10, refusal(6, Some(u64::MAX)), 0, vec![], vec![0..5, 5..10]),
        (10, refusal(6, None), 0, vec![], vec![0..5, 5..10]),
        (10, refusal(5, Some(0)), 0, vec![], vec![0..5, 5..10]),
        (10, refusal(99, Some(2)), 0, vec![], vec![0..5, 5..10]),
        (10, BARE, 0, vec![], vec![0..5, 5..10]),
        (1, BARE, 0, vec![0..1], vec![]),
        (1, refusal(5, None), 0, vec![0..1], vec![]),
        // The index is that of all events; a number that denies it is not believed.
        (10, refusal(7, Some(1)), 0, vec![0..10], vec![]),
        (10, refusal(7, Some(0)), 0, vec![0..10], vec![]),
        (10, refusal(7, None), 0, vec![0..10], vec![]),
        (10, refusal(7, Some(2)), 0, vec![], vec![0..5, 5..10]),
    ];
    for (n, refusal, delivered, rejected, todo) in cases {
        let got = after(n, Compression::None, refusal);
        assert_eq!(got, (delivered, rejected, todo), "{n} events, {refusal:?}");
    }
}

#[test]
fn what_cannot_be_attributed_is_first_sent_again_uncompressed() {
    for doubtful in [BARE, refusal(5, None), refusal(6, None), refusal(6, Some(99))] {
        let mut repair = Repair::new(batch(&[4; 8]), IndexPolicy::Reject);
        let part = repair.next(usize::MAX).unwrap();
        repair.refused(part, doubtful, Compression::Gzip, (Credit::Delivered, BY));
        let again = repair.next(usize::MAX).unwrap();
        assert_eq!((again.events.clone(), again.form), (0..8, Form::Trial));
        repair.refused(again, doubtful, Compression::None, (Credit::Delivered, BY));
        assert_eq!(repair.todo.len(), 2, "then halves");
        assert!(repair.todo.iter().all(|part| part.form == Form::Plain));
    }
    let (delivered, rejected, _) = after(8, Compression::Gzip, refusal(6, Some(2)));
    assert_eq!((delivered, rejected.len()), (2, 1), "a named event needs no second opinion");
}

#[test]
fn a_refusal_for_size_blames_no_event_unless_it_is_alone() {
    for (lengths, halves) in [(vec![500_000, 300_000, 300_000], true), (vec![400_000, 500_000], false)] {
        let mut repair = Repair::new(batch(&lengths), IndexPolicy::Reject);
        let part = repair.next(usize::MAX).unwrap();
        repair.refused(part, refusal(6, Some(0)), Compression::Gzip, (Credit::Delivered, BY));
        assert_eq!(repair.todo.len(), if halves { 2 } else { 1 });
        assert_eq!(repair.outcome.rejected.len(), usize::from(!halves));
    }
    let exactly = OVERSIZE_BYTES / 2 - 1;
    let repair = Repair::new(batch(&[exactly, exactly]), IndexPolicy::Reject);
    let part = Part { events: 0..2, form: Form::Usual, suspect: false };
    assert_eq!(repair.blame(&part, refusal(6, Some(0))), Blame::Event(0), "at the limit");
    let repair = Repair::new(batch(&[exactly, exactly + 1]), IndexPolicy::Reject);
    assert_eq!(repair.blame(&part, refusal(6, Some(0))), Blame::Size, "above it");

    let too_large = Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, code: None, event_number: None };
    let mut repair = Repair::new(batch(&[10]), IndexPolicy::Reject);
    let part = repair.next(usize::MAX).unwrap();
    repair.too_large(part, too_large);
    let outcome = repair.finish(Cutoff::Stopped).0;
    assert_eq!(outcome.rejected[0].status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn parts_respect_a_learned_limit_down_to_single_events() {
    let mut repair = Repair::new(batch(&[9, 9, 9, 9, 99, 9]), IndexPolicy::Reject);
    let mut sizes = Vec::new();
    while let Some(part) = repair.next(30) {
        sizes.push(repair.bytes(&part).len());
        repair.accepted(&part, Credit::Delivered, BY);
    }
    assert_eq!(sizes.iter().sum::<usize>(), 5 * 10 + 100);
    assert!(sizes.iter().all(|size| *size <= 30 || *size == 100), "{sizes:?}");
    assert_eq!(repair.finish(Cutoff::Stopped).0.delivered.events, 6);
}

#[test]
fn an_early_end_counts_what_is_left_where_it_belongs() {
    for cutoff in [Cutoff::Abandoned, Cutoff::Stopped] {
        let mut repair = Repair::new(batch(&[4; 10]), IndexPolicy::Reject);
        let total = Tally { events: 10, units: 9 };
        let part = repair.next(usize::MAX).unwrap();
        repair.refused(part, refusal(6, Some(4)), Compression::None, (Credit::Delivered, BY));
        let part = repair.next(usize::MAX).unwrap();
        repair.put_back(part);
        let outcome = repair.finish(cutoff).0;
        assert_eq!(outcome.total(), total);
        let left = if cutoff == Cutoff::Abandoned { outcome.abandoned } else { outcome.undelivered };
        assert_eq!(left.events, 5);
    }
}

#[test]
fn an_empty_batch_has_nothing_to_send() {
    let mut repair = Repair::new(Batch::new(Arc::from("main"), 16), IndexPolicy::Reject);
    assert_eq!(repair.next(usize::MAX), None);
    assert_eq!(repair.finish(Cutoff::Stopped).0, Outcome::default());
}

/// How a model server refuses a batch with a bad event.
#[derive(Clone, Copy, Debug)]
enum Server {
    /// As real Splunk: takes what is before the bad event, and names it.
    Splunk,
    /// Takes nothing and names nothing.
    Silent,
    /// Takes nothing and names an event that is not there.
    Absurd,
    /// Takes nothing and answers with a page of markup.
    Gateway,
    /// Takes what is before the bad event but does not name it.
    Secretive,
}

/// A server with an index, the events it will not have, and a limit on request bodies.
struct Model {
    server: Server,
    poison: BTreeSet<usize>,
    bytes_max: usize,
    indexed: BTreeMap<usize, u32>,
    requests: usize,
}

impl Model {
    /// `None`: taken.
    fn post(&mut self, body: &[u8]) -> Option<Refusal> {
        self.requests += 1;
        let events: Vec<usize> = numbers(body).collect();
        if body.len() > self.bytes_max && events.len() > 1 {
            return Some(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, code: None, event_number: None });
        }
        let bad = events.iter().position(|event| self.poison.contains(event));
        let taken = match (bad, self.server) {
            (None, _) => events.len(),
            (Some(bad), Server::Splunk | Server::Secretive) => bad,
            (Some(_), Server::Silent | Server::Absurd | Server::Gateway) => 0,
        };
        for event in &events[..taken] {
            *self.indexed.entry(*event).or_default() += 1;
        }
        let number = bad? as u64;
        Some(match self.server {
            Server::Splunk => refusal([6, 12, 13, 15][events.len() % 4], Some(number)),
            Server::Silent | Server::Secretive => refusal(6, None),
            Server::Absurd => refusal(6, Some(events.len() as u64 + number)),
            Server::Gateway => BARE,
        })
    }
}

fn run(model: &mut Model, n: usize, sent: Compression) -> (Outcome, BTreeSet<usize>) {
    let lengths: Vec<usize> = (0..n).map(|event| 4 + event % 40).collect();
    let mut repair = Repair::new(batch(&lengths), IndexPolicy::Reject);
    while let Some(part) = repair.next(usize::MAX) {
        let encoding = if part.form == Form::Usual { sent } else { Compression::None };
        match model.post(&repair.bytes(&part)) {
            None => repair.accepted(&part, Credit::Delivered, BY),
            Some(refusal) if refusal.status == StatusCode::PAYLOAD_TOO_LARGE => {
                repair.too_large(part, refusal);
            }
            Some(refusal) => repair.refused(part, refusal, encoding, (Credit::Delivered, BY)),
        }
    }
    let outcome = repair.finish(Cutoff::Stopped).0;
    let rejected = outcome.rejected.iter().flat_map(|it| numbers(&it.body)).collect();
    (outcome, rejected)
}

fn servers() -> impl Strategy<Value = Server> {
    prop_oneof![
        Just(Server::Splunk),
        Just(Server::Silent),
        Just(Server::Absurd),
        Just(Server::Gateway),
        Just(Server::Secretive)
    ]
}

proptest! {
    #[test]
    fn every_event_is_delivered_once_or_rejected(
        n in 1usize..200,
        poison in prop::collection::btree_set(0usize..200, 0..120),
        server in servers(),
        compressed in any::<bool>(),
        bytes_max in prop_oneof![Just(usize::MAX), 20usize..2000],
    ) {
        let poison: BTreeSet<usize> = poison.into_iter().filter(|event| *event < n).collect();
        let mut model = Model { server, poison: poison.clone(), bytes_max, indexed: BTreeMap::new(), requests: 0 };
        let sent = if compressed { Compression::Gzip } else { Compression::None };
        let (outcome, rejected) = run(&mut model, n, sent);

        prop_assert_eq!(outcome.total().events, n as u64);
        prop_assert_eq!(outcome.delivered.events, (n - poison.len()) as u64);
        prop_assert_eq!(&rejected, &poison);
        let indexed: BTreeSet<usize> = model.indexed.keys().copied().collect();
        let good: BTreeSet<usize> = (0..n).filter(|event| !poison.contains(event)).collect();
        prop_assert_eq!(indexed, good, "nothing is lost");
        if !matches!(server, Server::Secretive) {
            prop_assert!(model.indexed.values().all(|times| *times == 1), "nothing is sent twice");
        }
        prop_assert!(model.requests <= SEQUENTIAL_MAX as usize + 2 * n + 1, "{} requests", model.requests);
    }
}

#[test]
fn a_server_that_blames_the_first_event_of_everything_costs_bounded_work() {
    let n = 1000;
    let mut repair = Repair::new(batch(&vec![6; n]), IndexPolicy::Reject);
    let mut requests = 0;
    while let Some(part) = repair.next(usize::MAX) {
        requests += 1;
        repair.refused(part, refusal(6, Some(0)), Compression::Gzip, (Credit::Delivered, BY));
    }
    let outcome = repair.finish(Cutoff::Stopped).0;
    assert_eq!(outcome.total().events, n as u64);
    assert_eq!(outcome.rejected.len(), n);
    assert!(requests <= SEQUENTIAL_MAX as usize + 2 * n);
}

#[test]
fn memory_of_what_is_settled_is_there_for_the_next_batch() {
    const BYTES: usize = 100_000;
    let buffers = Buffers::default();
    let mut batch = Batch::in_buffer(Arc::from("main"), BYTES, &buffers);
    batch.buffer().resize(BYTES / 2, b'x');
    batch.commit(1);
    let place = batch.body().as_ptr();
    let mut repair = Repair::new(batch, IndexPolicy::Reject);
    let part = repair.next(usize::MAX).unwrap();
    let body = repair.bytes(&part);
    repair.accepted(&part, Credit::Delivered, BY);
    drop(body);
    let (outcome, _) = repair.finish(Cutoff::Abandoned);
    assert_eq!(outcome.delivered.events, 1);
    assert_eq!(Batch::in_buffer(Arc::from("main"), BYTES, &buffers).body().as_ptr(), place);
}
