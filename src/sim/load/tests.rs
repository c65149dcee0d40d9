use std::collections::{BTreeSet, HashSet};

use prost::Message as _;

use super::*;
use crate::proto::dropsonde as v1;
use crate::proto::loggregator as v2;
use crate::proto::loggregator::envelope::Message;
use crate::sim::convert;
use crate::sim::foundation::FoundationConfig;
use crate::sim::wire::{Encoded, Kind};

fn generator(config: &LoadConfig) -> Generator {
    let mut generator = Generator::new(config);
    generator.set_time(1_795_319_239_653_791_311);
    generator
}

const SORTS: [Sort; 8] = [
    Sort::AppLog,
    Sort::ErrorLog,
    Sort::RouterLog,
    Sort::Timer,
    Sort::Container,
    Sort::Counter,
    Sort::Gauge,
    Sort::Event,
];

/// What an encoder of events without tags would still show.
fn untagged(envelope: v1::Envelope) -> String {
    format!("{:?}", v1::Envelope { tags: Default::default(), ..envelope })
}

#[test]
fn every_sort_is_a_valid_envelope_whose_number_survives_the_conversion() {
    let mut generator = generator(&LoadConfig::default());
    for sort in SORTS {
        for sequence in 0..50 {
            let encoded = generator.make(sort, sequence);
            let envelope = v2::Envelope::decode(encoded.body()).unwrap();
            assert_eq!(encoded.kind(), envelope.message.as_ref().map(Kind::of));
            // The decoder agrees with one that wrote the same envelope.
            assert_eq!(Encoded::new(&envelope).record().len(), encoded.record().len(), "{envelope:?}");
            assert!(envelope.tags.len() >= 8, "{envelope:?}");
            let batch = v2::EnvelopeBatch::decode(encoded.record().clone()).unwrap();
            assert_eq!(batch.batch, std::slice::from_ref(&envelope));
            check_number(sort, sequence, &envelope);
        }
    }
}

fn check_number(sort: Sort, sequence: u64, envelope: &v2::Envelope) {
    let converted = convert::to_v1(envelope.clone());
    if sort == Sort::Event {
        let Some(Message::Event(event)) = &envelope.message else { panic!("{envelope:?}") };
        assert_eq!(sequence_in(&event.body), Some(sequence));
        return;
    }
    let container =
        |metric: &v1::ContainerMetric| sequence_in(&format!("\"disk_bytes\":{}", metric.disk_bytes));
    let numbers: Vec<_> = converted
        .into_iter()
        .filter_map(|envelope| match &envelope.container_metric {
            Some(metric) => container(metric),
            None => sequence_in(&untagged(envelope)),
        })
        .collect();
    assert_eq!(numbers, [sequence], "{sort:?}");
}

#[test]
fn the_platform_tags_come_in_any_order() {
    let mut generator = generator(&LoadConfig { apps: 1, ..Default::default() });
    let mut orders = HashSet::new();
    for sequence in 0..50 {
        let encoded = generator.make(Sort::Container, sequence);
        let first = crate::sim::wire::fields(&encoded.body())
            .find(|field| field.number == 9)
            .map(|field| field.value.to_vec());
        orders.insert(first);
    }
    assert!(orders.len() > 5, "{}", orders.len());
}

#[test]
fn the_same_seed_makes_the_same_load() {
    let make = |seed| {
        let mut generator = generator(&LoadConfig { seed, ..Default::default() });
        let envelopes: Vec<_> = SORTS.iter().map(|&sort| generator.make(sort, 5).body()).collect();
        (generator.run().to_owned(), envelopes)
    };
    assert_eq!(make(7), make(7));
    assert_ne!(make(7), make(8));
}

#[test]
fn json_lines_and_sizes_are_as_asked_for() {
    for (json_percent, expected) in [(0, 0..=0), (50, 350..=650), (100, 1000..=1000)] {
        let config = LoadConfig { json_percent, payload_bytes: 800, ..Default::default() };
        let mut generator = generator(&config);
        let payloads: Vec<_> = (0..1000)
            .map(|n| match v2::Envelope::decode(generator.make(Sort::AppLog, n).body()).unwrap().message {
                Some(Message::Log(log)) => log.payload,
                other => panic!("{other:?}"),
            })
            .collect();
        let json = payloads.iter().filter(|payload| payload.starts_with(b"{")).count();
        assert!(expected.contains(&json), "{json} of 1000 at {json_percent} %");
        let mean = payloads.iter().map(|payload| payload.len()).sum::<usize>() / 1000;
        assert!((750..1050).contains(&mean), "{mean}");
    }
}

#[test]
fn envelopes_are_due_on_an_absolute_schedule() {
    let ms = Duration::from_millis;
    let config = |events_per_second, limit| LoadConfig { events_per_second, limit, ..Default::default() };
    let now = |events, lag| Due::Now { events, lag };
    for (at, made, config, expected) in [
        (ms(0), 0, config(1000, Limit::Never), now(1, ms(0))),
        (ms(0), 1, config(1000, Limit::Never), Due::Later(ms(1))),
        (ms(5), 1, config(1000, Limit::Never), now(5, ms(4))),
        (ms(5), 6, config(1000, Limit::Never), Due::Later(ms(6))),
        (ms(5000), 1000, config(1000, Limit::Never), now(CHUNK, ms(4000))),
        (ms(5000), 1000, config(1000, Limit::Events(1007)), now(7, ms(4000))),
        (ms(5000), 1007, config(1000, Limit::Events(1007)), Due::Over),
        (ms(9000), 1000, config(1000, Limit::Time(ms(1003))), now(3, ms(8000))),
        (ms(1), 1003, config(1000, Limit::Time(ms(1003))), Due::Over),
        (ms(1), 0, config(0, Limit::Never), now(CHUNK, ms(0))),
        (ms(1), 95, config(0, Limit::Events(100)), now(5, ms(0))),
        (ms(10), 5, config(0, Limit::Time(ms(10))), Due::Over),
        (ms(334), 1, config(3, Limit::Never), now(1, Duration::from_nanos(666_666))),
    ] {
        assert_eq!(due(at, made, &config), expected, "{at:?} {made} {config:?}");
    }
}

#[test]
fn what_is_later_is_due_then() {
    for rate in [1, 3, 7, 1000, 99_991, 300_000] {
        let config = LoadConfig { events_per_second: rate, ..Default::default() };
        for made in [1, 2, 1000, 123_457] {
            let Due::Later(at) = due(Duration::ZERO, made, &config) else { panic!("{rate} {made}") };
            assert!(matches!(due(at, made, &config), Due::Now { events: 1, .. }), "{rate} {made}");
        }
    }
}

#[tokio::test]
async fn a_run_publishes_what_it_reports_and_registers_its_apps() {
    let foundation = Foundation::start(FoundationConfig::default()).await.unwrap();
    let config = LoadConfig {
        events_per_second: 0,
        apps: 30,
        limit: Limit::Events(1234),
        first_sequence: 10,
        ..Default::default()
    };
    let report = Load::new(config).run(&foundation, &CancellationToken::new()).await;
    assert_eq!(report.published.total(), 1234);
    assert_eq!(report.first_sequence, 10);
    assert_eq!(foundation.totals().published, 1234);
    assert!(report.bytes > 1234 * 500, "{report:?}");
    let published = report.published;
    assert!(published.app_logs > 500 && published.timers > 80 && published.counters > 5, "{published:?}");
}

#[tokio::test]
async fn without_a_rate_nothing_is_lost_however_slowly_a_reader_reads() {
    use crate::sim::foundation::testing::{PATIENCE, batch_request, egress, within};
    let foundation = Foundation::start(FoundationConfig { rlp_buffer: 300, ..Default::default() });
    let foundation = foundation.await.unwrap();
    let mut client = egress(&foundation).await;
    let mut stream = client.batched_receiver(batch_request("a")).await.unwrap().into_inner();
    foundation.wait_connected(PATIENCE, |now| now.rlp == 1).await.unwrap();
    let config = LoadConfig {
        events_per_second: 0,
        mix: Mix::logs(),
        limit: Limit::Events(5000),
        ..Default::default()
    };
    let stop = CancellationToken::new();
    let load = Load::new(config).run(&foundation, &stop);
    let read = async {
        let mut seen = BTreeSet::new();
        while seen.len() < 5000 {
            for envelope in within(stream.message()).await.unwrap().unwrap().batch {
                let Some(Message::Log(log)) = &envelope.message else { panic!("{envelope:?}") };
                let text = std::str::from_utf8(&log.payload).unwrap();
                assert!(seen.insert(sequence_in(text).unwrap()), "twice: {text}");
            }
        }
        seen
    };
    let (report, seen) = tokio::join!(load, read);
    assert_eq!(seen, (0..5000).collect());
    assert_eq!(report.published.total(), 5000);
    assert_eq!(foundation.totals().rlp_dropped, 0);
}

#[tokio::test]
async fn the_gateways_readers_are_waited_for_as_well() {
    use crate::sim::foundation::testing::{PATIENCE, http, within};
    let foundation = Foundation::start(FoundationConfig { rlp_buffer: 300, ..Default::default() });
    let foundation = foundation.await.unwrap();
    let token = foundation.uaa().issue("test", &["logs.admin"]);
    let request = http(&foundation).get(format!("{}/v2/read?log&shard_id=a", foundation.gateway_url()));
    let request = request.header("authorization", format!("bearer {token}"));
    let mut response = request.send().await.unwrap();
    foundation.wait_connected(PATIENCE, |now| now.gateway == 1).await.unwrap();
    let config = LoadConfig {
        events_per_second: 0,
        mix: Mix::logs(),
        limit: Limit::Events(5000),
        ..Default::default()
    };
    let stop = CancellationToken::new();
    let load = Load::new(config).run(&foundation, &stop);
    let read = async {
        let (mut seen, mut rest) = (0, Vec::new());
        while seen < 5000 {
            rest.extend(within(response.chunk()).await.unwrap().expect("the body ended"));
            let complete = rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let text = String::from_utf8(rest.drain(..complete).collect()).unwrap();
            seen += text.matches(r#"{"timestamp":"#).count();
        }
        seen
    };
    let (report, seen) = tokio::join!(load, read);
    assert_eq!((report.published.total(), seen), (5000, 5000));
    assert_eq!(foundation.totals().rlp_dropped, 0);
}

#[tokio::test]
async fn a_load_stops_when_it_is_told_to() {
    let foundation = Foundation::start(FoundationConfig::default()).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let report = Load::new(LoadConfig::default()).run(&foundation, &stop).await;
    assert_eq!(report.published.total(), 0);
}
