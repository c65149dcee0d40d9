//! Several nozzles on one foundation: with one subscription they share, with two each has a copy.

use tokio_util::sync::CancellationToken;

use super::world::{more_events, open_streams, steady_load};
use super::{DEADLINE, Source, World, app_guid, log};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_one_subscription_share() {
    const ENVELOPES: u64 = 3000;
    for source in Source::ALL {
        let world = World::start().await;
        let (one, two) = (world.nozzle(source, &[]).await, world.nozzle(source, &[]).await);
        world.publish(0..ENVELOPES, |n| log(&app_guid(n % 10), n)).await;
        world.hec.wait_until(DEADLINE, |hec| hec.ledger.events == ENVELOPES).await.unwrap();
        let verdict = world.compare(vec![one.stop().await, two.stop().await]);
        verdict.assert_exactly(0..ENVELOPES);
        let shares = verdict.nozzles.iter().map(|nozzle| nozzle.ledger.delivered);
        // Each envelope goes to one of four streams at random.
        assert!(shares.clone().all(|share| share > ENVELOPES / 4), "{:?}", shares.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn subscriptions_of_their_own_get_a_copy_each() {
    for source in Source::ALL {
        let world = World::start().await;
        let one = world.nozzle(source, &[("FIREHOSE_SUBSCRIPTION_ID", "one")]).await;
        let two = world.nozzle(source, &[("FIREHOSE_SUBSCRIPTION_ID", "two")]).await;
        world.publish(0..500, |n| log(&app_guid(1), n)).await;
        world.hec.wait_until(DEADLINE, |hec| hec.ledger.events == 1000).await.unwrap();
        let verdict = world.compare(vec![one.stop().await, two.stop().await]);
        verdict.assert_at_least(0..500);
        assert!(verdict.nozzles.iter().all(|nozzle| nozzle.ledger.delivered == 500));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_replaced_under_load_loses_only_what_it_did_not_read() {
    for source in Source::ALL {
        let world = World::start().await;
        let (one, two) = (world.nozzle(source, &[]).await, world.nozzle(source, &[]).await);
        let (load, over) = (steady_load(), CancellationToken::new());
        let more = async |events| more_events(&world, events).await;
        let script = async {
            more(200).await;
            let one = one.stop().await;
            let gone = world.foundation.wait_connected(DEADLINE, |open| open_streams(open) == 2);
            gone.await.unwrap();
            let three = world.nozzle(source, &[]).await;
            more(200).await;
            let two = two.stop().await;
            more(200).await;
            over.cancel();
            (one, two, three)
        };
        let (report, (one, two, three)) = tokio::join!(load.run(&world.foundation, &over), script);
        world.sent_all().await;
        let verdict = world.compare(vec![one, two, three.stop().await]);

        let received: u64 = verdict.nozzles.iter().map(|nozzle| nozzle.ledger.received).sum();
        let published = report.published.total();
        assert_eq!(verdict.missing(0..published).len() as u64, published - received, "{source:?}");
        assert_eq!(verdict.duplicates(), 0, "{source:?}");
        assert!(verdict.nozzles.iter().all(|nozzle| nozzle.ledger.lost() == 0), "{source:?}");
    }
}
