//! A simulated foundation: UAA, Cloud Controller, log proxy over gRPC, its gateway, v1 traffic
//! controller.
//!
//! Everything listens on free loopback ports. Envelopes go in through [`Foundation::publish`]
//! and come out of whatever streams are open, by the platform's rules of sharding, batching,
//! buffering and loss. Tests script its faults; benchmarks use it as a load, so the way of an
//! envelope through it is short: encoded once, copied into messages after that.
//!
//! Not here: log-cache, ingress.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tonic::service::Routes;

use self::api::Links;
use self::gateway::Gateway;
use self::rlp::{Egress, Gate};
use self::router::Router;
use self::traffic::TrafficController;
use super::certs::{Authority, CertError, Leaf};
use super::listen::Listener;
use super::wire::Encoded;
use crate::proto::loggregator as v2;
use crate::task::Tasks;
use crate::tls::Identity;

mod api;
mod batches;
mod capi;
mod config;
mod faults;
mod gateway;
mod mailbox;
mod metrics;
mod rlp;
mod router;
mod selector;
mod stats;
mod table;
mod traffic;
mod uaa;

#[cfg(test)]
pub(super) mod testing;

pub use capi::{App, CloudController, Organization, Space};
pub use config::{FoundationConfig, LogStream, Transport, V1Firehose};
pub use faults::{End, Fault, Target};
pub(crate) use gateway::batch as gateway_batch;
pub use gateway::{
    Chunks, GatewayConfig, HttpVersions, JsonStyle, LineEnd, Spacing, Spelling, StreamForm, Upstream,
};
pub use metrics::SelfMetrics;
pub use stats::{Connected, Protocol, StreamId, StreamStats, Totals};
pub use traffic::Patience;
pub use uaa::{Client, TokenFault, Uaa};

/// The name in the log proxy's certificate.
pub const RLP_SERVER_NAME: &str = "reverselogproxy";
/// Beyond this many connections the log proxy accepts no more.
const RLP_CONNECTIONS_MAX: usize = 500;
/// Likewise for the HTTP listeners; the platform has load balancers in front.
const HTTP_CONNECTIONS_MAX: usize = 4096;

/// Why a foundation could not be started.
#[derive(Debug, thiserror::Error)]
pub enum FoundationError {
    /// Its certificates could not be made.
    #[error("cannot make certificates")]
    Certificates(#[from] CertError),
    /// A loopback port could not be bound.
    #[error("cannot listen on 127.0.0.1")]
    Listen(#[from] io::Error),
}

/// Streams did not come up in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such streams within {waited:?}: {connected:?}")]
pub struct NotConnected {
    /// How long it was waited for.
    pub waited: Duration,
    /// What there was in the end.
    pub connected: Connected,
}

/// Where a client finds the certificates it needs.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The authority of all servers.
    pub ca_file: PathBuf,
    /// What the log proxy asks of its clients.
    pub identity: Identity,
}

/// A running foundation. Dropping it kills it; [`Foundation::stop`] ends it in order.
#[derive(Debug)]
pub struct Foundation {
    authority: Authority,
    scheme: &'static str,
    uaa: Uaa,
    capi: CloudController,
    router: Arc<Router>,
    gate: Arc<Gate>,
    gateway: Arc<Gateway>,
    traffic_controller: Arc<TrafficController>,
    api: Listener,
    rlp: Listener,
    log_stream: Listener,
    traffic: Listener,
    tasks: Tasks<()>,
}

impl Foundation {
    /// Starts every component on free ports of 127.0.0.1.
    ///
    /// # Errors
    /// No port or no certificate can be had.
    pub async fn start(config: FoundationConfig) -> Result<Self, FoundationError> {
        let authority = Authority::new("simulated foundation")?;
        let server = authority.server(&["localhost", "127.0.0.1", RLP_SERVER_NAME])?;
        // Like the platform's, all of them offer HTTP/2, over which no websocket can be had.
        let https = |http: HttpVersions| match config.transport {
            Transport::Plain => Ok(None),
            Transport::Tls => server.server_config(None, http.alpn()).map(Some),
        };
        let scheme = match config.transport {
            Transport::Plain => "",
            Transport::Tls => "s",
        };
        let uaa = Uaa::new(config.clients, config.token_lifetime);
        let capi = CloudController::new(uaa.clone());
        let router = Arc::new(Router::new(config.rlp_buffer, config.websocket_buffer, config.gateway.json));
        let gate = Arc::new(Gate::new(config.rlp_streams_max));

        let egress = Egress::new(Arc::clone(&router), Arc::clone(&gate));
        let rlp_tls = server.server_config(Some(authority.pem()), &["h2"])?;
        let rlp = Listener::start("log proxy", Some(rlp_tls), RLP_CONNECTIONS_MAX, |_| {
            Routes::new(egress).into_axum_router()
        })
        .await?;
        let gateway =
            Gateway::new(Arc::clone(&router), Arc::clone(&gate), uaa.clone(), capi.clone(), config.gateway);
        let routes = gateway.routes();
        let log_stream =
            Listener::start("gateway", https(config.gateway.http)?, HTTP_CONNECTIONS_MAX, |_| routes).await?;
        let traffic_controller = TrafficController::new(
            Arc::clone(&router),
            uaa.clone(),
            capi.clone(),
            config.patience,
            config.websockets_max,
        );
        let routes = traffic_controller.routes();
        let traffic =
            Listener::start("traffic controller", https(HttpVersions::Both)?, HTTP_CONNECTIONS_MAX, |_| {
                routes
            })
            .await?;
        let links = Links {
            logging: (config.v1 == V1Firehose::Advertised)
                .then(|| format!("ws{scheme}://{}", traffic.address())),
            log_stream: (config.log_stream == LogStream::Advertised)
                .then(|| format!("http{scheme}://{}", log_stream.address())),
        };
        let api = Listener::start("api", https(HttpVersions::Both)?, HTTP_CONNECTIONS_MAX, |address| {
            let base_url = format!("http{scheme}://{address}");
            capi.set_base_url(base_url.clone());
            api::routes(&base_url, &links, &uaa, &capi)
        })
        .await?;

        let mut tasks = Tasks::new();
        let metrics = metrics::run(Arc::clone(&router), config.self_metrics_interval, config.self_metrics);
        tasks.spawn("self-metrics", metrics);
        Ok(Self {
            authority,
            scheme,
            uaa,
            capi,
            router,
            gate,
            gateway,
            traffic_controller,
            api,
            rlp,
            log_stream,
            traffic,
            tasks,
        })
    }

    /// Ends every stream in order, sending what is buffered, and closes every listener.
    pub async fn stop(mut self) {
        self.router.inject(&Target::All, &Fault::End(End::Eof));
        self.tasks.shutdown().await;
        tokio::join!(self.rlp.stop(), self.log_stream.stop(), self.traffic.stop(), self.api.stop());
        self.traffic_controller.stop().await;
    }

    /// The URL of the API root, of the UAA and of the Cloud Controller.
    pub fn api_url(&self) -> String {
        format!("http{}://{}", self.scheme, self.api.address())
    }

    /// Where the log proxy listens; the name in its certificate is [`RLP_SERVER_NAME`].
    pub fn rlp_address(&self) -> SocketAddr {
        self.rlp.address()
    }

    /// The URL of the gateway, as the API root gives it.
    pub fn gateway_url(&self) -> String {
        format!("http{}://{}", self.scheme, self.log_stream.address())
    }

    /// The URL of the traffic controller, as the API root gives it.
    pub fn traffic_controller_url(&self) -> String {
        format!("ws{}://{}", self.scheme, self.traffic.address())
    }

    /// The authority of all its certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A client certificate the log proxy accepts.
    ///
    /// # Errors
    /// The certificate library fails.
    pub fn client_certificate(&self) -> Result<Leaf, CertError> {
        self.authority.client("nozzle")
    }

    /// Writes what a client needs to `ca.crt`, `client.crt` and `client.key`.
    ///
    /// # Errors
    /// A certificate cannot be made or a file cannot be written.
    pub fn write_certificates(&self, directory: &Path) -> Result<CertificateFiles, FoundationError> {
        let ca_file = self.authority.write_to(directory, "ca")?;
        let (cert_file, key_file) = self.client_certificate()?.write_to(directory, "client")?;
        Ok(CertificateFiles { ca_file, identity: Identity { cert_file, key_file } })
    }

    /// The token server.
    pub fn uaa(&self) -> &Uaa {
        &self.uaa
    }

    /// The Cloud Controller.
    pub fn capi(&self) -> &CloudController {
        &self.capi
    }

    /// Publishes envelopes. Never waits: full buffers lose, and count.
    pub fn publish(&self, envelopes: &[v2::Envelope]) {
        let encoded: Vec<_> = envelopes.iter().map(Encoded::new).collect();
        self.router.publish(&encoded);
    }

    /// Publishes envelopes that are encoded already, malformed ones too.
    pub fn publish_encoded(&self, envelopes: &[Encoded]) {
        self.router.publish(envelopes);
    }

    /// Sends bytes as one gRPC message, unchecked, to one stream of each shard.
    pub fn publish_message(&self, message: Bytes) {
        self.router.publish_message(message);
    }

    /// Sends bytes, unchecked, within the body of one gateway stream of each shard.
    pub fn publish_text(&self, text: Bytes) {
        self.router.publish_text(text);
    }

    /// Sends bytes as one websocket frame, unchecked, to one connection of each subscription.
    pub fn publish_frame(&self, payload: &[u8]) {
        self.router.publish_frame(payload);
    }

    /// Waits until every stream that reads has room for `n` more envelopes (or as many as fit).
    /// Cancel safe.
    pub async fn room(&self, n: usize) {
        self.router.room(n).await;
    }

    /// Does something to open streams; gives how many were meant.
    pub fn inject(&self, target: &Target, fault: &Fault) -> usize {
        self.router.inject(target, fault)
    }

    /// Refuses the next `n` streams of the log proxy with a status; a client of the gateway sees a
    /// body that ends at once.
    pub fn refuse_streams(&self, n: usize, status: &tonic::Status) {
        self.gate.refuse_next(n, status);
    }

    /// Says whether the gateway reaches the log proxy.
    pub fn set_gateway_upstream(&self, upstream: Upstream) {
        self.gateway.set_upstream(upstream);
    }

    /// How many streams are open.
    pub fn connected(&self) -> Connected {
        *self.router.connected().borrow()
    }

    /// Waits until the open streams are as wanted.
    ///
    /// # Errors
    /// They are not, `within` that time.
    pub async fn wait_connected(
        &self,
        within: Duration,
        wanted: impl FnMut(&Connected) -> bool,
    ) -> Result<Connected, NotConnected> {
        let mut connected = self.router.connected();
        let result = tokio::time::timeout(within, connected.wait_for(wanted)).await;
        match result {
            Ok(Ok(now)) => Ok(*now),
            // The sender lives as long as `self`, so this is the time-out.
            _ => Err(NotConnected { waited: within, connected: self.connected() }),
        }
    }

    /// The counters of every open stream.
    pub fn streams(&self) -> Vec<StreamStats> {
        self.router.streams()
    }

    /// What went through since the start.
    pub fn totals(&self) -> Totals {
        self.router.totals()
    }

    /// How many websockets were cut because they read too slowly.
    pub fn slow_consumers(&self) -> u64 {
        self.traffic_controller.slow_consumers()
    }
}
