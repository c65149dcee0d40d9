//! Exit codes and words for settings that cannot be used, and for help.

use super::peers::{Peers, Source};
use super::process::{Command, Ended};

const CONFIGURATION: Option<i32> = Some(78);

/// The complaint goes to standard error, names each of these and no secret.
fn refused(ended: &Ended, named: &[&str], secrets: &[&str]) {
    assert_eq!(ended.code, CONFIGURATION, "{}", ended.text());
    let complaint = ended.stderr.join("\n");
    for name in named {
        assert!(complaint.contains(name), "{name} is not in:\n{complaint}");
    }
    for secret in secrets {
        assert!(!ended.text().contains(secret), "{secret} is in:\n{}", ended.text());
    }
}

#[tokio::test]
async fn all_that_is_missing_is_named_at_once() {
    let required =
        ["API_ENDPOINT", "CLIENT_ID", "CLIENT_SECRET", "SPLUNK_HOST", "SPLUNK_TOKEN", "SPLUNK_INDEX"];
    for subcommand in [&[][..], &["run"], &["check"], &["config"]] {
        let ended = Command::new(subcommand).run().await;
        refused(&ended, &required, &[]);
        assert!(ended.stdout.is_empty(), "{}", ended.text());
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_named_at_once_and_no_secret_is_told() {
    let wrong = [
        ("API_ENDPOINT", "https://admin:0dd-p4ss@api.example.com"),
        ("CLIENT_ID", " "),
        ("CLIENT_SECRET", "0dd-s3cr3t"),
        ("SPLUNK_HOST", "hec.example.com:8088"),
        ("SPLUNK_TOKEN", "0dd t0k3n"),
        ("SPLUNK_INDEX", " "),
        ("EVENTS", "LogMesage"),
        ("HEC_RETRIES", "many"),
        ("SKIP_SSL_VALIDATION_CF", "perhaps"),
        ("CF_CA_FILE", "/nonexistent/ca.pem"),
        ("QUEUE_MAX_BYTES", "1"),
        ("LOG_LEVEL", "loud"),
    ];
    let ended = Command::new(&[]).with(wrong).run().await;
    let names: Vec<_> = wrong.iter().map(|(name, _)| *name).filter(|name| *name != "CLIENT_SECRET").collect();
    refused(&ended, &names, &["0dd-p4ss", "0dd-s3cr3t", "0dd t0k3n"]);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named() {
    let peers = Peers::start().await;
    let rubbish = peers.directory.path().join("rubbish.pem");
    std::fs::write(&rubbish, "not a certificate").expect("a file");
    let rubbish = rubbish.to_str().expect("text");
    for name in ["CF_CA_FILE", "SPLUNK_CA_FILE"] {
        let absent = peers.nozzle(Source::Firehose, &[]).var(name, "/nonexistent/ca.pem").run().await;
        refused(&absent, &[name, "/nonexistent/ca.pem"], &[]);

        let unusable = peers.nozzle(Source::Firehose, &[]).var(name, rubbish).run().await;
        assert_eq!(unusable.code, CONFIGURATION, "{}", unusable.text());
        let lines = unusable.logged("the configuration cannot be used");
        let [line] = &lines[..] else { panic!("{}", unusable.text()) };
        let error = line["error"].as_str().expect("text");
        assert!(error.contains(name) && error.contains(rubbish), "{error}");
        assert!(line["next_step"].is_string(), "{line:?}");
    }
}

#[tokio::test]
async fn a_flag_that_does_not_exist_is_refused_without_its_value() {
    for arguments in [&["--splunk-tokne=0dd-t0k3n"][..], &["run", "--splunk-tokne=0dd-t0k3n"], &["rnu"]] {
        let ended = Command::new(arguments).run().await;
        refused(&ended, &["Usage"], &["0dd-t0k3n"]);
    }
}

#[tokio::test]
async fn events_that_the_source_does_not_carry_are_refused() {
    let peers = Peers::start().await;
    let grpc = peers.nozzle(Source::Grpc, &[]).var("EVENTS", "HttpStart,HttpStop").run().await;
    assert_eq!(grpc.code, CONFIGURATION, "{}", grpc.text());
    let log = grpc.log();
    let error = log.last().expect("a log")["error"].as_str().expect("text");
    assert!(error.contains("EVENTS") && error.contains("HttpStart"), "{error}");

    let firehose = peers.nozzle(Source::Firehose, &[]).var("EVENTS", "HttpStart").start();
    peers.wait_read(Source::Firehose).await;
    firehose.stop().await.ledger();
}

#[tokio::test]
async fn help_and_version_are_no_fault() {
    let help = Command::new(&["--help"]).run().await;
    assert_eq!(help.code, Some(0), "{}", help.text());
    for subcommand in ["run", "check", "config", "demo"] {
        let named = help.stdout.iter().any(|line| line.trim_start().starts_with(&format!("{subcommand} ")));
        assert!(named, "{subcommand} is not in:\n{}", help.text());
        let own = Command::new(&[subcommand, "--help"]).run().await;
        assert_eq!((own.code, own.stderr.len()), (Some(0), 0), "{}", own.text());
    }
    let version = Command::new(&["--version"]).run().await;
    assert_eq!(version.code, Some(0), "{}", version.text());
    assert_eq!(version.stdout, [concat!("nozzle ", env!("CARGO_PKG_VERSION"))]);
}
