//! Each way of keeping, and what each refuses to say.

use super::*;

fn number(text: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(text).ok()?;
    value["event"]["n"].as_u64()
}

fn numbered(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(|n| format!("{{\"event\":{{\"n\":{n}}}}}\n")).collect()
}

#[tokio::test]
async fn full_keeps_everything_with_its_origin() {
    let server = start(config()).await;
    let (first, second) = (client(), client());
    post(&first, &server, "").body(numbered([0, 1])).send().await.unwrap();
    post_on(&second, &server, "", CHANNEL).body(numbered([2])).send().await.unwrap();
    let records = server.records().unwrap();
    let origins: Vec<_> = records
        .iter()
        .map(|record| (record.connection, record.request, record.channel.map(|channel| channel.to_string())))
        .collect();
    assert_eq!(origins, [(0, 0, None), (0, 0, None), (1, 1, Some(CHANNEL.to_owned()))]);
    assert_eq!(records[2].envelope, r#"{"event":{"n":2}}"#);
    assert_eq!((records[2].index.as_str(), records[2].kind), ("main", Kind::Event));
    assert_eq!(server.missing(0..3), Err(LedgerError::NotKept("sequence numbers")));
}

#[tokio::test]
async fn full_says_what_it_could_not_keep() {
    for ledger in [
        LedgerMode::Full { max_events: 3, max_bytes: 1 << 20 },
        LedgerMode::Full { max_events: 100, max_bytes: 3 * 17 },
    ] {
        let server = start(config().with_ledger(ledger)).await;
        assert_eq!(send(&server, numbered(0..3)).await, success());
        assert_eq!(server.records().unwrap().len(), 3);
        assert_eq!(send(&server, numbered(3..5)).await, success());
        assert_eq!(server.records().unwrap_err(), LedgerError::Overflowed { kept: 3, lost: 2 });
        let totals = server.snapshot().ledger;
        assert_eq!((totals.events, totals.event_bytes, totals.lost), (5, 5 * 17, 2));
        assert_eq!(server.summary().unwrap().events_in_index("main"), 5);
    }
}

#[tokio::test]
async fn sequences_tell_what_is_missing_and_what_came_twice() {
    let server = start(config().with_ledger(LedgerMode::sequences(number))).await;
    assert_eq!(send(&server, numbered((0..1000).filter(|n| n % 100 != 3))).await, success());
    assert_eq!(send(&server, numbered([5, 5])).await, success());
    assert_eq!(send(&server, r#"{"event":"without"}"#).await, success());
    let totals = server.snapshot().ledger;
    let seen = (totals.events, totals.distinct, totals.duplicates, totals.highest, totals.unnumbered);
    assert_eq!(seen, (993, 990, 2, Some(999), 1));
    assert_eq!(server.missing(0..1000), Ok(10));
    assert_eq!(server.first_missing(0..1000, 2), Ok(vec![3, 103]));
    assert_eq!(server.records().unwrap_err(), LedgerError::NotKept("events"));
    assert_eq!(server.summary().unwrap().events_in_index("main"), 993);
}

#[tokio::test]
async fn count_counts_and_answers_alike() {
    let server = start(config().with_ledger(LedgerMode::Count)).await;
    assert_eq!(send(&server, numbered(0..1000)).await, success());
    let body = numbered(0..10);
    let request = post(&client(), &server, "").header("content-encoding", "gzip");
    assert_eq!(answer(request.body(gzip(body.as_bytes()))).await, success());
    assert_eq!(answer(post(&client(), &server, "/raw").body("a\n\nbc\n")).await, success());
    assert_eq!(send(&server, "").await.0, 400);
    assert_eq!(send(&server, " ").await.1, r#"{"text":"No data","code":5}"#);
    let (status, broken) = send(&server, "{\"event\":1}{\"event\":").await;
    assert_eq!(status, 400);
    assert_eq!(broken, r#"{"text":"Invalid data format","code":6,"invalid-event-number":1}"#);
    let snapshot = server.snapshot();
    assert_eq!(snapshot.ledger.events, 1000 + 10 + 2 + 1);
    let expected = numbered(0..1000).len() - 1000 + body.len() - 10 + 3 + 11;
    assert_eq!(snapshot.ledger.event_bytes, expected as u64);
    assert_eq!(server.summary().unwrap_err(), LedgerError::NotKept("indexes and source types"));
    assert!(server.records().is_err());
}

#[tokio::test]
async fn counting_still_takes_faults_that_need_single_events() {
    let server = start(config().with_ledger(LedgerMode::Count)).await;
    server.add_rule(Rule::always(Action::BusyAfter { events: 2, prefix: Prefix::Indexed }).first(1));
    let (status, body) = send(&server, numbered(0..5)).await;
    assert_eq!(
        (status, body.as_str()),
        (503, r#"{"text":"Server is busy","code":9,"invalid-event-number":2}"#)
    );
    assert_eq!(server.snapshot().ledger.events, 2);
}

#[tokio::test]
async fn counters_tell_what_came() {
    let server = start(config()).await;
    let client = client();
    let body = numbered(0..100);
    let packed = gzip(body.as_bytes());
    let raw = packed.len() as u64 + 11 + 1;
    let request = post(&client, &server, "").header("content-encoding", "gzip").body(packed);
    assert_eq!(answer(request).await, success());
    answer(post_on(&client, &server, "", CHANNEL).body(r#"{"event":1}"#)).await;
    answer(post(&client, &server, "").body("x")).await;
    let snapshot = server.snapshot();
    assert_eq!((snapshot.requests, snapshot.unanswered, snapshot.in_flight), (3, 0, 0));
    assert_eq!((snapshot.status(200), snapshot.code(Code::Success)), (2, 2));
    assert_eq!((snapshot.code(Code::InvalidDataFormat), snapshot.answered_on(Endpoint::Event)), (1, 3));
    assert_eq!((snapshot.bytes_raw, snapshot.bytes_inflated), (raw, body.len() as u64 + 11 + 1));
    assert_eq!(snapshot.by_token.get("plain"), Some(&2));
    assert_eq!((snapshot.by_token.get("acks"), snapshot.channels), (Some(&1), 1));
    assert_eq!((snapshot.connections_opened, snapshot.requests_per_connection.get(&0)), (1, Some(&3)));
    assert_eq!(snapshot.ledger.events, 101);
}

#[tokio::test]
async fn waiting_ends_when_it_is_so_and_says_when_it_is_not() {
    let server = start(config()).await;
    let (waited, _) = tokio::join!(
        server.wait_until(LONG, |snapshot| snapshot.ledger.events == 2),
        send(&server, numbered(0..2)),
    );
    assert_eq!(waited.unwrap().ledger.events, 2);
    let late = server.wait_until(Duration::ZERO, |snapshot| snapshot.ledger.events == 3).await.unwrap_err();
    assert_eq!(late.last.ledger.events, 2);
}
