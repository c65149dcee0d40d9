//! TLS between the nozzle and Splunk: what is trusted, what is shown, and what is replaced.

use firehose_nozzle::hec::GateState;
use firehose_nozzle::nozzle::status::Status;
use firehose_nozzle::sim::certs::{Authority, Leaf};
use firehose_nozzle::sim::hec::{ClientCertificates, ServerTls, TlsVersions};

use super::world::Folder;
use super::{Source, World, app_guid, log};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

async fn world(leaf: &Leaf, clients: ClientCertificates<'_>, versions: TlsVersions) -> World {
    let tls = ServerTls::from_pem(&leaf.cert_pem, &leaf.key_pem, clients, versions).unwrap();
    World::with(|_| {}, |hec| hec.tls = Some(tls)).await
}

/// Delivers some events to a Splunk that should be well.
async fn delivers(world: World, settings: &[(&str, &str)]) {
    let nozzle = world.nozzle(Source::Grpc, settings).await;
    world.publish(0..50, |n| log(&app_guid(1), n)).await;
    world.settled(&nozzle).await;
    world.finish(nozzle).await.assert_exactly(0..50);
}

fn held(status: &Status) -> bool {
    matches!(status.hec.gate, GateState::Held { .. }) && status.ledger.batched == 50
}

#[tokio::test]
async fn tls_1_2_and_a_client_certificate_are_served() {
    let authority = Authority::new("splunk").unwrap();
    let folder = Folder::new();
    let ca = folder.write("ca.pem", authority.pem());
    let client = authority.client("nozzle").unwrap();
    let (cert, key) = (folder.write("cert.pem", &client.cert_pem), folder.write("key.pem", &client.key_pem));
    let leaf = authority.server(&NAMES).unwrap();
    let plain = world(&leaf, ClientCertificates::NotAsked, TlsVersions::Only12).await;
    delivers(plain, &[("SPLUNK_CA_FILE", &ca)]).await;
    let mutual = world(&leaf, ClientCertificates::Required(authority.pem()), TlsVersions::All).await;
    let identity = [("SPLUNK_CLIENT_CERT_FILE", cert.as_str()), ("SPLUNK_CLIENT_KEY_FILE", &key)];
    delivers(mutual, &[&[("SPLUNK_CA_FILE", ca.as_str())][..], &identity].concat()).await;
}

#[tokio::test]
async fn what_is_not_trusted_gets_nothing_and_loses_nothing() {
    let (right, other) = (Authority::new("splunk").unwrap(), Authority::new("other").unwrap());
    let folder = Folder::new();
    let ca = folder.write("ca.pem", right.pem());
    let cases = [
        ("another issuer", other.server(&NAMES).unwrap(), ClientCertificates::NotAsked),
        ("expired", right.expired_server(&NAMES).unwrap(), ClientCertificates::NotAsked),
        ("another name", right.server(&["splunk.example.com"]).unwrap(), ClientCertificates::NotAsked),
        ("no client certificate", right.server(&NAMES).unwrap(), ClientCertificates::Required(right.pem())),
    ];
    for (case, leaf, clients) in cases {
        let world = world(&leaf, clients, TlsVersions::All).await;
        let settings = [("SPLUNK_CA_FILE", ca.as_str()), ("SHUTDOWN_TIMEOUT", "1s")];
        let nozzle = world.nozzle(Source::Grpc, &settings).await;
        world.publish(0..50, |n| log(&app_guid(1), n)).await;
        let status = nozzle.until(case, held).await;
        let step = status.hec.next_step.unwrap();
        assert!(step.contains("certificate"), "{case}: {step}");
        assert!(status.not_ready.iter().any(|reason| reason.contains("certificate")), "{case}");
        let verdict = world.finish(nozzle).await;
        assert_eq!(verdict.records.len(), 0, "{case}");
        assert_eq!(verdict.ledger().dropped, [("shutdown".to_owned(), 50)].into(), "{case}");
    }
}

#[tokio::test]
async fn certificates_that_are_replaced_are_used_without_a_restart() {
    let (right, other) = (Authority::new("splunk").unwrap(), Authority::new("other").unwrap());
    let folder = Folder::new();
    let ca = folder.write("ca.pem", other.pem());
    let stranger = other.client("nozzle").unwrap();
    let cert = folder.write("cert.pem", &stranger.cert_pem);
    let key = folder.write("key.pem", &stranger.key_pem);
    let leaf = right.server(&NAMES).unwrap();
    let world = world(&leaf, ClientCertificates::Required(right.pem()), TlsVersions::All).await;
    let settings = [
        ("SPLUNK_CA_FILE", ca.as_str()),
        ("SPLUNK_CLIENT_CERT_FILE", &cert),
        ("SPLUNK_CLIENT_KEY_FILE", &key),
    ];
    let nozzle = world.nozzle(Source::Grpc, &settings).await;
    world.publish(0..50, |n| log(&app_guid(1), n)).await;
    nozzle.until("the server is not trusted", held).await;
    folder.write("ca.pem", right.pem());
    // One after another, as whoever writes them does: between, they do not go together.
    let friend = right.client("nozzle").unwrap();
    folder.write("cert.pem", &friend.cert_pem);
    folder.write("key.pem", &friend.key_pem);
    world.settled(&nozzle).await;
    world.finish(nozzle).await.assert_exactly(0..50);
}
