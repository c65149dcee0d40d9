//! Streams that end, stall or are refused under load: they come back by themselves, and what is
//! lost is what the platform lost.

use firehose_nozzle::sim::foundation::{App, Connected, End, Fault, Target, Uaa};
use firehose_nozzle::sim::hec::Record;
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, Mix};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tonic::Status as Refusal;

use super::world::{container, wait_for};
use super::{DEADLINE, Nozzle, Source, Verdict, World, app_guid};

/// Envelopes published when the streams are open again.
const LAST: u64 = 200;

/// What came of a load that ran while something went wrong.
struct Aftermath {
    verdict: Verdict,
    /// Envelopes published in all, numbered from 0.
    published: u64,
    /// Envelopes, each one frame in v1, that the platform took out of its buffers to send.
    sent: u64,
}

/// Waits until Splunk has so many more events.
async fn more_events(world: &World, more: u64) {
    let wanted = world.hec.snapshot().ledger.events + more;
    world.hec.wait_until(DEADLINE, |hec| hec.ledger.events >= wanted).await.unwrap();
}

/// Lets something happen to a nozzle under a steady load; `happen` returns when it is over.
async fn under_load(
    source: Source,
    settings: &[(&str, &str)],
    happen: impl AsyncFnOnce(&World, &Nozzle),
) -> Aftermath {
    let world = World::start().await;
    let nozzle = world.nozzle(source, settings).await;
    let load = Load::new(LoadConfig {
        events_per_second: 1000,
        mix: Mix::logs(),
        limit: Limit::Never,
        ..LoadConfig::default()
    });
    let stop = CancellationToken::new();
    let script = async {
        more_events(&world, 200).await;
        happen(&world, &nozzle).await;
        more_events(&world, 200).await;
        stop.cancel();
    };
    let (report, ()) = tokio::join!(load.run(&world.foundation, &stop), script);
    let published = report.published.total() + LAST;
    world.publish(published - LAST..published, |n| container(&app_guid(1), n)).await;
    // They share the streams with what came before them, and are behind it.
    let last = || world.hec.summary().unwrap().events_of_sourcetype("cf:containermetric") == LAST;
    wait_for("the last ones arrive", || last().then_some(()), || format!("{:?}", nozzle.status())).await;
    let sent = world.sent();
    let verdict = world.finish(nozzle).await;

    let ledger = verdict.ledger();
    assert_eq!((ledger.lost(), ledger.delivered), (0, ledger.received), "{ledger}");
    assert!(verdict.missing(published - LAST..published).is_empty());
    Aftermath { verdict, published, sent }
}

impl Aftermath {
    /// What the platform did not send is missing, and nothing else.
    fn assert_only_the_platform_lost(&self, case: &str) {
        let received = self.verdict.ledger().received;
        assert_eq!(received, self.sent, "{case}: all that was sent was read");
        self.assert_only_unread_is_missing(case);
    }

    /// What was not read is missing, and nothing else.
    fn assert_only_unread_is_missing(&self, case: &str) {
        let received = self.verdict.ledger().received;
        assert!(received <= self.sent, "{case}");
        let missing = self.verdict.missing(0..self.published).len() as u64;
        assert_eq!(missing, self.published - received, "{case}");
        assert_eq!(self.verdict.duplicates(), 0, "{case}");
    }
}

/// Waits until both streams have been opened again after the first time.
async fn both_reopened(world: &World, nozzle: &Nozzle, reason: &str) {
    nozzle
        .until(reason, |status| {
            let source = &status.source;
            let ended = source.ends.get(reason).is_some_and(|n| *n >= 2);
            ended && source.connected == 2 && source.streams.iter().all(|stream| stream.connects >= 2)
        })
        .await;
    let open = |open: &Connected| open.rlp + open.firehose == 2;
    world.foundation.wait_connected(DEADLINE, open).await.unwrap();
}

async fn ends(source: Source, end: End, reason: &str) -> Aftermath {
    let end = Fault::End(end);
    under_load(source, &[], async |world, nozzle| {
        assert_eq!(world.foundation.inject(&Target::All, &end), 2);
        both_reopened(world, nozzle, reason).await;
    })
    .await
}

#[tokio::test]
async fn streams_that_the_platform_ends() {
    let close = End::Close { code: 1008, reason: "slow".to_owned() };
    let cases = [
        (Source::Grpc, End::Eof, "completed"),
        (Source::Grpc, End::Unavailable, "unavailable"),
        (Source::Grpc, End::ResourceExhausted, "resource_exhausted"),
        (Source::Firehose, End::Eof, "closed"),
        (Source::Firehose, close, "closed"),
    ];
    join_all(cases.map(async |(source, end, reason)| {
        let case = format!("{source:?} {end:?}");
        ends(source, end, reason).await.assert_only_the_platform_lost(&case);
    }))
    .await;
}

#[tokio::test]
async fn streams_that_are_cut() {
    // What was on its way is neither here nor there.
    ends(Source::Grpc, End::Cut, "lost").await.assert_only_unread_is_missing("gRPC");
    let frames = ends(Source::Firehose, End::Cut, "cut_in_frame").await;
    frames.assert_only_unread_is_missing("websocket");
    let halves = frames.sent - frames.verdict.ledger().received;
    assert!(halves <= 2, "at most half a frame in each stream: {halves}");
}

#[tokio::test]
async fn a_connection_that_is_to_go_away_brings_its_stream_to_the_end() {
    let aftermath = under_load(Source::Grpc, &[], async |world, _| {
        assert_eq!(world.foundation.inject(&Target::Rlp, &Fault::GoAway), 2);
    })
    .await;
    aftermath.assert_only_the_platform_lost("GOAWAY");
    assert_eq!(aftermath.sent, aftermath.published, "not even the platform lost any");
}

#[tokio::test]
async fn streams_that_stall_are_replaced() {
    join_all(Source::BOTH.map(async |source| {
        let aftermath = under_load(source, &[("FIREHOSE_KEEP_ALIVE", "2s")], async |world, nozzle| {
            assert_eq!(world.foundation.inject(&Target::All, &Fault::Stall), 2);
            both_reopened(world, nozzle, "idle").await;
        })
        .await;
        aftermath.assert_only_unread_is_missing(&format!("{source:?}"));
    }))
    .await;
}

#[tokio::test]
async fn a_platform_that_refuses_streams_is_asked_again() {
    let aftermath = under_load(Source::Grpc, &[], async |world, nozzle| {
        let full = Refusal::resource_exhausted("unable to create stream, max egress streams reached: 500");
        world.foundation.refuse_streams(3, &full);
        world.foundation.inject(&Target::All, &Fault::End(End::Eof));
        both_reopened(world, nozzle, "completed").await;
    })
    .await;
    aftermath.assert_only_the_platform_lost("refused");
    assert_eq!(aftermath.verdict.status().source.ends.get("resource_exhausted"), Some(&3));
}

#[tokio::test]
async fn what_the_platform_drops_or_repeats_is_passed_on_as_it_is() {
    let dropped = under_load(Source::Grpc, &[], async |world, _| {
        world.foundation.inject(&Target::All, &Fault::DropNext(50));
        more_events(world, 100).await;
    })
    .await;
    dropped.assert_only_the_platform_lost("dropped");
    assert_eq!(dropped.published - dropped.sent, 100);

    let repeated = under_load(Source::Firehose, &[], async |world, _| {
        world.foundation.inject(&Target::All, &Fault::DuplicateNext(20));
        more_events(world, 100).await;
    })
    .await;
    assert_eq!(repeated.verdict.ledger().received, repeated.sent);
    assert_eq!(repeated.verdict.duplicates(), 40, "no more than the platform made");
    assert!(repeated.verdict.missing(0..repeated.published).is_empty());
}

#[tokio::test]
async fn expired_and_revoked_tokens_are_replaced() {
    for expire in [Uaa::expire_all, Uaa::revoke_all] {
        let settings = [("ADD_APP_INFO", "AppName"), ("METADATA_WAIT", "1m"), ("METADATA_RATE", "1000/s")];
        let aftermath = under_load(Source::Firehose, &settings, async |world, nozzle| {
            expire(world.foundation.uaa());
            // A new app, for which the Cloud Controller has to be asked with a new token as well.
            let app = App { guid: app_guid(1), name: "shop".to_owned(), ..App::default() };
            world.foundation.capi().put_app(app);
            world.foundation.inject(&Target::All, &Fault::End(End::Eof));
            both_reopened(world, nozzle, "closed").await;
        })
        .await;
        aftermath.assert_only_the_platform_lost("tokens");
        let verdict = &aftermath.verdict;
        assert_eq!(verdict.status().source.ends.get("unauthorized"), None);
        let of_app = |name: &str, value: &str| {
            let with = |record: &&Record| record.json()["event"][name] == value;
            verdict.records.iter().filter(with).count() as u64
        };
        assert_eq!((of_app("cf_app_id", &app_guid(1)), of_app("cf_app_name", "shop")), (LAST, LAST));
    }
}
