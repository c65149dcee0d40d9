//! What kind of foundation to simulate.

use std::time::Duration;

use super::{Client, GatewayConfig, Patience, SelfMetrics};

/// How the listeners other than the log proxy's speak; that one always needs certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// As the platform does.
    #[default]
    Tls,
    /// Bare TCP, to measure without the cost of TLS.
    Plain,
}

/// Whether the API root names a v1 traffic controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum V1Firehose {
    /// It does.
    #[default]
    Advertised,
    /// `logging` is null, as on a foundation without the v1 firehose.
    Absent,
}

/// Whether the API root names the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStream {
    /// It does.
    #[default]
    Advertised,
    /// `log_stream` is null, as on a foundation that is older than the gateway.
    Absent,
}

/// What kind of foundation to simulate. The defaults are the platform's.
#[derive(Clone, Debug)]
pub struct FoundationConfig {
    /// TLS or not, but for the log proxy.
    pub transport: Transport,
    /// What the API root says about v1.
    pub v1: V1Firehose,
    /// What the API root says about the gateway.
    pub log_stream: LogStream,
    /// Who may ask for tokens.
    pub clients: Vec<Client>,
    /// How long tokens are good for.
    pub token_lifetime: Duration,
    /// Streams of the log proxy beyond this many, the gateway's included, are refused.
    pub rlp_streams_max: usize,
    /// Envelopes in front of each of them; new ones beyond are lost.
    pub rlp_buffer: usize,
    /// Frames in front of a websocket; when full, all of them are lost.
    pub websocket_buffer: usize,
    /// Websockets beyond this many are refused.
    pub websockets_max: usize,
    /// Pings and slow readers of websockets.
    pub patience: Patience,
    /// How the gateway writes.
    pub gateway: GatewayConfig,
    /// What the platform tells about itself.
    pub self_metrics: SelfMetrics,
    /// How often it does.
    pub self_metrics_interval: Duration,
}

impl Default for FoundationConfig {
    fn default() -> Self {
        let client = Client {
            id: "nozzle".to_owned(),
            secret: "nozzle-secret".to_owned(),
            authorities: ["doppler.firehose", "cloud_controller.admin_read_only", "uaa.resource"]
                .map(str::to_owned)
                .to_vec(),
        };
        Self {
            transport: Transport::Tls,
            v1: V1Firehose::Advertised,
            log_stream: LogStream::Advertised,
            clients: vec![client],
            token_lifetime: Duration::from_secs(43_200),
            rlp_streams_max: 500,
            rlp_buffer: 10_000,
            websocket_buffer: 1000,
            websockets_max: 2000,
            patience: Patience::default(),
            gateway: GatewayConfig::default(),
            self_metrics: SelfMetrics::Losses,
            self_metrics_interval: Duration::from_secs(5),
        }
    }
}
