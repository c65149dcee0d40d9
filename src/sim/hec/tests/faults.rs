//! Every action of the script, as a client sees it.

use std::io::ErrorKind;

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::*;

const GOOD: &str = r#"{"event":1}"#;

async fn with_rule(rule: Rule) -> HecServer {
    let server = start(config()).await;
    server.add_rule(rule);
    server
}

/// Sends a request by hand; gives what came back before the connection ended, and how it ended.
async fn by_hand(server: &HecServer, body: &str) -> (String, Option<ErrorKind>) {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "POST /services/collector HTTP/1.1\r\nHost: x\r\nUser-Agent: t\r\nAuthorization: Splunk {TOKEN}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut got = Vec::new();
    // A reset may come while there is still something to write.
    let written = socket.write_all(request.as_bytes()).await;
    let end = match written {
        Ok(()) => socket.read_to_end(&mut got).await.err(),
        Err(error) => Some(error),
    };
    (String::from_utf8(got).unwrap(), end.map(|error| error.kind()))
}

#[tokio::test]
async fn answers_in_place_of_the_real_one() {
    let table = [
        (
            Action::Answer(Reply::hec(Code::InternalError)),
            500,
            r#"{"text":"Internal server error","code":8}"#,
        ),
        (
            Action::Answer(Reply::hec(Code::ServerBusy).with_event_number(0)),
            503,
            r#"{"text":"Server is busy","code":9,"invalid-event-number":0}"#,
        ),
        (
            Action::Answer(Reply::hec(Code::EventBlank).with_event_number(3).with_ack_id(9)),
            400,
            r#"{"text":"Event field cannot be blank","code":13,"invalid-event-number":3,"ackId":9}"#,
        ),
        (Action::Answer(Reply::hec(Code::Success).with_status(StatusCode::ACCEPTED)), 202, SUCCESS),
        (Action::Answer(Reply::json(StatusCode::BAD_GATEWAY, "{}")), 502, "{}"),
    ];
    for (action, status, body) in table {
        let server = with_rule(Rule::on(Endpoint::Event, action)).await;
        assert_eq!(send(&server, GOOD).await, (status, body.to_owned()));
        assert_eq!(server.snapshot().ledger.events, 0);
        assert_eq!(server.snapshot().status(status), 1);
    }
}

#[tokio::test]
async fn foreign_bodies_under_success_and_redirects() {
    let server = with_rule(Rule::always(Action::Answer(Reply::html_200())).first(1)).await;
    let response = post(&client(), &server, "").body(GOOD).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-type")),
        (200, Some("text/html; charset=UTF-8"))
    );

    let server = with_rule(Rule::always(Action::Answer(Reply::garbage_200())).first(1)).await;
    let response = post(&client(), &server, "").body(GOOD).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert!(serde_json::from_slice::<Value>(&response.bytes().await.unwrap()).is_err());

    let server = with_rule(Rule::always(Action::redirect("http://other.example/"))).await;
    let client = builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let response = post(&client, &server, "").body(GOOD).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), header(&response, "location")),
        (302, Some("http://other.example/"))
    );
}

#[tokio::test]
async fn headers_cookies_and_retry_after() {
    let server =
        with_rule(Rule::always(Action::Answer(Reply::hec(Code::ServerBusy).with_retry_after("7"))).first(1))
            .await;
    server.add_rule(Rule::always(Action::SetCookie { name: "LB".to_owned(), value: CookieValue::Rotating }));
    server.add_rule(Rule::always(Action::SetCookie {
        name: "AWSALB".to_owned(),
        value: CookieValue::Fixed("a".to_owned()),
    }));
    let name = HeaderName::from_static("server");
    server.add_rule(Rule::always(Action::Header(name, HeaderValue::from_static("nginx"))));
    let client = client();
    let busy = post(&client, &server, "").body(GOOD).send().await.unwrap();
    assert_eq!((busy.status().as_u16(), header(&busy, "retry-after")), (503, Some("7")));
    for n in 1..3 {
        let response = post(&client, &server, "").body(GOOD).send().await.unwrap();
        assert_eq!(header(&response, "server"), Some("nginx"));
        let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, [format!("LB=node-{n}; Path=/").as_str(), "AWSALB=a; Path=/"]);
    }
}

#[tokio::test]
async fn gzip_can_be_refused() {
    let server = with_rule(Rule::always(Action::RefuseGzip)).await;
    let packed = post(&client(), &server, "").header("content-encoding", "gzip").body(gzip(GOOD.as_bytes()));
    assert_eq!(answer(packed).await.0, 415);
    assert_eq!(send(&server, GOOD).await, success());
}

#[tokio::test]
async fn an_answer_after_index_hides_that_it_was_indexed() {
    let server = with_rule(Rule::always(Action::AnswerAfterIndex(Reply::hec(Code::InternalError)))).await;
    assert_eq!(send(&server, GOOD).await.0, 500);
    assert_eq!(server.snapshot().ledger.events, 1);
}

#[tokio::test]
async fn a_reset_at_each_point_of_the_exchange() {
    let table = [
        (CutPoint::BeforeRead, 0),
        (CutPoint::MidBody, 0),
        (CutPoint::AfterIndex, 1),
        (CutPoint::MidReply, 1),
    ];
    for (point, indexed) in table {
        let server = with_rule(Rule::always(Action::reset(point)).first(1)).await;
        let (got, end) = by_hand(&server, GOOD).await;
        assert_eq!(end, Some(ErrorKind::ConnectionReset), "{point:?}: {got}");
        if point == CutPoint::MidReply {
            let (head, body) = got.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 27"), "{head}");
            assert_eq!(body, &SUCCESS[..13]);
        } else {
            assert_eq!(got, "", "{point:?}");
        }
        let expected = u64::from(point != CutPoint::MidReply);
        let last = server.wait_until(LONG, |now| now.connections_open == 0).await.unwrap();
        assert_eq!((last.ledger.events, last.unanswered), (indexed, expected), "{point:?}");
        assert_eq!(send(&server, GOOD).await, success(), "the next connection is well");
    }
}

#[tokio::test]
async fn a_close_is_an_end_and_no_reset() {
    for point in [CutPoint::AfterIndex, CutPoint::MidReply] {
        let server = with_rule(Rule::always(Action::Cut(point, Cut::Close))).await;
        let (got, end) = by_hand(&server, GOOD).await;
        assert_eq!(end, None, "{point:?}");
        assert!(!got.contains(SUCCESS), "{got}");
        assert_eq!(server.snapshot().ledger.events, 1);
    }
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_body_leaves_the_rest_unread() {
    let server = with_rule(Rule::always(Action::reset(CutPoint::MidBody))).await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /services/collector HTTP/1.1\r\nHost: x\r\nAuthorization: Splunk {TOKEN}\r\nContent-Length: 1000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&[b' '; 500]).await.unwrap();
    socket.write_all(b" ").await.unwrap();
    let mut byte = [0];
    assert_eq!(socket.read(&mut byte).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn delays_are_at_least_as_long_as_they_say() {
    let delay = Duration::from_millis(60);
    for (stage, indexed_meanwhile) in [(Stage::BeforeRead, 0), (Stage::AfterIndex, 1)] {
        let server = with_rule(Rule::always(Action::Delay(stage, delay))).await;
        let begun = Instant::now();
        assert_eq!(send(&server, GOOD).await, success());
        assert!(begun.elapsed() >= delay, "{stage:?}");

        let server = with_rule(Rule::always(Action::Delay(stage, LONG * 100))).await;
        let request = post(&client(), &server, "").body(GOOD).send();
        let seen =
            server.wait_until(LONG, |now| now.in_flight == 1 && now.ledger.events == indexed_meanwhile);
        tokio::select! {
            response = request => panic!("{response:?}"),
            seen = seen => assert!(seen.is_ok(), "{stage:?}"),
        }
    }
}

#[tokio::test]
async fn a_hang_never_answers_and_a_client_that_leaves_is_counted() {
    let server = with_rule(Rule::on(Endpoint::Event, Action::Hang(Stage::AfterIndex)).first(1)).await;
    let request = post(&client(), &server, "").body(GOOD).send();
    tokio::select! {
        response = request => panic!("{response:?}"),
        seen = server.wait_until(LONG, |now| now.ledger.events == 1) => assert!(seen.is_ok()),
    }
    let last = server.wait_until(LONG, |now| now.unanswered == 1).await.unwrap();
    assert_eq!((last.in_flight, last.max_in_flight), (0, 1));
    assert_eq!(send(&server, GOOD).await, success());
}

#[tokio::test]
async fn dripping_replies_and_requests_arrive_whole() {
    // 270 a second fall in drops of 13 bytes: 27 bytes make three, the last after 144 ms.
    let server = with_rule(Rule::always(Action::Drip(Direction::Reply, BytesPerSecond(270)))).await;
    let begun = Instant::now();
    assert_eq!(send(&server, GOOD).await, success());
    assert!(begun.elapsed() >= Duration::from_millis(140));

    let server = with_rule(Rule::always(Action::Drip(Direction::Read, BytesPerSecond(200)))).await;
    let begun = Instant::now();
    assert_eq!(send(&server, GOOD).await, success());
    assert!(begun.elapsed() >= Duration::from_millis(55), "11 bytes at 200 a second");
}

#[tokio::test]
async fn busy_in_the_middle_of_a_batch() {
    for (prefix, indexed) in [(Prefix::Indexed, 2), (Prefix::Discarded, 0)] {
        let server = with_rule(Rule::always(Action::BusyAfter { events: 2, prefix }).first(1)).await;
        let busy = r#"{"text":"Server is busy","code":9,"invalid-event-number":2}"#;
        assert_eq!(send(&server, GOOD.repeat(5)).await, (503, busy.to_owned()));
        assert_eq!(server.snapshot().ledger.events, indexed);
        assert_eq!(send(&server, GOOD.repeat(5)).await, success());
    }
}

#[tokio::test]
async fn connections_close_when_told() {
    let server = with_rule(Rule::always(Action::CloseAfter(2))).await;
    let client = client();
    for n in 0..4 {
        let response = post(&client, &server, "").body(GOOD).send().await.unwrap();
        let expected = if n % 2 == 0 { "Keep-Alive" } else { "Close" };
        assert_eq!(header(&response, "connection"), Some(expected));
        response.bytes().await.unwrap();
        server.wait_until(LONG, |now| now.connections_open == (n + 1) % 2).await.unwrap();
    }
    assert_eq!(server.snapshot().connections_opened, 2);

    server.clear_rules();
    server.add_rule(Rule::always(Action::connection_close()));
    let (got, end) = by_hand(&server, GOOD).await;
    assert!(got.contains("Connection: close\r\n") && got.ends_with(SUCCESS), "{got}");
    assert_eq!(end, None);
}

#[tokio::test]
async fn rules_fire_for_what_they_are_about() {
    let busy = || Action::Answer(Reply::hec(Code::ServerBusy));
    let fires = async |rule: Rule| {
        let server = with_rule(rule).await;
        let mut statuses = Vec::new();
        for path in ["", "/event", "/raw", "/event", "/event"] {
            statuses.push(answer(post(&client(), &server, path).body(GOOD)).await.0);
        }
        statuses.iter().map(|status| u8::from(*status == 503)).collect::<Vec<_>>()
    };
    assert_eq!(fires(Rule::always(busy())).await, [1, 1, 1, 1, 1]);
    assert_eq!(fires(Rule::on(Endpoint::Raw, busy())).await, [0, 0, 1, 0, 0]);
    assert_eq!(fires(Rule::on(Endpoint::Event, busy()).nth(2)).await, [0, 0, 0, 1, 0]);
    assert_eq!(fires(Rule::always(busy()).first(2)).await, [1, 1, 0, 0, 0]);
    assert_eq!(fires(Rule::always(busy()).every(2)).await, [0, 1, 0, 1, 0]);
    assert_eq!(fires(Rule::always(busy()).path("/services/collector/event").nth(0)).await, [0, 1, 0, 0, 0]);
    assert_eq!(fires(Rule::always(busy()).channel(CHANNEL.parse().unwrap())).await, [0; 5]);
    assert_eq!(fires(Rule::always(busy()).chance(0.0, 1)).await, [0; 5]);
    assert_eq!(fires(Rule::always(busy()).chance(1.0, 1)).await, [1; 5]);
    assert_eq!(
        fires(Rule::always(busy()).chance(0.5, 7)).await,
        fires(Rule::always(busy()).chance(0.5, 7)).await
    );
}

#[tokio::test]
async fn rules_have_their_time_and_can_be_taken_back() {
    let server = start(config()).await;
    let window = Duration::from_secs(1000)..Duration::from_secs(2000);
    let id = server.add_rule(Rule::always(Action::Answer(Reply::hec(Code::ServerBusy))).during(window));
    assert_eq!(send(&server, GOOD).await.0, 200);
    server.advance(Duration::from_secs(1000));
    assert_eq!(send(&server, GOOD).await.0, 503);
    assert_eq!(server.fired(id), 1);
    server.advance(Duration::from_secs(1000));
    assert_eq!(send(&server, GOOD).await.0, 200);
    assert_eq!((server.remove_rule(id), server.remove_rule(id)), (Some(1), None));
}

#[tokio::test]
async fn a_pause_holds_requests_until_it_ends() {
    let server = start(config()).await;
    server.pause();
    let client = client();
    let request = post(&client, &server, "").body(GOOD).send();
    let (response, ()) = tokio::join!(request, async {
        server.wait_until(LONG, |now| now.in_flight == 1).await.unwrap();
        assert_eq!(server.snapshot().ledger.events, 0);
        server.resume();
    });
    assert_eq!(response.unwrap().status().as_u16(), 200);
}
