//! How the nozzle is watched, and how it logs.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::SecretString;
use tracing_subscriber::EnvFilter;

use super::parse;
use super::reader::{Parsed, Reader};
use super::settings::Setting;
use super::settings::operation::{ADMIN_ADDRESS, ADMIN_TOKEN, CONFIG_FILE, LOG_FORMAT, LOG_LEVEL, PORT};
use crate::telemetry::LogFormat;

/// Where status, health and metrics are served.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where to listen; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// Asked for by everything but health checks.
    pub token: Option<SecretString>,
    /// What is served.
    pub scope: AdminScope,
}

/// What the admin server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminScope {
    /// `/health` and `/ready`: the address came from PORT, which binds all interfaces, and no token
    /// protects the rest.
    HealthOnly,
    /// Everything, behind the token if there is one.
    Full,
}

impl AdminConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let address = reader.optional(&ADMIN_ADDRESS, parse::socket);
        let port = reader.optional(&PORT, parse::number::<u16>);
        let token = reader.optional(&ADMIN_TOKEN, parse::token);
        let (address, port, token) = (address?, port?, token?);
        if token.is_some() && address.is_none() && port.is_none() {
            reader.warn(&ADMIN_TOKEN, "has no effect without ADMIN_ADDRESS or PORT");
        }
        if token.is_none() && address.is_some_and(|address| !address.ip().is_loopback()) {
            reader.warn(&ADMIN_ADDRESS, "status and metrics are open to the network without ADMIN_TOKEN");
        }
        let scope = match (address, port, &token) {
            (None, Some(_), None) => AdminScope::HealthOnly,
            _ => AdminScope::Full,
        };
        let anywhere = port.map(|port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)));
        Some(Self { address: address.or(anywhere), token, scope })
    }
}

/// How the nozzle logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// A level or a filter by module, valid for `tracing_subscriber::EnvFilter`.
    pub level: String,
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];
        let format = reader.value(&LOG_FORMAT, parse::choice(&formats));
        let level = reader.value(&LOG_LEVEL, filter);
        // Read while the values were gathered.
        let _ = reader.optional(&CONFIG_FILE, parse::text);
        Some(Self { format: format?, level: level? })
    }
}

/// A bare word must be a level: the library would take any other for the name of a module.
fn filter(setting: &Setting, text: &str) -> Parsed<String> {
    let directives_fit = text.split(',').all(|directive| {
        let directive = directive.trim().to_ascii_lowercase();
        matches!(directive.as_str(), "off" | "error" | "warn" | "info" | "debug" | "trace")
            || directive.contains('=')
    });
    // Some texts beyond ASCII make the library panic.
    if directives_fit && text.is_ascii() && EnvFilter::try_new(text).is_ok() {
        Ok(text.to_owned())
    } else {
        Err(setting.kind.form().into_owned())
    }
}
