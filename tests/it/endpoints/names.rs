//! Names whose addresses change, and names that lead nowhere.

use std::sync::Arc;

use firehose_nozzle::hec::{ClientConfig, GateState, Probe, Status};
use firehose_nozzle::sim::certs::Authority;
use firehose_nozzle::sim::hec::{
    ClientCertificates, HecServer, HecServerConfig, ServerTls, TlsVersions, Token,
};
use firehose_nozzle::tls::ClientTls;

use super::world::{
    Names, Sender, TOKEN, assert_exactly, config, config_behind, dead, server, servers, shares,
};

fn addresses(status: &Status) -> Vec<std::net::SocketAddr> {
    let mut found: Vec<_> = status.endpoints.iter().filter_map(|endpoint| endpoint.address).collect();
    found.sort_unstable();
    found
}

#[tokio::test]
async fn when_an_address_dies_the_name_is_looked_up_and_the_new_one_used() {
    let new = server().await;
    let names = Names::default();
    // Dead from the start; so the name is looked up again after some seconds, not half a minute.
    let (old, _socket) = dead();
    let sender = Sender::new(config_behind(&names, &[old]));
    sender.until("the old address is known", |status| addresses(status) == [old]).await;
    sender.until("it is known to be dead", |status| status.gate == GateState::Paused).await;
    names.set("hec.test", &[new.address()]);
    sender.deliver(0..500, 4).await;
    assert_exactly([&new], 0..500);
    let status = sender.status();
    assert_eq!(addresses(&status), [new.address()], "the old one is gone");
    assert_eq!(status.counters.ambiguous_resends, 0);
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_yet_is_waited_for() {
    let server = server().await;
    let names = Names::default();
    let config = ClientConfig { resolver: Arc::new(names.clone()), ..config(&["http://hec.test"]) };
    let sender = Sender::new(config);
    let status = sender.until("it is away", |status| status.gate == GateState::Paused).await;
    let endpoint = &status.endpoints[0];
    let error = endpoint.last_error.as_ref().map(|error| error.text.as_str()).unwrap_or_default();
    assert!(error.contains("no such name"), "{error}");
    names.set("hec.test", &[server.address()]);
    sender.deliver(0..100, 4).await;
    assert_exactly([&server], 0..100);
}

#[tokio::test]
async fn a_name_that_is_gone_leaves_its_addresses_in_use() {
    let servers = servers::<2>().await;
    let names = Names::default();
    let sender = Sender::known(config_behind(&names, &servers.each_ref().map(|it| it.address())), 2).await;
    names.forget("hec.test");
    // Looks the name up again.
    let probed = sender.client.probe().await;
    assert!(probed.iter().all(|probed| probed.probe == Probe::Ready), "{probed:?}");
    sender.deliver(0..500, 4).await;
    assert_exactly(&servers, 0..500);
    assert!(shares(&servers).iter().all(|share| *share > 0));
}

#[tokio::test]
async fn addresses_come_and_go_while_events_flow() {
    let servers = servers::<3>().await;
    let names = Names::default();
    let [a, b, c] = servers.each_ref().map(|server| server.address());
    let sender = Sender::known(config_behind(&names, &[a, b]), 2).await;
    for (round, now) in [[a, b], [b, c], [c, a], [a, b]].into_iter().enumerate() {
        names.set("hec.test", &now);
        let first = round as u64 * 1000;
        let (_, probed) = tokio::join!(sender.deliver(first..first + 1000, 8), sender.client.probe());
        assert!(probed.iter().all(|probed| probed.probe == Probe::Ready), "{probed:?}");
        let mut expected = now.to_vec();
        expected.sort_unstable();
        assert_eq!(addresses(&sender.status()), expected, "round {round}");
    }
    assert_exactly(&servers, 0..4000);
    assert_eq!(sender.status().counters.ambiguous_resends, 0, "what was under way went on");
    assert!(shares(&servers).iter().all(|share| *share > 0), "{:?}", shares(&servers));
}

#[tokio::test]
async fn the_certificate_has_to_be_of_the_name_whatever_the_address() {
    let authority = Authority::new("test").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = Some(authority.write_to(folder.path(), "ca").unwrap());
    let secure = async |name: &str| {
        let identity = authority.server(&[name]).unwrap();
        let (chain, key) = (&identity.cert_pem, &identity.key_pem);
        let tls = ServerTls::from_pem(chain, key, ClientCertificates::NotAsked, TlsVersions::All).unwrap();
        HecServer::start(HecServerConfig::new(vec![Token::new("nozzle", TOKEN)]).with_tls(tls)).await.unwrap()
    };
    let (right, wrong) = (secure("hec.test").await, secure("other.test").await);
    let names = Names::default();
    names.set("hec.test", &[right.address(), wrong.address()]);
    let sender = Sender::new(ClientConfig {
        resolver: Arc::new(names),
        tls: ClientTls { ca_file, ..ClientTls::default() },
        ..config(&["https://hec.test"])
    });
    sender.deliver(0..200, 4).await;
    assert_exactly([&right], 0..200);
    let held = |status: &Status| status.endpoints.iter().any(|it| matches!(it.gate, GateState::Held { .. }));
    let status = sender.until("the wrong one is held", held).await;
    let endpoint = status.endpoints.iter().find(|it| it.gate != GateState::Open).unwrap();
    assert_eq!(endpoint.address, Some(wrong.address()));
    assert!(endpoint.next_step.is_some_and(|step| step.contains("certificate")));
}
