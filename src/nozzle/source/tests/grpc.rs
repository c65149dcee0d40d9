use tokio::net::TcpListener;

use super::rlp::{Call, Ending, Rlp};
use super::*;
use crate::nozzle::source::grpc::MESSAGE_BYTES_MAX;
use crate::nozzle::source::selectors::selectors;

const OK: Ending = Ending::Status("0", "");

fn message(len: usize) -> Bytes {
    (0..len).map(|index| (index % 251) as u8).collect()
}

/// A proxy with a good certificate, and sources that read from it.
async fn running(calls: impl IntoIterator<Item = Call>) -> (Pki, Rlp, Running) {
    let pki = Pki::new("test authority");
    let leaf = pki.authority.server(&["reverselogproxy"]).unwrap();
    let rlp = Rlp::start(pki.mutual(&leaf), calls).await;
    let running = Running::start(plan(grpc_kind(rlp.address, pki.client())));
    (pki, rlp, running)
}

#[tokio::test]
async fn messages_come_out_as_they_went_in() {
    let recorded = golden("rlp-batches-preferred-tags.hex");
    let mut sent = recorded.clone();
    // Larger than the default limit of gRPC libraries, and than the receive window.
    sent.extend([message(6 * 1024 * 1024), message(1), message(MESSAGE_BYTES_MAX)]);
    let (_pki, _rlp, running) = running([Call::Reply(sent.clone(), Ending::Open)]).await;
    let taken = running.take(FrameKind::V2Batch, sent.len()).await;
    assert_eq!(taken.len(), sent.len());
    for (index, (taken, sent)) in taken.iter().zip(&sent).enumerate() {
        assert!(taken == sent, "message {index} of {} bytes differs", sent.len());
    }
    let stream = &running.sources.status().streams[0];
    assert_eq!((stream.frames, stream.connects), (sent.len() as u64, 1));
    assert_eq!(stream.bytes, sent.iter().map(|message| message.len() as u64).sum::<u64>());
    assert!(running.stop().await.is_empty());
}

#[tokio::test]
async fn many_messages_come_per_wake_up() {
    let sent = vec![message(10); 10_000];
    let (_pki, _rlp, running) = running([Call::Reply(sent.clone(), Ending::Open)]).await;
    running.take(FrameKind::V2Batch, sent.len()).await;
    let stream = &running.sources.status().streams[0];
    assert!(stream.groups < stream.frames / 4, "{stream:?}");
}

#[tokio::test]
async fn the_request_asks_for_what_is_wanted() {
    let (_pki, rlp, running) = running([]).await;
    timeout(DEADLINE, running.sources.wait_connected(1)).await.unwrap();
    let request = &rlp.requests()[0];
    assert_eq!(request.shard_id, "shard");
    assert!(request.use_preferred_tags);
    assert_eq!(request.selectors, selectors(SelectorKinds::ALL));
    assert_eq!(request.legacy_selector, None);
    assert_eq!(request.deterministic_name, "");
}

#[tokio::test]
async fn each_way_to_end_is_named_and_the_next_stream_is_opened() {
    let last = Bytes::from_static(b"last");
    let reply = |code, text| Call::Reply(vec![Bytes::from_static(b"x")], Ending::Status(code, text));
    let cases = [
        (Call::Reply(vec![], OK), "completed", "in good order"),
        (reply("0", ""), "completed", "in good order"),
        (reply("14", "gone"), "unavailable", "gone"),
        (Call::Refuse("14", "not there"), "unavailable", "not there"),
        (
            Call::Refuse("8", "unable to create stream, max egress streams reached: 500"),
            "resource_exhausted",
            "max egress streams reached: 500",
        ),
        (Call::Refuse("3", "Selectors cannot be empty"), "refused", "Selectors cannot be empty"),
        (Call::Refuse("12", "unknown service"), "refused", "unknown service"),
        (Call::Refuse("7", "no"), "unauthorized", "PermissionDenied: no"),
        (Call::Refuse("16", "who"), "unauthorized", "Unauthenticated: who"),
        (
            Call::Reply(vec![message(MESSAGE_BYTES_MAX + 1)], Ending::Open),
            "too_large",
            "found 16777217 bytes",
        ),
        (Call::Refuse("0", ""), "completed", "in good order"),
        (Call::Raw(200, b"", Ending::Bare), "unavailable", "without a status"),
        (Call::Raw(200, b"\0\0\0\0\x05abc", OK), "lost", "in the middle of a message"),
        (Call::Raw(200, b"\x01\0\0\0\0", Ending::Open), "protocol", "flag 1, expected 0"),
        (Call::Raw(502, b"Bad Gateway", Ending::Bare), "unavailable", "502 Bad Gateway"),
        (Call::Raw(403, b"no", Ending::Open), "unauthorized", "403 Forbidden"),
        (Call::Raw(404, b"not here", Ending::Open), "refused", "404 Not Found"),
    ];
    for (call, reason, words) in cases {
        let shown = format!("{reason} {words}");
        let next = Call::Reply(vec![last.clone()], Ending::Open);
        let (_pki, _rlp, running) = running([call, next]).await;
        let said = running.ended(reason).await;
        assert!(said.contains(words), "{shown}: {said}");
        let mut taken = running.take(FrameKind::V2Batch, 1).await;
        if taken[0] != last {
            taken = running.take(FrameKind::V2Batch, 1).await;
        }
        assert_eq!(taken, std::slice::from_ref(&last), "{shown}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_replaced() {
    let (_pki, rlp, running) = running([Call::Reply(vec![message(1)], Ending::Open)]).await;
    running.take(FrameKind::V2Batch, 1).await;
    rlp.cut();
    let said = running.ended("lost").await;
    assert!(said.contains("closed the connection"), "{said}");
}

#[tokio::test]
async fn a_silent_stream_is_replaced() {
    let pki = Pki::new("test authority");
    let leaf = pki.authority.server(&["reverselogproxy"]).unwrap();
    let stalled = Call::Reply(vec![message(1)], Ending::Open);
    let next = Call::Reply(vec![message(2)], Ending::Open);
    let rlp = Rlp::start(pki.mutual(&leaf), [stalled, next]).await;
    let idle_timeout = Some(Duration::from_secs(1));
    let running = Running::start(SourcePlan { idle_timeout, ..plan(grpc_kind(rlp.address, pki.client())) });
    assert_eq!(running.take(FrameKind::V2Batch, 2).await, [message(1), message(2)]);
    assert!(running.ended("idle").await.contains("no frame, ping or heartbeat"));
}

#[tokio::test]
async fn a_proxy_with_nothing_to_send_counts_as_connected() {
    let late = Call::Reply(vec![message(3)], Ending::Open);
    let (_pki, rlp, running) = running([Call::Quiet(Box::new(late))]).await;
    timeout(DEADLINE, running.sources.wait_connected(1)).await.unwrap();
    rlp.release();
    assert_eq!(running.take(FrameKind::V2Batch, 1).await, [message(3)]);
    assert_eq!(running.sources.status().streams[0].connects, 1);
}

#[tokio::test]
async fn an_absent_or_foreign_server_is_named() {
    let pki = Pki::new("test authority");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let running = Running::start(plan(grpc_kind(address, pki.client())));
    assert!(running.ended("connect").await.contains(&address.to_string()));
    running.stop().await;

    let (url, _server) = crate::nozzle::cf::fake::serve(axum::Router::new()).await;
    let address = format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
    let running = Running::start(plan(grpc_kind(address, pki.client())));
    assert!(running.ended("tls").await.contains("does not speak TLS"));
    running.stop().await;
}

/// Takes one connection to `to`, and passes bytes on until told to stall; then both ends stay open.
async fn stalling_relay(to: SocketAddr, stall: CancellationToken) -> (SocketAddr, Tasks<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = Tasks::new();
    tasks.spawn("relay", async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
        let relayed = stall.run_until_cancelled(tokio::io::copy_bidirectional(&mut near, &mut far)).await;
        assert!(relayed.is_none(), "nobody ends it: {relayed:?}");
        std::future::pending().await
    });
    (address, tasks)
}

#[tokio::test]
async fn a_peer_that_does_not_answer_pings_is_left() {
    let pki = Pki::new("test authority");
    let leaf = pki.authority.server(&["reverselogproxy"]).unwrap();
    let calls = [Call::Reply(vec![message(10)], Ending::Open)];
    let rlp = Rlp::start(pki.mutual(&leaf), calls).await;
    let stall = CancellationToken::new();
    let (address, _relay) = stalling_relay(rlp.address, stall.clone()).await;
    // Without an idle time-out nothing else could notice.
    let running = Running::start(plan(grpc_kind(address, pki.client())));
    running.take(FrameKind::V2Batch, 1).await;
    stall.cancel();

    // The clock jumps from timer to timer now: nothing moves on any socket.
    tokio::time::pause();
    let stalled = Instant::now();
    let end = loop {
        if let Some(end) = running.sources.status().streams[0].last_end.clone() {
            break end;
        }
        assert!(stalled.elapsed() < Duration::from_mins(2), "never noticed");
        sleep(Duration::from_millis(500)).await;
    };
    assert_eq!(end.reason, "lost", "{end:?}");
    assert!(end.message.contains("has not answered a ping within 20 s"), "{end:?}");
}

#[tokio::test]
async fn streams_fail_independently() {
    let pki = Pki::new("test authority");
    let leaf = pki.authority.server(&["reverselogproxy"]).unwrap();
    let calls = [Call::Reply(vec![], Ending::Open), Call::Refuse("8", "no more")];
    let rlp = Rlp::start(pki.mutual(&leaf), calls).await;
    let streams = NonZeroUsize::new(2).unwrap();
    let running = Running::start(SourcePlan { streams, ..plan(grpc_kind(rlp.address, pki.client())) });
    timeout(DEADLINE, running.sources.wait_connected(2)).await.unwrap();
    let status = running.sources.status();
    let connects: u64 = status.streams.iter().map(|stream| stream.connects).sum();
    assert_eq!(connects, 2, "the other one was left alone: {status:?}");
    let refused = status.streams.iter().filter(|stream| stream.last_end.is_some()).count();
    assert_eq!((refused, status.gaps), (1, 0), "{status:?}");
    assert!(rlp.requests().iter().all(|request| request.shard_id == "shard"));
}

#[tokio::test]
async fn stopping_closes_the_connection_and_loses_nothing_read() {
    let sent = vec![message(100); 1_000];
    let (_pki, rlp, running) = running([Call::Reply(sent.clone(), Ending::Open)]).await;
    running.wait_for("read", |status| status.streams[0].frames == 1_000).await;
    assert_eq!(running.stop().await.len(), 1_000);
    timeout(DEADLINE, rlp.all_closed()).await.unwrap();
}
