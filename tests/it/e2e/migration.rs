//! Rolling pushes that change what is read: an old and a new instance side by side for a while.
//!
//! Numbered envelopes are published before, while and after both run; how often each arrives says
//! whether the two share, and what is missing says what was lost. The table of the operation page
//! is what these tests show.

use std::collections::BTreeMap;
use std::ops::Range;

use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::proto::loggregator::envelope::Message;
use firehose_nozzle::proto::loggregator::{Counter, Envelope, Gauge, GaugeValue};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::verdict::number;
use super::world::{Ended, container, more_events, open_streams, steady_load};
use super::{DEADLINE, Nozzle, Source, Verdict, World, app_guid, log};

/// Envelopes published in each phase.
const PHASE: u64 = 300;
const BEFORE: Range<u64> = 0..PHASE;
const BOTH: Range<u64> = PHASE..2 * PHASE;
const AFTER: Range<u64> = 2 * PHASE..3 * PHASE;

/// How an instance is set up.
type Setup<'a> = (Source, &'a [(&'a str, &'a str)]);

/// Runs `old`, both, and `new` alone, while envelopes are published in each phase.
async fn push(old: Setup<'_>, new: Setup<'_>, envelope: impl Fn(u64) -> Envelope) -> Verdict {
    // Many of them run at once, and arrays of what they hold would be more than a stack.
    Box::pin(phases(old, new, envelope)).await
}

async fn phases(old: Setup<'_>, new: Setup<'_>, envelope: impl Fn(u64) -> Envelope) -> Verdict {
    let world = World::start().await;
    let old = world.nozzle(old.0, old.1).await;
    phase(&world, &[&old], BEFORE, &envelope).await;
    let new = world.nozzle(new.0, new.1).await;
    phase(&world, &[&old, &new], BOTH, &envelope).await;
    let old = retire(&world, old).await;
    phase(&world, &[&new], AFTER, &envelope).await;
    world.compare(vec![old, new.stop().await])
}

/// Stops an instance, and waits until the platform has noticed.
async fn retire(world: &World, old: Nozzle) -> Ended {
    let left = open_streams(&world.foundation.connected()) - old.status().source.connected;
    let ended = old.stop().await;
    world.foundation.wait_connected(DEADLINE, |open| open_streams(open) == left).await.unwrap();
    ended
}

/// Publishes, and waits until these nozzles are done with everything.
async fn phase(world: &World, nozzles: &[&Nozzle], numbers: Range<u64>, envelope: impl Fn(u64) -> Envelope) {
    let received = |status: &Status| status.ledger.received + status.ledger.malformed.values().sum::<u64>();
    let before: u64 = nozzles.iter().map(|nozzle| received(&nozzle.status())).sum();
    let sent = world.sent();
    world.publish(numbers, envelope).await;
    world.sent_all().await;
    let wanted = before + world.sent() - sent;
    let all = |_: &Status| nozzles.iter().map(|nozzle| received(&nozzle.status())).sum::<u64>() >= wanted;
    nozzles[0].until("all that was sent is read", all).await;
    join_all(
        nozzles.iter().map(|nozzle| nozzle.until("all is settled", |status| status.ledger.buffered() == 0)),
    )
    .await;
}

/// How often the numbers of a phase have arrived: how many numbers arrived so many times.
fn copies(verdict: &Verdict, numbers: Range<u64>, wanted: impl Fn(u64) -> bool) -> BTreeMap<u64, u64> {
    let mut times: BTreeMap<u64, u64> = numbers.filter(|n| wanted(*n)).map(|n| (n, 0)).collect();
    for number in verdict.records.iter().filter_map(number) {
        times.entry(number).and_modify(|times| *times += 1);
    }
    let mut copies = BTreeMap::new();
    for times in times.into_values() {
        *copies.entry(times).or_default() += 1;
    }
    copies
}

/// All of a phase so many times.
fn all(times: u64) -> BTreeMap<u64, u64> {
    [(times, PHASE)].into()
}

#[tokio::test]
async fn a_change_of_the_source_gives_two_copies_only_between_v1_and_v2() {
    use Source::{Firehose, Gateway, Grpc};
    let cases = [
        (Grpc, Gateway, 1),
        (Gateway, Grpc, 1),
        (Gateway, Gateway, 1),
        (Firehose, Firehose, 1),
        (Firehose, Gateway, 2),
        (Firehose, Grpc, 2),
        (Gateway, Firehose, 2),
    ];
    join_all(cases.map(async |(old, new, times)| {
        let verdict = push((old, &[]), (new, &[]), |n| log(&app_guid(1), n)).await;
        let case = format!("{old:?} to {new:?}");
        let every = |_| true;
        assert_eq!(copies(&verdict, BEFORE, every), all(1), "{case}");
        assert_eq!(copies(&verdict, BOTH, every), all(times), "{case}");
        assert_eq!(copies(&verdict, AFTER, every), all(1), "{case}");
        let [old, new] = &verdict.nozzles[..] else { panic!("two instances") };
        let (old, new) = (&old.ledger, &new.ledger);
        assert_eq!(old.delivered + new.delivered, (2 + times) * PHASE, "{case}");
        assert_eq!((old.lost(), new.lost(), old.filtered.len() + new.filtered.len()), (0, 0, 0), "{case}");
    }))
    .await;
}

#[tokio::test]
async fn another_subscription_gives_two_copies() {
    join_all(Source::ALL.map(async |source| {
        let id = |id| [("FIREHOSE_SUBSCRIPTION_ID", id)];
        let verdict = push((source, &id("old")), (source, &id("new")), |n| log(&app_guid(1), n)).await;
        let every = |_| true;
        let phases = [BEFORE, BOTH, AFTER].map(|phase| copies(&verdict, phase, every));
        assert_eq!(phases, [1, 2, 1].map(all), "{source:?}");
    }))
    .await;
}

#[tokio::test]
async fn under_load_a_change_from_v1_to_v2_loses_nothing_and_doubles_what_both_read() {
    for source in [Source::Gateway, Source::Grpc] {
        let world = World::start().await;
        let old = world.nozzle(Source::Firehose, &[]).await;
        let (load, over) = (steady_load(), CancellationToken::new());
        let more = async |events| more_events(&world, events).await;
        let script = async {
            more(200).await;
            let new = world.nozzle(source, &[]).await;
            more(400).await;
            let old = retire(&world, old).await;
            more(200).await;
            over.cancel();
            (old, new)
        };
        let (report, (old, new)) = tokio::join!(load.run(&world.foundation, &over), script);
        world.sent_all().await;
        let sent = world.foundation.totals().rlp_sent;
        new.until("it has read all that was sent to it", |status| status.ledger.received >= sent).await;
        let verdict = world.compare(vec![old, new.stop().await]);

        let published = report.published.total();
        let read: u64 = verdict.nozzles.iter().map(|nozzle| nozzle.ledger.received).sum();
        verdict.assert_at_least(0..published);
        let twice = copies(&verdict, 0..published, |_| true).remove(&2).expect("both read for a while");
        assert_eq!(twice, read - published, "{source:?}: each twice at most");
    }
}

/// Kinds of envelopes, in turn.
const KINDS: [&str; 5] = ["LogMessage", "Error", "CounterEvent", "ValueMetric", "ContainerMetric"];

fn kind(n: u64) -> &'static str {
    KINDS[n as usize % KINDS.len()]
}

/// A numbered envelope of the kind that is its turn.
fn of_each_kind(n: u64) -> Envelope {
    let (line, name) = (log(&app_guid(1), n), format!("seq={n:09}"));
    match kind(n) {
        "Error" => {
            let tags = [("__v1_type", "Error"), ("source", "router"), ("code", "7")];
            Envelope { tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(), ..line }
        }
        "CounterEvent" => {
            Envelope { message: Some(Message::Counter(Counter { name, delta: 1, total: 1 })), ..line }
        }
        "ValueMetric" => {
            let metrics = [(name, GaugeValue { unit: "ms".to_owned(), value: 1.5 })].into();
            Envelope { message: Some(Message::Gauge(Gauge { metrics })), ..line }
        }
        "ContainerMetric" => container(&app_guid(1), n),
        _ => line,
    }
}

/// What becomes of a kind while both instances run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Never,
    Once,
    Twice,
    /// One of the two reads it and leaves it out.
    Partly,
}

impl Fate {
    fn of(copies: &BTreeMap<u64, u64>) -> Self {
        match copies.keys().copied().collect::<Vec<_>>()[..] {
            [0] => Self::Never,
            [1] => Self::Once,
            [2] => Self::Twice,
            [0, 1] => Self::Partly,
            _ => panic!("no fate: {copies:?}"),
        }
    }
}

/// Old EVENTS, new EVENTS, and the fates of log, error, counter, value and container.
type Change = (&'static str, &'static str, [Fate; 5]);

async fn check_change(source: Source, (old, new, fates): Change) {
    let verdict = push((source, &[("EVENTS", old)]), (source, &[("EVENTS", new)]), of_each_kind).await;
    let named = |events: &str, kind: &str| events.split(',').any(|name| name == kind);
    let mut partly = 0;
    for (wanted, fate) in KINDS.into_iter().zip(fates) {
        let case = format!("{source:?} from {old} to {new}: {wanted}");
        let of = |numbers| copies(&verdict, numbers, |n| kind(n) == wanted);
        let alone = |events| if named(events, wanted) { Fate::Once } else { Fate::Never };
        assert_eq!(Fate::of(&of(BEFORE)), alone(old), "{case}, before");
        assert_eq!(Fate::of(&of(BOTH)), fate, "{case}, both");
        assert_eq!(Fate::of(&of(AFTER)), alone(new), "{case}, after");
        if fate == Fate::Partly {
            partly += of(BOTH)[&0];
        }
    }
    // What is missing in part was read, and left out by the instance that is not to deliver it.
    let left_out = |nozzle: &Status| nozzle.ledger.filtered.get("event_type").copied().unwrap_or(0);
    let left_out: u64 = verdict.nozzles.iter().map(left_out).sum();
    assert!(partly <= left_out, "{source:?} from {old} to {new}: {partly} of {left_out}");
    assert!(verdict.nozzles.iter().all(|nozzle| nozzle.ledger.lost() == 0));
}

#[tokio::test]
async fn a_change_of_events_is_shared_on_v2_by_selector() {
    use Fate::{Never, Once, Partly};
    let changes = [
        ("LogMessage", "LogMessage,CounterEvent", [Once, Never, Once, Never, Never]),
        ("LogMessage,CounterEvent", "LogMessage", [Once, Never, Once, Never, Never]),
        ("LogMessage", "LogMessage,Error", [Once, Partly, Never, Never, Never]),
        ("ValueMetric", "ValueMetric,ContainerMetric", [Never, Never, Never, Once, Partly]),
        ("LogMessage", "ValueMetric", [Once, Never, Never, Once, Never]),
    ];
    let all =
        [Source::Grpc, Source::Gateway].map(|source| changes.map(|change| check_change(source, change)));
    join_all(all.into_iter().flatten()).await;
}

#[tokio::test]
async fn a_change_of_events_is_shared_on_v1_if_both_ask_for_logs_for_the_rest_or_for_all() {
    use Fate::{Never, Once, Partly, Twice};
    let changes = [
        // Both ask for everything, or both for all but logs.
        ("LogMessage,ValueMetric", "LogMessage,CounterEvent", [Once, Never, Partly, Partly, Never]),
        ("ValueMetric", "ValueMetric,CounterEvent", [Never, Never, Partly, Once, Never]),
        // Logs alone and everything.
        ("LogMessage", "LogMessage,CounterEvent", [Twice, Never, Once, Never, Never]),
        ("LogMessage,CounterEvent", "LogMessage", [Twice, Never, Once, Never, Never]),
        // All but logs and everything.
        ("ValueMetric,Error", "LogMessage,ValueMetric", [Once, Once, Never, Twice, Never]),
        // Logs alone and all but logs.
        ("LogMessage", "ValueMetric", [Once, Never, Never, Once, Never]),
    ];
    join_all(changes.map(|change| check_change(Source::Firehose, change))).await;
}
