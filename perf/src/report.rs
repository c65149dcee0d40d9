//! Rows as Markdown.

use std::fmt::Write as _;

use crate::machine;
use crate::plan::Rate;
use crate::published::{Figures, GO, PUBLISHED};
use crate::row::Row;
use crate::search::OVERLOAD;

/// A column of a table.
pub struct Column {
    title: &'static str,
    value: fn(&Row) -> String,
    /// Settings that are the same in all rows stand above the table instead.
    is_setting: bool,
}

const fn setting(title: &'static str, value: fn(&Row) -> String) -> Column {
    Column { title, value, is_setting: true }
}

const fn result(title: &'static str, value: fn(&Row) -> String) -> Column {
    Column { title, value, is_setting: false }
}

const COLUMNS: [Column; 27] = [
    setting("source", |row| row.scenario.source.to_string()),
    setting("wire", |row| row.scenario.wire()),
    setting("lines", |row| row.scenario.lines.to_string()),
    setting("names", |row| if row.scenario.names { "names" } else { "no names" }.to_owned()),
    setting("acks", |row| if row.scenario.acks { "acks" } else { "no acks" }.to_owned()),
    setting("disk spool", |row| if row.scenario.spool { "spool" } else { "no spool" }.to_owned()),
    setting("workers", |row| row.scenario.workers.map_or("default".to_owned(), |n| n.to_string())),
    setting("batch bytes", |row| row.scenario.batch_bytes.map_or("default".to_owned(), |n| n.to_string())),
    setting("apps", |row| row.scenario.apps.to_string()),
    setting("apps are listed", |row| {
        if row.scenario.list_seconds.is_some() { "all the time" } else { "at the start" }.to_owned()
    }),
    setting("rate", |row| match row.scenario.rate {
        Rate::Max => "as fast as it goes".to_owned(),
        Rate::Search => "the most without loss".to_owned(),
        Rate::Fixed(rate) => grouped(rate as f64),
    }),
    result("events/s", |row| {
        let unconfirmed = if row.is_confirmed == Some(false) { " (lossy)" } else { "" };
        grouped(row.outcome.events_per_second()) + unconfirmed
    }),
    result("CPU µs/event", |row| format!("{:.2}", row.outcome.micros())),
    result("CPU %", |row| format!("{:.1}", row.outcome.cpu_percent())),
    result("memory MB", |row| format!("{:.0}", row.outcome.memory_mb)),
    result("lost", |row| grouped(row.outcome.lost() as f64)),
    result("payload MB/s", |row| {
        let outcome = &row.outcome;
        let each = outcome.load.payload_bytes as f64 / outcome.load.sent.max(1) as f64;
        format!("{:.1}", each * outcome.events_per_second() / 1e6)
    }),
    result("body MB/s", |row| per_second(row, row.outcome.body_bytes as f64 / 1e6)),
    result("HEC Mbit/s", |row| per_second(row, row.outcome.wire_bytes as f64 * 8.0 / 1e6)),
    result("events/request", |row| grouped(row.outcome.arrived as f64 / row.outcome.requests.max(1) as f64)),
    result("p50 ms", |row| delay(row, row.outcome.p50_ms)),
    result("p99 ms", |row| delay(row, row.outcome.p99_ms)),
    result("lag ms", |row| delay(row, row.outcome.load.lag_ms)),
    result("load alone", |row| row.load_ceiling.map_or("–".to_owned(), grouped)),
    result("HEC alone", |row| row.hec_ceiling.map_or("–".to_owned(), grouped)),
    result("limited by", |row| row.limit.name().to_owned()),
    result("noise", |row| {
        let machine = row.outcome.machine;
        let spread = row.spread.map(|spread| format!(", spread {:.0} %", spread * 100.0)).unwrap_or_default();
        let noise =
            format!("others {:.0} %, steal {:.0} %{spread}", machine.others * 100.0, machine.steal * 100.0);
        if row.is_noisy() { format!("**noisy**: {noise}") } else { noise }
    }),
];

/// A delay means something if events come by the clock.
fn delay(row: &Row, ms: f64) -> String {
    if row.scenario.rate == Rate::Max { "–".to_owned() } else { format!("{ms:.0}") }
}

fn per_second(row: &Row, amount: f64) -> String {
    let outcome = &row.outcome;
    format!("{:.1}", amount / outcome.arrived.max(1) as f64 * outcome.events_per_second())
}

/// `1234567.8` as `1,234,568`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A row in short, while others are still measured.
pub fn summary(row: &Row) -> String {
    let (scenario, outcome) = (&row.scenario, &row.outcome);
    format!(
        "{} {} {}: {} events/s, {:.2} µs/event, {} lost{}",
        scenario.source,
        scenario.wire(),
        scenario.lines,
        grouped(outcome.events_per_second()),
        outcome.micros(),
        outcome.lost(),
        if row.is_noisy() { " (noisy)" } else { "" },
    )
}

/// The settings in which rows differ.
pub fn varying(rows: &[Row]) -> Vec<&'static Column> {
    let differs = |column: &&Column| {
        let first = rows.first().map(|row| (column.value)(row));
        rows.iter().any(|row| Some((column.value)(row)) != first)
    };
    COLUMNS.iter().filter(|column| column.is_setting).filter(differs).collect()
}

/// What a row is called beside rows that differ in these settings only.
pub fn label(row: &Row, varying: &[&Column]) -> String {
    varying.iter().map(|column| (column.value)(row)).collect::<Vec<_>>().join(" ")
}

/// A table, with what is the same in all of its rows above it.
pub fn markdown(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let varying = varying(rows);
    let differs = |column: &Column| varying.iter().any(|other| other.title == column.title);
    let same: Vec<_> = (COLUMNS.iter().filter(|column| column.is_setting && !differs(column)))
        .map(|column| format!("{} {}", column.title, (column.value)(first)))
        .collect();
    let columns: Vec<_> = COLUMNS.iter().filter(|column| !column.is_setting || differs(column)).collect();
    let mut text = format!("In all rows: {}.\n\n", same.join(", "));
    line(&mut text, columns.iter().map(|column| column.title.to_owned()));
    line(&mut text, columns.iter().map(|_| "---".to_owned()));
    for row in rows {
        line(&mut text, columns.iter().map(|column| (column.value)(row)));
    }
    text + &beyond(rows, &varying)
}

fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// What happened beyond the most without loss.
fn beyond(rows: &[Row], varying: &[&Column]) -> String {
    let mut text = String::new();
    for row in rows {
        let Some(beyond) = &row.beyond else { continue };
        if text.is_empty() {
            let _ = write!(text, "\n{OVERLOAD} times that rate is offered:\n\n");
            let titles = [
                "",
                "offered/s",
                "events/s",
                "of the most without loss",
                "CPU µs/event",
                "memory MB",
                "dropped by the platform",
                "by the nozzle",
                "sent = arrived + dropped",
                "lag ms",
                "CPUs idle",
            ];
            line(&mut text, titles.iter().map(|title| (*title).to_owned()));
            line(&mut text, titles.iter().map(|_| "---".to_owned()));
        }
        let share = beyond.events_per_second() / row.outcome.events_per_second() * 100.0;
        let cells = [
            label(row, varying),
            grouped(beyond.load.sent as f64 / beyond.load.seconds),
            grouped(beyond.events_per_second()),
            format!("{share:.0} %"),
            format!("{:.2}", beyond.micros()),
            format!("{:.0}", beyond.memory_mb),
            grouped(beyond.load.dropped as f64),
            grouped(beyond.nozzle_dropped as f64),
            if beyond.is_exact() {
                "yes".to_owned()
            } else {
                format!("**no**: {} arrived of {}", beyond.arrived, beyond.load.sent)
            },
            format!("{:.0}", beyond.load.lag_ms),
            format!("{:.0} %", beyond.machine.idle * 100.0),
        ];
        line(&mut text, cells.into_iter());
    }
    text
}

/// The published table beside ours, for one CPU.
pub fn comparison(rows: &[Row]) -> String {
    let mut text = String::new();
    let titles = [
        "lines",
        "published: events/s",
        "\"Mbps\"",
        "CPU %",
        "memory MB",
        "events/s per CPU",
        "Go nozzle 1.4.3, tuned, reference machine: events/s per CPU",
        "this nozzle: events/s per CPU",
        "CPU time here / the Go nozzle's there",
        "memory MB",
    ];
    line(&mut text, titles.iter().map(|title| (*title).to_owned()));
    line(&mut text, titles.iter().map(|_| "---".to_owned()));
    for Figures { lines, events_per_second, megabytes_per_second, cpu_percent, memory_mb } in PUBLISHED {
        let name = lines.to_string();
        let go = GO.iter().find(|go| go.lines == lines);
        let ours = rows.iter().find(|row| row.scenario.lines == lines).map(|row| &row.outcome);
        let or_none = |text: Option<String>| text.unwrap_or("–".to_owned());
        let cells = [
            name,
            grouped(events_per_second),
            format!("{megabytes_per_second:.2}"),
            format!("{cpu_percent:.1}"),
            format!("{memory_mb:.1}"),
            grouped(events_per_second / cpu_percent * 100.0),
            or_none(go.map(|go| grouped(1e6 / go.tuned_micros))),
            or_none(ours.map(|ours| grouped(1e6 / ours.micros()))),
            or_none(
                go.zip(ours).map(|(go, ours)| format!("{:.0} %", ours.micros() / go.tuned_micros * 100.0)),
            ),
            or_none(ours.map(|ours| format!("{:.0}", ours.memory_mb))),
        ];
        line(&mut text, cells.into_iter());
    }
    text
}

/// As many as most have; what the start takes is told apart for more.
const APPS_FEW: usize = 1000;

/// On what it was measured.
pub fn machine_line(rows: &[Row]) -> String {
    let noisy = rows.iter().filter(|row| row.is_noisy()).count();
    let noise = match noisy {
        0 => "Nobody else used it to speak of.".to_owned(),
        _ => format!("**{noisy} of {} rows are noisy**: others used the machine as well.", rows.len()),
    };
    let longest = |is_meant: fn(usize) -> bool| {
        let meant = rows.iter().filter(|row| is_meant(row.scenario.apps));
        meant.map(|row| row.first_event_ms).fold(0.0, f64::max)
    };
    let (first, many) = (longest(|apps| apps <= APPS_FEW), longest(|apps| apps > APPS_FEW));
    let many =
        if many > 0.0 { format!(" ({many:.0} ms with more than {APPS_FEW} apps)") } else { String::new() };
    format!(
        "Measured on {} CPUs ({}), all three processes on it. {noise} The first event had arrived at most {first:.0} ms{many} after the \
         nozzle's process was started, FLUSH_INTERVAL's half second included.\n",
        machine::cpus(),
        machine::cpu_model()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Scenario;
    use crate::row::tests::{outcome, row};

    #[test]
    fn what_is_the_same_stands_above() {
        let rows = [row(Scenario::BASE), row(Scenario { tls: true, ..Scenario::BASE })];
        let text = markdown(&rows);
        assert!(text.starts_with("In all rows: source firehose, lines text-256, names names,"), "{text}");
        assert!(
            text.contains("\n| wire | events/s |") && text.contains("\n| TLS | 1,000 | 1.00 |"),
            "{text}"
        );
        assert_eq!(label(&rows[1], &varying(&rows)), "TLS");
        let safe = Scenario { acks: true, spool: true, ..Scenario::BASE };
        let rows = [row(Scenario::BASE), row(safe)];
        let text = markdown(&rows);
        assert!(text.contains("\n| acks | disk spool | events/s |"), "{text}");
        assert!(text.contains("\n| acks | spool | 1,000 |"), "{text}");
        assert!(!text.contains("offered"));
        let searched = Row { beyond: Some(outcome(900)), ..row(Scenario::BASE) };
        let text = markdown(&[searched]);
        assert!(text.contains("90 %") && text.contains("**no**: 900 arrived of 1000"), "{text}");
    }

    #[test]
    fn the_comparison_is_per_cpu() {
        let text = comparison(&[row(Scenario::BASE)]);
        // 11,189 events/s with 502.3 %; 12.9 and 1.00 µs.
        assert!(
            text.contains("| text-256 | 11,189 | 9.10 | 502.3 | 58.3 | 2,228 | 77,519 | 1,000,000 | 8 % |"),
            "{text}"
        );
    }
}
