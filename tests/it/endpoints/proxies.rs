//! HEC through an HTTP proxy, with credentials and without.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use firehose_nozzle::hec::hold::HoldReason;
use firehose_nozzle::hec::{ClientConfig, GateState, Status};
use firehose_nozzle::proxy::bypass::Bypass;
use firehose_nozzle::proxy::{Proxy, ProxySettings};
use firehose_nozzle::sim::certs::Authority;
use firehose_nozzle::sim::hec::{
    Action, ClientCertificates, Endpoint, HecServer, HecServerConfig, Rule, ServerTls, TlsVersions, Token,
};
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls::ClientTls;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::world::{Names, Sender, TOKEN, assert_exactly, config, server, servers};

/// user:p@ss
const CREDENTIALS: &str = "Proxy-Authorization: Basic dXNlcjpwQHNz";

/// A proxy that takes every name for this machine.
struct ForwardProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: Tasks<()>,
}

impl ForwardProxy {
    /// Lets through who has the credentials, to this collector.
    async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let mut tasks = Tasks::new();
        let log = Arc::clone(&heads);
        tasks.spawn("proxy", async move {
            let mut connections = Tasks::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                connections.spawn("connection", async move { drop(serve(near, target, &log).await) });
            }
        });
        Self { address, heads, _tasks: tasks }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut near: TcpStream, target: SocketAddr, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(near.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    log.lock().unwrap().push(head.clone());
    if !head.to_lowercase().contains(&CREDENTIALS.to_lowercase()) {
        let refusal =
            "HTTP/1.1 407 Proxy Authentication Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        return near.write_all(refusal.as_bytes()).await;
    }
    let mut far = TcpStream::connect(target).await?;
    if head.starts_with("CONNECT ") {
        near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        // The collector gets a path, and one request per connection.
        let path = head.replacen("http://hec.test", "", 1);
        far.write_all(path.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).as_bytes()).await?;
    }
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

fn through(proxy: SocketAddr, user: &str, no_proxy: &str) -> ProxySettings {
    let proxy = Proxy::parse(&format!("http://{user}{proxy}"));
    assert!(proxy.is_some());
    ProxySettings { secure: proxy.clone(), plain: proxy, bypass: Bypass::parse(no_proxy).0 }
}

/// A collector with TLS for `hec.test`, and how to trust it.
async fn secure() -> (HecServer, ClientTls, TempDir) {
    let authority = Authority::new("test").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = Some(authority.write_to(folder.path(), "ca").unwrap());
    let identity = authority.server(&["hec.test"]).unwrap();
    let (chain, key) = (&identity.cert_pem, &identity.key_pem);
    let tls = ServerTls::from_pem(chain, key, ClientCertificates::NotAsked, TlsVersions::All).unwrap();
    let config = HecServerConfig::new(vec![Token::new("nozzle", TOKEN)]).with_tls(tls);
    (HecServer::start(config).await.unwrap(), ClientTls { ca_file, ..ClientTls::default() }, folder)
}

#[tokio::test]
async fn https_goes_through_a_tunnel_that_never_sees_the_token() {
    let (server, tls, _folder) = secure().await;
    let proxy = ForwardProxy::start(server.address()).await;
    let proxies = through(proxy.address, "user:p%40ss@", "");
    let sender = Sender::new(ClientConfig { tls, proxies, ..config(&["https://hec.test:8088"]) });
    sender.deliver(0..300, 4).await;
    assert_exactly([&server], 0..300);
    let heads = proxy.heads();
    assert!(heads.iter().all(|head| head.starts_with("CONNECT hec.test:8088 HTTP/1.1\r\n")), "{heads:?}");
    assert!(heads.iter().all(|head| !head.contains(TOKEN)), "{heads:?}");
    let status = sender.status();
    assert_eq!((status.endpoints.len(), status.endpoints[0].address), (1, None), "no name is looked up here");
}

#[tokio::test]
async fn http_goes_through_the_proxy_as_it_is() {
    let server = server().await;
    let proxy = ForwardProxy::start(server.address()).await;
    let proxies = through(proxy.address, "user:p%40ss@", "");
    let sender = Sender::new(ClientConfig { proxies, ..config(&["http://hec.test"]) });
    sender.deliver(0..100, 4).await;
    assert_exactly([&server], 0..100);
    let post = "POST http://hec.test/services/collector/event HTTP/1.1\r\n";
    assert!(proxy.heads().iter().any(|head| head.starts_with(post)), "{:?}", proxy.heads());
}

#[tokio::test]
async fn no_proxy_is_direct() {
    let server = server().await;
    let proxy = ForwardProxy::start(server.address()).await;
    let names = Names::default();
    names.set("hec.test", &[server.address()]);
    let proxies = through(proxy.address, "", ".test");
    let resolver = Arc::new(names);
    let sender = Sender::new(ClientConfig { proxies, resolver, ..config(&["http://hec.test"]) });
    sender.deliver(0..100, 4).await;
    assert_exactly([&server], 0..100);
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn a_proxy_that_does_not_know_us_holds_the_data() {
    let (server, tls, _folder) = secure().await;
    let proxy = ForwardProxy::start(server.address()).await;
    for url in ["https://hec.test:8088", "http://hec.test"] {
        let proxies = through(proxy.address, "user:wrong@", "");
        let sender = Sender::new(ClientConfig { tls: tls.clone(), proxies, ..config(&[url]) });
        let held = |status: &Status| matches!(status.gate, GateState::Held { .. });
        let status = sender.until("it is held", held).await;
        assert_eq!(status.gate, GateState::Held { reason: HoldReason::ProxyAuthentication }, "{url}");
        assert!(status.next_step.is_some_and(|step| step.contains("HTTPS_PROXY")));
        let shown = format!("{}{:?}", serde_json::to_string(&status).unwrap(), sender.client);
        assert!(!shown.contains("wrong"), "{shown}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let [server, other] = servers::<2>().await;
    let elsewhere = format!("{}/services/collector/event", other.url());
    server.add_rule(Rule::on(Endpoint::Event, Action::redirect(&elsewhere)));
    let sender = Sender::new(config(&[&server.url()]));
    sender.until("it is held", |status| matches!(status.gate, GateState::Held { .. })).await;
    assert_eq!(other.snapshot().requests, 0, "the token went nowhere else");
}
