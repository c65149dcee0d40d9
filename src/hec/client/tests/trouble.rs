//! Servers that are away, busy, wrong or refusing; stopping; and what must not be seen.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpSocket;

use super::*;
use crate::hec::status::ReplyCount;
use crate::tls::{ClientTls, provider};

#[tokio::test]
async fn every_passing_trouble_ends_in_delivery() {
    let busy = r#"{"text":"Server is busy","code":9}"#;
    let huge = "x".repeat(1_000_000);
    let success = r#"{"text":"Success","code":0}"#.to_owned();
    let retry_now = Answer::Reply(429, "Retry-After: 0\r\n".to_owned(), String::new());
    // The answer, and how many requests without a reply, and possible duplicates, it makes.
    let cases = [
        (reply(503, busy), 0, 0),
        (reply(503, &huge), 0, 0),
        (retry_now, 0, 0),
        (reply(200, busy), 0, 0),
        (reply(500, r#"{"text":"Internal server error","code":8}"#), 0, 1),
        (reply(502, "<html>Bad gateway</html>"), 0, 1),
        (Answer::Close, 1, 1),
        (reply(200, &huge), 0, 1),
        (reply(200, r#"[{"text":"Success","code":0}]"#), 0, 1),
        (reply(200, r#"{"text":"Success","code":[0]}"#), 0, 1),
        // Encoded although nobody asked for that.
        (Answer::Reply(200, "Content-Encoding: gzip\r\n".to_owned(), "\u{1f}\u{8b}".to_owned()), 0, 1),
        // More headers, and longer ones, than any server has a reason for.
        (Answer::Reply(200, "X-Filler: y\r\n".repeat(10_000), success.clone()), 1, 1),
        (Answer::Reply(200, format!("X-Filler: {huge}\r\n"), success), 1, 1),
        (Answer::CutShort(200, r#"{"text":"Success","code":0}"#.to_owned()), 0, 1),
        (Answer::CutShort(400, r#"{"text":"Invalid da"#.to_owned()), 0, 1),
    ];
    for (trouble, interrupted, ambiguous) in cases {
        let server = Server::answering(vec![super::success(), trouble.clone(), super::success()]).await;
        let client = client(&server);
        deliver_all(&client, 5).await;
        deliver_all(&client, 5).await;
        let status = client.status();
        let counters = &status.counters;
        assert_eq!(counters.requests, 3, "{trouble:?}");
        assert_eq!(counters.retries, 1, "{trouble:?}");
        assert_eq!(counters.interrupted, interrupted, "{trouble:?}");
        assert_eq!(counters.ambiguous_resends, ambiguous, "{trouble:?}");
        assert!(status.last_error.is_some());
        let bodies: Vec<String> = server.seen().into_iter().map(|request| request.body).collect();
        assert_eq!(bodies[1], bodies[2]);
    }
}

#[tokio::test]
async fn a_server_that_is_away_gets_the_data_when_it_comes() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Bound but not listening: connections are refused, and nobody else gets the port.
    let port = socket.local_addr().unwrap().port();
    let client = Arc::new(Client::new(config_at(format!("http://127.0.0.1:{port}"))).unwrap());
    assert!(matches!(probe(&client).await, Probe::Unreachable { .. }));
    let delivery = start(&client, 5, &CancellationToken::new());
    until(&client, |status| status.counters.unreachable > 0).await;
    let server = Server::on_socket(socket);
    assert_eq!(ended(delivery).await.delivered, tally(5));
    assert_eq!(server.seen().len(), 1);
    assert_eq!(client.status().counters.ambiguous_resends, 0, "nothing had been sent");
}

#[tokio::test]
async fn a_hanging_server_is_left_after_the_timeout() {
    let server = Server::answering(vec![Answer::Silence, success()]).await;
    let client = Arc::new(client(&server));
    let delivery = start(&client, 5, &CancellationToken::new());
    until(&client, |status| status.counters.requests == 1).await;
    let reached = async {
        while server.seen().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    reached.await;
    skip(Duration::from_secs(31)).await;
    assert_eq!(ended(delivery).await.delivered, tally(5));
    assert_eq!(client.status().counters.interrupted, 1);
}

#[tokio::test]
async fn what_only_an_operator_can_cure_holds_the_data_and_recovers() {
    let redirect = Answer::Reply(302, "Location: /login\r\n".to_owned(), String::new());
    let cases = [
        (reply(403, r#"{"text":"Invalid token","code":4}"#), "code 4"),
        (reply(401, ""), "status 401"),
        (redirect, "redirected"),
        (reply(404, r#"{"text":"The requested URL was not found on this server.","code":404}"#), "no HEC"),
        (reply(200, "<html>please log in</html>"), "without the success reply"),
        (reply(204, ""), "without the success reply"),
        (reply(411, ""), "unexpected status 411"),
    ];
    for (refusal, named) in cases {
        // Of successes that do not say so only the third in a row counts.
        let first = if named == "without the success reply" { 3 } else { 1 };
        let refusals = [vec![refusal; first + 1], vec![success()]].concat();
        let server = Server::answering(refusals).await;
        let client = Arc::new(client(&server));
        let delivery = start(&client, 5, &CancellationToken::new());
        until(&client, held).await;
        assert_eq!(client.status().counters.requests, first as u64);
        let json = serde_json::to_value(client.status()).unwrap();
        assert!(json["reason"].as_str().unwrap().contains(named), "{json}");
        assert!(json["next_try_ms"].as_u64().unwrap() <= 5000, "{json}");
        skip(Duration::from_secs(5)).await;
        until(&client, |status| status.counters.requests == first as u64 + 1).await;
        until(&client, |status| status.next_try_ms.is_some_and(|wait| wait > 5000)).await;
        skip(Duration::from_secs(10)).await;
        assert_eq!(ended(delivery).await.delivered, tally(5));
        assert!(
            server.seen().iter().all(|request| request.target.starts_with("POST /services/collector/event"))
        );
        assert_eq!(client.status().gate, GateState::Open);
    }
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let target = Server::answering(vec![success()]).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://127.0.0.1:{}/services/collector/event\r\n", target.port);
        let redirect = Answer::Reply(status, location, String::new());
        let server = Server::answering(vec![redirect]).await;
        let client = Arc::new(client(&server));
        let stop = CancellationToken::new();
        let delivery = start(&client, 5, &stop);
        until(&client, held).await;
        stop.cancel();
        assert_eq!(ended(delivery).await.undelivered, tally(5));
    }
    assert!(target.seen().is_empty(), "neither events nor the token");
}

#[tokio::test]
async fn something_that_is_no_hec_never_gets_to_judge_events() {
    let server = Server::start(|n, request| match n {
        0..=3 => reply(400, "<html>plain HTTP was sent to the HTTPS port</html>"),
        _ if numbers(&request.body).contains(&3) => reply(400, ""),
        _ => success(),
    })
    .await;
    let client = Arc::new(client(&server));
    let delivery = start(&client, 4, &CancellationToken::new());
    until(&client, held).await;
    assert!(client.status().counters.events_rejected.is_empty());
    skip(Duration::from_secs(5)).await;
    let outcome = ended(delivery).await;
    assert_eq!(outcome.total(), tally(4));
    assert_eq!(outcome.delivered.events, 3, "{outcome:?}");
    assert_eq!(numbers(&outcome.rejected[0].sample()), [3]);
}

#[tokio::test]
async fn a_gateway_that_turns_bad_in_front_of_a_good_hec_destroys_nothing() {
    for status in [400, 413] {
        let bad = Arc::new(AtomicBool::new(false));
        let script = bad.clone();
        let server = Server::start(move |_, _| match script.load(Ordering::Relaxed) {
            true => reply(status, "<html>The gateway is out of sorts</html>"),
            false => success(),
        })
        .await;
        let client = Arc::new(client(&server));
        deliver_all(&client, 5).await;
        bad.store(true, Ordering::Relaxed);
        let deliveries = [4, 1, 9].map(|n| (n, start(&client, n, &CancellationToken::new())));
        until(&client, held).await;
        for _ in 0..5 {
            skip(Duration::from_secs(60)).await;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        until(&client, held).await;
        assert!(client.status().counters.events_rejected.is_empty(), "{status}");
        bad.store(false, Ordering::Relaxed);
        skip(Duration::from_secs(61)).await;
        for (n, delivery) in deliveries {
            assert_eq!(ended(delivery).await, Outcome { delivered: tally(n), ..Outcome::default() });
        }
    }
}

#[tokio::test]
async fn a_bad_event_alone_in_its_batch_waits_for_others_to_be_taken() {
    for status in [400, 413] {
        let server = Server::start(move |_, request| {
            if request.body.len() < 100 { reply(status, "<html>no</html>") } else { success() }
        })
        .await;
        let client = Arc::new(client(&server));
        deliver_all(&client, 5).await;
        let alone = start(&client, 1, &CancellationToken::new());
        until(&client, held).await;
        let others =
            [start(&client, 5, &CancellationToken::new()), start(&client, 7, &CancellationToken::new())];
        tokio::task::yield_now().await;
        skip(Duration::from_secs(5)).await;
        for (delivery, n) in others.into_iter().zip([5, 7]) {
            assert_eq!(ended(delivery).await.delivered, tally(n));
        }
        let outcome = ended(alone).await;
        assert_eq!((outcome.total(), outcome.rejected[0].status.as_u16()), (tally(1), status));
        assert_eq!(client.status().gate, GateState::Open);
    }
}

#[tokio::test]
async fn one_sender_tries_while_the_others_wait() {
    let server = Server::answering(vec![reply(403, r#"{"code":1}"#), success()]).await;
    let client = Arc::new(client(&server));
    let stop = CancellationToken::new();
    let first = start(&client, 2, &stop);
    until(&client, held).await;
    let others: Vec<_> = (0..6).map(|_| start(&client, 2, &stop)).collect();
    tokio::task::yield_now().await;
    assert_eq!(client.status().counters.requests, 1);
    skip(Duration::from_secs(5)).await;
    for delivery in others.into_iter().chain([first]) {
        assert_eq!(ended(delivery).await.delivered, tally(2));
    }
    let expected = [
        ReplyCount { status: 200, code: Some(0), count: 7 },
        ReplyCount { status: 403, code: Some(1), count: 1 },
    ];
    assert_eq!(client.status().counters.replies, expected);
}

#[tokio::test]
async fn stopping_ends_a_delivery_wherever_it_is() {
    for answer in [Answer::Silence, reply(403, ""), reply(503, "")] {
        let server = Server::answering(vec![answer]).await;
        let client = Arc::new(client(&server));
        let stop = CancellationToken::new();
        let delivery = start(&client, 5, &stop);
        until(&client, |status| status.counters.requests > 0).await;
        stop.cancel();
        let outcome = ended(delivery).await;
        assert_eq!(outcome, Outcome { undelivered: tally(5), ..Outcome::default() });
    }
    let server = Server::answering(vec![success()]).await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    let outcome = client(&server).deliver(batch(5), &stopped).await;
    assert_eq!(outcome.undelivered, tally(5));
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn what_is_stopped_before_it_began_is_counted_at_once() {
    let server = Server::answering(vec![success()]).await;
    let client = client(&server);
    let stopped = CancellationToken::new();
    stopped.cancel();
    // Large enough to be compressed on another thread, which one poll would not wait for.
    let outcome = client.deliver(batch_of(100, 10_000), &stopped).now_or_never().unwrap();
    assert_eq!(outcome.undelivered, tally(100));
}

#[tokio::test]
async fn a_success_with_a_warning_is_no_error() {
    for code in [24, 25] {
        let server = Server::answering(vec![reply(200, &format!(r#"{{"code":{code}}}"#))]).await;
        let client = client(&server);
        deliver_all(&client, 5).await;
        assert_eq!(client.status().last_error, None, "code {code}");
    }
}

#[tokio::test]
async fn a_dropped_delivery_blocks_nobody() {
    let server = Server::answering(vec![reply(403, ""), Answer::Silence, success()]).await;
    let client = Arc::new(client(&server));
    let mut dropped = start(&client, 5, &CancellationToken::new());
    until(&client, held).await;
    skip(Duration::from_secs(5)).await;
    until(&client, |status| status.counters.requests == 2).await;
    let waiting = start(&client, 3, &CancellationToken::new());
    let reached = async {
        while server.seen().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    reached.await;
    dropped.shutdown().await;
    assert_eq!(ended(waiting).await.delivered, tally(3));
}

#[tokio::test]
async fn a_limit_on_attempts_gives_up_after_the_time_it_stands_for_and_not_in_a_hold() {
    let server = Server::answering(vec![reply(403, ""), reply(503, "")]).await;
    let mut config = config(&server);
    config.retries = RetryLimit::Attempts(1.try_into().unwrap());
    let client = Arc::new(Client::new(config).unwrap());
    let mut delivery = start(&client, 5, &CancellationToken::new());
    until(&client, held).await;
    skip(Duration::from_secs(6)).await;
    until(&client, |status| status.counters.retries > 0).await;
    let early = tokio::time::timeout(Duration::from_millis(1), delivery.join_next()).await;
    assert!(early.is_err(), "5 s must pass");
    skip(Duration::from_secs(5)).await;
    let outcome = ended(delivery).await;
    assert_eq!(outcome, Outcome { abandoned: tally(5), ..Outcome::default() });
    assert_eq!(client.status().counters.events_abandoned, 5);
}

/// A server's TLS with a certificate for 127.0.0.1, and the file of its issuer.
pub(super) fn certificate(folder: &Path) -> (tokio_rustls::TlsAcceptor, ClientTls) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let ca_file = folder.join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(server).into(), ClientTls { ca_file: Some(ca_file), ..ClientTls::default() })
}

#[tokio::test]
async fn tls_is_checked_and_a_bad_certificate_holds() {
    let (folder, other_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (acceptor, trusting) = certificate(folder.path());
    let (_, doubting) = certificate(other_folder.path());
    let server = Server::start_tls(acceptor).await;
    let mut config = config_at(format!("https://127.0.0.1:{}", server.port));
    config.tls = doubting;
    let doubtful = Arc::new(Client::new(config.clone()).unwrap());
    let stop = CancellationToken::new();
    let delivery = start(&doubtful, 5, &stop);
    until(&doubtful, held).await;
    assert_eq!(doubtful.status().gate, GateState::Held { reason: HoldReason::Certificate });
    stop.cancel();
    assert_eq!(ended(delivery).await.undelivered, tally(5));
    assert!(server.seen().is_empty());

    config.tls = trusting;
    deliver_all(&Client::new(config).unwrap(), 5).await;
}

#[tokio::test]
async fn a_server_without_tls_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let (_, tls) = certificate(folder.path());
    let server = TcpSocket::new_v4().unwrap();
    server.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = server.listen(4).unwrap();
    let mut config = config_at(format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port()));
    config.tls = tls;
    let client = Client::new(config).unwrap();
    let answer = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let words = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, words).await.unwrap();
        stream
    };
    let (probe, _stream) = tokio::join!(probe(&client), answer);
    assert!(matches!(probe, Probe::Refused { reason: HoldReason::NotTls, .. }), "{probe:?}");
}

#[tokio::test]
async fn a_probe_tells_good_tokens_from_bad_ones() {
    let cases = [
        (reply(400, r#"{"text":"No data","code":5}"#), "ready", None),
        (success(), "ready", None),
        (reply(400, r#"{"text":"Data channel is missing","code":10}"#), "ready", None),
        (reply(403, r#"{"text":"Invalid token","code":4}"#), "refused", Some("code 4")),
        (reply(404, ""), "refused", Some("no HEC")),
        (reply(400, "<html>"), "refused", Some("without the success reply")),
        (reply(503, r#"{"text":"Server is busy","code":9}"#), "busy", None),
        (Answer::Close, "unreachable", None),
    ];
    for (answer, result, reason) in cases {
        let server = Server::answering(vec![answer]).await;
        let client = client(&server);
        let probe = serde_json::to_value(probe(&client).await).unwrap();
        assert_eq!(probe["result"], result, "{probe}");
        if let Some(reason) = reason {
            assert!(probe["reason"].as_str().unwrap().contains(reason), "{probe}");
        }
        let seen = server.seen();
        assert_eq!(seen[0].target, "GET /services/collector/health HTTP/1.1");
        assert!(seen[0].header("authorization").is_some());
        let Some(request) = seen.get(1) else { continue };
        assert_eq!((request.header("content-length"), request.body.as_str()), (Some("0"), ""));
        assert_eq!(client.status().gate, GateState::Open);
    }
}

/// A log that a test can read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let refusal = reply(403, r#"{"text":"Invalid token","code":4}"#);
    let server = Server::answering(vec![refusal, Answer::Close, reply(503, ""), success()]).await;
    let config = config(&server);
    let mut shown = format!("{config:?}");
    let client = Arc::new(Client::new(config).unwrap());
    let delivery = start(&client, 5, &CancellationToken::new());
    until(&client, held).await;
    shown += &format!("{client:?} {:?}", probe(&client).await);
    skip(Duration::from_secs(5)).await;
    shown += &format!("{:?}", ended(delivery).await);
    shown += &serde_json::to_string(&client.status()).unwrap();
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        logged.contains("data is kept until that is put right") && logged.contains("next_step"),
        "{logged}"
    );
    for secret in [TOKEN, "secret-token"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!logged.contains(secret), "{logged}");
    }
}
