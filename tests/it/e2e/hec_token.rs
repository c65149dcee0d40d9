//! A token in a file that is replaced while the nozzle runs.

use firehose_nozzle::hec::GateState;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::hec::Token;

use super::world::{Folder, HEC_TOKEN, token};
use super::{Source, World, app_guid, log};

const OTHER: &str = "99999999-2222-3333-4444-555555555555";

fn held(status: &Status) -> bool {
    matches!(status.hec.gate, GateState::Held { .. })
}

#[tokio::test]
async fn everything_is_kept_until_a_good_token_is_in_the_file() {
    let world = World::start().await;
    let folder = Folder::new();
    let file = folder.write("token", OTHER);
    let settings = [("SPLUNK_TOKEN_FILE", file.as_str()), ("HEC_BATCH_SIZE", "20")];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..300, |n| log(&app_guid(1), n)).await;
    nozzle.until("it is held, with everything", |status| held(status) && status.ledger.batched == 300).await;
    folder.write("token", format!("{HEC_TOKEN}\n"));
    world.settled(&nozzle).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..300);
    assert_eq!(verdict.ledger().rejected.len(), 0);
}

#[tokio::test]
async fn tokens_rotate_without_a_hold_whichever_side_is_first() {
    for file_first in [true, false] {
        let world = World::start().await;
        let folder = Folder::new();
        let file = folder.write("token", HEC_TOKEN);
        let settings = [("SPLUNK_TOKEN_FILE", file.as_str()), ("HEC_BATCH_SIZE", "20")];
        let nozzle = world.nozzle(Source::Grpc, &settings).await;
        world.publish(0..100, |n| log(&app_guid(1), n)).await;
        world.settled(&nozzle).await;
        let known = |tokens: Vec<Token>| world.hec.set_tokens(tokens);
        if file_first {
            folder.write("token", OTHER);
            world.publish(100..200, |n| log(&app_guid(1), n)).await;
            world.settled(&nozzle).await;
            known(vec![Token::new("other", OTHER)]);
        } else {
            known(vec![token(), Token::new("other", OTHER)]);
            folder.write("token", OTHER);
            world.publish(100..200, |n| log(&app_guid(1), n)).await;
            world.settled(&nozzle).await;
            known(vec![Token::new("other", OTHER)]);
        }
        world.publish(200..300, |n| log(&app_guid(1), n)).await;
        world.settled(&nozzle).await;
        let verdict = world.finish(nozzle).await;
        verdict.assert_exactly(0..300);
        assert_eq!(verdict.status().hec.gate, GateState::Open);
    }
}
