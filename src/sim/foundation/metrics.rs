//! What the platform says about itself in its own firehose.
//!
//! Losses are always told. How much came in and went out is told only on request, because it
//! would disturb who counts envelopes.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::router::Router;
use super::stats::Totals;
use crate::clock::UnixNanos;
use crate::proto::loggregator as v2;
use crate::proto::loggregator::envelope::Message;
use crate::sim::wire::Encoded;

/// How much the platform tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SelfMetrics {
    /// `dropped` counters, when something was dropped.
    #[default]
    Losses,
    /// `ingress`, `egress` and `dropped`, each time.
    All,
}

/// Publishes self-metrics for ever.
pub(crate) async fn run(router: Arc<Router>, interval: Duration, what: SelfMetrics) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Totals::default();
    loop {
        ticks.tick().await;
        let now = router.totals();
        router.publish(&report(&before, &now, what));
        before = now;
    }
}

/// The counters of one interval.
fn report(before: &Totals, now: &Totals, what: SelfMetrics) -> Vec<Encoded> {
    let published = (before.published, now.published);
    let sent_by_rlp = |totals: &Totals| totals.rlp_sent + totals.copies_sent;
    let dropped_by_rlp = |totals: &Totals| totals.rlp_dropped + totals.copies_dropped;
    let rlp_sent = (sent_by_rlp(before), sent_by_rlp(now));
    let rlp_dropped = (dropped_by_rlp(before), dropped_by_rlp(now));
    let v1_sent = (before.v1_sent, now.v1_sent);
    let v1_dropped = (before.v1_dropped, now.v1_dropped);
    let out = ("direction", "egress");
    let mut counters = Vec::new();
    for (source, name, tag, (before, total)) in [
        (DOPPLER, "ingress", None, published),
        (DOPPLER, "egress", None, v1_sent),
        (DOPPLER, "dropped", Some(out), v1_dropped),
        (PROXY, "ingress", Some(("protocol", "grpc")), published),
        (PROXY, "egress", None, rlp_sent),
        (PROXY, "dropped", Some(out), rlp_dropped),
    ] {
        let delta = total - before;
        let told = match what {
            SelfMetrics::All => true,
            SelfMetrics::Losses => name == "dropped" && delta > 0,
        };
        if told {
            counters.push(counter(source, name, tag, delta, total));
        }
    }
    counters
}

/// A component: source id, origin, job.
type Component = (&'static str, &'static str, &'static str);
const DOPPLER: Component = ("doppler", "loggregator.doppler", "doppler");
const PROXY: Component = ("reverse_log_proxy", "loggregator.rlp", "log-api");

fn counter(
    (source_id, origin, job): Component,
    name: &str,
    tag: Option<(&str, &str)>,
    delta: u64,
    total: u64,
) -> Encoded {
    let tags = [
        ("origin", origin),
        ("deployment", "cf"),
        ("job", job),
        ("index", "0f7c3c4e-6c64-4a6f-9f43-1f2f6f6b7a01"),
        ("ip", "10.0.4.11"),
        ("metric_version", "2.0"),
    ];
    Encoded::new(&v2::Envelope {
        timestamp: UnixNanos::now().0,
        source_id: source_id.to_owned(),
        tags: tags.into_iter().chain(tag).map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        message: Some(Message::Counter(v2::Counter { name: name.to_owned(), delta, total })),
        ..v2::Envelope::default()
    })
}

/// The notice of a websocket that was cut because its client read too slowly.
pub(crate) fn slow_consumer_event(path: &str) -> Encoded {
    Encoded::new(&v2::Envelope {
        timestamp: UnixNanos::now().0,
        source_id: "traffic_controller".to_owned(),
        message: Some(Message::Event(v2::Event {
            title: "Traffic Controller has disconnected slow consumer".to_owned(),
            body: format!("Remote Address: 127.0.0.1\nX-Forwarded-For: \nPath: {path}\n"),
        })),
        ..v2::Envelope::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(encoded: &[Encoded]) -> Vec<(String, u64, u64)> {
        let counter = |encoded: &Encoded| {
            let envelope = encoded.decode().unwrap();
            let Some(Message::Counter(counter)) = envelope.message else { panic!("{envelope:?}") };
            (format!("{}.{}", envelope.source_id, counter.name), counter.delta, counter.total)
        };
        encoded.iter().map(counter).collect()
    }

    #[test]
    fn losses_are_told_as_differences_and_totals() {
        let before = Totals { published: 10, rlp_dropped: 3, ..Totals::default() };
        let now = Totals { published: 30, rlp_dropped: 8, v1_dropped: 1000, ..before };
        assert_eq!(
            names(&report(&before, &now, SelfMetrics::Losses)),
            [("doppler.dropped".into(), 1000, 1000), ("reverse_log_proxy.dropped".into(), 5, 8)]
        );
        assert!(report(&now, &now, SelfMetrics::Losses).is_empty());
        assert_eq!(report(&now, &now, SelfMetrics::All).len(), 6);
    }
}
