//! Certificates that are no good, in real handshakes: whoever refuses, the operator learns the cause.
//!
//! | certificate | gRPC | gateway, websocket, API, UAA |
//! |---|---|---|
//! | the server's: expired, for another name, without one but the common name, of an unknown CA | yes | yes |
//! | ours: none, expired, of an unknown CA | yes | they ask for none |

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

use super::api::Api;
use super::rlp::{Call, Ending, Rlp};
use super::*;
use crate::nozzle::cf::Foundation;
use crate::nozzle::cf::http::Http;
use crate::nozzle::cf::token::Credentials;

/// What is wrong with a server's certificate that is to be for `name`, and the words for it.
fn server_faults(pki: &Pki, name: &str) -> [(Leaf, String); 4] {
    let (ours, stranger) = (&pki.authority, Authority::new("stranger").unwrap());
    [
        (ours.expired_server(&[name]).unwrap(), "expired on 2020-12-31".to_owned()),
        (
            ours.server(&["other.example"]).unwrap(),
            format!("not for the expected name {name:?} but for other.example"),
        ),
        (
            ours.server(&[]).unwrap(),
            format!("only a common name, no subject alternative name, so it cannot be matched with {name:?}"),
        ),
        (stranger.server(&[name]).unwrap(), "signed by an unknown CA; configure the CA file".to_owned()),
    ]
}

/// A server that shakes hands and says nothing; ends with the second value.
async fn https(leaf: &Leaf) -> (Url, Tasks<()>) {
    let tls = TlsAcceptor::from(Arc::new(leaf.server_config(None, &["h2", "http/1.1"]).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let mut tasks = Tasks::new();
    tasks.spawn("handshakes", async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            // The client is the one that refuses.
            assert!(tls.accept(tcp).await.is_err());
        }
    });
    (url, tasks)
}

/// A foundation whose API is here.
fn foundation(pki: &Pki, api: Url) -> Foundation {
    let client_secret = SecretString::from("secret".to_owned());
    let http = Http::new(&pki.trusting(), &ProxySettings::default()).unwrap();
    Foundation::new(http, api, Credentials { client_id: "nozzle".to_owned(), client_secret })
}

/// Runs a stream that cannot come about, until it has said why.
async fn refused(case: &str, kind: SourceKind, reason: &str, words: &str) {
    let running = Running::start(plan(kind));
    let said = running.ended(reason).await;
    assert!(said.contains(words), "{case}: expected {words:?}: {said}");
    assert_eq!(running.sources.status().streams[0].connects, 0, "{case}");
    running.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_server_is_told_by_each_client_of_the_foundation() {
    let pki = Pki::new("test authority");
    for (leaf, words) in server_faults(&pki, "127.0.0.1") {
        let (url, _server) = https(&leaf).await;
        let link = Some(url.to_string());
        let log_stream = Api::start(&[("log_stream", link.clone())]).await;
        let logging = Api::start(&[("logging", link.clone().map(|url| url.replace("https", "wss")))]).await;
        let uaa = Api::start(&[("uaa", link.clone()), ("log_stream", link)]).await;
        let at = |api: &Url| platform(&foundation(&pki, api.clone()), &pki);
        for (case, kind, reason) in [
            ("gateway", SourceKind::Gateway(at(&log_stream.url)), "tls"),
            ("websocket", SourceKind::Firehose(at(&logging.url)), "tls"),
            ("UAA", SourceKind::Gateway(at(&uaa.url)), "token"),
            ("API", SourceKind::Auto(at(&url)), "discovery"),
        ] {
            refused(case, kind, reason, &words).await;
        }
    }
}

#[tokio::test]
async fn each_fault_of_a_log_proxy_is_told() {
    let pki = Pki::new("test authority");
    for (leaf, words) in server_faults(&pki, "reverselogproxy") {
        let rlp = Rlp::start(pki.mutual(&leaf), []).await;
        refused("gRPC", grpc_kind(rlp.address, pki.client()), "tls", &words).await;
    }
}

#[tokio::test]
async fn each_fault_of_our_own_certificate_is_told() {
    let pki = Pki::new("test authority");
    let leaf = pki.authority.server(&["reverselogproxy"]).unwrap();
    let rlp = Rlp::start(pki.mutual(&leaf), []).await;
    let with = |leaf: &Leaf, stem: &str| {
        let (cert_file, key_file) = leaf.write_to(pki.dir.path(), stem).unwrap();
        ClientTls { identity: Some(Identity { cert_file, key_file }), ..pki.trusting() }
    };
    let stranger = Authority::new("stranger").unwrap().client("nozzle").unwrap();
    let expired = pki.authority.expired_client("nozzle").unwrap();
    for (case, tls, words) in [
        ("none", pki.trusting(), "requires a client certificate; configure one with its key"),
        ("expired", with(&expired, "expired"), "the client certificate has expired"),
        ("of an unknown CA", with(&stranger, "stranger"), "does not know the CA of the client certificate"),
    ] {
        refused(case, grpc_kind(rlp.address, tls), "tls", words).await;
    }
}

#[tokio::test]
async fn files_that_are_replaced_are_used_for_the_next_connection() {
    let pki = Pki::new("test authority");
    let leaf = pki.authority.server(&["reverselogproxy"]).unwrap();
    let gone = Call::Reply(vec![Bytes::from_static(b"x")], Ending::Status("14", "gone"));
    let held = Call::Quiet(Box::new(gone));
    let rlp = Rlp::start(pki.mutual(&leaf), [held]).await;
    let mut tls = pki.client();
    tls.ca_file = Some(pki.path("replaced.crt"));
    let running = Running::start(plan(grpc_kind(rlp.address, tls)));
    let absent = running.ended("tls_files").await;
    assert!(
        absent.contains("cannot read CA certificates from") && absent.contains("replaced.crt"),
        "{absent}"
    );

    // The missing one comes.
    pki.authority.write_to(pki.dir.path(), "replaced").unwrap();
    timeout(DEADLINE, running.sources.wait_connected(1)).await.unwrap();

    // Another one takes its place; the open connection does not mind.
    let stranger = Authority::new("stranger").unwrap();
    stranger.write_to(pki.dir.path(), "replaced").unwrap();
    rlp.release();
    assert_eq!(running.take(FrameKind::V2Batch, 1).await, ["x"]);
    assert!(running.ended("tls").await.contains("unknown CA"));

    // So does a client certificate that the proxy does not know, and the right one again.
    pki.authority.write_to(pki.dir.path(), "replaced").unwrap();
    stranger.client("nozzle").unwrap().write_to(pki.dir.path(), "client").unwrap();
    running
        .wait_for("our certificate is refused", |status| {
            status.streams[0]
                .last_end
                .as_ref()
                .is_some_and(|end| end.message.contains("CA of the client certificate"))
        })
        .await;
    pki.authority.client("nozzle").unwrap().write_to(pki.dir.path(), "client").unwrap();
    timeout(DEADLINE, running.sources.wait_connected(1)).await.unwrap();
    assert_eq!(running.sources.status().streams[0].connects, 2);
}
