//! What is reached without the proxy: the rules of NO_PROXY, as Go programs have them.
//!
//! Entries are separated by commas:
//! - `example.com` means this host and all below it; `.example.com` and `*.example.com` only those
//!   below it;
//! - `10.1.2.3`, `[::1]` is one address, `10.0.0.0/8` a network of addresses; names are not resolved;
//! - a host or an address may have a port, and is meant for this port alone then;
//! - `*` alone means everything.
//!
//! `localhost` and loopback addresses are always reached directly.

use std::net::IpAddr;

use url::{Host, Url};

/// Hosts that are reached directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    All,
    Network { address: IpAddr, prefix: u8 },
    Address { address: IpAddr, port: Option<u16> },
    Domain { name: String, itself: bool, port: Option<u16> },
}

impl Bypass {
    /// Reads the list; entries that mean nothing are handed back.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let (mut rules, mut unusable) = (Vec::new(), Vec::new());
        for entry in entries {
            match Rule::parse(&entry.to_ascii_lowercase()) {
                Some(rule) => rules.push(rule),
                None => unusable.push(entry.to_owned()),
            }
        }
        (Self { rules }, unusable)
    }

    /// Whether `url` is reached directly.
    pub fn matches(&self, url: &Url) -> bool {
        // A URL without a host leads nowhere, not to a proxy either.
        let Some(host) = url.host() else { return true };
        let port = url.port_or_known_default();
        match host {
            Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name == "localhost" || self.rules.iter().any(|rule| rule.has_name(&name, port))
            }
            Host::Ipv4(address) => self.has_address(address.into(), port),
            Host::Ipv6(address) => self.has_address(address.into(), port),
        }
    }

    fn has_address(&self, address: IpAddr, port: Option<u16>) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || self.rules.iter().any(|rule| rule.has_address(address, port))
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::All);
        }
        if let Some((address, prefix)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits)?;
            return Some(Self::Network { address, prefix });
        }
        // An address of IPv6 without brackets has colons, but no port.
        if let Ok(address) = entry.parse() {
            return Some(Self::Address { address, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (entry, None),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address { address, port });
        }
        let (name, itself) = match host.strip_prefix("*.").or_else(|| host.strip_prefix('.')) {
            Some(name) => (name, false),
            None => (host, true),
        };
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(fits) {
            return None;
        }
        // Brings names in other scripts into the form that URLs have.
        match Host::parse(name.trim_end_matches('.')).ok()? {
            Host::Domain(name) => Some(Self::Domain { name, itself, port }),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    fn has_name(&self, host: &str, port: Option<u16>) -> bool {
        match self {
            Self::All => true,
            Self::Network { .. } | Self::Address { .. } => false,
            Self::Domain { name, itself, port: only } => {
                let below = host.strip_suffix(name.as_str()).map(|rest| rest.ends_with('.'));
                let fits = below == Some(true) || *itself && host == name;
                fits && (only.is_none() || *only == port)
            }
        }
    }

    fn has_address(&self, host: IpAddr, port: Option<u16>) -> bool {
        match self {
            Self::All => true,
            Self::Domain { .. } => false,
            Self::Address { address, port: only } => *address == host && (only.is_none() || *only == port),
            Self::Network { address, prefix } => match (*address, host) {
                (IpAddr::V4(network), IpAddr::V4(host)) => {
                    let shift = 32 - u32::from(*prefix);
                    network.to_bits().checked_shr(shift) == host.to_bits().checked_shr(shift)
                }
                (IpAddr::V6(network), IpAddr::V6(host)) => {
                    let shift = 128 - u32::from(*prefix);
                    network.to_bits().checked_shr(shift) == host.to_bits().checked_shr(shift)
                }
                _ => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_follow_the_table() {
        let cases = [
            ("", "https://api.example.com", false),
            ("", "https://localhost:8443", true),
            ("", "https://127.0.0.1", true),
            ("", "https://127.9.9.9:1", true),
            ("", "https://[::1]:1", true),
            ("*", "https://api.example.com", true),
            ("*", "https://10.1.2.3", true),
            ("example.com", "https://example.com", true),
            ("example.com", "https://api.sys.example.com", true),
            ("example.com", "https://notexample.com", false),
            ("example.com", "https://example.com.evil.net", false),
            ("Example.COM", "wss://DOPPLER.example.com.", true),
            (".example.com", "https://example.com", false),
            (".example.com", "https://api.example.com", true),
            ("*.example.com", "https://example.com", false),
            ("*.example.com", "https://api.example.com", true),
            ("example.com:443", "https://api.example.com", true),
            ("example.com:443", "wss://doppler.example.com", true),
            ("example.com:4443", "wss://doppler.example.com:4443", true),
            ("example.com:4443", "wss://doppler.example.com", false),
            ("example.com:80", "http://example.com", true),
            ("10.1.2.3", "https://10.1.2.3:8443", true),
            ("10.1.2.3", "https://10.1.2.4", false),
            ("10.1.2.3:443", "https://10.1.2.3", true),
            ("10.1.2.3:443", "https://10.1.2.3:444", false),
            ("10.0.0.0/8", "https://10.255.0.1", true),
            ("10.0.0.0/8", "https://11.0.0.1", false),
            ("10.1.2.3/8", "https://10.255.0.1", true),
            ("0.0.0.0/0", "https://8.8.8.8", true),
            ("0.0.0.0/0", "https://example.com", false),
            ("10.1.2.3/32", "https://10.1.2.3", true),
            ("10.1.2.3/32", "https://10.1.2.2", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("fd00::/8", "https://[fe80::1]", false),
            ("10.0.0.0/8", "https://[::ffff:10.1.1.1]", true),
            ("fd12::1", "https://[fd12::1]:1", true),
            ("[fd12::1]:1", "https://[fd12::1]:1", true),
            ("[fd12::1]:1", "https://[fd12::1]:2", false),
            ("grün.example", "https://api.gr\u{fc}n.example", true),
            (" a.example , ,b.example ", "https://b.example", true),
        ];
        for (list, url, direct) in cases {
            let (bypass, unusable) = Bypass::parse(list);
            assert_eq!(unusable, Vec::<String>::new(), "{list}");
            assert_eq!(bypass.matches(&Url::parse(url).unwrap()), direct, "{list:?} {url}");
        }
    }

    #[test]
    fn entries_that_mean_nothing_are_told() {
        let list = "ok.example,10.0.0.0/33,fd00::/129,x/8,host:port,host:99999,https://x,*.,.,a*b";
        let (bypass, unusable) = Bypass::parse(list);
        let expected: Vec<&str> = list.split(',').skip(1).collect();
        assert_eq!(unusable, expected);
        assert_eq!(bypass, Bypass::parse("ok.example").0);
    }
}
