//! Every setting a conf file may have: its kind, its default, whether it has an effect.
//!
//! The reference in `docs/eventgen.md` is made from this table.

use std::fmt::Write as _;

use super::values::Kind;
use crate::eventgen::plugin::Registry;

/// A setting.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it would be written; empty: unset.
    pub(super) default: &'static str,
    pub(super) effect: Effect,
    pub(super) theme: Theme,
    pub(super) about: &'static str,
}

/// Whether a setting does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// For the stanza it stands in, or for all from `[global]`.
    Sample,
    /// For the whole run; read in `[global]` only.
    Run,
    /// None, and why.
    None,
    /// It belongs to a part that is not there yet.
    Later,
}

/// Chapters of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    Samples,
    Amounts,
    Times,
    Replay,
    Metadata,
    Outputs,
    Run,
    Later,
    Unused,
}

impl Theme {
    pub(super) const ALL: [Self; 9] = [
        Self::Samples,
        Self::Amounts,
        Self::Times,
        Self::Replay,
        Self::Metadata,
        Self::Outputs,
        Self::Run,
        Self::Later,
        Self::Unused,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Samples => "Samples",
            Self::Amounts => "How many",
            Self::Times => "When",
            Self::Replay => "Replay",
            Self::Metadata => "Where events say they come from",
            Self::Outputs => "Where events go",
            Self::Run => "The whole run",
            Self::Later => "Not there yet",
            Self::Unused => "Without effect",
        }
    }
}

/// The setting of this name.
pub(super) fn known(name: &str) -> Option<&'static Known> {
    SETTINGS.iter().find(|known| known.name == name)
}

/// The default of a setting, as it would be written.
pub(super) fn default(name: &str) -> &'static str {
    known(name).map_or("", |known| known.default)
}

const ANY: i64 = i64::MIN;

const fn sample(
    theme: Theme,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Known {
    Known { name, kind, default, effect: Effect::Sample, theme, about }
}

const fn run(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Known {
    Known { name, kind, default, effect: Effect::Run, theme: Theme::Run, about }
}

const fn later(name: &'static str, about: &'static str) -> Known {
    Known { name, kind: Kind::Text, default: "", effect: Effect::Later, theme: Theme::Later, about }
}

const fn unused(name: &'static str, about: &'static str) -> Known {
    Known { name, kind: Kind::Text, default: "", effect: Effect::None, theme: Theme::Unused, about }
}

use {Kind as K, Theme as T};

/// Every setting, `token.N.…` aside.
pub(super) static SETTINGS: &[Known] = &[
    sample(T::Samples, "disabled", K::Bool, "false", "The stanza makes nothing."),
    sample(
        T::Samples,
        "sampleDir",
        K::Path,
        "../samples",
        "Where sample files are. Relative paths start at the folder of the conf file that sets it; `$NAME` is a variable.",
    ),
    sample(
        T::Samples,
        "mode",
        K::Choice(&["sample", "replay"]),
        "sample",
        "`replay` plays a file back with its own gaps.",
    ),
    sample(
        T::Samples,
        "sampletype",
        K::Choice(&["raw", "csv"]),
        "raw",
        "`csv`: a table with a header and a column `_raw`.",
    ),
    sample(
        T::Samples,
        "breaker",
        K::Breaker,
        r"[^\r\n\s]+",
        "An event begins where it matches, with `^` and `$` at each line. The default means: one event a line.",
    ),
    sample(
        T::Samples,
        "generator",
        K::Name,
        "default",
        "What makes the events: `default`, `replay`, `windbag`, `counter`, or one of your own.",
    ),
    sample(
        T::Samples,
        "rater",
        K::Name,
        "config",
        "What says how many: `config`, `perdayvolume`, `counter`, or one of your own.",
    ),
    sample(
        T::Samples,
        "blacklist",
        K::Regex,
        r".*\.part",
        "File names a stanza with a pattern as its name leaves out.",
    ),
    sample(T::Samples, "start_count", K::Decimal, "0", "`counter` generator: the first number."),
    sample(T::Samples, "end_count", K::Decimal, "0", "`counter` generator: the last number."),
    sample(T::Samples, "count_by", K::Decimal, "1", "`counter` generator: the step."),
    sample(
        T::Samples,
        "count_template",
        K::Text,
        "",
        "`counter` generator: the text, with `{current_count}` and the like.",
    ),
    sample(T::Amounts, "interval", K::Seconds, "60", "Time from run to run. `0`: once a second."),
    sample(T::Amounts, "delay", K::Seconds, "0", "Time before the first run."),
    sample(
        T::Amounts,
        "count",
        K::Integer(-1),
        "-1",
        "Events per run; `-1`: as many as the file has. A smaller number takes the first ones, a larger one begins again.",
    ),
    sample(
        T::Amounts,
        "perDayVolume",
        K::Number,
        "",
        "GiB a day, spread over its runs; takes the place of `count`, `generator` and `rater`.",
    ),
    sample(
        T::Amounts,
        "end",
        K::End,
        "-1",
        "Number of runs, a backfill being one, or a time. `-1`: never. `0`: nothing at all.",
    ),
    sample(
        T::Amounts,
        "randomizeCount",
        K::Number,
        "0",
        "The number is multiplied by something between 1 − r/2 and 1 + r/2.",
    ),
    sample(T::Amounts, "randomizeEvents", K::Bool, "false", "Events are picked at random."),
    sample(T::Amounts, "bundlelines", K::Bool, "false", "`count` means copies of the whole file."),
    sample(T::Amounts, "hourOfDayRate", K::Rates(0, 24), "", "Factor by the hour; what is not named is 1."),
    sample(T::Amounts, "dayOfWeekRate", K::Rates(0, 7), "", "Factor by the day of the week; 0 is Sunday."),
    sample(T::Amounts, "minuteOfHourRate", K::Rates(0, 60), "", "Factor by the minute."),
    sample(T::Amounts, "dayOfMonthRate", K::Rates(1, 31), "", "Factor by the day of the month."),
    sample(T::Amounts, "monthOfYearRate", K::Rates(1, 12), "", "Factor by the month."),
    sample(T::Times, "earliest", K::Time, "now", "Start of the window event times are drawn from."),
    sample(T::Times, "latest", K::Time, "now", "Its end."),
    sample(
        T::Times,
        "timezone",
        K::Zone,
        "",
        "`local`, an offset such as `+0530`, or a name such as `Europe/Berlin`. Unset: as `local`, and `%z` prints nothing.",
    ),
    sample(
        T::Times,
        "sequentialTimestamp",
        K::Bool,
        "false",
        "Event times evenly from earliest to latest, in order.",
    ),
    sample(
        T::Times,
        "backfill",
        K::Time,
        "",
        "A time back from which runs are made up for before the first one.",
    ),
    sample(T::Times, "autotimestamp", K::Bool, "false", "Finds times in the sample and replaces them."),
    sample(
        T::Times,
        "autotimestamps",
        K::Timestamps,
        "",
        "The patterns it tries, `[[\"regular expression\", \"time format\"], …]`; usual ones by default.",
    ),
    sample(T::Replay, "timeMultiple", K::Number, "1", "Gaps are multiplied by it: 0.5 is twice as fast."),
    sample(T::Replay, "timeField", K::Name, "_raw", "CSV: the column with the time."),
    sample(T::Metadata, "index", K::Text, "main", ""),
    sample(T::Metadata, "host", K::Text, "127.0.0.1", ""),
    sample(T::Metadata, "source", K::Text, "", "The sample file's name by default, or the generator's."),
    sample(T::Metadata, "sourcetype", K::Text, "eventgen", ""),
    sample(T::Metadata, "hostRegex", K::Text, "", "Passed on to receivers that find the host by it."),
    sample(
        T::Metadata,
        "extendIndexes",
        K::Indexes,
        "",
        "Indexes each event picks one of: `name`, or `prefix:3` for prefix0 to prefix2.",
    ),
    sample(T::Metadata, "host.token", K::Regex, "", "Where in the host the replacement goes."),
    sample(
        T::Metadata,
        "host.replacement",
        K::Text,
        "",
        "File, or `file:column`, a random line of which goes there.",
    ),
    sample(
        T::Outputs,
        "outputMode",
        K::Name,
        "modinput",
        "`stdout`, `file`, `spool`, `modinput`, `httpevent`, `metric_httpevent`, `tcpout`, `udpout`, `loggregator`, `counter`, `devnull`, or one of your own.",
    ),
    sample(
        T::Outputs,
        "maxQueueLength",
        K::Integer(0),
        "0",
        "Events per write; `0`: the output's own choice.",
    ),
    sample(
        T::Outputs,
        "fileName",
        K::Path,
        "",
        "`file`: where to; spoolDir and the sample's name by default.",
    ),
    sample(
        T::Outputs,
        "fileMaxBytes",
        K::Integer(0),
        "10485760",
        "`file`: its size before it is rotated; `0`: never.",
    ),
    sample(T::Outputs, "fileBackupFiles", K::Integer(0), "5", "`file`: older files that are kept."),
    sample(T::Outputs, "spoolDir", K::Path, "$SPLUNK_HOME/var/spool/splunk", "`spool`: folder."),
    sample(T::Outputs, "spoolFile", K::Path, "<SAMPLE>", "`spool`: file; `<SAMPLE>` is the sample's name."),
    sample(
        T::Outputs,
        "httpeventServers",
        K::Json,
        "",
        "HEC: `{\"servers\": [{\"protocol\": \"https\", \"address\": …, \"port\": …, \"key\": …}]}`.",
    ),
    sample(
        T::Outputs,
        "httpeventOutputMode",
        K::Choice(&["roundrobin", "mirror"]),
        "roundrobin",
        "HEC: one of the servers for each request, or all.",
    ),
    sample(T::Outputs, "httpeventMaxPayloadSize", K::Integer(1), "524288", "HEC: bytes of a request."),
    sample(
        T::Outputs,
        "httpeventAllowFailureCount",
        K::Integer(1),
        "5",
        "HEC: how often a request is tried.",
    ),
    sample(
        T::Outputs,
        "httpeventCaFile",
        K::Path,
        "",
        "HEC: PEM file of CA certificates, trusted beside the system's.",
    ),
    sample(T::Outputs, "httpeventVerifyCertificate", K::Bool, "true", "HEC: check the server's certificate."),
    sample(T::Outputs, "httpeventGzip", K::Bool, "false", "HEC: compress requests."),
    sample(T::Outputs, "tcpDestinationHost", K::Text, "127.0.0.1", ""),
    sample(T::Outputs, "tcpDestinationPort", K::Integer(1), "3333", ""),
    sample(T::Outputs, "udpDestinationHost", K::Text, "127.0.0.1", ""),
    sample(T::Outputs, "udpDestinationPort", K::Integer(1), "3333", ""),
    sample(
        T::Outputs,
        "loggregatorDirectory",
        K::Path,
        "",
        "`loggregator`: where addresses and certificates of the simulated foundation are written.",
    ),
    sample(
        T::Outputs,
        "loggregatorKind",
        K::Choice(&["log", "counter", "gauge", "timer"]),
        "log",
        "`loggregator`: envelopes of which kind.",
    ),
    sample(T::Outputs, "loggregatorApps", K::Integer(1), "10", "`loggregator`: apps the events come from."),
    sample(T::Outputs, "loggregatorSpaces", K::Integer(1), "2", "`loggregator`: spaces of the apps."),
    sample(T::Outputs, "loggregatorOrgs", K::Integer(1), "1", "`loggregator`: orgs of the spaces."),
    sample(
        T::Outputs,
        "loggregatorWait",
        K::Bool,
        "true",
        "`loggregator`: wait for a reader, and never be faster than it.",
    ),
    run(
        "threading",
        K::Choice(&["thread", "process"]),
        "thread",
        "There are threads only; with `process`, generatorWorkers is their number.",
    ),
    run(
        "generatorWorkers",
        K::Integer(1),
        "1",
        "Worker threads with `threading = process`; else there is one for each CPU. `--workers` wins.",
    ),
    run("outputCounter", K::Bool, "false", "Counts what was made and written, and says so."),
    run("seed", K::Integer(ANY), "", "Makes a run repeatable; `--seed` wins."),
    later("jinja_template_dir", "Jinja templates."),
    later("jinja_target_template", "Jinja templates."),
    later("jinja_variables", "Jinja templates."),
    later("jinja_count_type", "Jinja templates."),
    later("syslogDestinationHost", "Output `syslogout`."),
    later("syslogDestinationPort", "Output `syslogout`."),
    later("syslogAddHeader", "Output `syslogout`."),
    later("splunkHost", "Output `splunkstream`."),
    later("splunkPort", "Output `splunkstream`."),
    later("splunkMethod", "Output `splunkstream`."),
    later("splunkUser", "Output `splunkstream`."),
    later("splunkPass", "Output `splunkstream`."),
    later("sessionKey", "Output `splunkstream`."),
    later("scsEndPoint", "Output `scsout`."),
    later("scsAccessToken", "Output `scsout`."),
    later("scsClientId", "Output `scsout`."),
    later("scsClientSecret", "Output `scsout`."),
    later("scsRetryNum", "Output `scsout`."),
    later("awsS3BucketName", "Output `awss3`."),
    later("awsRegion", "Output `awss3`."),
    later("awsKeyId", "Output `awss3`."),
    later("awsSecretKey", "Output `awss3`."),
    later("awsS3EventType", "Output `awss3`."),
    later("awsS3CompressionType", "Output `awss3`."),
    later("awsS3ObjectPrefix", "Output `awss3`."),
    later("awsS3ObjectSuffix", "Output `awss3`."),
    later("awsS3EventPerKey", "Output `awss3`."),
    unused("debug", "Use `-v` and `-vv`."),
    unused("verbosity", "Use `-v` and `-vv`."),
    unused(
        "outputWorkers",
        "Each stanza's events are written in their order; stanzas do not wait for each other.",
    ),
    unused("useOutputQueue", "Each stanza has an output queue of its own."),
    unused("disableLoggingQueue", "Logging needs no queue."),
    unused("profiler", "Any profiler for native programs can be used."),
    unused("splitSample", "Runs are always cut over all workers."),
    unused(
        "maxIntervalsBeforeFlush",
        "It had no effect before either: what a run makes is written at its end.",
    ),
    unused("backfillSearch", "It had no effect before either."),
    unused("backfillSearchUrl", "It had no effect before either."),
    unused("httpeventWaitResponse", "The answer is always waited for."),
    unused("projectID", "Splunk Storm is no more."),
    unused("accessToken", "Splunk Storm is no more."),
];

/// Explains the settings with this in their names, for a terminal.
pub(super) fn reference(part: &str) -> String {
    let part = part.to_ascii_lowercase();
    let mut text = String::new();
    for theme in Theme::ALL {
        let wanted = |known: &&Known| known.theme == theme && known.name.to_ascii_lowercase().contains(&part);
        let mut settings = SETTINGS.iter().filter(wanted).peekable();
        if settings.peek().is_some() {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", theme.title());
        }
        for known in settings {
            let (name, kind, about) =
                (known.name, known.kind.label().replace('`', ""), known.about.replace('`', ""));
            let _ = match (known.effect, known.default) {
                (Effect::None | Effect::Later, _) => writeln!(text, "  {name}\n      {about}"),
                (_, "") => writeln!(text, "  {name} = {kind}\n      {about}"),
                (_, default) => writeln!(text, "  {name} = {kind} [default: {default}]\n      {about}"),
            };
        }
    }
    text
}

/// Plugins that come later, and what they are called to a person.
pub(super) const LATER_GENERATORS: &[(&str, &str)] =
    &[("jinja", "Jinja templates are"), ("weblog", "the weblog generator is")];
/// As [`LATER_GENERATORS`], for outputs.
pub(super) const LATER_OUTPUTS: &[(&str, &str)] = &[
    ("syslogout", "the syslog output is"),
    ("splunkstream", "the output to Splunk's receivers is"),
    ("s2s", "the output as a Splunk forwarder is"),
    ("scsout", "the output to Splunk Cloud Services is"),
    ("awss3", "the output to S3 is"),
];

/// Plugins of ours that are there.
const OURS: &[&str] = &[
    "config",
    "counter",
    "default",
    "devnull",
    "file",
    "httpevent",
    "loggregator",
    "metric_httpevent",
    "modinput",
    "perdayvolume",
    "perdayvolumegenerator",
    "replay",
    "spool",
    "stdout",
    "tcpout",
    "udpout",
    "windbag",
];

/// Whether somebody has added plugins: settings nobody here knows may be theirs.
pub(super) fn has_more_than_ours(registry: &Registry) -> bool {
    let names = registry.generators.keys().chain(registry.raters.keys()).chain(registry.outputs.keys());
    names.into_iter().any(|name| !OURS.contains(&name.as_str()))
}

/// Whether what a setting says is not to be shown: it holds, or may hold, a password or the like.
pub(super) fn is_secret(name: &str) -> bool {
    let folded = name.to_ascii_lowercase();
    !folded.starts_with("token.")
        && !folded.starts_with("host.")
        && ["server", "pass", "token", "key", "secret"].iter().any(|word| folded.contains(word))
}

/// The known name nearest to one that is not known.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_ascii_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&folded, &known.to_ascii_lowercase());
    let (distance, known) =
        names.into_iter().map(|known| (distance(known), known)).min_by_key(|(distance, _)| *distance)?;
    // Farther ones are other words.
    (distance <= (name.len() / 4).max(1)).then_some(known)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;

    use super::*;

    #[test]
    fn names_are_unique_and_defaults_are_good_values() {
        let mut names = HashSet::new();
        for known in SETTINGS {
            assert!(names.insert(known.name), "{} comes twice", known.name);
            assert!(known.default.is_empty() || known.kind.check(known.default).is_ok(), "{}", known.name);
        }
    }

    #[test]
    fn near_names() {
        let names = || SETTINGS.iter().map(|known| known.name);
        for (name, want) in [
            ("Interval", Some("interval")),
            ("intervall", Some("interval")),
            ("sampletime", Some("sampletype")),
            ("perdayvolume", Some("perDayVolume")),
            ("hourOfDayRates", Some("hourOfDayRate")),
            ("colour", None),
        ] {
            assert_eq!(nearest(name, names()), want, "{name}");
        }
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn the_reference_of_eventgen_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/eventgen.md");
        let page = fs::read_to_string(path).unwrap();
        let (mut expected, mut rest) = (String::new(), page.as_str());
        for theme in Theme::ALL {
            let begin = format!("<!-- settings: {} -->\n", theme.title());
            let (before, after) = rest.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
            let (_, after) = after.split_once("<!-- end -->").unwrap();
            expected += &format!("{before}{begin}{}<!-- end -->", table(theme));
            rest = after;
        }
        expected += rest;
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, &expected).unwrap();
            return;
        }
        assert!(page == expected, "docs/eventgen.md is out of date: run this test with UPDATE_DOCS=1");
    }

    fn table(theme: Theme) -> String {
        let brief = matches!(theme, Theme::Later | Theme::Unused);
        let mut table = match (theme, brief) {
            (Theme::Later, _) => "| Setting | Belongs to |\n|---|---|\n".to_owned(),
            (_, true) => "| Setting | Why |\n|---|---|\n".to_owned(),
            _ => "| Setting | Value | Default | Meaning |\n|---|---|---|---|\n".to_owned(),
        };
        for known in SETTINGS.iter().filter(|known| known.theme == theme) {
            let (name, about) = (known.name, known.about);
            let default = match known.default {
                "" => "–".to_owned(),
                text => format!("`{text}`"),
            };
            let _ = match brief {
                true => writeln!(table, "| `{name}` | {about} |"),
                false => writeln!(table, "| `{name}` | {} | {default} | {about} |", known.kind.label()),
            };
        }
        table
    }
}
