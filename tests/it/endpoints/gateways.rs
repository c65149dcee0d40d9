//! nginx and HAProxy in front of collectors, as they are found in front of Splunk.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use firehose_nozzle::hec::{ClientConfig, Compression};
use firehose_nozzle::sim::hec::{Action, Endpoint, HecServer, Rule, Stage};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::world::{
    BATCH, PATIENCE, Sender, assert_complete, assert_exactly, config, dead, server, servers, shares,
};
use crate::binary::free_port;
use crate::tools;

/// A gateway that runs, until this is dropped.
struct Gateway {
    address: SocketAddr,
    folder: TempDir,
    child: Child,
}

impl Gateway {
    async fn start(program: &str, arguments: &[&str], configuration: impl Fn(u16, &Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let file = folder.path().join("gateway.conf");
        std::fs::write(&file, configuration(port, folder.path())).unwrap();
        let log = std::fs::File::create(folder.path().join("output")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut gateway = Self { address: (Ipv4Addr::LOCALHOST, port).into(), folder, child };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(gateway.address).await.is_err() {
            let ended = gateway.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{program}: {ended:?} {}", gateway.said());
            sleep(Duration::from_millis(10)).await;
        }
        gateway
    }

    /// nginx; the texts go into the sections of these names.
    async fn nginx(upstream: &str, http: &str, server: &str) -> Self {
        Self::start("nginx", &["-c"], |port, folder| {
            let folder = folder.display();
            format!(
                "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
                events {{ worker_connections 512; }}
                http {{
                    access_log off; client_max_body_size 2m;
                    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
                    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
                    scgi_temp_path {folder}/scgi;
                    {http}
                    upstream hec {{ {upstream} }}
                    server {{
                        listen 127.0.0.1:{port};
                        {server}
                        location / {{
                            proxy_pass http://hec; proxy_http_version 1.1; proxy_set_header Connection \"\";
                        }}
                    }}
                }}"
            )
        })
        .await
    }

    /// HAProxy; the texts go into the sections of these names.
    async fn haproxy(defaults: &str, frontend: &str, backend: &str) -> Self {
        Self::start("haproxy", &["-db", "-f"], |port, _| {
            format!(
                "defaults\n timeout connect 60s\n timeout client 120s\n timeout server 120s\n{defaults}\n\
                 frontend front\n bind 127.0.0.1:{port}\n default_backend hec\n{frontend}\n\
                 backend hec\n balance roundrobin\n{backend}\n"
            )
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn said(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("output") + &read("error.log")
    }
}

fn upstream<'a>(servers: impl IntoIterator<Item = &'a HecServer>) -> String {
    servers.into_iter().map(|server| format!("server {};", server.address())).collect()
}

fn backend<'a>(servers: impl IntoIterator<Item = &'a HecServer>, options: &str) -> String {
    let lines = servers.into_iter().enumerate();
    lines.map(|(at, server)| format!(" server s{at} {} {options}\n", server.address())).collect()
}

/// Takes the events of one request, and answers long after a gateway has lost patience.
fn slow_to_answer() -> Rule {
    let slow = Action::Delay(Stage::AfterIndex, PATIENCE);
    Rule::on(Endpoint::Event, slow).nth(30)
}

/// Delivers through a gateway. It is the gateway's patience that ends, not the client's.
async fn deliver(gateway: &Gateway, events: u64, at_a_time: usize) -> Sender {
    let sender = Sender::new(ClientConfig { timeout: PATIENCE, ..config(&[&gateway.url()]) });
    sender.deliver(0..events, at_a_time).await;
    sender
}

#[tokio::test]
async fn nginx_spreads_requests_over_its_servers() {
    if !tools::available("nginx") {
        return;
    }
    let servers = servers::<3>().await;
    let upstream = upstream(&servers) + "keepalive 16;";
    let gateway = Gateway::nginx(&upstream, "", "").await;
    let sender = deliver(&gateway, 3000, 8).await;
    assert_exactly(&servers, 0..3000);
    assert!(shares(&servers).iter().all(|share| share.abs_diff(1000) <= 200), "{:?}", shares(&servers));
    assert_eq!(sender.status().counters.retries, 0);
}

#[tokio::test]
async fn nginx_closes_connections_after_some_requests_and_when_they_are_idle() {
    if !tools::available("nginx") {
        return;
    }
    let server = server().await;
    // So short that some connections go at the very moment they are used again.
    let gateway =
        Gateway::nginx(&upstream([&server]), "", "keepalive_requests 3; keepalive_timeout 5ms;").await;
    let sender = Sender::new(config(&[&gateway.url()]));
    for round in 0..200 {
        sender.deliver(round * 30..(round + 1) * 30, 3).await;
        // Idle for a while, now shorter and now longer than allowed.
        sleep(Duration::from_millis(round % 8)).await;
    }
    let duplicates = assert_complete([&server], 0..6000);
    assert!(duplicates <= sender.status().counters.ambiguous_resends * BATCH);
}

#[tokio::test]
async fn nginx_limits_connections() {
    if !tools::available("nginx") {
        return;
    }
    let server = server().await;
    server.add_rule(Rule::on(Endpoint::Event, Action::Delay(Stage::BeforeRead, Duration::from_millis(5))));
    let zone = "limit_conn_zone $server_port zone=all:1m;";
    let gateway = Gateway::nginx(&upstream([&server]), zone, "limit_conn all 2;").await;
    let sender = deliver(&gateway, 3000, 16).await;
    // 503 with a page is a word before anything was taken.
    assert_exactly([&server], 0..3000);
    let status = sender.status();
    assert!(status.counters.replies.iter().any(|reply| reply.status == 503), "{:?}", status.counters);
    assert_eq!(status.counters.ambiguous_resends, 0);
    assert!(server.snapshot().max_in_flight <= 2);
}

#[tokio::test]
async fn nginx_has_a_server_that_is_gone() {
    if !tools::available("nginx") {
        return;
    }
    let servers = servers::<2>().await;
    let (dead, _socket) = dead();
    let upstream = upstream(&servers) + &format!("server {dead} max_fails=0;");
    let gateway = Gateway::nginx(&upstream, "proxy_next_upstream off;", "").await;
    let sender = deliver(&gateway, 3000, 8).await;
    // 502: nothing reached the dead one, though that cannot be known here.
    assert_exactly(&servers, 0..3000);
    assert!(sender.status().counters.replies.iter().any(|reply| reply.status == 502));
}

#[tokio::test]
async fn nginx_loses_patience_with_a_server_that_has_taken_the_events() {
    if !tools::available("nginx") {
        return;
    }
    let server = server().await;
    let rule = server.add_rule(slow_to_answer());
    let gateway = Gateway::nginx(&upstream([&server]), "proxy_read_timeout 5s;", "").await;
    let sender = deliver(&gateway, 1000, 4).await;
    let status = sender.status();
    assert!(server.fired(rule) > 0);
    assert!(status.counters.replies.iter().any(|reply| reply.status == 504), "{:?}", status.counters);
    let duplicates = assert_complete([&server], 0..1000);
    assert_eq!(duplicates, status.counters.ambiguous_resends * BATCH, "exactly what was in doubt");
}

#[tokio::test]
async fn nginx_finds_a_body_too_large() {
    if !tools::available("nginx") {
        return;
    }
    let server = server().await;
    let gateway = Gateway::nginx(&upstream([&server]), "", "client_max_body_size 200;").await;
    let config = ClientConfig { compression: Compression::None, ..config(&[&gateway.url()]) };
    let sender = Sender::new(config);
    sender.deliver(0..500, 4).await;
    assert_exactly([&server], 0..500);
}

#[tokio::test]
async fn haproxy_spreads_connections_and_few_at_a_time() {
    if !tools::available("haproxy") {
        return;
    }
    let servers = servers::<3>().await;
    let gateway = Gateway::haproxy(" mode tcp", " maxconn 4", &backend(&servers, "maxconn 2")).await;
    // Connections that HAProxy has not accepted yet wait until others are idle for long enough; requests on them would be sent
    // twice if they were given up meanwhile.
    let timeout = Duration::from_secs(600);
    let sender = Sender::new(ClientConfig { timeout, ..config(&[&gateway.url()]) });
    sender.deliver(0..3000, 16).await;
    assert_exactly(&servers, 0..3000);
    assert!(servers.iter().all(|server| server.snapshot().max_in_flight <= 2));
    assert_eq!(sender.status().counters.ambiguous_resends, 0);
}

#[tokio::test]
async fn haproxy_spreads_requests_and_passes_over_a_server_that_is_gone() {
    if !tools::available("haproxy") {
        return;
    }
    let servers = servers::<2>().await;
    let (dead, _socket) = dead();
    let backend = backend(&servers, "") + &format!(" server gone {dead}\n retries 0\n");
    let gateway = Gateway::haproxy(" mode http\n timeout http-keep-alive 1s", "", &backend).await;
    let sender = deliver(&gateway, 3000, 8).await;
    // 503: HAProxy says by it that it reached nobody.
    assert_exactly(&servers, 0..3000);
    let status = sender.status();
    assert!(status.counters.replies.iter().any(|reply| reply.status == 503), "{:?}", status.counters);
    assert_eq!(status.counters.ambiguous_resends, 0);
}

#[tokio::test]
async fn haproxy_closes_idle_connections_and_after_each_reply() {
    if !tools::available("haproxy") {
        return;
    }
    for option in [" timeout http-keep-alive 2ms", " option httpclose"] {
        let server = server().await;
        let gateway = Gateway::haproxy(&format!(" mode http\n{option}"), "", &backend([&server], "")).await;
        let sender = Sender::new(config(&[&gateway.url()]));
        for round in 0..60 {
            sender.deliver(round * 30..(round + 1) * 30, 3).await;
            // Idle for a while, now shorter and now longer than allowed.
            sleep(Duration::from_millis(round % 5)).await;
        }
        let duplicates = assert_complete([&server], 0..1800);
        assert!(duplicates <= sender.status().counters.ambiguous_resends * BATCH, "{option}");
    }
}

#[tokio::test]
async fn haproxy_runs_out_of_time() {
    if !tools::available("haproxy") {
        return;
    }
    let server = server().await;
    let rule = server.add_rule(slow_to_answer());
    let defaults = " mode http\n timeout server 5s";
    let gateway = Gateway::haproxy(defaults, "", &backend([&server], "")).await;
    let sender = deliver(&gateway, 1000, 4).await;
    assert!(server.fired(rule) > 0);
    let status = sender.status();
    assert!(status.counters.replies.iter().any(|reply| reply.status == 504), "{:?}", status.counters);
    assert_eq!(assert_complete([&server], 0..1000), status.counters.ambiguous_resends * BATCH);
}
