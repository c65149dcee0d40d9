//! Events that something other than HEC refuses, where every place is taken by one of them.

use super::*;
use crate::hec::Deferred;

/// A gateway that refuses what is short, in front of a HEC that takes everything.
async fn gateway() -> Server {
    Server::start(
        |_, request| {
            if request.body.len() < 100 { reply(400, "<html>no</html>") } else { success() }
        },
    )
    .await
}

fn small() -> Batch {
    batch(1)
}

#[tokio::test]
async fn a_delivery_with_nothing_but_doubtful_events_gives_its_place_up() {
    let server = gateway().await;
    let client = client(&server);
    let stop = CancellationToken::new();
    // One sender alone, and it meets the bad event first.
    let delivery = client.deliver_or_defer(small(), &stop).await;
    assert_eq!(delivery.outcome, Outcome::default());
    let [deferred] = &delivery.deferred[..] else { panic!("{delivery:?}") };
    assert_eq!(deferred.tally(), tally(1));
    assert!(held(&client.status()) && !client.can_judge(deferred));

    let mut deferred = delivery.deferred;
    skip(Duration::from_secs(6)).await;
    assert_eq!(client.deliver_or_defer(batch(9), &stop).await.outcome.delivered, tally(9));
    let deferred = deferred.pop().unwrap();
    assert!(client.can_judge(&deferred));
    let judged = client.resume(deferred, &stop).await;
    assert_eq!((judged.outcome.rejected.len(), judged.deferred.len()), (1, 0));
    assert_eq!(client.status().gate, GateState::Open);
}

/// Lets the clock jump until it is done.
async fn through_holds<T>(delivery: impl Future<Output = T>) -> T {
    let mut delivery = std::pin::pin!(delivery);
    loop {
        // A jump must not be cut off in its middle, so it is not raced against the delivery.
        match tokio::time::timeout(Duration::from_millis(2), &mut delivery).await {
            Ok(done) => return done,
            Err(_) => skip(Duration::from_secs(61)).await,
        }
    }
}

#[tokio::test]
async fn while_nothing_is_taken_nothing_is_judged_however_often_it_is_tried() {
    let server = Server::answering(vec![reply(413, "<html>no</html>")]).await;
    let client = client(&server);
    let stop = CancellationToken::new();
    let mut deferred: Vec<Deferred> = Vec::new();
    for n in [1, 3] {
        let delivery = through_holds(client.deliver_or_defer(batch(n), &stop)).await;
        assert_eq!(delivery.outcome, Outcome::default());
        deferred.extend(delivery.deferred);
    }
    assert_eq!(deferred.iter().map(|it| it.tally().events).sum::<u64>(), 4);
    for round in 0..10 {
        let tried = deferred.remove(round % deferred.len());
        let delivery = through_holds(client.resume(tried, &stop)).await;
        assert_eq!(delivery.outcome, Outcome::default(), "nothing is destroyed");
        deferred.extend(delivery.deferred);
    }
    stop.cancel();
    let last = client.resume(deferred.remove(0), &stop).await;
    assert_eq!(last.outcome.total(), last.outcome.undelivered, "a stop counts it");
}
