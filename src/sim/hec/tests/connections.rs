//! Sockets, TLS and the end of the server.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Identity};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::*;

/// A CA with certificates for one server and one client, as PEM.
struct Pki {
    ca: String,
    server: (String, String),
    client: (String, String),
}

fn pki() -> Pki {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &ca).unwrap().pem(), key.serialize_pem())
    };
    Pki { ca: ca.pem(), server: issue("127.0.0.1"), client: issue("client") }
}

fn tls_client(pki: &Pki, identity: Option<&(String, String)>) -> Client {
    let mut builder =
        builder().user_agent("test/1").tls_certs_only([Certificate::from_pem(pki.ca.as_bytes()).unwrap()]);
    if let Some((chain, key)) = identity {
        builder = builder.identity(Identity::from_pem(format!("{chain}{key}").as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

async fn tls_server(pki: &Pki, clients: ClientCertificates<'_>, versions: TlsVersions) -> HecServer {
    let (chain, key) = &pki.server;
    let tls = ServerTls::from_pem(chain, key, clients, versions).unwrap();
    start(config().with_tls(tls)).await
}

const GOOD: &str = r#"{"event":1}"#;

#[tokio::test]
async fn tls_with_and_without_client_certificates() {
    let pki = pki();
    let (without, with) = (tls_client(&pki, None), tls_client(&pki, Some(&pki.client)));
    let send = async |client: &Client, server: &HecServer| {
        post(client, server, "").body(GOOD).send().await.map(|response| response.status().as_u16()).ok()
    };
    let table = [
        (ClientCertificates::NotAsked, TlsVersions::All, Some(200), Some(200)),
        (ClientCertificates::Optional(&pki.ca), TlsVersions::All, Some(200), Some(200)),
        (ClientCertificates::Required(&pki.ca), TlsVersions::Only12, None, Some(200)),
        (ClientCertificates::NotAsked, TlsVersions::Only12, Some(200), Some(200)),
    ];
    for (clients, versions, expected_without, expected_with) in table {
        let server = tls_server(&pki, clients, versions).await;
        assert!(server.url().starts_with("https://127.0.0.1:"));
        assert_eq!(send(&without, &server).await, expected_without, "{versions:?}");
        assert_eq!(send(&with, &server).await, expected_with, "{versions:?}");
        let failed = u64::from(expected_without.is_none());
        server.wait_until(LONG, |now| now.handshakes_failed == failed).await.unwrap();
    }
}

#[tokio::test]
async fn faults_work_under_tls_too() {
    let pki = pki();
    let server = tls_server(&pki, ClientCertificates::NotAsked, TlsVersions::All).await;
    server.add_rule(Rule::always(Action::reset(CutPoint::AfterIndex)).first(1));
    let client = tls_client(&pki, None);
    assert!(post(&client, &server, "").body(GOOD).send().await.is_err());
    assert_eq!(answer(post(&client, &server, "").body(GOOD)).await, success());
    assert_eq!(server.snapshot().ledger.events, 2);
}

#[test]
fn bad_pem_is_named() {
    let pki = pki();
    let (chain, key) = &pki.server;
    let build = |chain: &str, key: &str, clients| {
        ServerTls::from_pem(chain, key, clients, TlsVersions::All).unwrap_err().to_string()
    };
    let none = ClientCertificates::NotAsked;
    assert_eq!(build("", key, none), "no usable certificate chain in the PEM text");
    assert_eq!(build(chain, "", none), "no usable private key in the PEM text");
    assert_eq!(build(chain, &pki.client.1, none), "the certificate and its key are not usable together");
    let client_ca = ClientCertificates::Required("nothing");
    assert_eq!(build(chain, key, client_ca), "no usable client CA certificate in the PEM text");
}

#[tokio::test]
async fn a_request_without_user_agent_costs_the_connection() {
    let server = start(config()).await;
    let client = builder().build().unwrap();
    let response = post(&client, &server, "").body(GOOD).send().await.unwrap();
    assert_eq!(header(&response, "connection"), Some("Close"));
    assert_eq!(server.snapshot().without_user_agent, 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(HecServerConfig { keep_alive_idle: Duration::from_millis(20), ..config() }).await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(LONG, socket.read_to_end(&mut rest)).await.unwrap().unwrap();
    server.wait_until(LONG, |now| now.connections_open == 0).await.unwrap();
}

#[tokio::test]
async fn more_connections_than_allowed_wait() {
    let server = start(HecServerConfig { max_connections: 1, ..config() }).await;
    let first = TcpStream::connect(server.address()).await.unwrap();
    server.wait_until(LONG, |now| now.connections_open == 1).await.unwrap();
    let client = client();
    let second = post(&client, &server, "").body(GOOD).send();
    let (second, opened) = tokio::join!(second, async {
        let opened = server.snapshot().connections_opened;
        drop(first);
        opened
    });
    assert_eq!((second.unwrap().status().as_u16(), opened), (200, 1));
}

#[tokio::test]
async fn a_restart_resets_connections_and_the_server_lives_on() {
    let server = start(config()).await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    server.wait_until(LONG, |now| now.connections_open == 1).await.unwrap();
    server.restart();
    let mut byte = [0];
    let end = socket.read(&mut byte).await.unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(send(&server, GOOD).await, success());
}

#[tokio::test]
async fn the_token_table_can_change() {
    let server = start(config()).await;
    server.set_tokens(vec![Token::new("new", "new")]);
    assert_eq!(send(&server, GOOD).await.0, 403);
    let url = format!("{}/services/collector", server.url());
    let request = client().post(url).header("authorization", "Splunk new").body(GOOD);
    assert_eq!(answer(request).await, success());
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_frees_the_port() {
    let server = start(config()).await;
    server.pause();
    let address = server.address();
    let client = client();
    let request = post(&client, &server, "").body(GOOD).send();
    let (response, ()) = tokio::join!(request, async {
        server.wait_until(LONG, |now| now.in_flight == 1).await.unwrap();
        server.resume();
        server.stop().await;
    });
    assert_eq!(response.unwrap().status().as_u16(), 200);
    assert!(TcpStream::connect(address).await.is_err());
    start(HecServerConfig { listen: address, ..config() }).await;
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let server = start(config()).await;
    let error = HecServer::start(HecServerConfig { listen: server.address(), ..config() }).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", server.address()));
}

#[tokio::test]
async fn tokens_do_not_show_in_debug_output() {
    let server = start(config()).await;
    assert_eq!(send(&server, GOOD).await, success());
    let shown = format!("{:?} {server:?} {:?}", config(), server.snapshot());
    assert!(!shown.contains(TOKEN) && !shown.contains(ACK_TOKEN), "{shown}");
}
