use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_websockets::{ClientBuilder, CloseCode, Message, WebSocketStream};

use super::*;
use crate::proto::dropsonde as v1;
use crate::sim::convert;
use crate::sim::foundation::testing::*;
use crate::sim::foundation::{End, Fault, Foundation, FoundationConfig, Target};

const APP: &str = "5b5a9c2e-0f53-4f7d-8a61-0123456789ab";

async fn with(patience: Patience) -> Foundation {
    Foundation::start(FoundationConfig { patience, ..Default::default() }).await.unwrap()
}

async fn connect(foundation: &Foundation) -> TlsStream<TcpStream> {
    tls(foundation.traffic.address(), client(foundation, Present::Nothing), "http/1.1").await.unwrap()
}

async fn open(foundation: &Foundation, path: &str) -> WebSocketStream<TlsStream<TcpStream>> {
    let token = foundation.uaa().issue("test", &["doppler.firehose"]);
    let (websocket, response) = ClientBuilder::new()
        .uri(&format!("wss://localhost{path}"))
        .unwrap()
        .add_header(header::AUTHORIZATION, HeaderValue::try_from(format!("bearer {token}")).unwrap())
        .unwrap()
        .connect_on(connect(foundation).await)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    websocket
}

type Client = WebSocketStream<TlsStream<TcpStream>>;

/// The next message that is not a ping.
async fn next(client: &mut Client) -> Option<Result<Message, tokio_websockets::Error>> {
    loop {
        match within(client.next()).await {
            Some(Ok(message)) if message.is_ping() => {}
            other => return other,
        }
    }
}

async fn frames(client: &mut Client, count: usize) -> Vec<v1::Envelope> {
    let mut all = Vec::new();
    while all.len() < count {
        let message = next(client).await.expect("the stream ended").unwrap();
        assert!(message.is_binary());
        all.push(v1::Envelope::decode(&**message.as_payload()).unwrap());
    }
    all
}

/// Sends a request as it is; gives head, in lower case, and body of the answer.
async fn raw(foundation: &Foundation, request: &str) -> (String, String) {
    let (head, body) = exchange(&mut connect(foundation).await, request).await;
    (head.to_lowercase(), body)
}

fn handshake(path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

#[tokio::test]
async fn handshakes_are_answered_as_the_platform_does() {
    let foundation = start().await;
    let firehose = foundation.uaa().issue("a", &["doppler.firehose"]);
    let admin = foundation.uaa().issue("b", &["logs.admin"]);
    let bearer = |token: &str| format!("Authorization: bearer {token}\r\n");
    let dead = "dead0001-2222-4333-8444-000000000001";
    let broken = "55550001-2222-4333-8444-000000000001";
    let capi = foundation.capi();
    capi.put_app(crate::sim::foundation::App { guid: APP.into(), ..Default::default() });
    capi.set_status(&format!("/internal/v4/log_access/{broken}"), Some(502));
    let challenge = "www-authenticate: basic";
    for (path, extra, status, header, body) in [
        ("/firehose/x", String::new(), 401, challenge, "You are not authorized. authorization not provided"),
        ("/firehose/x", bearer("bad"), 401, challenge, "You are not authorized. invalid authorization"),
        ("/firehose/x", bearer(&admin), 401, challenge, "You are not authorized. invalid authorization"),
        (
            "/firehose/x",
            format!("Authorization: Bearer {firehose}\r\n"),
            401,
            challenge,
            "You are not authorized. invalid authorization",
        ),
        ("/firehose/", bearer(&firehose), 404, "x-content-type-options: nosniff", "404 page not found\n"),
        ("/firehose/a%2Fb", bearer(&firehose), 404, "nosniff", "404 page not found\n"),
        ("/apps/not-a-guid/stream", bearer(&firehose), 401, "", ""),
        (&format!("/apps/{APP}/stream"), String::new(), 401, challenge, ""),
        (&format!("/apps/{dead}/stream"), bearer(&firehose), 404, "", ""),
        (&format!("/apps/{broken}/stream"), bearer(&firehose), 500, "", ""),
        (&format!("/apps/{APP}/recentlogs"), bearer(&firehose), 404, "", "404 page not found\n"),
        ("/firehose/x", format!("Cookie: authorization=bearer%20{firehose}\r\n"), 101, "", ""),
    ] {
        let (head, got) = raw(&foundation, &handshake(path, &extra)).await;
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{path} {extra}: {head}");
        assert!(head.contains(header), "{path} {extra}: {head}");
        if status == 401 && header.is_empty() {
            assert!(!head.contains("www-authenticate"), "{head}");
        }
        if status != 101 {
            assert_eq!(got, body, "{path} {extra}");
        }
    }
    let plain = format!("GET /firehose/x HTTP/1.1\r\nHost: localhost\r\n{}\r\n", bearer(&firehose));
    let (head, body) = raw(&foundation, &plain).await;
    assert!(head.starts_with("http/1.1 400 ") && head.contains("sec-websocket-version: 13"), "{head}");
    assert_eq!(body, "Bad Request\n");
}

#[tokio::test]
async fn the_first_bytes_are_the_answer_to_the_key_and_a_ping() {
    let foundation = start().await;
    let token = foundation.uaa().issue("a", &["doppler.firehose"]);
    let request = handshake("/firehose/x", &format!("Authorization: bearer {token}\r\n"));
    let mut stream = connect(&foundation).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n\x89\x00") {
        bytes.push(within(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8_lossy(&bytes).to_lowercase();
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
}

#[tokio::test]
async fn envelopes_arrive_converted_and_in_order() {
    let foundation = start().await;
    let mut client = open(&foundation, "/firehose/id").await;
    foundation.capi().put_app(crate::sim::foundation::App { guid: APP.into(), ..Default::default() });
    let mut app = open(&foundation, &format!("/apps/{APP}/stream")).await;
    foundation.wait_connected(PATIENCE, |now| now.firehose == 1 && now.app_streams == 1).await.unwrap();
    let big = log(vec![b'x'; 70_000]);
    let envelopes: Vec<_> = numbered(300).into_iter().chain([big]).collect();
    foundation.publish(&envelopes);
    let expected: Vec<_> = envelopes.into_iter().flat_map(convert::to_v1).collect();
    assert_eq!(frames(&mut client, 301).await, expected);
    assert_eq!(frames(&mut app, 301).await, expected);
    foundation.publish_frame(b"\xff\x00");
    let message = next(&mut client).await.unwrap().unwrap();
    assert_eq!(&**message.as_payload(), b"\xff\x00");
}

#[tokio::test]
async fn pings_come_at_once_and_after_each_pong() {
    let short = Patience { ping_interval: Duration::from_millis(20), ..Default::default() };
    let foundation = with(short).await;
    let mut client = open(&foundation, "/firehose/id").await;
    // The library answers each ping.
    for _ in 0..3 {
        let message = within(client.next()).await.unwrap().unwrap();
        assert!(message.is_ping(), "{message:?}");
    }
    client.send(Message::ping("hello")).await.unwrap();
    client.send(Message::text("ignored")).await.unwrap();
    let pong = next(&mut client).await.unwrap().unwrap();
    assert!(pong.is_pong());
    assert_eq!(&**pong.as_payload(), b"hello");
}

#[tokio::test]
async fn without_a_pong_the_connection_is_closed_with_1008() {
    let short = Patience { pong_timeout: Duration::from_millis(50), ..Default::default() };
    let foundation = with(short).await;
    let token = foundation.uaa().issue("a", &["doppler.firehose"]);
    let request = handshake("/firehose/x", &format!("Authorization: bearer {token}\r\n"));
    let mut stream = connect(&foundation).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    let text = b"Client did not respond to ping before keep-alive timeout expired.";
    let mut expected = vec![0x88, 2 + u8::try_from(text.len()).unwrap(), 0x03, 0xF0];
    expected.extend_from_slice(text);
    assert!(bytes.ends_with(&expected), "{bytes:?}");
}

#[tokio::test]
async fn websockets_end_as_scripted() {
    let foundation = start().await;
    let going_away = End::Close { code: 1001, reason: "bye".into() };
    for (end, code, reason) in
        [(End::Eof, CloseCode::NORMAL_CLOSURE, ""), (going_away, CloseCode::GOING_AWAY, "bye")]
    {
        let mut client = open(&foundation, "/firehose/id").await;
        foundation.wait_connected(PATIENCE, |now| now.firehose == 1).await.unwrap();
        foundation.inject(&Target::Websockets, &Fault::End(end));
        let message = next(&mut client).await.unwrap().unwrap();
        assert_eq!(message.as_close(), Some((code, reason)));
        drop(client);
        foundation.wait_connected(PATIENCE, |now| now.firehose == 0).await.unwrap();
    }
    let mut client = open(&foundation, "/firehose/id").await;
    foundation.wait_connected(PATIENCE, |now| now.firehose == 1).await.unwrap();
    foundation.inject(&Target::All, &Fault::Stall);
    foundation.publish(&numbered(1));
    foundation.inject(&Target::All, &Fault::End(End::Cut));
    // No message, no close frame: the stream just ends inside a frame.
    match next(&mut client).await {
        None | Some(Err(_)) => {}
        Some(Ok(message)) => panic!("{message:?}"),
    }
}

#[tokio::test]
async fn an_orderly_end_sends_what_is_buffered_and_closes() {
    let foundation = start().await;
    let mut client = open(&foundation, "/firehose/id").await;
    foundation.wait_connected(PATIENCE, |now| now.firehose == 1).await.unwrap();
    foundation.inject(&Target::All, &Fault::Stall);
    foundation.publish(&numbered(600));
    let reading = async {
        assert_eq!(frames(&mut client, 600).await.len(), 600);
        let message = next(&mut client).await.unwrap().unwrap();
        assert_eq!(message.as_close(), Some((CloseCode::NORMAL_CLOSURE, "")));
    };
    tokio::join!(foundation.stop(), reading);
}

#[tokio::test]
async fn a_reader_that_stops_is_cut_in_the_middle_of_a_frame() {
    let patience = Patience {
        slow_after: Duration::from_millis(100),
        cut_after: Duration::from_millis(120),
        ..Default::default()
    };
    let foundation = with(patience).await;
    let mut client = open(&foundation, "/firehose/id").await;
    foundation.wait_connected(PATIENCE, |now| now.firehose == 1).await.unwrap();
    let envelopes = vec![log(vec![b'x'; 60_000]); 100];
    let stuck = async {
        while foundation.slow_consumers() == 0 {
            foundation.publish(&envelopes);
            foundation.room(100).await;
            tokio::task::yield_now().await;
        }
    };
    within(stuck).await;
    foundation.wait_connected(PATIENCE, |now| now.firehose == 0).await.unwrap();
    while let Some(Ok(message)) = within(client.next()).await {
        assert!(!message.is_close(), "{message:?}");
    }
}
