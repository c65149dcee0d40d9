//! `eventgen preview`: the first events of each sample, with what was put in highlighted.

use std::fmt::Write as _;
use std::ops::Range;
use std::process::ExitCode;

use clap::ArgMatches;

use super::screen::Screen;
use super::{EXIT_FAILURE, flags};
use crate::clock::UnixNanos;
use crate::eventgen::conf::{self, Level, Request};
use crate::eventgen::config::SampleConfig;
use crate::eventgen::generator::preview;
use crate::eventgen::plugin::Registry;

pub(super) fn run(matches: &ArgMatches, request: &Request, registry: &Registry, screen: &Screen) -> ExitCode {
    let now = flags::clock(matches).now();
    let count = *matches.get_one("events").unwrap_or(&5);
    let notes = Screen::stderr(!screen.is_colored());
    let (run, findings) = conf::load(request, registry);
    for finding in findings.iter().filter(|finding| finding.level != Level::Note) {
        notes.print(&format!("{}\n", finding.render(notes.is_colored())));
    }
    let samples = run.map(|run| run.samples).unwrap_or_default();
    let (text, faults) = render(&samples, count, now, request.seed.unwrap_or_default(), screen.is_colored());
    screen.print(&text);
    faults.iter().for_each(|fault| notes.print(&format!("error: {fault}\n")));
    if samples.is_empty() {
        notes.print("there is no sample to show\n");
    }
    ExitCode::from(if samples.is_empty() || !faults.is_empty() { EXIT_FAILURE } else { 0 })
}

/// The events, and why there are none of a sample. Headings only if there are several samples.
fn render(
    samples: &[SampleConfig],
    count: usize,
    now: UnixNanos,
    seed: u64,
    colored: bool,
) -> (String, Vec<String>) {
    let (mut text, mut faults) = (String::new(), Vec::new());
    for sample in samples {
        let events = match preview(sample, count, now, seed) {
            Ok(events) => events,
            Err(why) => {
                faults.push(format!("[{}] makes nothing: {why}", sample.stanza));
                continue;
            }
        };
        if samples.len() > 1 {
            let heading = match *sample.name == *sample.stanza {
                true => format!("# [{}]", sample.stanza),
                false => format!("# [{}] {}", sample.stanza, sample.name),
            };
            let _ =
                if colored { writeln!(text, "\x1b[1m{heading}\x1b[0m") } else { writeln!(text, "{heading}") };
        }
        for event in events {
            let body = event.text.strip_suffix('\n').unwrap_or(&event.text);
            if colored {
                highlight(body, &event.replaced, &mut text);
            } else {
                text.push_str(body);
            }
            text.push('\n');
        }
    }
    (text, faults)
}

/// What was put in, in green and underlined: underlined for those who do not see colors.
fn highlight(text: &str, replaced: &[Range<usize>], out: &mut String) {
    let mut end = 0;
    for range in replaced {
        let start = range.start.clamp(end, text.len());
        let stop = range.end.clamp(start, text.len());
        let (Some(before), Some(inside)) = (text.get(end..start), text.get(start..stop)) else { continue };
        out.push_str(before);
        if !inside.is_empty() {
            let _ = write!(out, "\x1b[4;32m{inside}\x1b[0m");
        }
        end = stop;
    }
    out.push_str(text.get(end..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_highlighted() {
        let shown = |text: &str, ranges: &[Range<usize>]| {
            let mut out = String::new();
            highlight(text, ranges, &mut out);
            out.replace("\x1b[4;32m", "<").replace("\x1b[0m", ">")
        };
        assert_eq!(shown("u=alice h=é", &[2..7, 10..12]), "u=<alice> h=<é>");
        assert_eq!(shown("abc", &[]), "abc");
        assert_eq!(shown("abc", &[1..1, 2..9]), "ab<c>");
        // The final newline may have been put in; it is not shown.
        assert_eq!(shown("abc", &[0..2, 1..3]), "<ab><c>");
    }
}
