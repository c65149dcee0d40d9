//! Against the simulated HEC.

use std::path::Path;

use super::*;
use crate::eventgen::testing::{batch, sample, write_all};
use crate::sim::certs::Authority;
use crate::sim::hec::{
    Action, ClientCertificates, Code, Endpoint, HecServer, HecServerConfig, LedgerMode, Reply, Rule,
    ServerTls, TlsVersions, Token,
};

const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

fn config() -> HecServerConfig {
    HecServerConfig::new(vec![Token::new("t", TOKEN)]).with_ledger(LedgerMode::default())
}

fn servers_of(servers: &[&HecServer]) -> String {
    let list = servers.iter().map(|server| {
        let url = server.url();
        let (protocol, address) = url.split_once("://").unwrap();
        let (host, port) = address.trim_end_matches('/').rsplit_once(':').unwrap();
        serde_json::json!({"protocol": protocol, "address": host, "port": port, "key": TOKEN})
    });
    serde_json::json!({"servers": list.collect::<Vec<_>>()}).to_string()
}

fn output(settings: &[(&str, &str)]) -> Result<Hec, String> {
    crate::tls::install_provider();
    Hec::new(&sample("s", settings), &Clients::default())
}

fn events(server: &HecServer) -> Vec<String> {
    let records = server.records().unwrap();
    let mut events: Vec<_> =
        records.iter().map(|record| record.json()["event"].as_str().unwrap().to_owned()).collect();
    events.sort();
    events
}

#[tokio::test]
async fn events_go_to_one_of_the_servers_or_to_all() {
    for (mode, expected) in [("roundrobin", 6), ("mirror", 12)] {
        let (first, second) =
            (HecServer::start(config()).await.unwrap(), HecServer::start(config()).await.unwrap());
        let servers = servers_of(&[&first, &second]);
        let settings = [
            ("httpeventServers", &*servers),
            ("httpeventOutputMode", mode),
            ("httpeventMaxPayloadSize", "1"),
            ("httpeventGzip", "true"),
        ];
        let mut hec = output(&settings).unwrap();
        write_all(&mut hec, &["1", "2", "3", "4", "5", "6"]).await.unwrap();
        let shares = [events(&first).len(), events(&second).len()];
        assert_eq!(shares.iter().sum::<usize>(), expected, "{mode}: {shares:?}");
        assert!(shares.iter().all(|share| *share > 0), "{mode}: {shares:?}");
        let (mut all, mut both) =
            ([events(&first), events(&second)].concat(), vec!["1", "2", "3", "4", "5", "6"]);
        if mode == "mirror" {
            both = both.repeat(2);
        }
        all.sort();
        both.sort_unstable();
        assert_eq!(all, both);
    }
}

#[tokio::test]
async fn what_a_server_that_is_gone_does_not_take_goes_to_the_others() {
    let (first, second) =
        (HecServer::start(config()).await.unwrap(), HecServer::start(config()).await.unwrap());
    let servers = servers_of(&[&first, &second]);
    let settings = [("httpeventServers", &*servers), ("httpeventMaxPayloadSize", "1")];
    let mut hec = output(&settings).unwrap();
    hec.write(&batch(&["1", "2", "3", "4"])).await.unwrap();
    while hec.settle().await {}
    let before = events(&first);
    drop(first);
    // One attempt at the dead server, and no wait for it.
    write_all(&mut hec, &["5", "6", "7", "8"]).await.unwrap();
    let mut all = [before, events(&second)].concat();
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[test]
fn servers_with_tokens_of_their_own_take_turns() {
    crate::tls::install_provider();
    let server =
        |port, key| serde_json::json!({"protocol": "http", "address": "h", "port": port, "key": key});
    let servers = [server(1, "a"), server(2, "b"), server(3, "a")];
    let text = serde_json::json!({ "servers": servers }).to_string();
    let hec = output(&[("httpeventServers", &text)]).unwrap();
    assert_eq!(hec.servers.len(), 3);
    assert!(Arc::ptr_eq(&hec.servers[0], &hec.servers[2]) && !Arc::ptr_eq(&hec.servers[0], &hec.servers[1]));
    let hec = output(&[("httpeventServers", &text), ("httpeventOutputMode", "mirror")]).unwrap();
    assert!(!Arc::ptr_eq(&hec.servers[0], &hec.servers[2]));
}

#[tokio::test]
async fn a_server_that_is_busy_is_tried_again_and_a_bad_event_costs_itself() {
    let server = HecServer::start(config()).await.unwrap();
    server.add_rule(Rule::on(Endpoint::Event, Action::Answer(Reply::hec(Code::ServerBusy))).first(2));
    let mut hec = output(&[("httpeventServers", &servers_of(&[&server]))]).unwrap();
    // HEC refuses blank events.
    let error = write_all(&mut hec, &["one\n", "two\n", "\n"]).await.unwrap_err();
    assert_eq!((error.lost, &*error.message), (1, "HEC takes no empty events"));
    assert_eq!(events(&server), ["one\n", "two\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_given_up_and_named() {
    let server = HecServer::start(config()).await.unwrap();
    let servers = servers_of(&[&server]);
    drop(server);
    let settings = [("httpeventServers", &*servers), ("httpeventAllowFailureCount", "2")];
    let mut hec = output(&settings).unwrap();
    let error = write_all(&mut hec, &["one", "two"]).await.unwrap_err();
    assert_eq!((error.lost, error.closed), (2, false));
    assert!(
        error.message.starts_with("http://127.0.0.1:") && error.message.contains(": given up: "),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_under_way_when_the_time_is_up_is_counted_once() {
    let server = HecServer::start(config()).await.unwrap();
    server.pause();
    let settings = [("httpeventServers", &*servers_of(&[&server])), ("httpeventMaxPayloadSize", "1")];
    let mut hec = output(&settings).unwrap();
    // Three on their way, and a write that does not get through: eight may be.
    hec.write(&batch(&["1", "2", "3"])).await.unwrap();
    assert!(hec.write(&batch(&["4", "5", "6", "7", "8", "9", "10"])).now_or_never().is_none());
    assert_eq!(hec.abandon(), 3);
}

#[tokio::test]
async fn certificates_are_checked_unless_told_otherwise() {
    crate::tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("eventgen test").unwrap();
    let ca_file = authority.write_to(dir.path(), "ca").unwrap();
    let leaf = authority.server(&["127.0.0.1"]).unwrap();
    let tls =
        ServerTls::from_pem(&leaf.cert_pem, &leaf.key_pem, ClientCertificates::NotAsked, TlsVersions::All);
    let server = HecServer::start(config().with_tls(tls.unwrap())).await.unwrap();
    let servers = servers_of(&[&server]);
    let ca_file = path(&ca_file);
    for more in [("httpeventCaFile", &*ca_file), ("httpeventVerifyCertificate", "false")] {
        let mut hec = output(&[("httpeventServers", &servers), more]).unwrap();
        write_all(&mut hec, &["one"]).await.unwrap();
    }
    assert_eq!(events(&server).len(), 2);
    // Unknown to the system: nothing is sent, and it is tried again until the time is up.
    let mut hec = output(&[("httpeventServers", &servers)]).unwrap();
    hec.write(&batch(&["one"])).await.unwrap();
    while !format!("{hec:?}").contains("last_error: Some") {
        tokio::task::yield_now().await;
    }
    assert_eq!((hec.abandon(), events(&server).len()), (1, 2));
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn equal_servers_share_a_client_and_no_error_shows_a_token() {
    crate::tls::install_provider();
    let clients = Clients::default();
    let server = |port: &str| {
        format!(r#"{{"servers":[{{"protocol":"http","address":"h","port":{port},"key":"s3cret"}}]}}"#)
    };
    let make = |text: &str| Hec::new(&sample("s", &[("httpeventServers", text)]), &clients);
    let (one, two, other) =
        (make(&server("1")).unwrap(), make(&server("\"1\"")).unwrap(), make(&server("2")).unwrap());
    assert!(Arc::ptr_eq(&one.servers[0], &two.servers[0]));
    assert!(!Arc::ptr_eq(&one.servers[0], &other.servers[0]));
    assert!(!format!("{one:?} {clients:?}").contains("s3cret"));
    for text in [
        "s3cret",
        "\"s3cret\"",
        "{\"servers\":[\"s3cret\"]}",
        "{\"servers\":[]}",
        "{}",
        &server("-1"),
        &server("\"x\""),
    ] {
        let error = make(text).unwrap_err();
        assert!(error.starts_with("httpeventServers") && !error.contains("s3cret"), "{error}");
    }
    assert!(output(&[]).unwrap_err().starts_with("httpeventServers is not set: expected {\"servers\""));
    for (name, value, expected) in [
        ("httpeventOutputMode", "all", "roundrobin or mirror"),
        ("httpeventMaxPayloadSize", "0", "a number of bytes above 0"),
        ("httpeventAllowFailureCount", "0", "a number of attempts above 0"),
    ] {
        let error = output(&[("httpeventServers", &server("1")), (name, value)]).unwrap_err();
        assert_eq!(error, format!("{name} = {value:?}: expected {expected}"));
    }
}
