//! Indexes that are refused: the fallback, what is remembered, and what is left to the dead letters.

use super::*;

const REFUSED: &str = r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#;

fn batch_for(index: &str, n: usize) -> Batch {
    let mut batch = Batch::new(Arc::from(index), 1024);
    for number in 0..n {
        let event = format!("{{\"index\":\"{index}\",\"fields\":{{\"a\":\"b\"}},\"event\":\"{number}\"}}\n");
        batch.buffer().extend_from_slice(event.as_bytes());
        batch.commit(1);
    }
    batch
}

/// Refuses whatever names one of these indexes.
async fn refusing(indexes: &'static [&'static str]) -> Server {
    Server::start(move |_, request| {
        let refused = indexes.iter().any(|index| request.body.contains(&format!("\"index\":\"{index}\"")));
        if refused { reply(400, REFUSED) } else { success() }
    })
    .await
}

async fn deliver(client: &Client, batch: Batch) -> Outcome {
    client.deliver(batch, &CancellationToken::new()).await
}

fn units(n: u64) -> Tally {
    Tally { events: n, units: n }
}

#[tokio::test]
async fn events_of_a_refused_index_go_to_the_fallback_marked() {
    let server = refusing(&["gone"]).await;
    let mut config = config(&server);
    config.fallback_index = Some("last".to_owned());
    let client = Client::new(config).unwrap();
    let outcome = deliver(&client, batch_for("gone", 3)).await;
    assert_eq!(outcome, Outcome { delivered: units(3), rerouted: units(3), ..Outcome::default() });
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    let first = r#"{"index":"last","fields":{"refused_index":"gone","a":"b"},"event":"0"}"#;
    assert!(seen[1].body.starts_with(first), "{}", seen[1].body);
    assert_eq!(seen[1].body.matches("refused_index").count(), 3);

    // It is known now, and nobody else's index suffers.
    deliver(&client, batch_for("gone", 2)).await;
    deliver(&client, batch_for("main", 2)).await;
    assert_eq!(server.seen().len(), 4);
    assert_eq!(deliver(&client, batch_for("last", 2)).await.rerouted, units(0));
}

#[tokio::test]
async fn without_a_fallback_or_with_a_refused_one_they_are_rejected() {
    for (fallback, requests) in [(None, 1), (Some("gone too"), 2), (Some("gone"), 1)] {
        let server = refusing(&["gone", "gone too"]).await;
        let mut config = config(&server);
        config.fallback_index = fallback.map(str::to_owned);
        let client = Client::new(config).unwrap();
        for _ in 0..3 {
            let outcome = deliver(&client, batch_for("gone", 3)).await;
            assert_eq!(outcome.total(), units(3));
            let rejected = &outcome.rejected[0];
            assert_eq!((rejected.code, rejected.tally), (Some(HecCode::INDEX), units(3)));
            assert_eq!(rejected.events().count(), 3);
            assert_eq!(server.seen().len(), requests, "asked once: {fallback:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_forgotten_after_five_minutes() {
    let server = Server::answering(vec![reply(400, REFUSED), success()]).await;
    let client = client(&server);
    assert_eq!(deliver(&client, batch_for("late", 1)).await.rejected.len(), 1);
    assert_eq!(deliver(&client, batch_for("late", 1)).await.rejected.len(), 1);
    skip(Duration::from_secs(299)).await;
    assert_eq!(deliver(&client, batch_for("late", 1)).await.rejected.len(), 1);
    skip(Duration::from_secs(2)).await;
    assert_eq!(deliver(&client, batch_for("late", 1)).await.delivered, units(1));
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_is_no_event_of_hec_is_not_rerouted() {
    let server = refusing(&["gone"]).await;
    let mut config = config(&server);
    config.fallback_index = Some("last".to_owned());
    let client = Client::new(config).unwrap();
    let mut batch = batch_for("gone", 2);
    batch.buffer().extend_from_slice(b"no event \"index\":\"gone\"\n");
    batch.commit(1);
    let outcome = deliver(&client, batch).await;
    assert_eq!((outcome.rerouted, outcome.total()), (units(2), units(3)));
    assert_eq!(outcome.rejected[0].sample(), "no event \"index\":\"gone\"\n");
}

#[tokio::test]
async fn a_bad_event_among_rerouted_ones_costs_itself_only() {
    let server = Server::start(|_, request| match request.body.contains("\"index\":\"gone\"") {
        true => reply(400, REFUSED),
        false => match request.body.find("\"event\":\"1\"") {
            Some(bad) => {
                let before = request.body[..bad].matches("\"event\":").count();
                reply(400, &format!(r#"{{"code":6,"invalid-event-number":{before}}}"#))
            }
            None => success(),
        },
    })
    .await;
    let mut config = config(&server);
    config.fallback_index = Some("last".to_owned());
    let outcome = deliver(&Client::new(config).unwrap(), batch_for("gone", 4)).await;
    assert_eq!((outcome.total(), outcome.rerouted, outcome.rejected.len()), (units(4), units(3), 1));
    assert_eq!(&*outcome.rejected[0].index, "last");
    assert!(outcome.rejected[0].sample().contains("\"event\":\"1\""));
}
