//! Everything that can go wrong with Loggregator and UAA, on every way out of the platform: streams
//! come back by themselves, and what is lost is what the platform lost.
//!
//! The gateway is read over HTTP/2 and over HTTP/1.1. What is lost is computed from what was
//! published, what the platform has sent, and what has arrived in Splunk.
//!
//! | what happens | gRPC | gateway | v1 | test |
//! |---|---|---|---|---|
//! | stream ends in good order; UNAVAILABLE; RESOURCE_EXHAUSTED; body ends without an event; closing event; close 1000, 1008 | × | × | × | [`ends`]`::streams_that_the_platform_ends` |
//! | cut: connection; within a line; within a frame | × | × | × | `ends::streams_that_are_cut` |
//! | body ends in good order within an event | | × | | `ends::a_body_that_ends_within_an_event` |
//! | GOAWAY, `connection: close` | × | × | | `ends::a_connection_that_is_to_go_away_…` |
//! | stream limit reached: RESOURCE_EXHAUSTED; body ends at once | × | × | | `ends::a_platform_that_refuses_streams_…` |
//! | stream limit reached: 503 | | | × | `ends::a_traffic_controller_without_a_slot_…` |
//! | 503 while no log proxy is reached | | × | | `ends::a_gateway_without_its_log_proxy_…` |
//! | silent stall | × | × | × | [`silence`]`::streams_that_stall_are_replaced` |
//! | delay; heartbeats only, then data | × | × | × | `silence::what_is_late_is_not_lost` |
//! | head before any data; heartbeats or pings while silent | | × | × | `silence::signs_of_life_keep_…` |
//! | buffers run over (1,000 lapped, 10,000 full) with `dropped` counters | × | × | × | [`loss`]`::what_runs_over_…` |
//! | envelopes dropped; delivered twice | × | × | × | `loss::what_the_platform_drops_…`, `…_repeats_…` |
//! | messages over 4 MiB, lines over 8 MB | × | × | × | `loss::the_largest_batches_arrive` |
//! | frames without events, empty logs, timers that are not HTTP | | | × | `loss::what_has_no_v1_form_…` |
//! | 404, 401 for tokens that expired or were revoked, then a good one | | × | × | [`tokens`]`::expired_and_revoked_…` |
//! | tokens expire while streams are open | | × | × | `tokens::open_streams_outlive_…` |
//! | tokens of a short life | | × | × | `tokens::short_lives_…` |
//! | UAA answers 401, 5xx, late | | × | × | `tokens::a_uaa_in_trouble_…` |
//! | end at 14 minutes, renewed before | | × | | [`gateway`]`::streams_are_renewed_…`, `a_renewal_under_load_…` |
//! | both spellings and spacings of JSON, all line ends, lines in pieces | | × | | `gateway::however_it_writes_…` |
//! | client certificates demanded and refused | × | | | with the source's own tests, and `it_waits_for_certificate_files` |

mod ends;
mod gateway;
mod loss;
mod silence;
mod tokens;

use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::foundation::{FoundationConfig, HttpVersions};
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig, Mix};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::world::{container, more_events, open_streams, wait_for};
use super::{DEADLINE, Nozzle, Source, Verdict, World, app_guid};

/// Envelopes a second of a load.
const RATE: u64 = 500;

/// Envelopes published when the streams are open again.
const LAST: u64 = 200;

/// Cases that run side by side: they mostly wait, but not for one another.
const CASES_AT_ONCE: usize = 3;

/// Runs a test for each case.
async fn for_each<T>(cases: impl IntoIterator<Item = T>, test: impl AsyncFn(T)) {
    stream::iter(cases).map(|case| test(case)).buffer_unordered(CASES_AT_ONCE).collect::<()>().await;
}

/// A way out of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Grpc,
    GatewayHttp2,
    GatewayHttp1,
    Firehose,
}

impl Way {
    const ALL: [Self; 4] = [Self::Grpc, Self::GatewayHttp2, Self::GatewayHttp1, Self::Firehose];
    const GATEWAY: [Self; 2] = [Self::GatewayHttp2, Self::GatewayHttp1];
    /// Those that need a token.
    const TOKENS: [Self; 3] = [Self::GatewayHttp2, Self::GatewayHttp1, Self::Firehose];

    fn source(self) -> Source {
        match self {
            Self::Grpc => Source::Grpc,
            Self::GatewayHttp2 | Self::GatewayHttp1 => Source::Gateway,
            Self::Firehose => Source::Firehose,
        }
    }

    fn configure(self, config: &mut FoundationConfig) {
        if self == Self::GatewayHttp1 {
            config.gateway.http = HttpVersions::One;
        }
    }

    async fn world(self) -> World {
        self.world_with(|_| {}).await
    }

    async fn world_with(self, change: impl FnOnce(&mut FoundationConfig)) -> World {
        let change = |config: &mut FoundationConfig| {
            self.configure(config);
            change(config);
        };
        World::with(change, |_| {}).await
    }
}

/// What came of a load that ran while something went wrong.
struct Aftermath {
    verdict: Verdict,
    /// Envelopes published in all, numbered from 0.
    published: u64,
    /// Envelopes, each one frame in v1, that the platform took out of its buffers to send.
    sent: u64,
}

/// Lets something happen to a nozzle under a steady load; `happen` returns when it is over.
async fn under_load(
    way: Way,
    settings: &[(&str, &str)],
    happen: impl AsyncFnOnce(&World, &Nozzle),
) -> Aftermath {
    let world = way.world().await;
    let nozzle = world.nozzle(way.source(), settings).await;
    load(&world, nozzle, happen).await
}

/// The same in a world of its own.
async fn load(world: &World, nozzle: Nozzle, happen: impl AsyncFnOnce(&World, &Nozzle)) -> Aftermath {
    let load = Load::new(LoadConfig {
        events_per_second: RATE,
        mix: Mix::logs(),
        limit: Limit::Never,
        ..LoadConfig::default()
    });
    let stop = CancellationToken::new();
    let script = async {
        more_events(world, 200).await;
        happen(world, &nozzle).await;
        more_events(world, 200).await;
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
    fn status(&self) -> &Status {
        self.verdict.status()
    }

    /// Why streams ended, before the nozzle was stopped.
    fn ends(&self) -> Vec<&'static str> {
        let ends = self.status().source.ends.keys();
        ends.copied().filter(|reason| *reason != "stopped").collect()
    }

    /// Nothing was lost anywhere, and nothing came twice.
    fn assert_nothing_lost(&self, case: &str) {
        assert_eq!(self.sent, self.published, "{case}: not even the platform lost any");
        self.assert_only_the_platform_lost(case);
    }

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

    /// The streams of the beginning were those of the end.
    fn assert_never_reconnected(&self, case: &str) {
        let source = &self.status().source;
        assert!(source.streams.iter().all(|stream| stream.connects == 1), "{case}: {source:?}");
    }
}

/// Waits until both streams have ended for a reason, and been opened again.
async fn both_reopened(world: &World, nozzle: &Nozzle, reason: &str) {
    nozzle
        .until(reason, |status| {
            let source = &status.source;
            let ended = source.ends.get(reason).is_some_and(|n| *n >= 2);
            ended && source.connected == 2 && source.streams.iter().all(|stream| stream.connects >= 2)
        })
        .await;
    world.foundation.wait_connected(DEADLINE, |open| open_streams(open) == 2).await.unwrap();
}
