//! `nozzle config`: every setting with where it comes from, in the real process.

use std::collections::BTreeMap;

use firehose_nozzle::nozzle::config::settings;

use super::process::{Command, Ended};

/// Value and origin by name; each row has to be `name value origin`.
fn rows(ended: &Ended) -> BTreeMap<String, (String, String)> {
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let row = |line: &String| {
        let mut columns = line.split("  ").map(str::trim).filter(|column| !column.is_empty());
        let [name, value, origin] = [(); 3].map(|()| columns.next().unwrap_or_else(|| panic!("{line:?}")));
        assert_eq!(columns.next(), None, "{line:?}");
        (name.to_owned(), (value.to_owned(), origin.to_owned()))
    };
    ended.stdout.iter().map(row).collect()
}

/// Each setting by another way; what is given more than once is taken from the strongest.
#[tokio::test]
async fn every_setting_is_shown_with_its_origin_and_without_secrets() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("nozzle.toml");
    let text = "SPLUNK_INDEX = \"from-file\"\nCLIENT_ID = \"hidden\"\nADMIN_TOKEN = \"s3cr3t-file\"\nHEC_RETRIES = 7\n";
    std::fs::write(&file, text).expect("a file");
    let file = file.to_str().expect("text");
    let services = r#"{"user-provided":[{"name":"splunk","credentials":{
        "SPLUNK_TOKEN":"s3cr3t-service","SPLUNK_INDEX":"hidden","SPLUNK_HOST":"https://hec.example.com:8088"}}]}"#;
    let ended = Command::new(&["config", "--api-endpoint", "https://by-flag.example.com", "--add-tags"])
        .with([
            ("API_ENDPOINT", "https://hidden.example.com"),
            ("CLIENT_ID", "from-environment"),
            ("CLIENT_SECRET", "s3cr3t-environment"),
            ("CONFIG_FILE", file),
            ("VCAP_SERVICES", services),
            ("EMPTY", ""),
        ])
        .run()
        .await;
    let rows = rows(&ended);
    let names: Vec<_> = rows.keys().map(String::as_str).collect();
    let mut expected: Vec<_> = settings::all().map(|setting| setting.name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);

    let from_file = format!("file {file}");
    for (name, value, origin) in [
        ("API_ENDPOINT", "https://by-flag.example.com", "flag"),
        ("ADD_TAGS", "true", "flag"),
        ("CLIENT_ID", "from-environment", "environment"),
        ("CLIENT_SECRET", "[redacted]", "environment"),
        ("CONFIG_FILE", file, "environment"),
        ("SPLUNK_INDEX", "from-file", &from_file),
        ("ADMIN_TOKEN", "[redacted]", &from_file),
        ("HEC_RETRIES", "7", &from_file),
        ("SPLUNK_TOKEN", "[redacted]", "service splunk"),
        ("SPLUNK_HOST", "https://hec.example.com:8088", "service splunk"),
        ("FLUSH_INTERVAL", "500ms", "default"),
    ] {
        assert_eq!(rows[name], (value.to_owned(), origin.to_owned()), "{name}");
    }
    assert!(!ended.text().contains("s3cr3t") && !ended.text().contains("hidden"), "{}", ended.text());
}

#[tokio::test]
async fn faults_of_files_and_services_are_told_with_their_origin() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("nozzle.yaml");
    std::fs::write(&file, "SPLUNK_INDX: main\nSPLUNK_TOKEN: [\"s3cr3t\"]\n").expect("a file");
    let services = r#"{"user-provided":[{"name":"splunk","credentials":{"HEC_RETRIES":"many"}}]}"#;
    let ended = Command::new(&["config"])
        .with([("CONFIG_FILE", file.to_str().expect("text")), ("VCAP_SERVICES", services)])
        .run()
        .await;
    assert_eq!(ended.code, Some(78), "{}", ended.text());
    let complaint = ended.stderr.join("\n");
    for part in [
        "SPLUNK_INDX (file",
        "did you mean SPLUNK_INDEX",
        "SPLUNK_TOKEN (file",
        "HEC_RETRIES (service splunk)",
    ] {
        assert!(complaint.contains(part), "{part} is not in:\n{complaint}");
    }
    assert!(!ended.text().contains("s3cr3t"), "{complaint}");
}
