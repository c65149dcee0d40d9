//! Decisions about recorded cases that are not simply as recorded.

/// What is expected of a case.
pub(super) enum Decision {
    /// What was recorded.
    Recorded,
    /// What was recorded, changed by this.
    Different(&'static str),
    /// It is about something that is not there yet.
    Later,
}

pub(super) fn decision(name: &str) -> Decision {
    if LATER.iter().any(|(later, _)| *later == name) {
        return Decision::Later;
    }
    let different = DIFFERENT.iter().find(|(different, ..)| *different == name);
    different.map_or(Decision::Recorded, |(_, patch, _)| Decision::Different(patch))
}

const JINJA: &str = "the generator jinja is not there yet";
const SERVICE: &str = "the service is not there yet";
const S2S: &str = "the output s2s is not there yet";

/// Cases that are not run, and why.
pub(super) const LATER: &[(&str, &str)] = &[
    ("jinja_basic", JINJA),
    ("jinja_cycles", JINJA),
    ("jinja_line_count", JINJA),
    ("jinja_meta", JINJA),
    ("jinja_no_time", JINJA),
    ("jinja_no_variables", JINJA),
    ("jinja_split_object", JINJA),
    ("jinja_time_delta", JINJA),
    ("jinja_time_slice", JINJA),
    ("out_s2s_long", S2S),
    ("out_s2s_lucky", S2S),
    ("out_s2s_short", S2S),
    ("out_scs", "the output scsout is not there yet"),
    ("out_syslog_header", "the output syslogout is not there yet"),
    ("replay_csv_metadata", "the output splunkstream is not there yet"),
    ("rest_controller", SERVICE),
    ("rest_standalone", SERVICE),
];

/// Cases that go another way: what is changed in what was recorded (`null` removes), and why.
/// `args` are more arguments, `stderr_contains` is looked for on standard error.
pub(super) const DIFFERENT: &[(&str, &str, &str)] = &[];
