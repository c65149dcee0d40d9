//! `nozzle demo`, as it stands in the README.

use super::process::{Command, Signal};

/// The last lines a good demo prints.
fn good(stdout: &[String]) {
    let text = stdout.join("\n");
    assert!(text.contains("\n  balanced\n"), "{text}");
    assert!(text.contains(" 0 missing, 0 events twice."), "{text}");
    assert_eq!(stdout.last().map(String::as_str), Some("Nothing was lost."), "{text}");
}

#[tokio::test]
async fn it_loses_nothing() {
    for source in ["grpc", "firehose"] {
        let arguments = ["demo", "--duration", "1s", "--events-per-second", "500", "--source", source];
        let ended = Command::new(&arguments).run().await;
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        good(&ended.stdout);
        assert!(ended.stdout.iter().any(|line| line.starts_with("500 envelopes sent")), "{}", ended.text());
    }
}

#[tokio::test]
async fn ctrl_c_ends_it_early_and_well() {
    for signal in [Signal::INT, Signal::TERM] {
        let arguments = ["demo", "--duration", "1h", "--events-per-second", "500", "--apps", "3"];
        let mut demo = Command::new(&arguments).start();
        demo.printed("HEC replies").await;
        demo.signal(signal);
        let ended = demo.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        good(&ended.stdout);
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    for arguments in [["--duration", "0s"], ["--apps", "0"], ["--source", "syslog"]] {
        let ended = Command::new(&["demo"]).with_arguments(arguments).run().await;
        assert_eq!(ended.code, Some(78), "{}", ended.text());
        assert!(ended.stderr.join("\n").contains(arguments[0]), "{}", ended.text());
    }
}
