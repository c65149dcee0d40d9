//! What only a gateway does: it ends every stream for its age, and writes in many ways.

use std::collections::BTreeSet;
use std::time::Duration;

use firehose_nozzle::nozzle::source::Renewal;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::foundation::{
    Chunks, End, Fault, JsonStyle, LineEnd, Spacing, Spelling, StreamForm, StreamId, Target,
};
use firehose_nozzle::sim::hec::Record;
use firehose_nozzle::sim::load::{Limit, Load, LoadConfig};
use futures_util::future::join_all;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Way, for_each, load, more_events};
use crate::e2e::world::{open_streams, wait_for};
use crate::e2e::{DEADLINE, Nozzle, Source, World, app_guid, log};

/// How often each stream is renewed.
const RENEWALS: u64 = 2;

/// A nozzle that renews its streams soon after they are opened.
async fn renewing(way: Way) -> (World, Nozzle) {
    let world = way.world().await;
    let mut config = world.configure(Source::Gateway, &[]);
    let jitter = Duration::from_millis(200);
    config.source.renewal = Renewal { after: Duration::from_secs(2), jitter, ..Renewal::default() };
    let nozzle = world.connected_nozzle(config).await;
    (world, nozzle)
}

/// The open streams that share, the oldest first.
fn open_now(world: &World) -> BTreeSet<StreamId> {
    let streams = world.foundation.streams();
    streams.iter().filter(|stream| !stream.shard.is_empty()).map(|stream| stream.id).collect()
}

/// Renews both streams again and again, and closes the old ones as a gateway does after 14 minutes; `meanwhile` is
/// what happens while old and new are open side by side.
async fn renew(world: &World, nozzle: &Nozzle, meanwhile: impl AsyncFn(u64)) {
    let closing = End::Close { code: 0, reason: "closing due to stream timeout".to_owned() };
    for renewal in 1..=RENEWALS {
        let both = |status: &Status| status.source.ends.get("renewed") == Some(&(2 * renewal));
        nozzle.until("both are renewed", both).await;
        world.foundation.wait_connected(DEADLINE, |now| open_streams(now) == 4).await.unwrap();
        meanwhile(renewal).await;
        let old: BTreeSet<_> = open_now(world).into_iter().take(2).collect();
        for stream in &old {
            world.foundation.inject(&Target::Stream(*stream), &Fault::End(closing.clone()));
        }
        let gone = || open_now(world).is_disjoint(&old).then_some(());
        wait_for("the old ones are gone", gone, || format!("{:?}", world.foundation.streams())).await;
    }
    assert_eq!(nozzle.status().source.gaps, 0);
}

#[tokio::test]
async fn streams_are_renewed_before_the_gateway_ends_them_and_nothing_is_lost() {
    const EACH: u64 = 500;
    const ALL: u64 = (RENEWALS + 2) * EACH;
    for_each(Way::GATEWAY, async |way| {
        let (world, nozzle) = renewing(way).await;
        world.publish(0..EACH, |n| log(&app_guid(1), n)).await;
        renew(&world, &nozzle, async |renewal| {
            // Old and new streams share these, and have written them when the old ones end.
            world.publish(renewal * EACH..(renewal + 1) * EACH, |n| log(&app_guid(1), n)).await;
            world.sent_all().await;
        })
        .await;
        world.publish(ALL - EACH..ALL, |n| log(&app_guid(1), n)).await;
        world.settled(&nozzle).await;
        assert_eq!(world.sent(), ALL, "{way:?}: not even the platform lost any");
        world.finish(nozzle).await.assert_exactly(0..ALL);
    })
    .await;
}

#[tokio::test]
async fn a_renewal_under_load_costs_what_the_gateway_had_not_written_yet() {
    for_each(Way::GATEWAY, async |way| {
        let (world, nozzle) = renewing(way).await;
        let aftermath = load(&world, nozzle, async |world, nozzle| {
            renew(world, nozzle, async |_| more_events(world, 100).await).await;
        })
        .await;
        aftermath.assert_only_the_platform_lost(&format!("{way:?}"));
        assert_eq!(aftermath.ends(), ["renewed"], "{way:?}");
    })
    .await;
}

/// The events of one index, in an order of their own, without its name.
fn events_in(records: &[Record], index: &str) -> Vec<String> {
    let mut events: Vec<_> = records
        .iter()
        .map(Record::json)
        .filter(|event| event["index"] == index)
        .map(|mut event| {
            event["index"] = Value::Null;
            event.to_string()
        })
        .collect();
    events.sort_unstable();
    events
}

#[tokio::test]
async fn however_it_writes_the_events_are_those_of_the_log_proxy() {
    const ENVELOPES: u64 = 500;
    let forms = [
        StreamForm::default(),
        StreamForm { line_end: LineEnd::CrLf, chunks: Chunks::Random { pause: Duration::ZERO } },
        StreamForm { line_end: LineEnd::Cr, chunks: Chunks::Random { pause: Duration::ZERO } },
    ];
    let spellings = [Spelling::Current, Spelling::Older];
    let styles = [Spacing::Spaced, Spacing::Compact]
        .map(|spacing| spellings.map(|spelling| JsonStyle { spelling, spacing }));
    for (at, json) in styles.into_iter().flatten().enumerate() {
        let (way, form) = (Way::GATEWAY[at % 2], forms[at % forms.len()]);
        let case = format!("{way:?} {json:?} {form:?}");
        let world = way.world_with(|config| (config.gateway.json, config.gateway.form) = (json, form)).await;
        let read = async |source, index, more: &[(&str, &str)]| {
            let usual = [("ADD_TAGS", "true"), ("SPLUNK_INDEX", index), ("FIREHOSE_SUBSCRIPTION_ID", index)];
            world.nozzle(source, &[&usual[..], more].concat()).await
        };
        let (rlp, gateway) =
            (read(Source::Grpc, "rlp", &[]).await, read(Source::Gateway, "gateway", &[]).await);
        publish_everything(&world, ENVELOPES).await;
        // And in another way from now on.
        let other = StreamForm { line_end: LineEnd::Lf, ..form };
        let streams = Target::Shard("gateway".to_owned());
        assert_eq!(world.foundation.inject(&streams, &Fault::Form(other)), 2);
        publish_everything(&world, ENVELOPES).await;
        world.sent_all().await;
        let both = [&rlp, &gateway].map(|nozzle| async {
            nozzle
                .until("all is delivered", |status| {
                    status.ledger.received == 2 * ENVELOPES && status.ledger.buffered() == 0
                })
                .await
        });
        join_all(both).await;
        let verdict = world.compare(vec![rlp.stop().await, gateway.stop().await]);
        for nozzle in &verdict.nozzles {
            let ledger = &nozzle.ledger;
            assert_eq!((ledger.delivered, ledger.malformed.len()), (2 * ENVELOPES, 0), "{case}: {ledger}");
        }
        let (rlp, gateway) = (events_in(&verdict.records, "rlp"), events_in(&verdict.records, "gateway"));
        assert!(rlp.len() as u64 > 2 * ENVELOPES, "{case}: gauges of two metrics");
        let different = rlp.iter().zip(&gateway).find(|(rlp, gateway)| rlp != gateway);
        assert_eq!((rlp.len(), different), (gateway.len(), None), "{case}");
    }
}

/// Envelopes of all types, some of each.
async fn publish_everything(world: &World, envelopes: u64) {
    let limit = Limit::Events(envelopes);
    let load =
        Load::new(LoadConfig { events_per_second: 0, json_percent: 20, limit, ..LoadConfig::default() });
    load.run(&world.foundation, &CancellationToken::new()).await;
}
