//! The helper `blast`: sends ready-made requests to the HEC server as fast as it takes them. What it
//! takes is its own ceiling.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use firehose_nozzle::task::Tasks;
use firehose_nozzle::tls::{self, ClientTls};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::{helper, sink};

/// As many as the nozzle would use for a fast server.
const CONNECTIONS: usize = 4;
/// Uncompressed bytes of a request, as the nozzle's.
const BODY_BYTES: usize = 512 * 1024;
/// What stands around the message in an event of the nozzle.
const ENVELOPE_BYTES: usize = 640;

/// What the helper is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arguments {
    /// The server.
    pub to: sink::Ready,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether bodies are compressed.
    pub gzip: bool,
    /// Bytes of a message.
    pub payload_bytes: usize,
}

/// Runs the helper: it says that it is ready, and blasts until it is killed.
///
/// # Errors
/// The server cannot be reached.
pub fn main(arguments: &str) -> anyhow::Result<()> {
    let arguments: Arguments = serde_json::from_str(arguments)?;
    tls::install_provider();
    let request = Arc::new(request(&arguments)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _within = runtime.enter();
    let mut tasks = Tasks::new();
    for _ in 0..CONNECTIONS {
        let (arguments, request) = (arguments.clone(), Arc::clone(&request));
        tasks.spawn("blaster", async move {
            if let Err(error) = blast(&arguments, &request).await {
                // The parent sees that nothing arrives.
                let _ = writeln!(std::io::stderr(), "blaster: {error:#}");
            }
        });
    }
    helper::serve(&(), |(): ()| Ok(()))
}

fn request(arguments: &Arguments) -> anyhow::Result<Vec<u8>> {
    let mut rng = Rng::with_seed(1);
    let mut body = Vec::new();
    while body.len() < BODY_BYTES {
        let envelope = text(ENVELOPE_BYTES, &mut rng);
        let message = text(arguments.payload_bytes, &mut rng);
        write!(
            body,
            "{{\"time\":\"1700000000.5\",\"host\":\"{envelope}\",\"event\":{{\"msg\":\"{message}\"}}}}"
        )?;
    }
    let mut encoding = "";
    if arguments.gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
        encoder.write_all(&body)?;
        body = encoder.finish()?;
        encoding = "content-encoding: gzip\r\n";
    }
    let head = format!(
        "POST /services/collector/event HTTP/1.1\r\nhost: hec\r\nuser-agent: blaster\r\nauthorization: Splunk {}\r\n\
         {encoding}content-length: {}\r\n\r\n",
        sink::TOKEN,
        body.len()
    );
    Ok([head.into_bytes(), body].concat())
}

/// Words and numbers, which compress about as log lines do.
fn text(bytes: usize, rng: &mut Rng) -> String {
    const WORDS: [&str; 6] =
        ["diego_cell", "some-service", "organization", "production", "APP/PROC/WEB", "rep"];
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text += WORDS[rng.usize(..WORDS.len())];
        if rng.u8(..3) == 0 {
            text += &rng.u32(..).to_string();
        }
        text.push(' ');
    }
    text.truncate(bytes);
    text
}

async fn blast(arguments: &Arguments, request: &[u8]) -> anyhow::Result<()> {
    let stream = TcpStream::connect(&arguments.to.address).await?;
    stream.set_nodelay(true)?;
    if !arguments.tls {
        return send(stream, request).await;
    }
    let trust = ClientTls { ca_file: Some(arguments.to.ca_file.clone()), ..ClientTls::default() };
    let connector = TlsConnector::from(Arc::new(trust.rustls()?));
    send(connector.connect(ServerName::try_from("localhost")?, stream).await?, request).await
}

async fn send(stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8]) -> anyhow::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        stream.write_all(request).await?;
        stream.flush().await?;
        let mut length = None;
        loop {
            line.clear();
            // No answer for so long is the end.
            tokio::time::timeout(Duration::from_secs(10), stream.read_line(&mut line)).await??;
            ensure!(!line.is_empty(), "the server closed the connection");
            if line.starts_with("HTTP/1.1 ") {
                ensure!(line.starts_with("HTTP/1.1 200"), "{line}");
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse::<usize>()?);
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length.context("content-length")?];
        stream.read_exact(&mut body).await?;
    }
}
