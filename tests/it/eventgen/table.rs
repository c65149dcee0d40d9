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
/// `args` are more arguments, `append` is appended to the conf, `stderr_contains` is looked for on
/// standard error. `{}` keeps what was recorded although it is odd.
#[rustfmt::skip]
pub(super) const DIFFERENT: &[(&str, &str, &str)] = &[
    ("brk_invalid", r##"{"stderr_contains": ["breaker = (((", "default/eventgen.conf:6:14"]}"##, "the message names the place"),
    ("cli_app_dir_noslash", r##"{"stdout": "line1\n", "stdout_line_count": 1}"##, "an app is the same with and without the slash"),
    ("cli_count_nosampledir", r##"{"stdout": "line1\nline2\nline3\nline4\n", "stdout_line_count": 4}"##, "the command line always wins"),
    ("cli_keepoutput", r##"{"stdout": "x\n", "stdout_line_count": 1, "exit_code": null}"##, "--keepoutput keeps the output"),
    ("cli_no_conf", r##"{"stderr_contains": ["nope.conf is no file and no folder"]}"##, "the message names the file"),
    ("cli_version", r##"{"stdout": null, "stdout_each_line_matches": "Eventgen \\d+\\.\\d+\\.\\d+"}"##, "the version is that of this package"),
    ("conf_DEFAULT_caps", r##"{}"##, "kept: what stands in [DEFAULT] is the default of every stanza"),
    ("conf_bad_regex", r##"{"exit_code": null, "stdout": "x\n", "stdout_line_count": 1, "stderr_contains": ["[*.log] is no regular expression"]}"##, "one bad name stops no other stanza"),
    ("conf_disabled", r##"{"files": {"out/t2.txt": "t2\n", "out/t3.txt": "t3\n"}}"##, "no and FALSE mean false"),
    ("conf_duplicate_key", r##"{"exit_code": null, "stdout": "x\nx\n", "stdout_line_count": 2, "stderr_contains": ["count is set twice"]}"##, "the last one counts, as in Splunk's own reader"),
    ("conf_global_end", r##"{"outcome": "exits", "stdout_line_count_range": null, "stdout": "a1\n"}"##, "[global] hands every setting down"),
    ("conf_global_tokens", r##"{"stdout": "v=G\n"}"##, "[global] hands tokens down"),
    ("conf_prefix_leak", r##"{"outcome": "still_running", "files": {"out/web2": null}, "stdout_line_count_range": [9, 9], "stdout_each_line_matches": "  </?event>|    <(time|index|source|sourcetype|host)>.*|    <data>w2 @1|</data>"}"##, "a stanza's name has to match as a whole: [web2] has defaults only, and runs on"),
    ("conf_regex_stanza_many", r##"{"stdout_lines_sorted": ["a R", "b R"]}"##, "each file once"),
    ("count_0", r##"{}"##, "kept: nothing"),
    ("csv_columns", r##"{"stdout": "  <event>\n    <time>1705320001</time>\n    <index>idx1</index>\n    <source>s1</source>\n    <sourcetype>st1</sourcetype>\n    <host>h1</host>\n    <data>first, event\n</data>\n  </event>\n  <event>\n    <time>1705320001</time>\n    <index>idx2</index>\n    <source>s2</source>\n    <sourcetype>st2</sourcetype>\n    <host>h2</host>\n    <data>second \"quoted\"\n</data>\n  </event>\n"}"##, "each row has its own index"),
    ("csv_no_raw", r##"{"exit_code": 1, "stderr_contains": ["there is no column _raw; the columns are x, y"]}"##, "it says why there is nothing"),
    ("end_time_absolute", r##"{"outcome": "exits", "stdout_line_count": 25, "stdout": "line1\nline2\nline3\nline4\nline5\nline1\nline2\nline3\nline4\nline5\nline1\nline2\nline3\nline4\nline5\nline1\nline2\nline3\nline4\nline5\nline1\nline2\nline3\nline4\nline5\n"}"##, "it ends at that time"),
    ("end_time_relative", r##"{"outcome": "exits", "stdout_line_count": 15, "stdout": "line1\nline2\nline3\nline4\nline5\nline1\nline2\nline3\nline4\nline5\nline1\nline2\nline3\nline4\nline5\n"}"##, "it ends at that time"),
    ("extend_indexes", r##"{}"##, "each event draws its own index out of the same ones"),
    ("interval_0", r##"{}"##, "kept: once a second"),
    ("modinput_escape", r##"{"stdout": "  <event>\n    <time>1705320001</time>\n    <index>i</index>\n    <source>a.txt</source>\n    <sourcetype>s&lt;t</sourcetype>\n    <host>a&amp;b</host>\n    <data>&lt;x a=\"1\"&gt;&amp;amp; 'q'&lt;/x&gt;\n</data>\n  </event>\n"}"##, "names are escaped too, or it is no XML"),
    ("mp_integer_queue_output", r##"{"outcome": "exits", "files": {"out/a.txt": "v=1\nv=1\nv=1\nv=1\n"}}"##, "threading = process changes nothing"),
    ("mp_integerid", r##"{"stdout_lines_sorted": ["id=100", "id=101", "id=102", "id=103", "id=104", "id=105"]}"##, "numbers go on from run to run"),
    ("out_counter", r##"{"stderr_contains": ["{'2024-01-15': 8}", "{'2024-01-15': 2}"]}"##, "the report follows the histograms, so they are not the last lines"),
    ("out_file_nodir", r##"{"files": {"missing/x.log": "x\n"}}"##, "the directory is made"),
    ("out_file_rotate_b0", r##"{}"##, "kept: one backup at least, or rotating would throw everything away"),
    ("out_hec_503", r##"{"outcome": "still_running", "exit_code": 1, "stop_after_requests": 2, "http_requests_repeated": true, "stderr_contains": ["lost 1"]}"##, "retried until it is given up; lost events are counted, and the status is 1"),
    ("out_hec_down", r##"{"append": "httpeventAllowFailureCount = 1\n", "exit_code": 1, "stderr_contains": ["given up", "lost 1"]}"##, "retried until it is given up; lost events are counted, and the status is 1"),
    ("out_hec_oversize_first", r##"{"http_requests": [{"server": "PORT", "method": "POST", "path": "/services/collector", "headers": {"authorization": "Splunk TOK-1"}, "body": "{\"event\": \"one\\n\", \"source\": \"s/x\", \"sourcetype\": \"st\", \"host\": \"h\", \"time\": 1705320001, \"index\": \"i\"}"}, {"server": "PORT", "method": "POST", "path": "/services/collector", "headers": {"authorization": "Splunk TOK-1"}, "body": "{\"event\": \"two\\n\", \"source\": \"s/x\", \"sourcetype\": \"st\", \"host\": \"h\", \"time\": 1705320001, \"index\": \"i\"}"}]}"##, "no empty request"),
    ("out_hec_shared_servers", r##"{"http_requests": [{"server": "PORT", "method": "POST", "path": "/services/collector", "headers": {"authorization": "Splunk TOK-1"}, "body": "{\"event\": \"from a\\n\", \"source\": \"s/x\", \"sourcetype\": \"st\", \"host\": \"h\", \"time\": 1705320001, \"index\": \"i\"}"}, {"server": "PORT2", "method": "POST", "path": "/services/collector", "headers": {"authorization": "Splunk TOK-2"}, "body": "{\"event\": \"from b\\n\", \"source\": \"s/x\", \"sourcetype\": \"st\", \"host\": \"h\", \"time\": 1705320001, \"index\": \"i\"}"}]}"##, "each stanza has its own servers"),
    ("out_spool_windbag", r##"{"files": {"out/<SAMPLE>": null, "out/wb": "2024-01-15 12:00:01 -0700 WINDBAG Event 1 of 2\n2024-01-15 12:00:02 -0700 WINDBAG Event 2 of 2\n"}}"##, "an event is a line, and <SAMPLE> is the sample's name"),
    ("out_tcp_windbag", r##"{"tcp_connections_latin1": ["2024-01-15 12:00:01 -0700 WINDBAG Event 1 of 12\n2024-01-15 12:00:02 -0700 WINDBAG Event 2 of 12\n2024-01-15 12:00:03 -0700 WINDBAG Event 3 of 12\n2024-01-15 12:00:04 -0700 WINDBAG Event 4 of 12\n2024-01-15 12:00:05 -0700 WINDBAG Event 5 of 12\n2024-01-15 12:00:06 -0700 WINDBAG Event 6 of 12\n2024-01-15 12:00:07 -0700 WINDBAG Event 7 of 12\n2024-01-15 12:00:08 -0700 WINDBAG Event 8 of 12\n2024-01-15 12:00:09 -0700 WINDBAG Event 9 of 12\n2024-01-15 12:00:10 -0700 WINDBAG Event 10 of 12\n2024-01-15 12:00:11 -0700 WINDBAG Event 11 of 12\n2024-01-15 12:00:12 -0700 WINDBAG Event 12 of 12\n"]}"##, "a connection is kept unless maxQueueLength says how much goes over one"),
    ("pdv_never", r##"{"args": ["--end", "6"], "stdout": null, "stdout_line_count": 2, "stdout_each_line_matches": "x{99}"}"##, "bytes are carried over: 6 × 37.3 are two events of 100"),
    ("pdv_too_small", r##"{}"##, "one run, and its bytes are less than an event"),
    ("replay_backfill", r##"{"stdout": "2024-06-12 09:30:00 five\n2024-06-12 09:30:00 one\n2024-06-12 09:30:01 two\n2024-06-12 09:30:03 three\n2024-06-12 09:30:03 four\n2024-06-12 09:30:05 five\n2024-06-12 09:30:05 one\n2024-06-12 09:30:06 two\n2024-06-12 09:30:08 three\n2024-06-12 09:30:08 four\n2024-06-12 09:30:10 five\n", "stdout_line_count": 11, "arrival_gap_seconds": [0, 0, 0, 0, 0, 0, 1, 2, 0, 2]}"##, "the backfill ends with the present, then it is live"),
    ("replay_buffered", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:06 two\n2024-06-12 09:30:08 three\n2024-06-12 09:30:08 four\n2024-06-12 09:30:10 five\n", "stdout_line_count": 5, "arrival_gap_seconds": [1, 2, 0, 2]}"##, "gaps as the file has them"),
    ("replay_epoch", r##"{"stdout": "ts=1718184605 a\nts=1718184606 b\nts=1718184607 c\n", "stdout_line_count": 3, "arrival_gap_seconds": [1, 1.5]}"##, "gaps as the file has them"),
    ("replay_format_mismatch", r##"{"exit_code": 1, "stderr_contains": ["none of 5 lines carries a time"]}"##, "it says why there is nothing"),
    ("replay_gaps", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:06 two\n2024-06-12 09:30:08 three\n2024-06-12 09:30:08 four\n2024-06-12 09:30:10 five\n", "stdout_line_count": 5, "arrival_gap_seconds": [1, 2, 0, 2]}"##, "gaps as the file has them"),
    ("replay_maxqueue1", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:06 two\n2024-06-12 09:30:08 three\n2024-06-12 09:30:08 four\n2024-06-12 09:30:10 five\n", "stdout_line_count": 5, "arrival_gap_seconds": [1, 2, 0, 2]}"##, "gaps as the file has them"),
    ("replay_no_timestamp", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:06 two\n", "stdout_line_count": 2, "arrival_gap_seconds": [1], "stderr_contains": ["1 lines carry no time"]}"##, "the others are left out, and told of"),
    ("replay_noend", r##"{}"##, "kept: it goes on"),
    ("replay_noend_sampledir", r##"{"outcome": "still_running", "stdout_line_count": null, "stdout_line_count_range": [3, 8]}"##, "sampleDir does not change when it ends"),
    ("replay_out_of_order", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:05 two\n2024-06-12 09:30:06 three\n", "stdout_line_count": 3, "arrival_gap_seconds": [0, 1], "stderr_contains": ["earlier than the line above"]}"##, "a line that is earlier follows at once, and the next gap counts from it"),
    ("replay_timemultiple", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:05 two\n2024-06-12 09:30:06 three\n2024-06-12 09:30:06 four\n2024-06-12 09:30:07 five\n", "stdout_line_count": 5, "arrival_gap_seconds": [0.5, 1, 0, 1]}"##, "gaps as the file has them"),
    ("replay_timestamp_token", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:06 two\n2024-06-12 09:30:08 three\n2024-06-12 09:30:08 four\n2024-06-12 09:30:10 five\n", "stdout_line_count": 5, "arrival_gap_seconds": [1, 2, 0, 2]}"##, "a timestamp follows the replay too"),
    ("replay_twice", r##"{"stdout": "2024-06-12 09:30:05 one\n2024-06-12 09:30:06 two\n2024-06-12 09:30:07 one\n2024-06-12 09:30:08 two\n", "stdout_line_count": 4, "arrival_gap_seconds": [1, 1, 1]}"##, "gaps as the file has them"),
    ("split_sample", r##"{"stdout": "line1\nline2\nline3\nline4\n", "stdout_line_count": 4}"##, "splitSample changes nothing: runs are always shared out"),
    ("tok_bad_regex", r##"{"stdout": "x\n", "stdout_line_count": 1, "stderr_contains": ["token.0.token is no regular expression"]}"##, "the token is left out"),
    ("tok_file_env_path", r##"{}"##, "kept"),
    ("tok_inherit_over_ten", r##"{"stdout": "0 1 2 3 4 5 6 7 8 9 10 Z\n"}"##, "inherited tokens follow the stanza's own"),
    ("tok_list_numbers", r##"{"stdout": "v=42\n", "stdout_line_count": 1}"##, "a number of a list is written as it stands"),
    ("tok_mvfile_quotes", r##"{"stdout": "[a,b][c]\n"}"##, "columns are read as CSV"),
    ("tok_mvfile_relative_first", r##"{"stdout_each_line_matches": "alice/10|bob/20|carol/30"}"##, "columns of an event are of one row"),
    ("tok_optional_group", r##"{}"##, "kept: the whole match is replaced"),
    ("tok_rated_integer", r##"{"stdout": "v=50\n", "stdout_line_count": 1}"##, "the rates apply, to the number of events as well"),
    ("ts_abs_with_zone", r##"{"stdout": "2024-01-15T10:00:01\n"}"##, "a zone is honoured"),
    ("ts_earliest_after_latest", r##"{"exit_code": 1, "stderr_contains": ["earliest is 3600 s after latest"]}"##, "it says why there is nothing"),
    ("ts_epoch_trailing_zero", r##"{"stdout": "1705320000\n"}"##, "all digits"),
    ("ts_json_list_format", r##"{}"##, "kept: it is one format"),
    ("ts_micro_always_zero", r##"{"stdout_each_line_in": null, "stdout_each_line_matches": "\\d{6}"}"##, "times have fractions"),
    ("ts_rel_bare_snap", r##"{"outcome": "exits", "stdout": null, "stdout_line_count": 1, "stdout_each_line_matches": "2024-05-15 \\d\\d:\\d\\d"}"##, "a bare snap is understood"),
    ("ts_rel_month_end", r##"{"outcome": "exits", "stdout": "2024\n", "stdout_line_count": 1}"##, "the last day of the month"),
    ("ts_rel_month_underflow", r##"{"outcome": "exits", "stdout": null, "stdout_line_count": 1, "stdout_each_line_matches": "2023|2024"}"##, "the year before"),
    ("ts_rel_quarter_snap", r##"{"stdout": "2024-01-01 00:00\n"}"##, "the quarter's first month"),
    ("ts_sequential", r##"{"stdout": "12:00:00\n12:00:10\n12:00:20\n12:00:30\n"}"##, "evenly from earliest to latest"),
    ("ts_timezone_minus0500", r##"{"stdout": "  <event>\n    <time>1715795130</time>\n    <index>i</index>\n    <source>a.txt</source>\n    <sourcetype>st</sourcetype>\n    <host>h</host>\n    <data>2024-05-15 12:45\n</data>\n  </event>\n"}"##, "the time beside the text is the instant itself"),
    ("ts_timezone_plus0530", r##"{"stdout": "  <event>\n    <time>1715795130</time>\n    <index>i</index>\n    <source>a.txt</source>\n    <sourcetype>st</sourcetype>\n    <host>h</host>\n    <data>2024-05-15 23:15\n</data>\n  </event>\n"}"##, "the time beside the text is the instant itself"),
    ("ts_timezone_utc", r##"{"stdout": "  <event>\n    <time>1715795130</time>\n    <index>i</index>\n    <source>a.txt</source>\n    <sourcetype>st</sourcetype>\n    <host>h</host>\n    <data>2024-05-15 17:45\n</data>\n  </event>\n"}"##, "the time beside the text is the instant itself"),
    ("worker_threads_die", r##"{"outcome": "exits", "args": ["--interval", "0.1"], "files": {"out/good.txt": "n=1\nn=2\nn=3\nn=4\nn=5\nn=6\nn=7\nn=8\nn=9\nn=10\nn=11\nn=12\nn=13\nn=14\nn=15\nn=16\nn=17\nn=18\nn=19\nn=20\nn=21\nn=22\nn=23\nn=24\nn=25\nn=26\n"}}"##, "no stanza stops another"),
];
