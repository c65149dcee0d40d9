use super::api::Api;
use super::gateway_server::Gateway;
use super::traffic_controller::{Act, Connection, TrafficController};
use super::*;

fn auto(foundation: &Foundation, pki: &Pki) -> SourcePlan {
    plan(SourceKind::Auto(platform(foundation, pki)))
}

#[tokio::test]
async fn the_gateway_is_read_where_the_root_names_one() {
    let pki = Pki::new("test authority");
    let server = Gateway::start(&pki, &["h2"], []).await;
    let running = Running::start(auto(&server.api.foundation, &pki));
    server.stream(0).await.send("data: 1\n\n").await;
    running.take(FrameKind::GatewayBatch, 1).await;
    assert_eq!(running.sources.status().kind, "gateway");
    running.stop().await;
}

#[tokio::test]
async fn the_v1_firehose_is_read_where_the_root_names_no_gateway() {
    let pki = Pki::new("test authority");
    let frame = Bytes::from_static(b"frame");
    let script = [Connection::Open(vec![Act::Frames(vec![frame.clone()])])];
    let server = TrafficController::start(&pki, script).await;
    let running = Running::start(auto(&server.api.foundation, &pki));
    assert_eq!(running.take(FrameKind::V1Envelope, 1).await, [frame]);
    assert_eq!(running.sources.status().kind, "firehose");
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_settled_before_the_root_has_been_read() {
    let pki = Pki::new("test authority");
    let server = Gateway::start(&pki, &["http/1.1"], []).await;
    server.api.fail(3);
    let streams = NonZeroUsize::new(2).unwrap();
    let running = Running::start(SourcePlan { streams, ..auto(&server.api.foundation, &pki) });
    let said = running.ended("discovery").await;
    assert!(said.contains("502"), "{said}");
    timeout(DEADLINE, running.sources.wait_connected(2)).await.unwrap();
    let status = running.sources.status();
    assert_eq!((status.kind, status.ends.get("discovery")), ("gateway", Some(&6)), "three for each stream");
}

#[tokio::test]
async fn a_gateway_that_fails_is_no_reason_to_read_v1() {
    let pki = Pki::new("test authority");
    let firehose = TrafficController::start(&pki, []).await;
    let gone = format!("https://{}", closed_port().await);
    let logging = format!("wss://{}", firehose.address);
    let api = Api::start(&[("log_stream", Some(gone)), ("logging", Some(logging))]).await;
    let running = Running::start(auto(&api.foundation, &pki));
    running.wait_for("tried again", |status| status.ends.get("connect") >= Some(&3)).await;
    assert_eq!(running.sources.status().kind, "gateway");
    assert!(firehose.heads().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_nozzle_that_waits_for_the_root_can_be_stopped() {
    let pki = Pki::new("test authority");
    let api = Api::start(&[]).await;
    api.fail(u64::MAX);
    let running = Running::start(auto(&api.foundation, &pki));
    running.ended("discovery").await;
    assert_eq!(running.sources.status().kind, "auto");
    running.stop().await;
}

#[tokio::test]
async fn what_the_source_does_not_carry_is_told() {
    let pki = Pki::new("test authority");
    let api = Api::start(&[("log_stream", None)]).await;
    let events = SelectorKinds { events: true, ..SelectorKinds::default() };
    let running = Running::start(SourcePlan { kinds: events, ..auto(&api.foundation, &pki) });
    let said = running.ended("nothing_selected").await;
    assert!(said.contains("v1 firehose does not carry (Event)"), "{said}");
    running.stop().await;

    let v1_only = SelectorKinds { v1_only: true, ..SelectorKinds::default() };
    let platform = platform(&api.foundation, &pki);
    let cases = [
        (SourceKind::Firehose(platform.clone()), events, Some("v1 firehose")),
        (SourceKind::Firehose(platform.clone()), v1_only, None),
        (SourceKind::Gateway(platform.clone()), v1_only, Some("v2 sources")),
        (SourceKind::Gateway(platform), events, None),
        (grpc_kind("127.0.0.1:1".parse().unwrap(), pki.client()), v1_only, Some("v2 sources")),
    ];
    for (kind, kinds, refused) in cases {
        let (sender, _frames) = channel(1, Arc::new(Ledger::new()));
        let label = kind.label();
        let started = Sources::start(SourcePlan { kinds, ..plan(kind) }, sender, CancellationToken::new());
        let error = started.err().map(|error| error.to_string());
        assert_eq!(error.is_some(), refused.is_some(), "{label}: {error:?}");
        assert!(error.unwrap_or_default().contains(refused.unwrap_or_default()), "{label}");
    }
}
