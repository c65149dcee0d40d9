//! Streams against scripted servers on real sockets.

mod api;
mod auto;
mod certificates;
mod firehose;
mod forward_proxy;
mod gateway;
mod gateway_server;
mod grpc;
mod proxies;
mod rlp;
mod simulated;
mod traffic_controller;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::nozzle::ledger::Ledger;
use crate::nozzle::queue::{FrameKind, FrameReceiver, channel};
use crate::sim::certs::{Authority, Leaf};
use crate::tls::{ClientTls, Identity};

/// The longest wait for something that must happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// An authority, a directory for its files, and who is who.
struct Pki {
    authority: Authority,
    dir: TempDir,
}

impl Pki {
    fn new(authority: &str) -> Self {
        crate::tls::install_provider();
        Self { authority: Authority::new(authority).unwrap(), dir: tempfile::tempdir().unwrap() }
    }

    /// A server that has `leaf` and demands a certificate of this authority.
    fn mutual(&self, leaf: &Leaf) -> ServerConfig {
        leaf.server_config(Some(self.authority.pem()), &["h2"]).unwrap()
    }

    fn trusting(&self) -> ClientTls {
        ClientTls {
            ca_file: Some(self.authority.write_to(self.dir.path(), "ca").unwrap()),
            ..ClientTls::default()
        }
    }

    fn client(&self) -> ClientTls {
        let leaf = self.authority.client("nozzle").unwrap();
        let (cert_file, key_file) = leaf.write_to(self.dir.path(), "client").unwrap();
        ClientTls { identity: Some(Identity { cert_file, key_file }), ..self.trusting() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// An address where nobody listens.
async fn closed_port() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn plan(kind: SourceKind) -> SourcePlan {
    SourcePlan {
        kind,
        streams: NonZeroUsize::MIN,
        shard_id: "shard".to_owned(),
        kinds: SelectorKinds::ALL,
        idle_timeout: None,
        renewal: Renewal::default(),
        watch: None,
    }
}

/// A foundation that is reached directly.
fn platform(foundation: &Foundation, pki: &Pki) -> Platform {
    Platform { foundation: foundation.clone(), tls: pki.trusting().into(), proxies: ProxySettings::default() }
}

fn grpc_kind(address: SocketAddr, tls: ClientTls) -> SourceKind {
    SourceKind::Grpc {
        address: address.to_string(),
        server_name: "reverselogproxy".to_owned(),
        tls: tls.into(),
    }
}

/// Running sources with the queue they fill.
struct Running {
    sources: Sources,
    ledger: Arc<Ledger>,
    frames: FrameReceiver,
    stop: CancellationToken,
    tasks: Tasks<Result<(), JoinError>>,
}

impl Running {
    fn start(plan: SourcePlan) -> Self {
        let ledger = Arc::new(Ledger::new());
        let (sender, frames) = channel(256 * 1024 * 1024, Arc::clone(&ledger));
        let stop = CancellationToken::new();
        let (sources, run) = Sources::start(plan, sender, stop.clone()).unwrap();
        let mut tasks = Tasks::new();
        tasks.spawn("sources", run);
        Self { sources, ledger, frames, stop, tasks }
    }

    /// Waits for `count` frames.
    async fn take(&self, kind: FrameKind, count: usize) -> Vec<Bytes> {
        let mut taken = Vec::new();
        timeout(DEADLINE, async {
            while taken.len() < count {
                let mut queued = self.frames.recv().await.expect("the queue is open");
                assert_eq!(queued.frames.kind, kind);
                assert!(queued.frames.arrived.0 > 0);
                taken.append(&mut queued.frames.frames);
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the frames did not come: {:?}", self.sources.status()));
        taken
    }

    /// Waits until the status is as expected.
    async fn wait_for(&self, what: &str, condition: impl Fn(&SourcesStatus) -> bool) -> SourcesStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.sources.status();
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "never {what}: {status:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the first stream has ended for `reason`; what it said.
    async fn ended(&self, reason: &str) -> String {
        let is_reason = |status: &SourcesStatus| {
            status.streams[0].last_end.as_ref().is_some_and(|end| end.reason == reason)
        };
        let status = self.wait_for(reason, is_reason).await;
        status.streams[0].last_end.clone().unwrap().message
    }

    /// Stops and waits until the future is done; the frames that were still in the queue.
    async fn stop(mut self) -> Vec<Bytes> {
        self.stop.cancel();
        let joined = timeout(DEADLINE, self.tasks.join_next()).await.expect("stops in time");
        assert!(matches!(joined, Some(Ok((_, Ok(()))))), "{joined:?}");
        let mut rest = Vec::new();
        while let Some(mut queued) =
            timeout(DEADLINE, self.frames.recv()).await.expect("the queue closes when the sources are done")
        {
            rest.append(&mut queued.frames.frames);
        }
        assert!(self.sources.status().streams.iter().all(|stream| stream.state == StreamState::Stopped));
        assert_eq!(self.sources.connected(), 0);
        rest
    }
}

/// The lines of a recorded file, decoded.
fn golden(name: &str) -> Vec<Bytes> {
    let path = format!("{}/tests/golden/loggregator/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let decode = |line: &str| -> Bytes {
        let digits: Vec<u8> =
            line.chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
        digits.chunks(2).map(|pair| (pair[0] << 4) | pair[1]).collect()
    };
    text.lines().map(decode).collect()
}
