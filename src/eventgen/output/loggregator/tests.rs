//! A reader of the simulated foundation gets what was written.

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Endpoint, Uri};

use super::*;
use crate::eventgen::testing::{batch, sample};
use crate::proto::loggregator::egress_client::EgressClient;
use crate::proto::loggregator::{EgressBatchRequest, LogSelector, Selector, envelope::Message, selector};
use crate::tls::{ClientTls, Identity};

fn settings<'a>(directory: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("loggregatorDirectory", directory)], more].concat()
}

/// Reads until there are `n` log lines, with what was written to the directory.
async fn read(directory: &Path, n: usize) -> Vec<String> {
    let environment = loop {
        match std::fs::read_to_string(directory.join("foundation.env")) {
            Ok(text) => break text,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let value = |name: &str| {
        let line = environment.lines().find(|line| line.starts_with(&format!("export {name}='"))).unwrap();
        line.split('\'').nth(1).unwrap().to_owned()
    };
    let identity =
        Identity { cert_file: value("RLP_CERT_FILE").into(), key_file: value("RLP_KEY_FILE").into() };
    let tls = ClientTls {
        ca_file: Some(value("RLP_CA_FILE").into()),
        identity: Some(identity),
        ..ClientTls::default()
    };
    let mut config = tls.rustls().unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (address, name) = (value("RLP_ADDRESS"), ServerName::try_from(value("RLP_SERVER_NAME")).unwrap());
    let connector = tower::service_fn(move |_: Uri| {
        let (address, name, config) = (address.clone(), name.clone(), config.clone());
        async move {
            let tcp = TcpStream::connect(address).await?;
            TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://reverselogproxy");
    let channel = endpoint.connect_with_connector(connector).await.unwrap();
    let selector = Selector { message: Some(selector::Message::Log(LogSelector {})), ..Selector::default() };
    let request = EgressBatchRequest {
        shard_id: "test".to_owned(),
        selectors: vec![selector],
        use_preferred_tags: true,
        ..EgressBatchRequest::default()
    };
    let mut stream = EgressClient::new(channel).batched_receiver(request).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while lines.len() < n {
        for envelope in stream.message().await.unwrap().unwrap().batch {
            if let Some(Message::Log(log)) = envelope.message {
                lines.push(format!(
                    "{} {}",
                    envelope.tags["app_name"],
                    String::from_utf8_lossy(&log.payload)
                ));
            }
        }
    }
    lines
}

#[tokio::test]
async fn nothing_is_lost_before_somebody_reads() {
    crate::tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    let foundations = Foundations::default();
    let directory = dir.path().join("cf").display().to_string();
    let sample = sample("s", &settings(&directory, &[("loggregatorApps", "2")]));
    let mut outputs =
        [Loggregator::new(&sample, &foundations).unwrap(), Loggregator::new(&sample, &foundations).unwrap()];
    let texts: Vec<String> = (0..250).map(|number| format!("line {number}\n")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = batch(&texts);
    let [first, second] = &mut outputs;
    let write = async {
        let written = tokio::join!(first.write(&batch), second.write(&batch));
        written.0.and(written.1).unwrap();
        first.finish().await.unwrap();
        second.finish().await.unwrap();
    };
    let (mut lines, ()) = tokio::join!(read(Path::new(&directory), 500), write);
    let mut expected: Vec<_> =
        (0..500).map(|at| format!("app-{} line {}", at % 250 % 2 + 1, at % 250)).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn settings_are_checked() {
    let foundations = Foundations::default();
    let make = |settings: &[(&str, &str)]| Loggregator::new(&sample("s", settings), &foundations);
    assert!(make(&[]).unwrap_err().starts_with("loggregatorDirectory is not set: expected"));
    for (name, value, expected) in [
        ("loggregatorKind", "x", "log, counter, gauge or timer"),
        ("loggregatorApps", "0", "a number from 1 to 100000"),
        ("loggregatorWait", "x", "true or false"),
    ] {
        let error = make(&settings("d", &[(name, value)])).unwrap_err();
        assert_eq!(error, format!("{name} = {value:?}: expected {expected}"));
    }
    let _first = make(&settings("d", &[])).unwrap();
    let error = make(&settings("d", &[("loggregatorApps", "3")])).unwrap_err();
    assert!(error.contains("another stanza has the same directory"), "{error}");
}
