//! What kind of foundation to simulate.

use std::time::Duration;

use super::{Client, Patience, SelfMetrics};

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

/// What kind of foundation to simulate. The defaults are the platform's.
#[derive(Clone, Debug)]
pub struct FoundationConfig {
    /// TLS or not, but for the log proxy.
    pub transport: Transport,
    /// What the API root says about v1.
    pub v1: V1Firehose,
    /// Who may ask for tokens.
    pub clients: Vec<Client>,
    /// How long tokens are good for.
    pub token_lifetime: Duration,
    /// gRPC streams beyond this many are refused.
    pub rlp_streams_max: usize,
    /// Envelopes in front of a gRPC stream; new ones beyond are lost.
    pub rlp_buffer: usize,
    /// Frames in front of a websocket; when full, all of them are lost.
    pub websocket_buffer: usize,
    /// Websockets beyond this many are refused.
    pub websockets_max: usize,
    /// Pings and slow readers.
    pub patience: Patience,
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
            clients: vec![client],
            token_lifetime: Duration::from_secs(43_200),
            rlp_streams_max: 500,
            rlp_buffer: 10_000,
            websocket_buffer: 1000,
            websockets_max: 2000,
            patience: Patience::default(),
            self_metrics: SelfMetrics::Losses,
            self_metrics_interval: Duration::from_secs(5),
        }
    }
}
