//! Acknowledgement over the wire.

use super::*;

async fn ask(server: &HecServer, channel: &str, ids: &[u64]) -> String {
    let body = serde_json::json!({ "acks": ids }).to_string();
    let (status, body) = answer(post_on(&client(), server, "/ack", channel).body(body)).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn give(server: &HecServer, channel: &str, body: &'static str) -> String {
    answer(post_on(&client(), server, "/event", channel).body(body)).await.1
}

const GOOD: &str = r#"{"event":1}"#;

#[tokio::test]
async fn true_comes_after_the_delay_and_is_read_once() {
    let server = start(config()).await;
    assert_eq!(give(&server, CHANNEL, GOOD).await, r#"{"text":"Success","code":0,"ackId":0}"#);
    assert_eq!(give(&server, CHANNEL, GOOD).await, r#"{"text":"Success","code":0,"ackId":1}"#);
    assert_eq!(give(&server, OTHER_CHANNEL, GOOD).await, r#"{"text":"Success","code":0,"ackId":0}"#);
    server.advance(Duration::from_secs(1));
    assert_eq!(ask(&server, CHANNEL, &[1, 0, 5]).await, r#"{"acks":{"0":true,"1":true,"5":false}}"#);
    assert_eq!(ask(&server, CHANNEL, &[0, 1]).await, r#"{"acks":{"0":false,"1":false}}"#);
    assert_eq!(ask(&server, OTHER_CHANNEL, &[0]).await, r#"{"acks":{"0":true}}"#);
    let snapshot = server.snapshot();
    let seen = (snapshot.polls, snapshot.polled_ids, snapshot.max_polled_ids, snapshot.acked_ids);
    assert_eq!(seen, (3, 6, 3, 3));
    assert_eq!(snapshot.channels, 2);
}

#[tokio::test]
async fn not_before_the_delay() {
    let acks = AckConfig { delay: Duration::from_secs(100_000), ..AckConfig::default() };
    let server = start(HecServerConfig { acks, ..config() }).await;
    give(&server, CHANNEL, GOOD).await;
    assert_eq!(ask(&server, CHANNEL, &[0]).await, r#"{"acks":{"0":false}}"#);
}

#[tokio::test]
async fn a_partly_taken_request_gets_an_id_for_its_prefix_only() {
    let server = start(config()).await;
    let reply = give(&server, CHANNEL, r#"{"event":1}{"event":}"#).await;
    assert_eq!(reply, r#"{"text":"Invalid data format","code":6,"invalid-event-number":1,"ackId":0}"#);
    let reply = give(&server, CHANNEL, r#"{"event":}{"event":1}"#).await;
    assert_eq!(reply, r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#);
    assert!(give(&server, CHANNEL, GOOD).await.ends_with(r#""ackId":1}"#), "no id was used up");
}

#[tokio::test]
async fn a_restart_counts_from_zero_and_knows_nothing() {
    let server = start(config()).await;
    for _ in 0..3 {
        give(&server, CHANNEL, GOOD).await;
    }
    server.restart();
    assert!(give(&server, CHANNEL, GOOD).await.ends_with(r#""ackId":0}"#));
    server.advance(Duration::from_secs(2));
    let statuses = ask(&server, CHANNEL, &[0, 1, 2]).await;
    assert_eq!(statuses, r#"{"acks":{"0":true,"1":false,"2":false}}"#);
    assert_eq!(server.snapshot().ledger.events, 4, "what is indexed stays indexed");
}

#[tokio::test]
async fn an_idle_channel_is_forgotten() {
    let server = start(config()).await;
    give(&server, CHANNEL, GOOD).await;
    server.advance(Duration::from_secs(600));
    assert_eq!(ask(&server, CHANNEL, &[0]).await, r#"{"acks":{"0":false}}"#);
    assert!(give(&server, CHANNEL, GOOD).await.ends_with(r#""ackId":0}"#));
}

#[tokio::test]
async fn polls_that_make_no_sense() {
    let server = start(config()).await;
    for (body, reply) in [
        ("", r#"{"text":"No data","code":5}"#),
        ("[0]", r#"{"text":"Invalid data format","code":6}"#),
        (r#"{"acks":["0"]}"#, r#"{"text":"Invalid data format","code":6}"#),
        (r#"{"acks":[-1]}"#, r#"{"text":"Invalid data format","code":6}"#),
    ] {
        let got = answer(post_on(&client(), &server, "/ack", CHANNEL).body(body)).await;
        assert_eq!(got, (400, reply.to_owned()), "{body}");
    }
    assert_eq!(ask(&server, CHANNEL, &[]).await, r#"{"acks":{}}"#);
}

#[tokio::test]
async fn faults_of_acknowledgement() {
    let server = start(config()).await;
    let second = Duration::from_secs(1);
    let event = |fault| Rule::on(Endpoint::Event, Action::Ack(fault));
    let poll = |fault| Rule::on(Endpoint::Ack, Action::Ack(fault)).first(1);

    server.add_rule(event(AckFault::Never).nth(0));
    server.add_rule(event(AckFault::Delay(second * 5)).nth(1));
    give(&server, CHANNEL, GOOD).await;
    give(&server, CHANNEL, GOOD).await;
    server.advance(second * 4);
    assert_eq!(ask(&server, CHANNEL, &[0, 1]).await, r#"{"acks":{"0":false,"1":false}}"#);
    server.advance(second);
    assert_eq!(ask(&server, CHANNEL, &[0, 1]).await, r#"{"acks":{"0":false,"1":true}}"#);

    give(&server, CHANNEL, GOOD).await;
    server.advance(second);
    server.add_rule(poll(AckFault::WrongServer));
    assert_eq!(ask(&server, CHANNEL, &[2]).await, r#"{"acks":{"2":false}}"#);
    assert_eq!(ask(&server, CHANNEL, &[2]).await, r#"{"acks":{"2":true}}"#, "nothing was consumed");

    give(&server, CHANNEL, GOOD).await;
    server.advance(second);
    server.add_rule(poll(AckFault::LoseReply));
    let lost = post_on(&client(), &server, "/ack", CHANNEL).body(r#"{"acks":[3]}"#).send().await;
    assert!(lost.is_err());
    assert_eq!(ask(&server, CHANNEL, &[3]).await, r#"{"acks":{"3":false}}"#, "the true is gone");

    server.clear_rules();
    server.add_rule(event(AckFault::RestartIds));
    assert!(give(&server, CHANNEL, GOOD).await.ends_with(r#""ackId":0}"#));
}
