use super::api::Api;
use super::traffic_controller::{Act, Connection, TrafficController, header};
use super::*;

fn frame(byte: u8, len: usize) -> Bytes {
    vec![byte; len].into()
}

fn kind(server: &TrafficController, pki: &Pki) -> SourceKind {
    SourceKind::Firehose(platform(&server.api.foundation, pki))
}

/// A traffic controller, and sources that read from it.
async fn running(script: impl IntoIterator<Item = Connection>) -> (Pki, TrafficController, Running) {
    let pki = Pki::new("test authority");
    let server = TrafficController::start(&pki, script).await;
    let running = Running::start(plan(kind(&server, &pki)));
    (pki, server, running)
}

#[tokio::test]
async fn frames_come_out_as_they_went_in() {
    let mut sent = golden("ws-firehose-filter-metrics.hex");
    sent.extend([frame(1, 0), frame(2, 125), frame(3, 126), frame(4, 65_535), frame(5, 65_536)]);
    sent.push(frame(6, 1024 * 1024));
    let (_pki, _server, running) = running([Connection::Open(vec![Act::Frames(sent.clone())])]).await;
    assert_eq!(running.take(FrameKind::V1Envelope, sent.len()).await, sent);
}

#[tokio::test]
async fn the_request_is_as_the_platform_expects() {
    let pki = Pki::new("test authority");
    let server = TrafficController::start(&pki, []).await;
    let only_logs = SelectorKinds { logs: true, events: true, ..SelectorKinds::default() };
    let running = Running::start(SourcePlan {
        shard_id: "my nozzle/ä".to_owned(),
        kinds: only_logs,
        ..plan(kind(&server, &pki))
    });
    timeout(DEADLINE, running.sources.wait_connected(1)).await.unwrap();
    let head = &server.heads()[0];
    assert!(head.starts_with("GET /firehose/my%20nozzle%2F%C3%A4?filter-type=logs HTTP/1.1\r\n"), "{head}");
    let is = |name, value: String| assert_eq!(header(head, name), Some(value), "{head}");
    is("authorization", "bearer t1".to_owned());
    is("host", server.address.to_string());
    is("origin", format!("wss://{}", server.address));
    is("upgrade", "websocket".to_owned());
    is("sec-websocket-version", "13".to_owned());
    assert_eq!(header(head, "sec-websocket-extensions"), None);
}

#[tokio::test]
async fn pings_are_answered_while_frames_pour_in() {
    let frames: Vec<Bytes> = (0..5_000).map(|_| frame(7, 800)).collect();
    let (_pki, _server, running) =
        running([Connection::Open(vec![Act::PingsAmong(frames), Act::Frames(vec![frame(9, 9)])])]).await;
    // The last frame is sent when all pongs have come.
    let taken = running.take(FrameKind::V1Envelope, 5_001).await;
    assert_eq!(taken.last(), Some(&frame(9, 9)));
    let stream = &running.sources.status().streams[0];
    assert!(stream.groups < 2_500, "many frames per wake-up: {stream:?}");
}

#[tokio::test]
async fn pings_are_answered_in_silence_and_count_as_life() {
    let pki = Pki::new("test authority");
    let pings = Act::Pings(24, Duration::from_millis(150));
    let script = [Connection::Open(vec![pings, Act::Frames(vec![frame(1, 1)])])];
    let server = TrafficController::start(&pki, script).await;
    let idle_timeout = Some(Duration::from_secs(3));
    let running = Running::start(SourcePlan { idle_timeout, ..plan(kind(&server, &pki)) });
    running.take(FrameKind::V1Envelope, 1).await;
    assert_eq!(
        running.sources.status().streams[0].connects,
        1,
        "more than three seconds of pings only is no silence"
    );
    assert!(running.ended("idle").await.contains("no frame, ping"));
    running.wait_for("replaced", |status| status.streams[0].connects == 2).await;
    assert_eq!(server.most_open(), 1, "the old one is closed before the new one is opened");
}

#[tokio::test]
async fn each_way_to_end_is_named_and_the_next_stream_is_opened() {
    let open = |act| Connection::Open(vec![Act::Frames(vec![frame(1, 10)]), act]);
    let late = "Client did not respond to ping before keep-alive timeout expired.";
    let cases = [
        (open(Act::Close(1000, "")), "closed", "code 1000"),
        (open(Act::Close(1008, late)), "closed", "did not respond to ping"),
        (open(Act::Close(1011, "boom")), "closed", "code 1011 \"boom\""),
        (open(Act::CutAfter(&[0x82])), "cut_in_frame", "middle of a frame"),
        (open(Act::CutAfter(&[0x82, 100, 1, 2, 3])), "cut_in_frame", "middle of a frame"),
        (open(Act::CutAfter(&[])), "cut", "without a close frame"),
        (open(Act::CutAfter(&[0xf2, 0])), "protocol", "extension"),
        (open(Act::CutAfter(&[0x82, 127, 0, 0, 0, 0, 1, 0, 0, 1])), "too_large", "16777217 bytes"),
        (Connection::Refuse(503, "full"), "unavailable", "503 \"full\""),
        (Connection::Refuse(404, "404 page not found\n"), "refused", "404 page not found"),
        (Connection::Refuse(400, "Bad Request\n"), "refused", "Bad Request"),
        (Connection::Refuse(502, ""), "unavailable", "502"),
    ];
    for (connection, reason, words) in cases {
        let next = Connection::Open(vec![Act::Frames(vec![frame(2, 20)])]);
        let (_pki, server, running) = running([connection, next]).await;
        let said = running.ended(reason).await;
        assert!(said.contains(words), "{reason}: expected {words:?}: {said}");
        let mut taken = running.take(FrameKind::V1Envelope, 1).await;
        while taken.last() != Some(&frame(2, 20)) {
            taken.append(&mut running.take(FrameKind::V1Envelope, 1).await);
        }
        assert_eq!(server.api.tokens(), 1, "{reason}: the token was not to blame");
        if reason == "closed" {
            running.wait_for("sent the close back", |_| server.closes() == 1).await;
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_at_once() {
    let refuse = Connection::Refuse(401, "You are not authorized. invalid authorization");
    let open = Connection::Open(vec![Act::Frames(vec![frame(3, 3)])]);
    let (_pki, server, running) = running([refuse, open]).await;
    running.take(FrameKind::V1Envelope, 1).await;
    let shown: Vec<_> = server.heads().iter().map(|head| header(head, "authorization").unwrap()).collect();
    assert_eq!(shown, ["bearer t1", "bearer t2"]);
    assert_eq!(running.sources.status().streams[0].last_end, None, "no failure of the stream");
}

#[tokio::test]
async fn a_client_without_the_authority_is_told_what_it_needs() {
    let refuse = || Connection::Refuse(401, "You are not authorized. invalid authorization");
    let (_pki, server, running) = running([refuse(), refuse(), refuse()]).await;
    let said = running.ended("unauthorized").await;
    assert!(said.contains("You are not authorized. invalid authorization"), "{said}");
    assert!(said.contains("doppler.firehose"), "{said}");
    assert!(!said.contains("t1") && !said.contains("t2"), "{said}");
    assert_eq!(server.api.tokens(), 2, "one new token per attempt to connect");
}

#[tokio::test]
async fn text_frames_are_life_but_not_data() {
    let acts = vec![Act::Text("hello"), Act::Frames(vec![frame(1, 1)])];
    let (_pki, _server, running) = running([Connection::Open(acts)]).await;
    assert_eq!(running.take(FrameKind::V1Envelope, 1).await, [frame(1, 1)]);
    assert_eq!(running.sources.status().streams[0].frames, 1);
}

#[tokio::test]
async fn stopping_closes_the_websocket_and_takes_what_is_under_way() {
    let late: Vec<Bytes> = (0..100).map(|number| frame(number, 50)).collect();
    let (_pki, server, running) = running([Connection::Open(vec![Act::AwaitClose(late.clone())])]).await;
    timeout(DEADLINE, running.sources.wait_connected(1)).await.unwrap();
    assert_eq!(running.stop().await, late);
    timeout(DEADLINE, server.all_closed()).await.unwrap();
}

#[tokio::test]
async fn a_foundation_without_a_firehose_is_told_so() {
    let pki = Pki::new("test authority");
    let api = Api::start(&[("logging", None)]).await;
    let running = Running::start(plan(SourceKind::Firehose(platform(&api.foundation, &pki))));
    assert!(running.ended("no_firehose").await.contains("switched off"));
    running.stop().await;
}
