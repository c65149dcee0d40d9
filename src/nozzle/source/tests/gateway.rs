use http::Version;

use super::api::Api;
use super::gateway_server::{Gateway, Refusal};
use super::*;

const BOTH: &[&str] = &["h2", "http/1.1"];
const NOT_FOUND: Refusal = Refusal(404, "{\"message\":\"resource not found\",\"error\":\"not_found\"}\n\n");
const CLOSING: &str = "event: closing\ndata: closing due to stream timeout\n\n";

fn kind(server: &Gateway, pki: &Pki) -> SourceKind {
    SourceKind::Gateway(platform(&server.api.foundation, pki))
}

fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// A gateway, and sources that read from it.
async fn running(refusals: impl IntoIterator<Item = Option<Refusal>>) -> (Pki, Gateway, Running) {
    let pki = Pki::new("test authority");
    let server = Gateway::start(&pki, BOTH, refusals).await;
    let running = Running::start(plan(kind(&server, &pki)));
    (pki, server, running)
}

#[tokio::test]
async fn events_come_out_as_they_went_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/loggregator/gateway-all-cases.sse");
    let recorded = std::fs::read_to_string(path).unwrap();
    let expected: Vec<&str> =
        recorded.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    for (protocols, version) in
        [(BOTH, Version::HTTP_2), (&["http/1.1"], Version::HTTP_11), (&[], Version::HTTP_11)]
    {
        let pki = Pki::new("test authority");
        let server = Gateway::start(&pki, protocols, []).await;
        let running = Running::start(plan(kind(&server, &pki)));
        let stream = server.stream(0).await;
        for chunk in recorded.as_bytes().chunks(7_001) {
            stream.send(chunk.to_vec()).await;
        }
        let taken = running.take(FrameKind::GatewayBatch, expected.len()).await;
        assert!(taken == expected, "{version:?}");
        assert_eq!(server.asked()[0].version, version);
    }
}

#[tokio::test]
async fn the_request_is_as_the_gateway_expects() {
    for (protocols, version) in [(BOTH, Version::HTTP_2), (&["http/1.1"], Version::HTTP_11)] {
        let pki = Pki::new("test authority");
        let server = Gateway::start(&pki, protocols, []).await;
        let kinds = SelectorKinds { logs: true, counters: true, v1_only: true, ..SelectorKinds::default() };
        let shard_id = "my nozzle/ä&b".to_owned();
        let running = Running::start(SourcePlan { shard_id, kinds, ..plan(kind(&server, &pki)) });
        timeout(DEADLINE, running.sources.wait_connected(1)).await.unwrap();
        let asked = &server.asked()[0];
        assert_eq!(asked.method, "GET");
        assert_eq!(asked.path_and_query, "/v2/read?shard_id=my%20nozzle%2F%C3%A4%26b&log&counter");
        assert_eq!(asked.version, version);
        assert_eq!(asked.host, server.address.to_string());
        assert_eq!(asked.headers["authorization"], "bearer t1");
        assert_eq!(asked.headers["accept"], "text/event-stream");
        assert_eq!(asked.headers.get("accept-encoding"), None);
    }
}

#[tokio::test]
async fn any_byte_counts_as_life() {
    let pki = Pki::new("test authority");
    let server = Gateway::start(&pki, BOTH, []).await;
    let idle_timeout = Some(Duration::from_secs(3));
    let running = Running::start(SourcePlan { idle_timeout, ..plan(kind(&server, &pki)) });
    let stream = server.stream(0).await;
    for piece in ["event: heartbeat\ndata: 1795320072\n\n", "heartbeat: 1\n", "data: {", "}", ":", "\n"] {
        for _ in 0..4 {
            stream.send(piece).await;
            sleep(Duration::from_millis(150)).await;
        }
    }
    running.take(FrameKind::GatewayBatch, 1).await;
    assert_eq!(running.sources.status().streams[0].connects, 1, "more than three seconds without an event");
    assert!(running.ended("idle").await.contains("no frame, ping or heartbeat"));
    stream.closed().await;
    server.stream(1).await;
}

#[tokio::test]
async fn each_way_to_end_is_named_and_the_next_stream_is_opened() {
    enum Way {
        Send(&'static str),
        Cut,
    }
    let cases = [
        (Way::Send(CLOSING), "closing", "the gateway closed the stream"),
        (Way::Send(""), "unavailable", "without a closing event: the gateway has lost"),
        (Way::Send("data: {"), "unavailable", "without a closing event, in the middle of an event"),
        (Way::Cut, "lost", ""),
    ];
    for protocols in [BOTH, &["http/1.1"]] {
        for (way, reason, words) in &cases {
            let pki = Pki::new("test authority");
            let server = Gateway::start(&pki, protocols, []).await;
            let running = Running::start(plan(kind(&server, &pki)));
            let stream = server.stream(0).await;
            stream.send(event("1")).await;
            let mut taken = running.take(FrameKind::GatewayBatch, 1).await;
            match way {
                Way::Send(last) => {
                    stream.send(*last).await;
                    drop(stream);
                    server.end(0);
                }
                Way::Cut => stream.cut().await,
            }
            let said = running.ended(reason).await;
            assert!(said.contains(words), "{reason}: expected {words:?}: {said}");
            server.stream(1).await.send(event("2")).await;
            taken.extend(running.take(FrameKind::GatewayBatch, 1).await);
            assert_eq!(taken, ["1", "2"]);
            assert_eq!(server.api.tokens(), 1, "{reason}: the token was not to blame");
        }
    }
}

#[tokio::test]
async fn refusals_are_named_and_tried_again() {
    let unavailable =
        "{\"message\":\"streaming is temporarily unavailable\",\"error\":\"streaming_unavailable\"}\n\n";
    let cases = [
        (Refusal(503, unavailable), "unavailable", "503 \"streaming is temporarily unavailable\""),
        (Refusal(400, "{\"message\":\"query cannot be empty\"}\n\n"), "refused", "query cannot be empty"),
        (Refusal(405, "{\"message\":\"method not allowed\"}\n\n"), "refused", "405 \"method not allowed\""),
        (Refusal(404, "404 page not found\n"), "refused", "no gateway at the address"),
        (Refusal(200, "<html>log in here"), "protocol", "expected text/event-stream"),
    ];
    for (refusal, reason, words) in cases {
        let (_pki, server, running) = running([Some(refusal), Some(refusal)]).await;
        let said = running.ended(reason).await;
        assert!(said.contains(words), "{reason}: expected {words:?}: {said}");
        server.stream(0).await.send(event("1")).await;
        running.take(FrameKind::GatewayBatch, 1).await;
        assert_eq!((server.asked().len(), server.api.tokens()), (3, 1), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_at_once() {
    let (_pki, server, running) = running([Some(NOT_FOUND)]).await;
    server.stream(0).await.send(event("1")).await;
    running.take(FrameKind::GatewayBatch, 1).await;
    let shown: Vec<_> = server.asked().iter().map(|asked| asked.headers["authorization"].clone()).collect();
    assert_eq!(shown, ["bearer t1", "bearer t2"]);
    assert_eq!(running.sources.status().streams[0].last_end, None, "no failure of the stream");
}

#[tokio::test]
async fn a_client_without_the_authority_is_told_what_it_needs() {
    let (_pki, server, running) = running([NOT_FOUND; 3].map(Some)).await;
    let said = running.ended("unauthorized").await;
    assert!(said.contains("404 \"resource not found\""), "{said}");
    assert!(said.contains("doppler.firehose or logs.admin"), "{said}");
    assert!(!said.contains("t1") && !said.contains("t2"), "{said}");
    assert_eq!(server.api.tokens(), 2, "one new token per attempt to connect");
}

#[tokio::test]
async fn a_line_without_end_costs_itself_only() {
    let (_pki, server, running) = running([]).await;
    let stream = server.stream(0).await;
    stream.send(event("1")).await;
    stream.send("data: ").await;
    let piece = Bytes::from(vec![b'x'; 1024 * 1024]);
    for _ in 0..17 {
        stream.send(piece.clone()).await;
    }
    stream.send(format!("\n\n{}", event("2"))).await;
    assert_eq!(running.take(FrameKind::GatewayBatch, 2).await, ["1", "2"]);
    assert_eq!(running.ledger.snapshot().malformed["frame"], 1);
    assert_eq!(running.sources.status().streams[0].connects, 1);
}

#[tokio::test]
async fn stopping_ends_the_stream() {
    for protocols in [BOTH, &["http/1.1"]] {
        let pki = Pki::new("test authority");
        let server = Gateway::start(&pki, protocols, []).await;
        let running = Running::start(plan(kind(&server, &pki)));
        let stream = server.stream(0).await;
        stream.send(event("1")).await;
        running.wait_for("read", |status| status.streams[0].frames == 1).await;
        assert_eq!(running.stop().await, ["1"]);
        stream.closed().await;
    }
}

#[tokio::test]
async fn a_foundation_without_a_gateway_is_told_so() {
    let pki = Pki::new("test authority");
    let api = Api::start(&[("log_stream", None)]).await;
    let running = Running::start(plan(SourceKind::Gateway(platform(&api.foundation, &pki))));
    assert!(running.ended("no_gateway").await.contains("no RLP gateway"));
    running.stop().await;
}

fn renewed(status: &SourcesStatus) -> Option<u64> {
    status.ends.get("renewed").copied()
}

#[tokio::test]
async fn a_stream_is_renewed_before_it_ends_and_nothing_is_lost_between() {
    for protocols in [BOTH, &["http/1.1"]] {
        let pki = Pki::new("test authority");
        let server = Gateway::start(&pki, protocols, []).await;
        let renewal = Renewal {
            after: Duration::from_millis(20),
            jitter: Duration::from_millis(10),
            overlap: DEADLINE,
        };
        let running = Running::start(SourcePlan { renewal, ..plan(kind(&server, &pki)) });
        let mut sent = Vec::new();
        let mut taken = Vec::new();
        for generation in 0..4 {
            // The old stream is still open, and both bring something.
            let (old, new) = (server.stream(generation).await, server.stream(generation + 1).await);
            let renewals = Some(generation as u64 + 1);
            running.wait_for("renewed", |status| renewed(status) >= renewals).await;
            for number in 0..100 {
                for (stream, name) in [(&old, "old"), (&new, "new")] {
                    let data = format!("{generation} {number} {name}");
                    stream.send(event(&data)).await;
                    sent.push(data);
                }
            }
            old.send(format!("{}{CLOSING}", event("last"))).await;
            sent.push("last".to_owned());
            drop(old);
            server.end(generation);
            taken.extend(running.take(FrameKind::GatewayBatch, 201).await);
        }
        taken.sort_unstable();
        sent.sort_unstable();
        assert!(taken == sent, "each exactly once");
        let status = running.sources.status();
        assert!(renewed(&status) >= Some(4), "{status:?}");
        assert_eq!((status.gaps, status.ends.len()), (0, 1), "{status:?}");
        assert_eq!(status.streams[0].last_end, None);
        running.stop().await;
    }
}

#[tokio::test]
async fn an_old_stream_that_does_not_end_is_left() {
    let pki = Pki::new("test authority");
    let server = Gateway::start(&pki, BOTH, []).await;
    let moment = Duration::from_millis(20);
    let renewal = Renewal { after: moment, jitter: Duration::ZERO, overlap: moment };
    let running = Running::start(SourcePlan { renewal, ..plan(kind(&server, &pki)) });
    for number in 0..3 {
        server.stream(number).await.closed().await;
    }
    running.stop().await;
}

#[tokio::test]
async fn streams_take_turns_at_being_renewed() {
    let pki = Pki::new("test authority");
    let server = Gateway::start(&pki, BOTH, []).await;
    let moment = Duration::from_millis(400);
    let renewal = Renewal { after: moment, jitter: Duration::ZERO, overlap: Duration::from_millis(1) };
    let streams = NonZeroUsize::new(3).unwrap();
    let running = Running::start(SourcePlan { renewal, streams, ..plan(kind(&server, &pki)) });
    timeout(DEADLINE, running.sources.wait_connected(3)).await.unwrap();
    server.hold_answers();
    server.forget_waiting();
    for number in 0..6 {
        assert_eq!(server.one_waits().await, 1, "one at a time");
        // Meanwhile the others come of age.
        if number == 0 {
            sleep(moment).await;
        }
        server.answer_one();
        let renewals = Some(number + 1);
        running.wait_for("renewed", |status| renewed(status) >= renewals).await;
    }
    assert_eq!(running.sources.connected(), 3);
}

#[tokio::test]
async fn a_renewal_that_fails_is_tried_again_while_the_old_stream_is_read() {
    let refused = Refusal(503, "not now");
    let (pki, server) = {
        let pki = Pki::new("test authority");
        let server = Gateway::start(&pki, BOTH, [None, Some(refused), Some(refused)]).await;
        (pki, server)
    };
    let renewal = Renewal {
        after: Duration::from_millis(20),
        jitter: Duration::ZERO,
        overlap: Duration::from_secs(60),
    };
    let running = Running::start(SourcePlan { renewal, ..plan(kind(&server, &pki)) });
    let (old, new) = (server.stream(0).await, server.stream(1).await);
    old.send(event("old")).await;
    new.send(event("new")).await;
    let mut taken = running.take(FrameKind::GatewayBatch, 2).await;
    taken.sort_unstable();
    assert_eq!(taken, ["new", "old"]);
    assert_eq!(server.asked().len(), 4);
    let status = running.sources.status();
    assert_eq!((renewed(&status), status.gaps, &status.streams[0].last_end), (Some(1), 0, &None));
}

#[tokio::test]
async fn a_stream_that_ends_before_it_is_renewed_is_opened_again() {
    let pki = Pki::new("test authority");
    let server = Gateway::start(&pki, BOTH, []).await;
    let renewal = Renewal { after: Duration::from_millis(20), jitter: Duration::ZERO, overlap: DEADLINE };
    let running = Running::start(SourcePlan { renewal, ..plan(kind(&server, &pki)) });
    server.stream(0).await;
    // All renewals fail; only a stream that is opened anew gets through.
    server.hold_answers();
    server.refuse([Some(Refusal(503, "not now")), None]);
    server.one_waits().await;
    server.answer_one();
    let stream = server.stream(0).await;
    stream.send(CLOSING).await;
    drop(stream);
    server.end(0);
    running.ended("closing").await;
    server.answer_one();
    server.answer_one();
    server.stream(1).await.send(event("1")).await;
    running.take(FrameKind::GatewayBatch, 1).await;
    running.stop().await;
}
