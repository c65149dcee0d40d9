//! Sends each line of standard input as an event to a HEC.
//!
//! ```text
//! echo hello | cargo run --example hec_send -- https://splunk.example.com:8088 TOKEN [INDEX] [CA_FILE]
//! ```
//!
//! TOKEN may be `@FILE`, so that it does not show in the list of processes. Ctrl-C stops waiting.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::num::NonZeroU32;

use firehose_nozzle::hec::batch::Batch;
use firehose_nozzle::hec::{Client, ClientConfig, Probe, RetryLimit};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Bytes after which a batch is sent.
const BATCH_BYTES: usize = 512 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    firehose_nozzle::tls::install_provider();
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(token)) = (args.next(), args.next()) else {
        return Err("usage: hec_send URL TOKEN|@FILE [INDEX] [CA_FILE]".into());
    };
    let token = match token.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path)?.trim().to_owned(),
        None => token,
    };
    let index = args.next();
    let mut config = ClientConfig::new(url.parse()?, token.into());
    config.tls.ca_file = args.next().map(Into::into);
    config.retries = RetryLimit::Attempts(NonZeroU32::MIN);
    let client = Client::new(config)?;

    let stop = CancellationToken::new();
    tokio::select! {
        sent = send(&client, index.as_deref(), &stop) => sent,
        _ = tokio::signal::ctrl_c() => Err(format!("interrupted: {:?}", client.status()).into()),
    }
}

async fn send(client: &Client, index: Option<&str>, stop: &CancellationToken) -> Result<(), Box<dyn Error>> {
    let probed = client.probe().await;
    if probed.iter().all(|endpoint| endpoint.probe != Probe::Ready) {
        let said: Vec<_> = probed.iter().map(ToString::to_string).collect();
        return Err(format!("the HEC is not ready: {}", said.join("; ")).into());
    }
    let mut batch = Batch::new(index.unwrap_or_default().into(), BATCH_BYTES);
    // One line at a time from a terminal or a pipe; nothing else runs on this thread meanwhile.
    for line in std::io::stdin().lock().lines() {
        let mut event = json!({ "event": line?, "source": "hec_send" });
        if event["event"] == "" {
            continue; // HEC refuses blank events.
        }
        if let Some(index) = index {
            event["index"] = index.into();
        }
        serde_json::to_writer(batch.buffer(), &event)?;
        batch.commit(1);
        if batch.committed() >= BATCH_BYTES {
            let full =
                std::mem::replace(&mut batch, Batch::new(index.unwrap_or_default().into(), BATCH_BYTES));
            deliver(client, full, stop).await?;
        }
    }
    deliver(client, batch, stop).await?;
    let status = serde_json::to_string_pretty(&client.status())?;
    writeln!(std::io::stdout(), "{status}")?;
    Ok(())
}

async fn deliver(client: &Client, batch: Batch, stop: &CancellationToken) -> Result<(), Box<dyn Error>> {
    let outcome = client.deliver(batch, stop).await;
    for rejection in &outcome.rejected {
        tracing::error!(
            status = rejection.status.as_u16(),
            code = rejection.code.map(|code| code.0),
            events = rejection.tally.events,
            sample = rejection.sample(),
            "events refused"
        );
    }
    if outcome.delivered == outcome.total() {
        Ok(())
    } else {
        Err(format!("not all delivered: {:?}", client.status()).into())
    }
}
