//! What the tests of the foundation's parts share: clients of its protocols.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::*;
use crate::proto::loggregator::egress_client::EgressClient;
use crate::proto::loggregator::envelope::Message;
use crate::proto::loggregator::selector;
use crate::tls::ClientTls;

/// No test waits longer for anything.
pub(in crate::sim) const PATIENCE: Duration = Duration::from_secs(60);

pub(in crate::sim) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}

pub(in crate::sim) async fn start() -> Foundation {
    Foundation::start(FoundationConfig::default()).await.unwrap()
}

pub(in crate::sim) async fn tls(
    address: SocketAddr,
    mut config: ClientConfig,
    alpn: &str,
) -> io::Result<TlsStream<TcpStream>> {
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(RLP_SERVER_NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Whether a client presents the certificate the log proxy asks for.
#[derive(Clone, Copy)]
pub(in crate::sim) enum Present {
    Certificate,
    Nothing,
}

pub(in crate::sim) fn client(foundation: &Foundation, present: Present) -> ClientConfig {
    let directory = tempfile::tempdir().unwrap();
    let files = foundation.write_certificates(directory.path()).unwrap();
    let identity = match present {
        Present::Certificate => Some(files.identity),
        Present::Nothing => None,
    };
    ClientTls { ca_file: Some(files.ca_file), identity, ..Default::default() }.rustls().unwrap()
}

/// A client of the HTTP listeners.
pub(in crate::sim) fn http(foundation: &Foundation) -> reqwest::Client {
    http_over(foundation, "http/1.1")
}

pub(in crate::sim) fn http_over(foundation: &Foundation, alpn: &str) -> reqwest::Client {
    crate::tls::install_provider();
    let mut config = client(foundation, Present::Nothing);
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    reqwest::Client::builder().tls_backend_preconfigured(config).no_proxy().build().unwrap()
}

/// Sends a request as it is; gives head and body of the answer, if it says how long that is.
pub(in crate::sim) async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_lowercase();
            let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
                return (head.to_owned(), body.to_owned());
            }
        }
        let mut buffer = [0; 1024];
        let n = within(stream.read(&mut buffer)).await.unwrap();
        assert!(n > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..n]));
    }
}

pub(in crate::sim) async fn egress(foundation: &Foundation) -> EgressClient<Channel> {
    egress_counting(foundation, Arc::default()).await
}

/// A client that counts the connections it makes.
pub(in crate::sim) async fn egress_counting(
    foundation: &Foundation,
    connections: Arc<AtomicUsize>,
) -> EgressClient<Channel> {
    let (address, config) = (foundation.rlp_address(), client(foundation, Present::Certificate));
    let connector = tower::service_fn(move |_: Uri| {
        connections.fetch_add(1, Ordering::Relaxed);
        let config = config.clone();
        async move { tls(address, config, "h2").await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://reverselogproxy");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    EgressClient::new(channel).max_decoding_message_size(64 * 1024 * 1024)
}

pub(in crate::sim) fn log_selector() -> v2::Selector {
    let message = Some(selector::Message::Log(v2::LogSelector {}));
    v2::Selector { source_id: String::new(), message }
}

pub(in crate::sim) fn batch_request(shard_id: &str) -> v2::EgressBatchRequest {
    v2::EgressBatchRequest {
        shard_id: shard_id.into(),
        use_preferred_tags: true,
        selectors: vec![log_selector()],
        ..Default::default()
    }
}

pub(in crate::sim) fn log(payload: impl Into<Bytes>) -> v2::Envelope {
    v2::Envelope {
        timestamp: 1_700_000_000_123_456_789,
        source_id: "5b5a9c2e-0f53-4f7d-8a61-0123456789ab".into(),
        instance_id: "0".into(),
        tags: [("origin".to_owned(), "rep".to_owned())].into(),
        message: Some(Message::Log(v2::Log { payload: payload.into(), r#type: 0 })),
        ..Default::default()
    }
}

pub(in crate::sim) fn numbered(count: usize) -> Vec<v2::Envelope> {
    (0..count).map(|n| log(format!("line {n}"))).collect()
}
