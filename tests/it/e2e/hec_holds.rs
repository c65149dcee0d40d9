//! A Splunk that refuses for a reason only an operator can remove: everything is kept, `/ready` says
//! why, and delivery goes on when the reason is gone.

use firehose_nozzle::hec::GateState;
use firehose_nozzle::sim::hec::{Action, Code, Endpoint, HecServer, Reply, Rule};
use futures_util::future::join_all;

use super::world::token;
use super::{Source, World, app_guid, log};

const ENVELOPES: u64 = 300;

/// Breaks Splunk, publishes, sees the nozzle hold, mends Splunk.
async fn held(case: &str, reason: &str, break_it: impl FnOnce(&HecServer), mend: impl FnOnce(&HecServer)) {
    let world = World::start().await;
    break_it(&world.hec);
    let nozzle = world.nozzle(Source::Grpc, &[("HEC_BATCH_SIZE", "20")]).await;
    world.publish(0..ENVELOPES, |n| log(&app_guid(1), n)).await;
    let held = nozzle
        .until(case, |status| {
            matches!(status.hec.gate, GateState::Held { .. }) && status.ledger.batched == ENVELOPES as i64
        })
        .await;
    let GateState::Held { reason: why } = held.hec.gate else { unreachable!() };
    assert!(why.to_string().contains(reason), "{case}: {why}");
    let step = held.hec.next_step.expect("what to do");
    assert!(held.not_ready.iter().any(|text| text.contains(step)), "{case}: {:?}", held.not_ready);

    mend(&world.hec);
    nozzle.until(case, |status| status.ledger.delivered == ENVELOPES).await;
    let verdict = world.finish(nozzle).await;
    verdict.assert_exactly(0..ENVELOPES);
    assert_eq!(verdict.ledger().rejected.len(), 0, "{case}");
    assert_eq!(verdict.status().hec.gate, GateState::Open, "{case}");
}

#[tokio::test]
async fn a_token_that_is_gone_or_switched_off() {
    let good = |hec: &HecServer| hec.set_tokens(vec![token()]);
    let gone = held("gone", "status 403 and code 4", |hec| hec.set_tokens(vec![]), good);
    let off = |hec: &HecServer| hec.set_tokens(vec![token().disabled()]);
    let off = held("switched off", "status 403 and code 1", off, good);
    tokio::join!(gone, off);
}

#[tokio::test]
async fn replies_of_something_else_than_splunk() {
    let cases = [
        ("401", "token refused with status 401", Action::Answer(Reply::hec(Code::InvalidAuthorization))),
        ("404", "no HEC at this URL", Action::Answer(Reply::hec(Code::NotFound))),
        ("a redirection", "redirected with status 302", Action::redirect("https://127.0.0.1:1/elsewhere")),
        ("a login page", "without the success reply", Action::Answer(Reply::html_200())),
        ("bytes without sense", "without the success reply", Action::Answer(Reply::garbage_200())),
    ];
    join_all(cases.map(async |(case, reason, action)| {
        let break_it = |hec: &HecServer| {
            hec.add_rule(Rule::on(Endpoint::Event, action));
        };
        held(case, reason, break_it, HecServer::clear_rules).await;
    }))
    .await;
}
