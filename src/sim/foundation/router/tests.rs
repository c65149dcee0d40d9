use crate::proto::loggregator as v2;
use crate::proto::loggregator::envelope;
use crate::proto::loggregator::selector::Message;
use crate::sim::foundation::faults::End;
use crate::sim::foundation::table::RlpItem;

use super::*;

const APP: &str = "5b5a9c2e-0f53-4f7d-8a61-0123456789ab";

fn router() -> Arc<Router> {
    Arc::new(Router::new(10_000, 1000, JsonStyle::default()))
}

fn log(source_id: &str) -> Encoded {
    Encoded::new(&v2::Envelope {
        source_id: source_id.into(),
        message: Some(envelope::Message::Log(v2::Log { payload: "line".into(), r#type: 0 })),
        ..Default::default()
    })
}

fn counter(name: &str) -> Encoded {
    Encoded::new(&v2::Envelope {
        message: Some(envelope::Message::Counter(v2::Counter { name: name.into(), ..Default::default() })),
        ..Default::default()
    })
}

fn selector(source_id: &str, message: Message) -> Selector {
    Selector::parse(&v2::Selector { source_id: source_id.into(), message: Some(message) }).unwrap()
}

fn logs() -> Selector {
    selector("", Message::Log(v2::LogSelector {}))
}

fn logs_of(source_id: &str) -> Selector {
    selector(source_id, Message::Log(v2::LogSelector {}))
}

fn counters() -> Selector {
    selector("", Message::Counter(v2::CounterSelector::default()))
}

fn request(shard_id: &str, selectors: Vec<Selector>, deterministic_name: &str) -> RlpRequest {
    RlpRequest {
        shard_id: shard_id.into(),
        selectors,
        deterministic_name: deterministic_name.into(),
        use_preferred_tags: true,
    }
}

fn subscribe(router: &Arc<Router>, shard: &str, selectors: Vec<Selector>) -> Lease<RlpSubscription> {
    router.subscribe_rlp(request(shard, selectors, ""), Reader::Grpc, None)
}

fn got(stream: &Lease<RlpSubscription>) -> usize {
    stream.mailbox.counts().buffered
}

#[test]
fn streams_of_a_shard_share_and_other_shards_get_copies() {
    let router = router();
    let [a, b] = [(); 2].map(|()| subscribe(&router, "shared", vec![logs()]));
    let other = subscribe(&router, "other", vec![logs()]);
    let [full, second] = [(); 2].map(|()| subscribe(&router, "", vec![logs()]));
    router.publish(&vec![log("x"); 2000]);
    assert_eq!(got(&a) + got(&b), 2000);
    // 22 standard deviations wide on each side.
    assert!((500..1500).contains(&got(&a)), "{}", got(&a));
    assert_eq!([got(&other), got(&full), got(&second)], [2000; 3]);
}

#[test]
fn selectors_are_a_union_and_the_shard_id_decides_about_repeated_ones() {
    let specific = || logs_of("x");
    let router = router();
    for (shard, selectors, expected) in [
        ("", vec![logs(), logs()], 2),
        ("", vec![logs(), specific()], 2),
        ("s1", vec![logs(), logs()], 1),
        ("s2", vec![logs(), specific()], 2),
        ("s3", vec![counters()], 0),
        ("s4", vec![logs_of("y")], 0),
    ] {
        let stream = subscribe(&router, shard, selectors);
        router.publish(&[log("x")]);
        assert_eq!(got(&stream), expected, "{:?}", stream.request);
    }
}

#[test]
fn streams_of_a_shard_with_different_selectors_share_only_what_is_equal() {
    let router = router();
    let both = subscribe(&router, "s", vec![logs(), counters()]);
    let logs_only = subscribe(&router, "s", vec![logs()]);
    router.publish(&vec![log("x"); 100]);
    router.publish(&vec![counter("c"); 100]);
    assert_eq!(got(&both) + got(&logs_only), 200);
    assert!(got(&both) >= 100 && got(&logs_only) <= 100);
}

#[test]
fn deterministic_names_keep_a_counter_on_one_stream() {
    let router = router();
    let streams = ["one", "two", "three"]
        .map(|name| router.subscribe_rlp(request("s", vec![counters(), logs()], name), Reader::Grpc, None));
    let mut homes = Vec::new();
    for n in 0..30 {
        let before: Vec<_> = streams.iter().map(got).collect();
        router.publish(&vec![counter(&format!("counter{n}")); 10]);
        let gained: Vec<_> = streams.iter().zip(before).map(|(s, before)| got(s) - before).collect();
        assert!(gained.contains(&10), "{gained:?}");
        homes.push(gained.iter().position(|&n| n == 10).unwrap());
    }
    for home in 0..3 {
        assert!(homes.contains(&home), "{homes:?}");
    }
}

#[test]
fn an_envelope_without_a_message_goes_nowhere() {
    let router = router();
    let stream = subscribe(&router, "", vec![logs()]);
    router.publish(&[Encoded::new(&v2::Envelope::default())]);
    assert_eq!(got(&stream), 0);
    assert_eq!(router.totals().published, 1);
}

#[test]
fn a_full_stream_loses_new_envelopes_and_a_full_websocket_its_backlog() {
    let router = Arc::new(Router::new(10, 4, JsonStyle::default()));
    let stream = subscribe(&router, "a", vec![logs()]);
    let copy = subscribe(&router, "", vec![logs()]);
    let websocket = router.subscribe_v1(V1Key::App(APP.into()));
    router.publish(&vec![log(APP); 14]);
    assert_eq!((router.totals().rlp_dropped, router.totals().copies_dropped), (4, 4));
    assert_eq!(router.totals().v1_dropped, 12);
    assert_eq!(got(&copy), 10);
    assert_eq!((got(&stream), websocket.mailbox.counts().buffered), (10, 2));
}

#[test]
fn firehose_connections_share_by_subscription_and_filter() {
    let router = router();
    let open = |subscription: &str, filter| {
        router.subscribe_v1(V1Key::Firehose { subscription: subscription.into(), filter })
    };
    let [a, b] = [(); 2].map(|()| open("id", Filter::All));
    let logs = open("id", Filter::Logs);
    let metrics = open("id", Filter::Metrics);
    let app = router.subscribe_v1(V1Key::App(APP.into()));
    router.publish(&vec![log(APP); 100]);
    router.publish(&vec![counter("c"); 50]);
    let got = |stream: &Lease<V1Subscription>| stream.mailbox.counts().accepted;
    assert_eq!(got(&a) + got(&b), 150);
    assert!(got(&a) > 0 && got(&b) > 0);
    assert_eq!([got(&logs), got(&metrics), got(&app)], [100, 50, 100]);
}

#[test]
fn raw_bytes_reach_one_stream_of_each_shard() {
    let router = router();
    let [a, b] = [(); 2].map(|()| subscribe(&router, "s", vec![logs()]));
    let other = subscribe(&router, "", vec![counters()]);
    let websocket =
        router.subscribe_v1(V1Key::Firehose { subscription: "id".into(), filter: Filter::Metrics });
    router.publish_message(Bytes::from_static(b"\xff\xff"));
    router.publish_frame(b"\xff");
    assert_eq!([got(&a) + got(&b), got(&other)], [1, 1]);
    let mut frames = Vec::new();
    websocket.mailbox.take(1, &mut frames);
    assert_eq!(frames, [&b"\x82\x01\xff"[..]]);
    let mut items = Vec::new();
    other.mailbox.take(1, &mut items);
    assert!(matches!(&items[..], [RlpItem::Whole(message)] if **message == b"\xff\xff"[..]));
}

fn subscribe_gateway(router: &Arc<Router>, shard: &str) -> Lease<RlpSubscription> {
    router.subscribe_rlp(request(shard, vec![logs()], ""), Reader::Gateway(Arc::default()), None)
}

#[test]
fn all_streams_of_the_gateway_get_one_and_the_same_json() {
    let router = router();
    let streams = ["", "", "a"].map(|shard| subscribe_gateway(&router, shard));
    let grpc = subscribe(&router, "b", vec![logs()]);
    router.publish(&[log("x")]);
    let take = |stream: &Lease<RlpSubscription>| {
        let mut items = Vec::new();
        stream.mailbox.take(1, &mut items);
        items.remove(0)
    };
    let texts = streams.each_ref().map(|stream| match take(stream) {
        RlpItem::Json(Some(json)) => json,
        other => panic!("{other:?}"),
    });
    assert!(texts[0].starts_with(b"{\"timestamp\":"));
    assert!(texts.iter().all(|text| text.as_ptr() == texts[0].as_ptr()));
    assert!(matches!(take(&grpc), RlpItem::Envelope(_)));
}

#[test]
fn bytes_for_the_gateway_reach_one_of_its_streams_in_each_shard() {
    let router = router();
    let [a, b] = [(); 2].map(|()| subscribe_gateway(&router, "s"));
    let [c, d] = [(); 2].map(|()| subscribe_gateway(&router, ""));
    let grpc = subscribe(&router, "s", vec![logs()]);
    router.publish_text(Bytes::from_static(b": x"));
    router.publish_message(Bytes::from_static(b"\xff"));
    assert_eq!([got(&a) + got(&b), got(&c), got(&d), got(&grpc)], [1; 4]);
}

#[test]
fn faults_reach_their_targets_and_closed_streams_are_gone() {
    let router = router();
    let a = subscribe(&router, "a", vec![logs()]);
    let b = subscribe(&router, "b", vec![logs()]);
    let gateway = subscribe_gateway(&router, "a");
    let websocket = router.subscribe_v1(V1Key::Firehose { subscription: "a".into(), filter: Filter::All });
    let end = Fault::End(End::Unavailable);
    for (target, expected) in [
        (Target::All, 4),
        (Target::Rlp, 2),
        (Target::Gateway, 1),
        (Target::Websockets, 1),
        (Target::Shard("a".into()), 3),
        (Target::Stream(b.id), 1),
        (Target::Stream(StreamId(999)), 0),
    ] {
        assert_eq!(router.inject(&target, &end), expected, "{target:?}");
    }
    let copy = subscribe(&router, "", vec![logs()]);
    assert_eq!(router.streams().len(), 5);
    let all = Connected { rlp: 2, gateway: 1, copies: 1, firehose: 1, app_streams: 0 };
    assert_eq!(*router.connected().borrow(), all);
    drop((a, gateway, copy, websocket));
    assert_eq!(*router.connected().borrow(), Connected { rlp: 1, ..Connected::default() });
    assert_eq!(router.streams()[0].id, b.id);
}

#[tokio::test]
async fn waiting_for_room_ends_when_the_reader_reads() {
    let router = Arc::new(Router::new(10, 1000, JsonStyle::default()));
    let stream = subscribe(&router, "", vec![logs()]);
    router.publish(&vec![log("x"); 8]);
    router.room(2).await;
    let waiting = router.room(3);
    tokio::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    stream.mailbox.take(1, &mut Vec::new());
    waiting.await;
    // More than ever fits is as much as fits.
    stream.mailbox.take(10, &mut Vec::new());
    router.room(1_000_000).await;
}
