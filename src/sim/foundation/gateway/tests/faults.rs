//! What can be done to open streams, seen from the other end of a connection.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn bodies_end_as_scripted() {
    let foundation = start().await;
    let closing = || Some("event: closing\ndata: bye".to_owned());
    for (end, last) in [
        (End::Eof, None),
        (End::Unavailable, None),
        (End::ResourceExhausted, None),
        (End::Close { code: 1000, reason: "bye".into() }, closing()),
    ] {
        let mut events = Events::open(&foundation, "log&shard_id=b").await;
        foundation.publish(&numbered(1));
        assert_eq!(events.logs(1).await, lines(0..1));
        assert_eq!(foundation.inject(&Target::Gateway, &Fault::End(end.clone())), 1);
        assert_eq!(events.next().await, last, "{end:?}");
        if last.is_some() {
            assert_eq!(events.next().await, None);
        }
        foundation.wait_connected(PATIENCE, |now| *now == Connected::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_cut_comes_in_the_middle_of_a_line() {
    let foundation = start().await;
    for alpn in ["http/1.1", "h2"] {
        let url = format!("{}/v2/read?log", foundation.gateway_url());
        let request = http_over(&foundation, alpn).get(url).header("authorization", token(&foundation));
        let mut events = Events::new(within(request.send()).await.unwrap());
        foundation.publish(&numbered(1));
        assert_eq!(events.logs(1).await, lines(0..1));
        foundation.inject(&Target::All, &Fault::Stall);
        foundation.publish(&numbered(5));
        foundation.inject(&Target::All, &Fault::End(End::Cut));
        let mut half = Vec::new();
        let error = loop {
            match events.chunk().await {
                Ok(Some(chunk)) => half.extend_from_slice(&chunk),
                Ok(None) => panic!("an orderly end"),
                Err(error) => break error,
            }
        };
        assert!(error.is_body() || error.is_decode(), "{error:?}");
        let half = String::from_utf8(half).unwrap();
        assert!(half.starts_with(r#"data: {"batch":[{"timestamp":"#) && !half.contains('\n'), "{half:?}");
    }
}

#[tokio::test]
async fn an_orderly_stop_sends_what_is_buffered() {
    let foundation = start().await;
    let mut events = Events::open(&foundation, "log&shard_id=b").await;
    foundation.inject(&Target::Gateway, &Fault::Stall);
    foundation.publish(&numbered(250));
    let stop = foundation.stop();
    let reading = async {
        let got = events.logs(250).await;
        assert_eq!(events.next().await, None);
        got
    };
    let ((), got) = tokio::join!(stop, reading);
    assert_eq!(got, lines(0..250));
}

#[tokio::test]
async fn a_held_stream_loses_what_its_buffer_cannot_hold() {
    let config = FoundationConfig { rlp_buffer: 10, ..Default::default() };
    let foundation = Foundation::start(config).await.unwrap();
    for fault in [Fault::Stall, Fault::Starve] {
        let mut events = Events::open(&foundation, "log&shard_id=a").await;
        foundation.inject(&Target::Shard("a".into()), &fault);
        foundation.publish(&numbered(15));
        assert_eq!(foundation.streams()[0].dropped, 5, "{fault:?}");
        foundation.inject(&Target::Gateway, &Fault::Resume);
        assert_eq!(events.logs(10).await, lines(0..10));
        drop(events);
        foundation.wait_connected(PATIENCE, |now| *now == Connected::default()).await.unwrap();
    }
    assert_eq!(foundation.totals().rlp_dropped, 10);
}

#[tokio::test]
async fn envelopes_can_be_lost_or_doubled() {
    let foundation = start().await;
    let mut events = Events::open(&foundation, "log&shard_id=b").await;
    foundation.inject(&Target::Gateway, &Fault::DropNext(2));
    foundation.inject(&Target::Gateway, &Fault::DuplicateNext(1));
    foundation.publish(&numbered(4));
    assert_eq!(events.logs(3).await, lines([2, 2, 3]));
    assert_eq!(foundation.totals().rlp_dropped, 2);
}

#[tokio::test]
async fn go_away_lets_a_stream_live() {
    let foundation = start().await;
    for alpn in ["http/1.1", "h2"] {
        let url = format!("{}/v2/read?log", foundation.gateway_url());
        let request = http_over(&foundation, alpn).get(url).header("authorization", token(&foundation));
        let mut events = Events::new(within(request.send()).await.unwrap());
        assert_eq!(foundation.inject(&Target::Gateway, &Fault::GoAway), 1);
        foundation.publish(&numbered(3));
        assert_eq!(events.logs(3).await, lines(0..3));
        drop(events);
        foundation.wait_connected(PATIENCE, |now| *now == Connected::default()).await.unwrap();
    }
}

#[tokio::test]
async fn lines_break_anywhere_and_end_in_any_way() {
    let chunks = Chunks::Random { pause: Duration::ZERO };
    let form = StreamForm { chunks, ..Default::default() };
    let foundation = with(GatewayConfig { form, ..Default::default() }).await;
    let mut events = Events::open(&foundation, "log&shard_id=b").await;
    foundation.publish(&numbered(250));
    assert_eq!(events.logs(250).await, lines(0..250));

    let form = StreamForm { line_end: LineEnd::Cr, chunks };
    assert_eq!(foundation.inject(&Target::Gateway, &Fault::Form(form)), 1);
    foundation.publish(&[log("x")]);
    foundation.inject(&Target::Gateway, &Fault::End(End::Eof));
    let mut body = Vec::new();
    while let Some(chunk) = events.chunk().await.unwrap() {
        body.extend_from_slice(&chunk);
    }
    let body = String::from_utf8(body).unwrap();
    assert!(body.starts_with("data: {") && body.ends_with("]}\r\r") && !body.contains('\n'), "{body:?}");
}

#[tokio::test]
async fn bytes_are_replayed_as_they_are() {
    let foundation = start().await;
    let mut events = Events::open(&foundation, "log&shard_id=b").await;
    foundation.publish_text(Bytes::from_static(b"data: {nonsense\n\n"));
    assert_eq!(events.next().await.unwrap(), "data: {nonsense");
    // Messages of the other protocols are not for it.
    foundation.publish_message(Bytes::from_static(b"\xff"));
    foundation.publish_frame(b"\xff");
    foundation.publish(&numbered(1));
    assert_eq!(events.logs(1).await, lines(0..1));
}
