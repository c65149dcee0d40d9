//! Names that are nearly right, and names that used to be.

use super::fault::Warning;
use super::settings;

/// The name out of `known` that `given` was probably meant to be, in any case.
///
/// Short names are easily near each other by chance (HOST and PORT), so they must be nearer.
pub(super) fn nearest(given: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let given = given.to_ascii_uppercase();
    known
        .filter_map(|name| {
            let allowed = match name.len() {
                0..6 => 0,
                6..9 => 1,
                _ => 2,
            };
            let distance = strsim::osa_distance(&given, &name.to_ascii_uppercase());
            (distance <= allowed).then_some((distance, name))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The setting that `given` was probably meant to be.
pub(super) fn nearest_setting(given: &str) -> Option<&'static str> {
    nearest(given, settings::all().map(|setting| setting.name))
}

/// What to say about an environment variable that is no setting, if anything.
///
/// Most variables of a process are none of our business; only a name that an operator may well have
/// set for the nozzle is worth a line.
pub(super) fn remark(variable: &str) -> Option<Warning> {
    let message = match FORMER.iter().find(|(name, _)| *name == variable) {
        Some((_, advice)) => (*advice).to_owned(),
        None => format!("is not a setting; did you mean {}?", nearest_setting(variable)?),
    };
    Some(Warning { name: variable.to_owned(), message })
}

const OTHER_PROXIES: &str = "has no effect: use HTTPS_PROXY and HTTP_PROXY";
const DISCOVERED: &str = "has no effect: the address is discovered from API_ENDPOINT";
const CLIENT: &str = "has no effect: the client of CLIENT_ID and CLIENT_SECRET signs in";

/// Settings of older Go nozzles and of its branches, and variables that other programs obey.
const FORMER: &[(&str, &str)] = &[
    ("JOB_NAME", "has no effect: JOB_HOST is what the nozzle's own log lines carry in Splunk"),
    ("JOB_INDEX", "has no effect: JOB_HOST is what the nozzle's own log lines carry in Splunk"),
    ("SPLUNK_VERSION", "has no effect: `fields` is always sent, which Splunk takes since 6.4"),
    ("SKIP_SSL_VALIDATION", "has no effect: use SKIP_SSL_VALIDATION_CF and SKIP_SSL_VALIDATION_SPLUNK"),
    ("DROP_WARN_THRESHOLD", "has no effect: every dropped event is counted, and drops are always logged"),
    ("RLP_GATEWAY_RETRIES", "has no effect: the nozzle reconnects for as long as it runs"),
    ("DOPPLER_ENDPOINT", DISCOVERED),
    ("UAA_ENDPOINT", DISCOVERED),
    ("FH_KEEP_ALIVE", "has no effect: use FIREHOSE_KEEP_ALIVE"),
    ("ENABLE_TRACE_LOGGING", "has no effect: use ENABLE_EVENT_TRACING"),
    ("FILTER_METRICS", "has no effect: use EVENTS to choose types of events"),
    ("METADATA_MODE", "has no effect: use ADD_APP_INFO"),
    ("ADD_ORG_NAME", "has no effect: name OrgName in ADD_APP_INFO"),
    ("ADD_ORG_GUID", "has no effect: name OrgGuid in ADD_APP_INFO"),
    ("ADD_SPACE_NAME", "has no effect: name SpaceName in ADD_APP_INFO"),
    ("ADD_SPACE_GUID", "has no effect: name SpaceGuid in ADD_APP_INFO"),
    ("HEC_KEEP_ALIVE_OFF", "has no effect: connections to Splunk are renewed about every minute"),
    ("FIREHOSE_USER", CLIENT),
    ("FIREHOSE_PASSWORD", CLIENT),
    ("UAA_USER", CLIENT),
    ("UAA_SECRET", CLIENT),
    ("F2S_DISABLE_LOGGING", "has no effect here: it is a label of apps, and mutes the app that has it"),
    ("ALL_PROXY", OTHER_PROXIES),
    ("all_proxy", OTHER_PROXIES),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_name_that_was_meant() {
        for (given, meant) in [
            ("SPLUNK_HOSTS", Some("SPLUNK_HOST")),
            ("SPLUNK_TOKNE", Some("SPLUNK_TOKEN")),
            ("splunk_indx", Some("SPLUNK_INDEX")),
            ("HECRETRIES", Some("HEC_RETRIES")),
            ("EVENT", Some("EVENTS")),
            ("HEC_WORKER", Some("HEC_WORKERS")),
            // Too far, or too short to tell.
            ("HOST", None),
            ("DEBUGS", None),
            ("SPLUNK", None),
            ("MEMORY_LIMIT", None),
            ("PATH", None),
        ] {
            assert_eq!(nearest_setting(given), meant, "{given}");
        }
    }

    #[test]
    fn what_the_platform_sets_gives_no_remark() {
        for variable in [
            "CF_INSTANCE_ADDR",
            "CF_INSTANCE_CERT",
            "CF_INSTANCE_GUID",
            "CF_INSTANCE_INDEX",
            "CF_INSTANCE_INTERNAL_IP",
            "CF_INSTANCE_IP",
            "CF_INSTANCE_KEY",
            "CF_INSTANCE_PORT",
            "CF_INSTANCE_PORTS",
            "CF_SYSTEM_CERT_PATH",
            "DATABASE_URL",
            "HOME",
            "INSTANCE_GUID",
            "INSTANCE_INDEX",
            "LANG",
            "MEMORY_LIMIT",
            "PATH",
            "PWD",
            "TMPDIR",
            "USER",
            "VCAP_APPLICATION",
            "VCAP_APP_HOST",
            "VCAP_APP_PORT",
            "VCAP_SERVICES",
            "SHELL",
            "TERM",
        ] {
            assert_eq!(remark(variable), None);
        }
    }

    #[test]
    fn former_names_are_no_settings_and_their_advice_names_real_ones() {
        for (name, advice) in FORMER {
            assert!(settings::find(name).is_none(), "{name}");
            for word in advice.split(|c: char| !(c.is_ascii_uppercase() || c == '_')) {
                if word.contains('_') {
                    assert!(settings::find(word).is_some(), "{name}: {word}");
                }
            }
        }
    }
}
