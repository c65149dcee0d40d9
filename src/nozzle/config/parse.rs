//! Values out of text, one function for each kind of setting.
//!
//! Pure, except that a named file is looked for. Each function returns the form it expected when the
//! text does not have it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::reader::Parsed;
use super::settings::{Kind, Setting};
use crate::proxy::Proxy;
use crate::units;

/// Any text, as it stands.
pub(super) fn text(_: &Setting, text: &str) -> Parsed<String> {
    Ok(text.to_owned())
}

/// Text that is more than spaces.
pub(super) fn word(_: &Setting, text: &str) -> Parsed<String> {
    if text.trim().is_empty() { Err("more than spaces".to_owned()) } else { Ok(text.to_owned()) }
}

/// A secret that any protocol may carry.
pub(super) fn secret(_: &Setting, text: &str) -> Parsed<SecretString> {
    Ok(SecretString::from(text))
}

/// A secret that goes into a header.
pub(super) fn token(_: &Setting, text: &str) -> Parsed<SecretString> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(SecretString::from(text))
    } else {
        Err("a token: printable ASCII without spaces".to_owned())
    }
}

pub(super) fn boolean(setting: &Setting, text: &str) -> Parsed<bool> {
    units::parse_bool(text).map_err(|_| form(setting))
}

pub(super) fn integer(setting: &Setting, text: &str) -> Parsed<i64> {
    let number = units::parse_integer(text).map_err(|_| form(setting))?;
    match setting.kind {
        Kind::Integer { min, max } if !(min..=max).contains(&number) => Err(form(setting)),
        _ => Ok(number),
    }
}

/// An integer whose range in the table fits `T`.
pub(super) fn number<T: TryFrom<i64>>(setting: &Setting, text: &str) -> Parsed<T> {
    T::try_from(integer(setting, text)?).map_err(|_| form(setting))
}

pub(super) fn count(setting: &Setting, text: &str) -> Parsed<NonZeroUsize> {
    NonZeroUsize::new(number(setting, text)?).ok_or_else(|| form(setting))
}

pub(super) fn duration(setting: &Setting, text: &str) -> Parsed<Duration> {
    let duration = units::parse_duration(text).map_err(|_| form(setting))?;
    match setting.kind {
        Kind::Duration { min, max } if !(min..=max).contains(&duration) => Err(form(setting)),
        _ => Ok(duration),
    }
}

pub(super) fn bytes(setting: &Setting, text: &str) -> Parsed<usize> {
    let bytes = units::parse_bytes(text).map_err(|_| form(setting))?;
    match setting.kind {
        Kind::Bytes { min, max } if !(min..=max).contains(&bytes) => Err(form(setting)),
        _ => usize::try_from(bytes).map_err(|_| form(setting)),
    }
}

/// `20/s`, or `20`.
pub(super) fn rate(setting: &Setting, text: &str) -> Parsed<u32> {
    let number: u32 = text.strip_suffix("/s").unwrap_or(text).parse().map_err(|_| form(setting))?;
    match setting.kind {
        Kind::Rate { max } if !(1..=max).contains(&number) => Err(form(setting)),
        _ => Ok(number),
    }
}

/// One of the words of the table, paired with its meaning.
pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl FnOnce(&'static Setting, &str) -> Parsed<T> {
    |setting, text| {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| form(setting))
    }
}

/// An address of a server: trimmed, without trailing slashes, without anything that may be secret.
pub(super) fn url(setting: &Setting, text: &str) -> Parsed<Url> {
    let text = text.trim();
    if text.contains(',') {
        return Err(format!("{}; several are not supported", form(setting)));
    }
    // `h:8088` parses as a URL of the scheme `h`; a scheme must be there to be meant.
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if !(lower.starts_with("https://") || lower.starts_with("http://")) {
        return Err(form(setting));
    }
    let url =
        Url::parse(text.trim_end_matches('/')).map_err(|error| format!("{} ({error})", form(setting)))?;
    let more = !url.username().is_empty() || url.password().is_some();
    if more || url.query().is_some() || url.fragment().is_some() {
        return Err("a URL without user, password, query and fragment".to_owned());
    }
    Ok(url)
}

/// The most addresses in one setting.
const URLS_MAX: usize = 16;

/// One address of a server, or several, each once.
pub(super) fn urls(setting: &Setting, text: &str) -> Parsed<Vec<Url>> {
    let mut urls = Vec::new();
    for part in text.split(',').filter(|part| !part.trim().is_empty()) {
        let url = url(setting, part)?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    match urls.len() {
        0 => Err(form(setting)),
        1..=URLS_MAX => Ok(urls),
        _ => Err(format!("{}, at most {URLS_MAX}", form(setting))),
    }
}

/// An HTTP proxy, maybe with credentials.
pub(super) fn proxy(setting: &Setting, text: &str) -> Parsed<Proxy> {
    Proxy::parse(text).ok_or_else(|| form(setting))
}

/// The path of a file; that it exists is part of being right.
pub(super) fn file(setting: &Setting, text: &str) -> Parsed<PathBuf> {
    if Path::new(text).is_file() { Ok(PathBuf::from(text)) } else { Err(form(setting)) }
}

/// The path of a folder; that it exists is part of being right.
pub(super) fn folder(setting: &Setting, text: &str) -> Parsed<PathBuf> {
    if Path::new(text).is_dir() { Ok(PathBuf::from(text)) } else { Err(form(setting)) }
}

/// The path of a file that need not be there yet.
pub(super) fn later_file(setting: &Setting, text: &str) -> Parsed<PathBuf> {
    if text.trim().is_empty() { Err(form(setting)) } else { Ok(PathBuf::from(text)) }
}

/// `host:port`; an IPv6 address stands in brackets.
pub(super) fn host_port(setting: &Setting, text: &str) -> Parsed<String> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| form(setting))?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_fits = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => url::Host::parse(host).is_ok() && !host.contains(':'),
    };
    let port_fits =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if host_fits && port_fits { Ok(text.to_owned()) } else { Err(form(setting)) }
}

pub(super) fn socket(setting: &Setting, text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| form(setting))
}

/// Checks the form of a value that nothing uses.
pub(super) fn check(kind: Kind, text: &str) -> Parsed<()> {
    let fits = match kind {
        Kind::Bool => units::parse_bool(text).is_ok(),
        Kind::Integer { .. } => units::parse_integer(text).is_ok(),
        Kind::AnyDuration => units::parse_duration_ns(text).is_ok(),
        _ => true,
    };
    if fits { Ok(()) } else { Err(kind.form().into_owned()) }
}

/// Whether two texts mean the same value.
pub(super) fn same(kind: Kind, one: &str, other: &str) -> bool {
    fn both<T: PartialEq, E>(one: Result<T, E>, other: Result<T, E>) -> bool {
        matches!((one, other), (Ok(one), Ok(other)) if one == other)
    }
    match kind {
        Kind::Bool => both(units::parse_bool(one), units::parse_bool(other)),
        Kind::Integer { .. } => both(units::parse_integer(one), units::parse_integer(other)),
        Kind::Duration { .. } | Kind::AnyDuration => {
            both(units::parse_duration_ns(one), units::parse_duration_ns(other))
        }
        _ => one == other,
    }
}

fn form(setting: &Setting) -> String {
    setting.kind.form().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nozzle::config::settings::find;

    #[test]
    fn urls_are_whole_and_carry_no_secret() {
        let host = find("SPLUNK_HOST").unwrap();
        for (given, meant) in [
            ("https://h:8088", "https://h:8088/"),
            (" https://h:8088/// ", "https://h:8088/"),
            ("HTTP://h", "http://h/"),
            ("https://h:8088/services/collector/", "https://h:8088/services/collector"),
            ("https://[::1]:8088", "https://[::1]:8088/"),
        ] {
            assert_eq!(url(host, given).map(String::from), Ok(meant.to_owned()), "{given}");
        }
        for given in [
            "",
            "h",
            "h:8088",
            "//h",
            "ftp://h",
            "https://",
            "https://h:99999",
            "https://u:p@h",
            "https://u@h",
            "https://h?token=x",
            "https://h#x",
            "https:/h",
            "hec.example.com",
        ] {
            assert!(url(host, given).is_err(), "{given}");
        }
    }

    #[test]
    fn several_urls_are_separated_by_commas() {
        let host = find("SPLUNK_HOST").unwrap();
        let read = |text: &str| {
            urls(host, text).map(|urls| urls.into_iter().map(String::from).collect::<Vec<_>>().join(" "))
        };
        for (given, meant) in [
            ("https://a:8088", "https://a:8088/"),
            ("https://a:8088,https://b:8088", "https://a:8088/ https://b:8088/"),
            (" https://a , http://b/ ,", "https://a/ http://b/"),
            ("https://a,https://b,https://a/", "https://a/ https://b/"),
        ] {
            assert_eq!(read(given), Ok(meant.to_owned()), "{given}");
        }
        for wrong in ["", ",", "https://a,b", "https://a,https://u:p@b", "https://a https://b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let many = |n: usize| (0..n).map(|n| format!("https://h{n}")).collect::<Vec<_>>().join(",");
        assert!(read(&many(URLS_MAX)).is_ok());
        assert!(read(&many(URLS_MAX + 1)).unwrap_err().contains("at most 16"));
    }

    #[test]
    fn addresses_have_host_and_port() {
        let rlp = find("RLP_ADDRESS").unwrap();
        for given in ["q-s3.doppler.default.cf.bosh:8082", "10.0.0.1:8082", "[::1]:8082", "rlp:1"] {
            assert_eq!(host_port(rlp, given), Ok(given.to_owned()));
        }
        for given in
            ["rlp", "rlp:", ":8082", "::1:8082", "[::1]", "https://rlp:8082", "rlp:0", "rlp:65536", "rlp:+1"]
        {
            assert!(host_port(rlp, given).is_err(), "{given}");
        }
    }

    #[test]
    fn ranges_include_both_ends() {
        let streams = find("LOGGREGATOR_STREAMS").unwrap();
        for (given, fits) in [("0", false), ("1", true), ("16", true), ("17", false)] {
            assert_eq!(count(streams, given).is_ok(), fits, "{given}");
        }
        let batch = find("HEC_BATCH_BYTES").unwrap();
        for (given, fits) in
            [("1023", false), ("1KiB", true), ("1MB", true), ("1000001", false), ("1MiB", false)]
        {
            assert_eq!(bytes(batch, given).is_ok(), fits, "{given}");
        }
        let timeout = find("HEC_TIMEOUT").unwrap();
        for (given, fits) in [("999ms", false), ("1s", true), ("10m", true), ("601s", false), ("-5s", false)]
        {
            assert_eq!(duration(timeout, given).is_ok(), fits, "{given}");
        }
        let requests = find("METADATA_RATE").unwrap();
        for (given, fits) in
            [("0/s", false), ("1/s", true), ("20", true), ("1000/s", true), ("1001/s", false), ("5/m", false)]
        {
            assert_eq!(rate(requests, given).is_ok(), fits, "{given}");
        }
    }

    #[test]
    fn a_token_fits_a_header() {
        let setting = find("SPLUNK_TOKEN").unwrap();
        assert!(token(setting, "11111111-2222-3333-4444-555555555555").is_ok());
        for given in ["a b", " a", "a\n", "ä"] {
            assert!(token(setting, given).is_err(), "{given:?}");
        }
    }
}
