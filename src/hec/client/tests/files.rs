//! Tokens and certificates in files that are replaced while data waits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::trouble::certificate;
use super::*;
use crate::hec::TokenSource;

/// A server that takes one token, which a test may change.
struct Guarded {
    server: Server,
    good: Arc<Mutex<String>>,
    folder: tempfile::TempDir,
}

impl Guarded {
    async fn start(good: &str, file: &str) -> (Self, Arc<Client>) {
        let good = Arc::new(Mutex::new(good.to_owned()));
        let script = good.clone();
        let server = Server::start(move |_, request| {
            let wanted = format!("Splunk {}", script.lock().unwrap());
            match request.header("authorization") == Some(&wanted) {
                true => success(),
                false => reply(403, r#"{"text":"Invalid token","code":4}"#),
            }
        })
        .await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), file).unwrap();
        let mut config = config(&server);
        config.token = TokenSource::File(folder.path().join("token"));
        (Self { server, good, folder }, Arc::new(Client::new(config).unwrap()))
    }

    fn write(&self, token: &str) {
        std::fs::write(self.folder.path().join("token"), token).unwrap();
    }

    fn switch(&self, token: &str) {
        token.clone_into(&mut self.good.lock().unwrap());
    }

    fn requests(&self) -> usize {
        self.server.seen().len()
    }
}

fn watch(client: &Arc<Client>) -> Tasks<()> {
    let mut tasks = Tasks::new();
    tasks.spawn("files", client.watch_files(CancellationToken::new()));
    tasks
}

#[tokio::test]
async fn a_good_token_in_the_file_ends_the_hold_within_two_seconds() {
    let (guarded, client) = Guarded::start("good", "bad").await;
    let _watch = watch(&client);
    let deliveries = [3, 4, 5].map(|n| start(&client, n, &CancellationToken::new()));
    until(&client, held).await;
    // Long held: it is asked once a minute now.
    for pause in [5, 10, 20, 40] {
        skip(Duration::from_secs(pause)).await;
        let asked = client.status().counters.requests;
        until(&client, |status| status.counters.requests > asked || status.next_try_ms > Some(0)).await;
        until(&client, held).await;
    }
    guarded.write("good\n");
    skip(Duration::from_secs(1)).await;
    for (delivery, n) in deliveries.into_iter().zip([3, 4, 5]) {
        assert_eq!(ended(delivery).await, Outcome { delivered: tally(n), ..Outcome::default() });
    }
    assert_eq!(client.status().gate, GateState::Open);
    assert!(!format!("{:?}", client.status()).contains("good"));
}

#[tokio::test]
async fn a_refused_token_is_read_again_at_once() {
    let (guarded, client) = Guarded::start("old", "old").await;
    deliver_all(&client, 3).await;
    guarded.write("new");
    guarded.switch("new");
    // Nobody watches the file.
    deliver_all(&client, 3).await;
    assert_eq!(guarded.requests(), 3, "refused once, then taken");
    assert_eq!(client.status().gate, GateState::Open);
}

#[tokio::test]
async fn a_token_that_splunk_does_not_know_yet_costs_nothing() {
    let (guarded, client) = Guarded::start("old", "old").await;
    let _watch = watch(&client);
    deliver_all(&client, 3).await;
    guarded.write("new");
    let sent = Arc::new(AtomicUsize::new(0));
    let newest = |request: &Seen| request.header("authorization") == Some("Splunk new");
    while !guarded.server.seen().iter().any(newest) {
        skip(Duration::from_secs(1)).await;
        deliver_all(&client, 3).await;
        assert!(sent.fetch_add(1, Ordering::Relaxed) < 1000, "the file is read");
    }
    deliver_all(&client, 3).await;
    let shown: Vec<_> = guarded.server.seen().iter().filter(|request| newest(request)).map(|_| ()).collect();
    assert_eq!(shown.len(), 1, "it was refused once, and the old one goes on");
    guarded.switch("new");
    deliver_all(&client, 3).await;
    deliver_all(&client, 3).await;
    assert_eq!(client.status().gate, GateState::Open);
    assert_eq!(client.status().counters.events_delivered as usize % 3, 0);
}

#[tokio::test]
async fn a_file_without_a_token_changes_nothing() {
    let (guarded, client) = Guarded::start("good", "good").await;
    let _watch = watch(&client);
    for text in ["", "two words"] {
        guarded.write(text);
        skip(Duration::from_secs(1)).await;
        deliver_all(&client, 3).await;
    }
    let missing = TokenSource::File(PathBuf::from("/nonexistent/token"));
    let error = Client::new(ClientConfig { token: missing, ..config(&guarded.server) }).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/token"), "{error}");
}

/// Makes the files of two authorities, and a server with a certificate of the first.
async fn authorities(folder: &Path) -> (Server, [Vec<u8>; 2]) {
    let (one, other) = (folder.join("one"), folder.join("other"));
    for folder in [&one, &other] {
        std::fs::create_dir(folder).unwrap();
    }
    let (acceptor, trusting) = certificate(&one);
    let (_, doubting) = certificate(&other);
    let read = |tls: crate::tls::ClientTls| std::fs::read(tls.ca_file.unwrap()).unwrap();
    (Server::start_tls(acceptor).await, [read(trusting), read(doubting)])
}

#[tokio::test]
async fn a_ca_file_that_is_replaced_is_used_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (server, [right, wrong]) = authorities(folder.path()).await;
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &wrong).unwrap();
    let mut config = config_at(format!("https://127.0.0.1:{}", server.port));
    config.tls.ca_file = Some(ca_file.clone());
    let client = Arc::new(Client::new(config).unwrap());
    let _watch = watch(&client);
    let delivery = start(&client, 5, &CancellationToken::new());
    until(&client, held).await;
    assert_eq!(client.status().gate, GateState::Held { reason: HoldReason::Certificate });
    // What cannot be read is told, and does no harm.
    std::fs::write(&ca_file, "no certificate").unwrap();
    skip(Duration::from_secs(1)).await;
    std::fs::write(&ca_file, &right).unwrap();
    let delivered = async {
        while client.status().gate != GateState::Open {
            skip(Duration::from_secs(1)).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(300), delivered).await.unwrap();
    assert_eq!(ended(delivery).await.delivered, tally(5));
    // It stays with the new one.
    deliver_all(&client, 3).await;
}
