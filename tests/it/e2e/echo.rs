//! The nozzle's own log lines, as an app of the foundation it reads.

use firehose_nozzle::nozzle::own::{ECHO_BURST, ECHO_PER_SECOND};
use tokio::time::Instant;

use super::world::container;
use super::{Source, World, app_guid, log};

/// The nozzle's own app.
const OWN: &str = "0e0e0e0e-0000-4000-8000-0123456789ab";
const VCAP_APPLICATION: (&str, &str) =
    ("VCAP_APPLICATION", r#"{"application_id":"0e0e0e0e-0000-4000-8000-0123456789ab","instance_index":0}"#);

#[tokio::test]
async fn a_flood_of_own_lines_is_cut_and_nothing_else() {
    const ENVELOPES: u64 = 1500;
    for source in Source::ALL {
        let world = World::start().await;
        let started = Instant::now();
        let nozzle = world.nozzle(source, &[VCAP_APPLICATION]).await;
        // One of them, one of another app that begins alike, and one of the own app that is no line.
        let other = format!("{}0", &OWN[..35]);
        world
            .publish(0..ENVELOPES, |n| match n % 3 {
                0 => log(OWN, n),
                1 => log(&other, n),
                _ => container(OWN, n),
            })
            .await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;

        let missing = verdict.missing(0..ENVELOPES);
        assert!(missing.iter().all(|number| number % 3 == 0), "{source:?}: others are missing");
        let cut = missing.len() as u64;
        assert_eq!(verdict.ledger().filtered, [("own_lines".to_owned(), cut)].into(), "{source:?}");
        let passed = ENVELOPES / 3 - cut;
        let most = u64::from(ECHO_BURST) + u64::from(ECHO_PER_SECOND) * (started.elapsed().as_secs() + 1);
        assert!((u64::from(ECHO_BURST)..=most).contains(&passed), "{source:?}: {passed}, at most {most}");
    }
}

#[tokio::test]
async fn a_few_own_lines_pass() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &[VCAP_APPLICATION]).await;
    world.publish(0..150, |n| log(OWN, n)).await;
    world.settled(&nozzle).await;
    world.finish(nozzle).await.assert_exactly(0..150);
}

#[tokio::test]
async fn elsewhere_no_line_is_its_own() {
    let world = World::start().await;
    let nozzle = world.nozzle(Source::Grpc, &[]).await;
    world.publish(0..1000, |n| log(&app_guid(n % 2), n)).await;
    world.settled(&nozzle).await;
    world.finish(nozzle).await.assert_exactly(0..1000);
}
