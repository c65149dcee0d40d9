//! Settings that go together: where to read from, where to send, and what is kept on disk.

use super::*;

#[test]
fn the_reverse_log_proxy_needs_an_address_and_an_identity() {
    let named = |more: &[(&str, &str)]| -> Vec<String> {
        load(more).unwrap_err().iter().map(|fault| fault.name().to_owned()).collect()
    };
    assert_eq!(named(&[("RLP_ADDRESS", "rlp:8082")]), ["RLP_CERT_FILE"]);
    assert_eq!(named(&[("RLP_ADDRESS", "rlp:8082"), ("RLP_CERT_FILE", "Cargo.toml")]), ["RLP_KEY_FILE"]);
    assert_eq!(named(&[("LOGGREGATOR_SOURCE", "grpc")]), ["RLP_ADDRESS"]);
    let files =
        [("RLP_CA_FILE", "Cargo.toml"), ("RLP_CERT_FILE", "Cargo.toml"), ("RLP_KEY_FILE", "Cargo.toml")];
    let mut more = vec![("RLP_ADDRESS", "rlp:8082"), ("SKIP_SSL_VALIDATION_CF", "true")];
    more.extend(files);
    let (config, _) = load(&more).unwrap();
    let rlp = config.source.rlp.unwrap();
    assert_eq!((rlp.address.as_str(), rlp.server_name.as_str()), ("rlp:8082", "reverselogproxy"));
    assert_eq!(rlp.tls.ca_file, Some(PathBuf::from("Cargo.toml")));
    assert!(rlp.tls.identity.is_some());
    assert_eq!(rlp.tls.verification, crate::tls::Verification::Full);
    assert_eq!(config.cf_tls.verification, crate::tls::Verification::Skip);
}

#[test]
fn proxies_are_for_the_foundation_and_splunk_and_may_be_in_lower_case() {
    let https = |text| Url::parse(text).unwrap();
    let (api, splunk) = (https("https://api.example.com"), https("https://hec.example.com:8088"));
    let cases = [
        (vec![("HTTPS_PROXY", "http://one:3128")], Some("one:3128"), true),
        (vec![("https_proxy", "two:3128")], Some("two:3128"), true),
        (vec![("https_proxy", "two:3128"), ("HTTPS_PROXY", "one:3128")], Some("one:3128"), true),
        (vec![("https_proxy", "two:3128"), ("no_proxy", "hec.example.com")], Some("two:3128"), false),
        (vec![("HTTPS_PROXY", "one:3128"), ("NO_PROXY", "example.com")], None, false),
        (vec![("http_proxy", "plain:3128")], None, false),
    ];
    for (more, proxy, for_splunk) in cases {
        let (config, warnings) = load(&more).unwrap();
        assert_eq!(config.proxies.for_url(&api).map(|proxy| proxy.address()).as_deref(), proxy, "{more:?}");
        assert!(warnings.is_empty(), "{more:?}: {warnings:?}");
        assert_eq!(config.proxies.for_url(&splunk).is_some(), for_splunk, "{more:?}");
    }
    let (_, warnings) = load(&[("NO_PROXY", "ok.example,10.0.0.0/99"), ("ALL_PROXY", "socks5://x")]).unwrap();
    let mut messages = messages(&warnings);
    messages.sort();
    assert_eq!(
        messages,
        [
            "ALL_PROXY: has no effect: use HTTPS_PROXY and HTTP_PROXY",
            "NO_PROXY: \"10.0.0.0/99\" is ignored: it is no host, address or network",
        ]
    );
}

#[test]
fn a_second_site_has_its_own_token_or_that_of_the_first() {
    let (config, _) = load(&[]).unwrap();
    assert!(config.hec.failover.is_none());
    let elsewhere = ("SPLUNK_FAILOVER_HOST", "https://b1,https://b2:8088");
    let (config, warnings) = load(&[elsewhere]).unwrap();
    let failover = config.hec.failover.unwrap();
    assert_eq!(
        failover.urls.iter().map(Url::as_str).collect::<Vec<_>>(),
        ["https://b1/", "https://b2:8088/"]
    );
    assert_eq!(fixed(&failover.token), fixed(&config.hec.token));
    assert!(warnings.is_empty(), "{warnings:?}");
    let (config, _) = load(&[elsewhere, ("SPLUNK_FAILOVER_TOKEN", "other-s3cr3t")]).unwrap();
    assert_eq!(fixed(&config.hec.failover.as_ref().unwrap().token), "other-s3cr3t");
    let said = format!("{config:?} {}", render(config.show()));
    assert!(!said.contains("other-s3cr3t"), "{said}");
    let file = ("SPLUNK_FAILOVER_TOKEN_FILE", "Cargo.toml");
    let (config, warnings) = load(&[elsewhere, file]).unwrap();
    assert!(matches!(&config.hec.failover.unwrap().token, TokenSource::File(file) if file == "Cargo.toml"));
    assert_eq!((fixed(&config.hec.token), warnings), (fixed(&load(&[]).unwrap().0.hec.token), Vec::new()));
    let (_, warnings) = load(&[elsewhere, ("SPLUNK_FAILOVER_TOKEN", "other"), file]).unwrap();
    let given = "SPLUNK_FAILOVER_TOKEN: has no effect: SPLUNK_FAILOVER_TOKEN_FILE is given too";
    assert_eq!(messages(&warnings), [given]);
    let (config, _) = load(&[elsewhere, ("SPLUNK_TOKEN_FILE", "Cargo.toml")]).unwrap();
    assert!(matches!(config.hec.failover.unwrap().token, TokenSource::File(_)), "that of the first");
    let (_, warnings) = load(&[("SPLUNK_FAILOVER_TOKEN", "other")]).unwrap();
    assert_eq!(messages(&warnings), ["SPLUNK_FAILOVER_TOKEN: has no effect without SPLUNK_FAILOVER_HOST"]);
}

#[test]
fn of_a_proxy_with_credentials_only_the_address_is_shown() {
    let (config, warnings) = load(&[("HTTPS_PROXY", "http://user:s3cr3t@proxy:3128")]).unwrap();
    assert_eq!(row(&config, "HTTPS_PROXY").value, "[redacted]@proxy:3128");
    let said = format!("{config:?} {warnings:?} {}", render(config.show()));
    assert!(!said.contains("s3cr3t") && !said.contains("user:"), "{said}");
    let (config, _) = load(&[("HTTPS_PROXY", "http://proxy:3128")]).unwrap();
    assert_eq!(row(&config, "HTTPS_PROXY").value, "http://proxy:3128");
    for wrong in ["https://user:s3cr3t@proxy", "socks5://s3cr3t@proxy", "user:s3cr3t/@proxy:3128"] {
        let faults = load(&[("HTTPS_PROXY", wrong)]).unwrap_err().to_string();
        assert!(faults.contains("HTTPS_PROXY (environment): [redacted] is not the address of"), "{faults}");
        assert!(!faults.contains("s3cr3t"), "{faults}");
    }
}

#[test]
fn the_gateway_needs_no_setting_of_its_own() {
    let (config, warnings) = load(&[("LOGGREGATOR_SOURCE", "gateway")]).unwrap();
    assert_eq!((config.source.choice, config.source.rlp), (SourceChoice::Gateway, None));
    assert_eq!(warnings, []);
    let rlp = [("RLP_ADDRESS", "rlp:8082"), ("RLP_CERT_FILE", "Cargo.toml"), ("RLP_KEY_FILE", "Cargo.toml")];
    for (choice, warned) in [("auto", false), ("grpc", false), ("gateway", true), ("firehose", true)] {
        let (_, warnings) = load(&[&rlp[..], &[("LOGGREGATOR_SOURCE", choice)]].concat()).unwrap();
        let expected = warned.then(|| format!("RLP_ADDRESS: has no effect: LOGGREGATOR_SOURCE is {choice}"));
        assert_eq!(messages(&warnings), Vec::from_iter(expected));
    }
}

#[test]
fn the_token_may_be_in_a_file() {
    let (config, warnings) = load(&[("SPLUNK_TOKEN_FILE", "Cargo.toml")]).unwrap();
    assert!(matches!(&config.hec.token, TokenSource::File(file) if file == "Cargo.toml"));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().contains("SPLUNK_TOKEN_FILE is given too"), "{}", warnings[0]);
    let others = REQUIRED.into_iter().filter(|(name, _)| *name != "SPLUNK_TOKEN");
    let load = |more: &[(&'static str, &'static str)]| {
        let all: Vec<_> = others.clone().chain(more.iter().copied()).collect();
        Config::load(&Inputs::new(flags::FlagValues::default(), all))
    };
    assert_eq!(load(&[("SPLUNK_TOKEN_FILE", "Cargo.toml")]).unwrap().1, []);
    let fault = load(&[]).unwrap_err().to_string();
    assert!(fault.contains("SPLUNK_TOKEN: not given") && fault.contains("SPLUNK_TOKEN_FILE"), "{fault}");
    let fault = load(&[("SPLUNK_TOKEN_FILE", "/nonexistent")]).unwrap_err().to_string();
    assert!(fault.contains("\"/nonexistent\" is not the path of a file that exists"), "{fault}");
}

#[test]
fn dead_letters_go_into_a_folder_that_exists() {
    let (config, _) = load(&[("DEAD_LETTER_DIR", "src"), ("DEAD_LETTER_MAX_BYTES", "2MiB")]).unwrap();
    let expected = DeadLetterConfig { folder: "src".into(), max_bytes: 2 << 20 };
    assert_eq!(config.hec.dead_letters, Some(expected));
    let fault = load(&[("DEAD_LETTER_DIR", "Cargo.toml")]).unwrap_err().to_string();
    assert!(fault.contains("is not the path of a folder that exists"), "{fault}");
    let (config, warnings) = load(&[("DEAD_LETTER_MAX_BYTES", "2MiB")]).unwrap();
    assert_eq!((config.hec.dead_letters, warnings.len()), (None, 1));
}

#[test]
fn the_spool_depends_on_the_disk_it_is_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let dir = path.to_str().unwrap();
    let spool = |more: &[(&str, &str)]| {
        let (config, warnings) = load(&[&[("SPOOL_DIR", dir)], more].concat()).unwrap();
        let shown = row(&config, "SPOOL_MAX_BYTES").value;
        let spool = config.spool.unwrap();
        assert_eq!(shown, spool.max_bytes.to_string());
        (spool, messages(&warnings).join("; "))
    };
    assert_eq!(load(&[]).unwrap().0.spool, None);
    // On a machine of its own.
    let (given, warnings) = spool(&[]);
    assert_eq!((given.folder.as_path(), given.max_bytes, given.persistent), (path.as_path(), 1 << 30, true));
    assert_eq!(warnings, "");
    // In a container: half of its disk, a folder for each instance, and all of it mortal.
    let application = r#"{"limits":{"disk":1024},"instance_index":3}"#;
    let (given, warnings) = spool(&[("VCAP_APPLICATION", application)]);
    assert_eq!(given.folder, path.join("instance-3"));
    assert_eq!((given.max_bytes, given.persistent), (512 << 20, false));
    assert!(warnings.starts_with("SPOOL_DIR") && warnings.contains("bind a volume service"), "{warnings}");
    let (given, _) = spool(&[("VCAP_APPLICATION", application), ("SPOOL_MAX_BYTES", "20GiB")]);
    assert_eq!(given.max_bytes, 20 << 30);
    // On a volume.
    let services = format!(r#"{{"nfs":[{{"name":"v","volume_mounts":[{{"container_dir":"{dir}"}}]}}]}}"#);
    let (given, warnings) = spool(&[("VCAP_APPLICATION", application), ("VCAP_SERVICES", &services)]);
    assert!(given.persistent && warnings.is_empty(), "{warnings}");

    let (config, warnings) = load(&[("SPOOL_MAX_BYTES", "1GiB")]).unwrap();
    assert_eq!((config.spool, messages(&warnings).len()), (None, 1));
    let (config, warnings) = load(&[("SPOOL_DIR", dir), ("DEBUG", "true")]).unwrap();
    assert_eq!((config.spool, messages(&warnings).len()), (None, 2));
    assert!(load(&[("SPOOL_DIR", "/nonexistent")]).unwrap_err().to_string().contains("SPOOL_DIR"));
}
