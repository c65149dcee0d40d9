//! The helper `null`: reads the streams of a source as the nozzle does, and throws all of it away. What
//! the load can do with it is the load's own ceiling.

use std::num::NonZero;
use std::sync::Arc;

use firehose_nozzle::nozzle::cf::Foundation;
use firehose_nozzle::nozzle::cf::http::Http;
use firehose_nozzle::nozzle::cf::token::Credentials;
use firehose_nozzle::nozzle::ledger::Ledger;
use firehose_nozzle::nozzle::queue;
use firehose_nozzle::nozzle::source::{Platform, Renewal, SelectorKinds, SourceKind, SourcePlan, Sources};
use firehose_nozzle::proxy::ProxySettings;
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls::{self, ClientTls, Identity};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::helper;
use crate::load;
use crate::plan::Source;

/// As the nozzle's own queue; what does not fit is thrown away as well.
const QUEUE_BYTES: usize = 24 * 1024 * 1024;

/// What the helper is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arguments {
    /// What to read.
    pub source: Source,
    /// Over so many streams.
    pub streams: NonZero<usize>,
    /// From there.
    pub from: load::Ready,
}

/// Runs the helper: it has nothing to be asked.
///
/// # Errors
/// It cannot read the source, or the parent is gone.
pub fn main(arguments: &str) -> anyhow::Result<()> {
    let arguments: Arguments = serde_json::from_str(arguments)?;
    tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _within = runtime.enter();
    let (sender, frames) = queue::channel(QUEUE_BYTES, Arc::new(Ledger::new()));
    let (_sources, reading) = Sources::start(plan(&arguments)?, sender, CancellationToken::new())?;
    let mut tasks = Tasks::new();
    tasks.spawn("sources", async {
        let _ = reading.await;
    });
    tasks.spawn("null", async move { while frames.recv().await.is_some() {} });
    helper::serve(&(), |(): ()| Ok(()))
}

fn plan(arguments: &Arguments) -> anyhow::Result<SourcePlan> {
    let from = &arguments.from;
    let tls = ClientTls { ca_file: Some(from.ca_file.clone()), ..ClientTls::default() };
    let platform = || -> anyhow::Result<Platform> {
        let http = Http::new(&tls, &ProxySettings::default())?;
        let credentials =
            Credentials { client_id: "nozzle".to_owned(), client_secret: "nozzle-secret".to_owned().into() };
        Ok(Platform {
            foundation: Foundation::new(http, from.api_url.parse()?, credentials),
            tls: tls.clone().into(),
            proxies: ProxySettings::default(),
        })
    };
    let kind = match arguments.source {
        Source::Grpc => {
            let identity = Identity { cert_file: from.cert_file.clone(), key_file: from.key_file.clone() };
            SourceKind::Grpc {
                address: from.rlp_address.clone(),
                server_name: from.rlp_server_name.clone(),
                tls: ClientTls { identity: Some(identity), ..tls.clone() }.into(),
            }
        }
        Source::Gateway => SourceKind::Gateway(platform()?),
        Source::Firehose => SourceKind::Firehose(platform()?),
    };
    Ok(SourcePlan {
        kind,
        streams: arguments.streams,
        shard_id: "null".to_owned(),
        kinds: SelectorKinds { logs: true, ..SelectorKinds::default() },
        idle_timeout: None,
        renewal: Renewal::default(),
        watch: None,
    })
}
