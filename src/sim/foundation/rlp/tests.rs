use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tonic::{Code, Streaming};

use super::*;
use crate::proto::loggregator::value::Data;
use crate::sim::foundation::testing::*;
use crate::sim::foundation::{Fault, Foundation, FoundationConfig, Target};
use crate::sim::wire::{Encoded, Kind};

async fn open(foundation: &Foundation, request: v2::EgressBatchRequest) -> Streaming<v2::EnvelopeBatch> {
    egress(foundation).await.batched_receiver(request).await.unwrap().into_inner()
}

/// Reads until `count` envelopes came; gives the batches.
async fn read(stream: &mut Streaming<v2::EnvelopeBatch>, count: usize) -> Vec<Vec<v2::Envelope>> {
    let mut batches = Vec::new();
    while batches.iter().map(Vec::len).sum::<usize>() < count {
        batches.push(within(stream.message()).await.unwrap().expect("the stream ended").batch);
    }
    batches
}

async fn refusal(foundation: &Foundation, request: v2::EgressBatchRequest) -> (Code, String) {
    let status = egress(foundation).await.batched_receiver(request).await.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn envelopes_arrive_in_order_the_first_alone_and_the_rest_in_hundreds() {
    let foundation = start().await;
    let mut stream = open(&foundation, batch_request("shard")).await;
    foundation.wait_connected(PATIENCE, |now| now.rlp == 1).await.unwrap();
    foundation.publish(&numbered(251));
    let batches = read(&mut stream, 251).await;
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 100, 100, 50]);
    assert_eq!(batches.concat(), numbered(251));
    let stats = &foundation.streams()[0];
    assert_eq!((stats.accepted, stats.sent, stats.dropped), (251, 251, 0));
}

#[tokio::test]
async fn the_receiver_method_sends_single_envelopes() {
    let foundation = start().await;
    let request = v2::EgressRequest {
        legacy_selector: Some(log_selector()),
        use_preferred_tags: true,
        ..Default::default()
    };
    let mut stream = egress(&foundation).await.receiver(request).await.unwrap().into_inner();
    foundation.publish(&numbered(5));
    for expected in numbered(5) {
        assert_eq!(within(stream.message()).await.unwrap(), Some(expected));
    }
}

#[tokio::test]
async fn requests_are_checked_with_the_proxys_own_words() {
    let foundation =
        Foundation::start(FoundationConfig { rlp_streams_max: 1, ..Default::default() }).await.unwrap();
    let empty = v2::EgressBatchRequest::default();
    let typeless = v2::EgressBatchRequest {
        selectors: vec![log_selector(), v2::Selector::default()],
        ..Default::default()
    };
    for (request, expected) in
        [(empty, "Selectors cannot be empty"), (typeless, "Selectors must have a Message")]
    {
        assert_eq!(refusal(&foundation, request).await, (Code::InvalidArgument, expected.into()));
    }
    foundation.refuse_streams(1, &Status::unavailable("scripted"));
    assert_eq!(refusal(&foundation, batch_request("shard")).await, (Code::Unavailable, "scripted".into()));

    let _stream = open(&foundation, batch_request("shard")).await;
    let full = "unable to create stream, max egress streams reached: 1";
    assert_eq!(refusal(&foundation, batch_request("shard")).await, (Code::ResourceExhausted, full.into()));
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let foundation = start().await;
    let connection =
        tls(foundation.rlp_address(), client(&foundation, Present::Certificate), "h2").await.unwrap();
    let io = hyper_util::rt::TokioIo::new(connection);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    let request = http::Request::post("http://rlp/loggregator.v2.Egress/Nothing")
        .header("content-type", "application/grpc")
        .body(http_body_util::Empty::<Bytes>::new())
        .unwrap();
    let response = tokio::select! {
        response = sender.send_request(request) => response.unwrap(),
        ended = connection => panic!("{ended:?}"),
    };
    assert_eq!(response.headers()["grpc-status"], "12");
}

#[tokio::test]
async fn a_client_needs_a_certificate_of_the_right_authority() {
    let foundation = start().await;
    // TLS 1.3 lets the client finish; the refusal comes with the first read.
    let outcome = async |config| -> std::io::Result<usize> {
        let mut stream = tls(foundation.rlp_address(), config, "h2").await?;
        tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 1]).await
    };
    let stranger = start().await;
    let mut other = client(&foundation, Present::Certificate);
    other.client_auth_cert_resolver = client(&stranger, Present::Certificate).client_auth_cert_resolver;
    for (config, expected) in
        [(client(&foundation, Present::Nothing), "CertificateRequired"), (other, "DecryptError")]
    {
        let error = within(outcome(config)).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn tags_come_in_the_form_asked_for() {
    let foundation = start().await;
    let mut preferred = open(&foundation, batch_request("a")).await;
    let old = v2::EgressBatchRequest { use_preferred_tags: false, ..batch_request("b") };
    let mut deprecated = open(&foundation, old).await;
    let text = |text: &str| v2::Value { data: Some(Data::Text(text.into())) };
    let mut envelope = log("x");
    envelope.tags = [("plain".to_owned(), "1".to_owned())].into();
    envelope.deprecated_tags = [("old".to_owned(), text("2"))].into();
    foundation.publish(&[envelope]);

    let got = read(&mut preferred, 1).await.concat().remove(0);
    assert_eq!(got.tags, [("old", "2"), ("plain", "1")].map(|(k, v)| (k.into(), v.into())).into());
    assert!(got.deprecated_tags.is_empty());
    let got = read(&mut deprecated, 1).await.concat().remove(0);
    let expected = [("old".to_owned(), text("2")), ("plain".to_owned(), text("1"))].into();
    assert_eq!(got.deprecated_tags, expected);
    assert!(got.tags.is_empty());
}

#[tokio::test]
async fn messages_may_be_larger_than_what_clients_accept_by_default() {
    let foundation = start().await;
    let mut stream = open(&foundation, batch_request("shard")).await;
    foundation.publish(&vec![log(vec![b'x'; 61_440]); 101]);
    let batches = read(&mut stream, 101).await;
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1, 100]);
    let size: usize = batches[1].iter().map(prost::Message::encoded_len).sum();
    assert!(size > 6_000_000, "{size}");
}

#[tokio::test]
async fn streams_end_as_scripted() {
    let foundation = start().await;
    for (end, code) in [
        (End::Eof, None),
        (End::Unavailable, Some(Code::Unavailable)),
        (End::ResourceExhausted, Some(Code::ResourceExhausted)),
    ] {
        let mut stream = open(&foundation, batch_request("shard")).await;
        foundation.publish(&numbered(1));
        read(&mut stream, 1).await;
        assert_eq!(foundation.inject(&Target::Rlp, &Fault::End(end.clone())), 1);
        let outcome = within(stream.message()).await;
        assert_eq!(outcome.as_ref().err().map(Status::code), code, "{end:?}");
        drop(stream);
        foundation.wait_connected(PATIENCE, |now| now.rlp == 0).await.unwrap();
    }
    let mut stream = open(&foundation, batch_request("shard")).await;
    foundation.inject(&Target::All, &Fault::End(End::Cut));
    assert!(within(stream.message()).await.is_err());
}

#[tokio::test]
async fn an_orderly_end_sends_what_is_buffered() {
    let foundation = start().await;
    let mut stream = open(&foundation, batch_request("shard")).await;
    foundation.inject(&Target::All, &Fault::Stall);
    foundation.publish(&numbered(250));
    let stop = foundation.stop();
    let reading = async {
        let all = read(&mut stream, 250).await;
        assert_eq!(within(stream.message()).await.unwrap(), None);
        all.concat()
    };
    let ((), got) = tokio::join!(stop, reading);
    assert_eq!(got, numbered(250));
}

#[tokio::test]
async fn a_stalled_stream_loses_what_its_buffer_cannot_hold_and_the_loss_is_told() {
    let config = FoundationConfig {
        rlp_buffer: 10,
        self_metrics_interval: Duration::from_millis(20),
        ..Default::default()
    };
    let foundation = Foundation::start(config).await.unwrap();
    let mut stream = open(&foundation, batch_request("a")).await;
    let counters = v2::Selector {
        source_id: "reverse_log_proxy".into(),
        message: Some(v2::selector::Message::Counter(v2::CounterSelector { name: "dropped".into() })),
    };
    let watch = v2::EgressBatchRequest { selectors: vec![counters], ..batch_request("") };
    let mut watch = open(&foundation, watch).await;

    foundation.inject(&Target::Shard("a".into()), &Fault::Stall);
    foundation.publish(&numbered(15));
    let told = read(&mut watch, 1).await.concat().remove(0);
    let Some(v2::envelope::Message::Counter(counter)) = &told.message else { panic!("{told:?}") };
    assert_eq!((counter.name.as_str(), counter.delta), ("dropped", 5));
    assert_eq!(told.tags["direction"], "egress");

    foundation.inject(&Target::Shard("a".into()), &Fault::Resume);
    assert_eq!(read(&mut stream, 10).await.concat(), numbered(10));
}

#[tokio::test]
async fn envelopes_can_be_lost_or_doubled() {
    let foundation = start().await;
    let mut stream = open(&foundation, batch_request("shard")).await;
    foundation.inject(&Target::All, &Fault::DropNext(2));
    foundation.inject(&Target::All, &Fault::DuplicateNext(1));
    foundation.publish(&numbered(4));
    let all = numbered(4);
    let expected = [&all[2], &all[2], &all[3]].map(Clone::clone);
    assert_eq!(read(&mut stream, 3).await.concat(), expected);
    assert_eq!(foundation.totals().rlp_dropped, 2);
}

#[tokio::test]
async fn go_away_lets_a_stream_live_but_no_new_one_start_on_its_connection() {
    let foundation = start().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let mut client = egress_counting(&foundation, Arc::clone(&connections)).await;
    let mut first = client.batched_receiver(batch_request("shard")).await.unwrap().into_inner();
    foundation.inject(&Target::All, &Fault::GoAway);
    foundation.publish(&numbered(3));
    assert_eq!(read(&mut first, 3).await.concat(), numbered(3));
    let reconnected = async {
        while connections.load(Ordering::Relaxed) < 2 {
            // Until the client has seen the frame, a new stream may be refused on the old connection.
            let _ = client.batched_receiver(batch_request("other")).await;
        }
    };
    within(reconnected).await;
    foundation.publish(&numbered(3));
    assert_eq!(read(&mut first, 3).await.concat(), numbered(3));
}

#[tokio::test]
async fn bytes_are_replayed_as_they_are() {
    let foundation = start().await;
    let mut stream = open(&foundation, batch_request("shard")).await;
    let raw = prost::Message::encode_to_vec(&v2::EnvelopeBatch { batch: numbered(3) });
    foundation.publish_message(raw.into());
    assert_eq!(read(&mut stream, 3).await, [numbered(3)]);

    foundation.publish_encoded(&[Encoded::from_bytes(b"\xff\xff", Some(Kind::Log))]);
    let status = within(stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}
