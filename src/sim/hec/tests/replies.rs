//! Every code a client can provoke, to the byte.

use reqwest::Method;

use super::*;

/// What is sent and what must come back.
struct Case {
    method: Method,
    path: &'static str,
    token: &'static str,
    channel: Option<&'static str>,
    body: &'static str,
    status: u16,
    reply: &'static str,
}

const EVENT: Case = Case {
    method: Method::POST,
    path: "/event",
    token: TOKEN,
    channel: None,
    body: r#"{"event":"a"}"#,
    status: 200,
    reply: SUCCESS,
};
const BAD: Case = Case { status: 400, ..EVENT };
const HEALTHY: &str = r#"{"text":"HEC is healthy","code":17}"#;
const HEALTH: Case =
    Case { method: Method::GET, path: "/health", token: "", body: "", reply: HEALTHY, ..EVENT };
const NOT_FOUND: &str = r#"{"text":"The requested URL was not found on this server.","code":404}"#;

async fn check(server: &HecServer, case: Case) {
    let url = format!("{}/services/collector{}", server.url(), case.path);
    let mut request = client().request(case.method.clone(), url).body(case.body);
    if !case.token.is_empty() {
        request = request.header("authorization", format!("Splunk {}", case.token));
    }
    if let Some(channel) = case.channel {
        request = request.header("x-splunk-request-channel", channel);
    }
    let expected = (case.status, case.reply.to_owned());
    let got = answer(request).await;
    assert_eq!(got, expected, "{} {} token {:?} body {}", case.method, case.path, case.token, case.body);
}

#[tokio::test]
async fn codes_that_need_only_a_request() {
    let server = start(config()).await;
    let cases = [
        EVENT,
        Case { path: "", ..EVENT },
        Case { path: "/event/1.0", ..EVENT },
        Case { path: "/raw", body: "a\nb\n", ..EVENT },
        Case { path: "/raw/1.0?channel=0a0a0a0a-0000-4000-8000-000000000001", body: "a", ..EVENT },
        Case { token: "off", status: 403, reply: r#"{"text":"Token disabled","code":1}"#, ..EVENT },
        Case { token: "", status: 401, reply: r#"{"text":"Token is required","code":2}"#, ..EVENT },
        Case { token: " ", status: 401, reply: r#"{"text":"Invalid authorization","code":3}"#, ..EVENT },
        Case { token: "nobody", status: 403, reply: r#"{"text":"Invalid token","code":4}"#, ..EVENT },
        Case { body: "", reply: r#"{"text":"No data","code":5}"#, ..BAD },
        Case { body: " \n ", reply: r#"{"text":"No data","code":5}"#, ..BAD },
        Case { path: "/raw", body: "\r\n\n", reply: r#"{"text":"No data","code":5}"#, ..BAD },
        Case { body: "[]", reply: r#"{"text":"No data","code":5}"#, ..BAD },
        Case {
            body: "x",
            reply: r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#,
            ..BAD
        },
        Case {
            token: "limited",
            body: r#"{"event":1,"index":"x"}"#,
            reply: r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#,
            ..BAD
        },
        Case {
            token: "limited",
            path: "/event?index=x",
            reply: r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#,
            ..BAD
        },
        Case {
            token: "limited",
            path: "/raw?index=x",
            body: "a",
            reply: r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#,
            ..BAD
        },
        Case { token: ACK_TOKEN, reply: r#"{"text":"Data channel is missing","code":10}"#, ..BAD },
        Case {
            token: ACK_TOKEN,
            channel: Some("0a0a0a0a00004000800000000000000001"),
            reply: r#"{"text":"Invalid data channel","code":11}"#,
            ..BAD
        },
        Case {
            body: r#"{"host":"h"}"#,
            reply: r#"{"text":"Event field is required","code":12,"invalid-event-number":0}"#,
            ..BAD
        },
        Case {
            body: r#"{"event":""}"#,
            reply: r#"{"text":"Event field cannot be blank","code":13,"invalid-event-number":0}"#,
            ..BAD
        },
        Case {
            path: "/ack",
            channel: Some(CHANNEL),
            body: r#"{"acks":[0]}"#,
            reply: r#"{"text":"ACK is disabled","code":14}"#,
            ..BAD
        },
        Case {
            path: "/ack",
            body: r#"{"acks":[0]}"#,
            reply: r#"{"text":"Data channel is missing","code":10}"#,
            ..BAD
        },
        Case {
            body: r#"{"event":1,"fields":{"a":{}}}"#,
            reply: r#"{"text":"Error in handling indexed fields","code":15,"invalid-event-number":0}"#,
            ..BAD
        },
        Case {
            path: "/event?token=11111111-2222-3333-4444-555555555555",
            token: "",
            reply: r#"{"text":"Query string authorization is not enabled","code":16}"#,
            ..BAD
        },
        Case { path: "/event?token=query", token: "", ..EVENT },
        Case { path: "/validate", status: 404, reply: NOT_FOUND, ..EVENT },
        Case { method: Method::GET, status: 405, reply: NOT_FOUND, ..EVENT },
        Case { method: Method::POST, path: "/health", status: 405, reply: NOT_FOUND, ..EVENT },
        Case { method: Method::OPTIONS, token: "", reply: "", ..EVENT },
    ];
    for case in cases {
        check(&server, case).await;
    }
}

#[tokio::test]
async fn health_and_condition() {
    let server = start(config()).await;
    let bad = r#"{"text":"Invalid token","code":21}"#;
    let off = r#"{"text":"Token disabled","code":22}"#;
    for case in [
        HEALTH,
        Case { path: "/health/1.0", token: TOKEN, ..HEALTH },
        Case { token: "nobody", status: 400, reply: bad, ..HEALTH },
        Case { token: "off", status: 400, reply: off, ..HEALTH },
    ] {
        check(&server, case).await;
    }
    let full = r#"{"text":"HEC queue is at capacity and cannot process any more requests","code":26}"#;
    let table = [
        (Condition::Serving, 200, HEALTHY, 200, SUCCESS),
        (Condition::QueuesFull, 503, r#"{"text":"HEC is unhealthy, queues are full","code":18}"#, 429, full),
        (
            Condition::AckUnavailable,
            503,
            r#"{"text":"HEC is unhealthy, ack service unavailable","code":19}"#,
            200,
            SUCCESS,
        ),
        (
            Condition::QueuesFullAckUnavailable,
            503,
            r#"{"text":"HEC is unhealthy, queues are full, ack service unavailable","code":20}"#,
            429,
            full,
        ),
        (
            Condition::ShuttingDown,
            503,
            r#"{"text":"Server is shutting down","code":23}"#,
            503,
            r#"{"text":"Server is shutting down","code":23}"#,
        ),
    ];
    for (condition, health_status, health_reply, status, reply) in table {
        server.set_condition(condition);
        check(&server, Case { status: health_status, reply: health_reply, ..HEALTH }).await;
        check(&server, Case { status, reply, ..EVENT }).await;
    }
}

#[tokio::test]
async fn a_filling_queue_warns_refuses_and_blocks() {
    let queue = InputQueueConfig { capacity_bytes: 50, drain_bytes_per_second: 0 };
    let server = start(HecServerConfig { queue: Some(queue), ..config() }).await;
    let ten = |n: usize| r#"{"event":1}"#.repeat(n);
    assert_eq!(send(&server, ten(3)).await, success());
    let nearly = r#"{"text":"HEC queue is approaching its capacity limit","code":24}"#;
    assert_eq!(send(&server, ten(1)).await, (200, nearly.to_owned()));
    let busy = r#"{"text":"Server is busy","code":9,"invalid-event-number":1}"#;
    assert_eq!(send(&server, ten(2)).await, (503, busy.to_owned()));
    assert_eq!(server.snapshot().ledger.events, 5, "the event before the stop is indexed");
    let full = r#"{"text":"HEC queue is at capacity and cannot process any more requests","code":26}"#;
    assert_eq!(send(&server, ten(1)).await, (429, full.to_owned()));
    let health = answer(client().get(format!("{}/services/collector/health", server.url()))).await;
    assert_eq!(health.0, 503);

    server.set_queue(Some(InputQueueConfig { capacity_bytes: 11, drain_bytes_per_second: 11 }));
    assert_eq!(send(&server, ten(1)).await, (200, nearly.to_owned()));
    server.advance(Duration::from_secs(1));
    assert_eq!(send(&server, ten(1)).await.0, 200, "drained");
    server.set_queue(None);
    assert_eq!(send(&server, ten(100)).await, success());
}

#[tokio::test]
async fn full_acknowledgement_state_warns_and_refuses() {
    let acks = AckConfig { max_pending_per_channel: 2, ..AckConfig::default() };
    let server = start(HecServerConfig { acks, ..config() }).await;
    let client = client();
    let send = async |channel| answer(post_on(&client, &server, "", channel).body(EVENT.body)).await;
    assert_eq!(send(CHANNEL).await, (200, r#"{"text":"Success","code":0,"ackId":0}"#.to_owned()));
    server.set_acks(AckConfig { max_pending_per_channel: 1, ..AckConfig::default() });
    let full = r#"{"text":"HEC ACK channel is at capacity and cannot process any more requests","code":27}"#;
    assert_eq!(send(CHANNEL).await, (429, full.to_owned()));
    assert_eq!(send(OTHER_CHANNEL).await.0, 200);

    server.set_acks(AckConfig { max_pending_per_channel: 10, ..AckConfig::default() });
    for _ in 0..8 {
        assert!(send(CHANNEL).await.1.starts_with(r#"{"text":"Success","code":0,"#));
    }
    let nearly = r#"{"text":"HEC ACK is approaching its capacity limit","code":25,"ackId":9}"#;
    assert_eq!(send(CHANNEL).await, (200, nearly.to_owned()));
}

#[tokio::test]
async fn profiles_differ_where_they_should() {
    let cloud = start(config().with_profile(Profile::Cloud)).await;
    let sticky = "{\"text\":\"Data channel is missing. If you have multiple indexers, sticky session load \
                  balancers must be provisioned and client requests must be routed accordingly.\",\"code\":28}";
    check(&cloud, Case { token: ACK_TOKEN, reply: sticky, ..BAD }).await;

    let legacy = start(config().with_profile(Profile::Legacy)).await;
    legacy.set_condition(Condition::QueuesFull);
    check(&legacy, Case { status: 503, reply: r#"{"text":"Server is busy","code":9}"#, ..EVENT }).await;

    let foreign = start(config().with_profile(Profile::Foreign)).await;
    check(&foreign, Case { status: 201, reply: r#""OK""#, ..EVENT }).await;
    let with_acks = Case { token: ACK_TOKEN, channel: Some(CHANNEL), ..EVENT };
    check(&foreign, Case { status: 201, reply: r#""OK""#, ..with_acks }).await;

    let naive = start(config().with_profile(Profile::Naive)).await;
    let body = r#"{"event":1}{"event":2,"index":"x"}"#;
    let reply = r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#;
    check(&naive, Case { token: "limited", body, reply, ..BAD }).await;
    check(
        &naive,
        Case {
            body: r#"{"event":1}{"#,
            reply: r#"{"text":"Invalid data format","code":6,"invalid-event-number":1}"#,
            ..BAD
        },
    )
    .await;
    assert_eq!(naive.snapshot().ledger.events, 0, "all or nothing");
}

#[tokio::test]
async fn a_body_over_the_limit() {
    let limit = 10_000;
    for profile in [Profile::Cloud, Profile::Legacy] {
        let mut config = config();
        config.behaviour = Behaviour { max_content_bytes: limit, ..profile.behaviour() };
        let server = start(config).await;
        for (size, fits) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
            let body = format!("{{\"event\":\"{}\"}}", "x".repeat(size - 12));
            assert_eq!(body.len(), size);
            let plain = send(&server, body.clone()).await;
            let request = post(&client(), &server, "").header("content-encoding", "gzip");
            let packed = answer(request.body(gzip(body.as_bytes()))).await;
            assert_eq!(packed, plain, "{profile:?} {size}");
            match (profile, fits) {
                (_, true) => assert_eq!(plain, success(), "{profile:?} {size}"),
                (Profile::Cloud, false) => {
                    let reply = r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#;
                    assert_eq!(plain, (400, reply.to_owned()));
                }
                (_, false) => {
                    assert_eq!(plain.0, 413);
                    let said = "<title>413 Content-Length of 10001 too large (maximum is 10000)</title>";
                    assert!(plain.1.contains(said), "{}", plain.1);
                }
            }
        }
    }
}

#[test]
fn limits_of_the_profiles() {
    let limits = |profile: Profile| {
        let behaviour = profile.behaviour();
        (behaviour.max_content_bytes, behaviour.max_event_bytes)
    };
    assert_eq!(limits(Profile::Enterprise), (838_860_800, 5_242_880));
    assert_eq!(limits(Profile::Cloud), (5_500_000, 5_242_880));
    assert_eq!(limits(Profile::Legacy), (1_000_000, 5_242_880));
}

#[tokio::test]
async fn codings_other_than_gzip_are_415_and_broken_gzip_is_code_6() {
    let server = start(config()).await;
    let client = client();
    let coded = |coding: &str, body: Vec<u8>| {
        answer(post(&client, &server, "").header("content-encoding", coding).body(body))
    };
    for coding in ["deflate", "br", "zstd", "gzip, gzip"] {
        let (status, body) = coded(coding, b"{}".to_vec()).await;
        assert_eq!(status, 415, "{coding}");
        assert!(body.starts_with("<!doctype html>"), "{body}");
    }
    let good = gzip(EVENT.body.as_bytes());
    assert_eq!(coded("GZIP", good.clone()).await, success());
    let broken = (400, r#"{"text":"Invalid data format","code":6}"#.to_owned());
    assert_eq!(coded("gzip", good[..good.len() - 3].to_vec()).await, broken);
    assert_eq!(coded("gzip", EVENT.body.into()).await, broken);
    assert_eq!(coded("gzip", gzip(b"")).await.1, r#"{"text":"No data","code":5}"#);
    let snapshot = server.snapshot();
    assert_eq!((snapshot.status(415), snapshot.status(200), snapshot.ledger.events), (4, 1, 1));
}

#[tokio::test]
async fn checks_come_in_order() {
    let server = start(config()).await;
    server.set_condition(Condition::ShuttingDown);
    let bad_gzip = async |token: &str, channel: Option<&str>, coding: &str| {
        let url = format!("{}/services/collector", server.url());
        let mut request = client().post(url).header("content-encoding", coding).body("no gzip");
        request = request.header("authorization", format!("Splunk {token}"));
        if let Some(channel) = channel {
            request = request.header("x-splunk-request-channel", channel);
        }
        let (status, body) = answer(request).await;
        let code = serde_json::from_str::<Value>(&body).map_or(Value::Null, |body| body["code"].clone());
        (status, code)
    };
    assert_eq!(bad_gzip("nobody", None, "deflate").await, (415, Value::Null), "coding before token");
    assert_eq!(bad_gzip("nobody", Some("x"), "gzip").await, (403, 4.into()), "token before channel");
    assert_eq!(bad_gzip(ACK_TOKEN, None, "gzip").await, (400, 10.into()), "channel before condition");
    assert_eq!(bad_gzip(ACK_TOKEN, Some(CHANNEL), "gzip").await, (503, 23.into()), "condition before body");
    server.set_condition(Condition::Serving);
    assert_eq!(bad_gzip(ACK_TOKEN, Some(CHANNEL), "gzip").await, (400, 6.into()));
}

#[tokio::test]
async fn headers_are_those_of_splunkd() {
    let server = start(config()).await;
    let response = post(&client(), &server, "").body(EVENT.body).send().await.unwrap();
    let table = [
        ("content-type", "application/json; charset=UTF-8"),
        ("x-content-type-options", "nosniff"),
        ("content-length", "27"),
        ("vary", "Authorization"),
        ("connection", "Keep-Alive"),
        ("x-frame-options", "SAMEORIGIN"),
        ("server", "Splunkd"),
    ];
    for (name, value) in table {
        assert_eq!(header(&response, name), Some(value), "{name}");
    }
    assert!(header(&response, "date").is_some_and(|date| httpdate::parse_http_date(date).is_ok()));

    let url = |path| format!("{}/services/collector{path}", server.url());
    let options = client().request(Method::OPTIONS, url("/raw")).send().await.unwrap();
    assert_eq!(header(&options, "allow"), Some("POST,OPTIONS"));
    let options = client().request(Method::OPTIONS, url("/health")).send().await.unwrap();
    assert_eq!(header(&options, "allow"), Some("GET,HEAD,OPTIONS"));
    let head = client().head(url("/health")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.text().await.unwrap()), (200, String::new()));
}

#[test]
fn the_code_table_is_complete_and_consistent() {
    let numbers: Vec<u16> = Code::ALL.iter().map(|code| code.number()).collect();
    let expected: Vec<u16> = (0..=28).chain([404]).collect();
    assert_eq!(numbers, expected);
    for code in Code::ALL {
        assert!(!code.text().contains(['"', '\\']), "{code:?} would need escaping");
    }
}
