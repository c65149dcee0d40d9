//! Tokens that are refused, and a UAA that does not give new ones.

use std::time::Duration;

use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::foundation::{App, End, Fault, TokenFault, Uaa};
use firehose_nozzle::sim::hec::Record;

use super::{LAST, Way, both_reopened, for_each, load, more_events, under_load};
use crate::e2e::app_guid;
use crate::e2e::world::{data_streams, wait_for};

/// What the nozzle says of a stream that the platform ends in good order.
fn ended(way: Way) -> &'static str {
    if way == Way::Firehose { "closed" } else { "unavailable" }
}

#[tokio::test]
async fn expired_and_revoked_tokens_are_replaced() {
    let all = Way::TOKENS.map(|way| [(way, "expired"), (way, "revoked")]);
    for_each(all.into_iter().flatten(), async |(way, fault)| {
        let case = format!("{way:?} {fault}");
        let settings = [("ADD_APP_INFO", "AppName"), ("METADATA_WAIT", "1m"), ("METADATA_RATE", "1000/s")];
        let aftermath = under_load(way, &settings, async |world, nozzle| {
            let expire = if fault == "expired" { Uaa::expire_all } else { Uaa::revoke_all };
            expire(world.foundation.uaa());
            // A new app, for which the Cloud Controller has to be asked with a new token as well.
            let app = App { guid: app_guid(1), name: "shop".to_owned(), ..App::default() };
            world.foundation.capi().put_app(app);
            world.foundation.inject(&data_streams(), &Fault::End(End::Eof));
            both_reopened(world, nozzle, ended(way)).await;
        })
        .await;
        aftermath.assert_only_the_platform_lost(&case);
        assert_eq!(aftermath.status().source.ends.get("unauthorized"), None, "{case}");
        let of_app = |name: &str, value: &str| {
            let with = |record: &&Record| record.json()["event"][name] == value;
            aftermath.verdict.records.iter().filter(with).count() as u64
        };
        let shop = (of_app("cf_app_id", &app_guid(1)), of_app("cf_app_name", "shop"));
        assert_eq!(shop, (LAST, LAST), "{case}");
    })
    .await;
}

#[tokio::test]
async fn open_streams_outlive_their_tokens() {
    for way in Way::TOKENS {
        let aftermath = under_load(way, &[], async |world, _| {
            world.foundation.uaa().expire_all();
            more_events(world, 100).await;
            world.foundation.uaa().revoke_all();
            more_events(world, 100).await;
        })
        .await;
        aftermath.assert_nothing_lost(&format!("{way:?}"));
        aftermath.assert_never_reconnected(&format!("{way:?}"));
    }
}

#[tokio::test]
async fn short_lives_of_tokens_are_followed() {
    for_each(Way::TOKENS, async |way| {
        // Longer than any machine takes from the token to the stream.
        let world = way.world_with(|config| config.token_lifetime = Duration::from_secs(5)).await;
        let nozzle = world.nozzle(way.source(), &[]).await;
        let aftermath = load(&world, nozzle, async |world, nozzle| {
            for opened in 2..=3 {
                let over = || (!world.foundation.uaa().has_good_token()).then_some(());
                wait_for("the tokens of before are over", over, String::new).await;
                more_events(world, 100).await;
                world.foundation.inject(&data_streams(), &Fault::End(End::Eof));
                let again = |status: &Status| {
                    let source = &status.source;
                    source.connected == 2 && source.streams.iter().all(|stream| stream.connects >= opened)
                };
                nozzle.until("opened again", again).await;
            }
        })
        .await;
        aftermath.assert_only_the_platform_lost(&format!("{way:?}"));
        let issued = world.foundation.uaa().issued();
        assert!(issued >= 3, "{way:?}: each time with a token of that time: {issued}");
    })
    .await;
}

#[tokio::test]
async fn a_uaa_in_trouble_delays_new_streams_only() {
    let faults =
        [TokenFault::Unauthorized, TokenFault::Status(503), TokenFault::Slow(Duration::from_millis(500))];
    let all = Way::TOKENS.map(|way| faults.map(|fault| (way, fault)));
    for_each(all.into_iter().flatten(), async |(way, fault)| {
        let case = format!("{way:?} {fault:?}");
        let aftermath = under_load(way, &[], async |world, nozzle| {
            let uaa = world.foundation.uaa();
            uaa.revoke_all();
            uaa.fail_next(2, fault);
            // A stream that is open does not mind.
            more_events(world, 100).await;
            world.foundation.inject(&data_streams(), &Fault::End(End::Eof));
            both_reopened(world, nozzle, ended(way)).await;
        })
        .await;
        aftermath.assert_only_the_platform_lost(&case);
        let ends = &aftermath.status().source.ends;
        // The others heal while a token is waited for.
        let given_up = ends.get("token").copied().unwrap_or(0);
        assert_eq!(given_up > 0, fault == TokenFault::Unauthorized, "{case}: {ends:?}");
        assert_eq!(ends.get("unauthorized"), None, "{case}: {ends:?}");
    })
    .await;
}
