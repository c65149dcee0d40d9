//! What an event costs the nozzle, as a multiple of the floor: the same operations and nothing else.
//!
//! The floor of the reference machine was measured by a program made for that; of what it did, finding the fields of an
//! envelope and writing the JSON is no operation of [`Operation`]. That part is taken to be as much slower here as owned
//! decoding, which is the same kind of work; all others as they are themselves.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{Floor, Operation};
use crate::lines::{Form, Lines};
use crate::plan::{Rate, Scenario, Source};
use crate::published::GO;
use crate::row::Row;

/// Ready requests compress to this part of their size on the reference machine.
const RATIO: f64 = 5.6;

/// What is between a nozzle and its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Plain,
    Tls,
    TlsGzip,
}

/// Aims in µs of CPU for one event, all on the reference machine: lines of 256 bytes of text.
const AIMS: [(Source, Wire, f64); 9] = [
    (Source::Firehose, Wire::Plain, 0.8),
    (Source::Firehose, Wire::Tls, 1.0),
    (Source::Firehose, Wire::TlsGzip, 2.2),
    (Source::Grpc, Wire::Plain, 0.9),
    (Source::Grpc, Wire::Tls, 1.1),
    (Source::Grpc, Wire::TlsGzip, 2.3),
    (Source::Gateway, Wire::Plain, 1.1),
    (Source::Gateway, Wire::Tls, 1.3),
    (Source::Gateway, Wire::TlsGzip, 2.5),
];

/// Finding the fields of an envelope and writing its JSON, in ns on the reference machine.
fn scan_and_write(source: Source) -> f64 {
    match source {
        Source::Firehose => 252.0,
        Source::Grpc => 267.0,
        Source::Gateway => 398.0,
    }
}

/// Bytes that are read, as a multiple of [`super::EVENT_BYTES`].
fn bytes_read(source: Source) -> f64 {
    match source {
        Source::Firehose | Source::Grpc => 1.0,
        Source::Gateway => 1.22,
    }
}

/// The floor in µs, where each operation takes so many times what it takes on the reference machine.
fn floor(source: Source, wire: Wire, factor: impl Fn(Operation) -> f64) -> f64 {
    let nanos = |operation: Operation| operation.reference() * factor(operation);
    let computing = (factor(Operation::DecodeV1) * factor(Operation::DecodeV2)).sqrt();
    let read = bytes_read(source);
    let written = if wire == Wire::TlsGzip { 1.0 / RATIO } else { 1.0 };
    let ciphers = if wire == Wire::Plain { 0.0 } else { nanos(Operation::Seal) * (written + read * OPEN) };
    let gzip = if wire == Wire::TlsGzip { nanos(Operation::Gzip) } else { 0.0 };
    let sockets = nanos(Operation::Write) * written + nanos(Operation::Read) * read;
    (scan_and_write(source) * computing + sockets + ciphers + gzip) / 1e3
}

/// Opening a record takes this part of sealing one: it is opened where it lies.
const OPEN: f64 = 38.0 / 46.0;

/// The table of all aims, from rows that `perf/run` measured on this machine.
///
/// # Errors
/// There are no such rows.
pub fn table(path: &Path, here: &Floor) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!("{}: expected rows of perf/run; measure them first, or name them with --rows", path.display())
    })?;
    let rows: Vec<Row> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut text = String::from(
        "| source | wire | reference: floor µs | aim µs | aim / floor | here: floor µs | nozzle µs | nozzle / floor | aim |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let (mut seen, mut in_micros) = (0, 0);
    for (source, wire, aim) in AIMS {
        let Some(row) = rows.iter().find(|row| is_like(row, source, wire)) else { continue };
        seen += 1;
        in_micros += u32::from(row.outcome.micros() <= aim);
        text += &line(
            row,
            aim,
            floor(source, wire, |_| 1.0),
            floor(source, wire, |operation| here.factor(operation)),
        );
    }
    ensure!(seen > 0, "{}: no rows of 256 bytes of text, 200 apps, as fast as it goes", path.display());
    text += &format!(
        "\nIn microseconds, as if this were the reference machine, {in_micros} of {seen} are met.\n"
    );
    Ok(text + &beside_go(&rows, here))
}

/// The Go nozzle as a multiple of the floor of its machine, and this one as a multiple of the floor here.
fn beside_go(rows: &[Row], here: &Floor) -> String {
    let (source, wire) = (Source::Firehose, Wire::Plain);
    let Some(row) = rows.iter().find(|row| is_like(row, source, wire)) else { return String::new() };
    let Some(go) = GO.iter().find(|go| go.lines == row.scenario.lines) else { return String::new() };
    let there = floor(source, wire, |_| 1.0);
    let ours = row.outcome.micros() / floor(source, wire, |operation| here.factor(operation));
    let tuned = go.tuned_micros / there;
    format!(
        "\nThe Go nozzle 1.4.3 takes {:.0} times the floor with its defaults and {tuned:.0} times at its tuned best (v1, plain), \
         this nozzle {ours:.1} times: {:.0} % of the tuned one's CPU time, each on its own machine's measure.\n",
        go.default_micros / there,
        ours / tuned * 100.0,
    )
}

/// Whether a row was measured with nothing but that.
fn is_like(row: &Row, source: Source, wire: Wire) -> bool {
    let (tls, gzip) = (wire != Wire::Plain, wire == Wire::TlsGzip);
    let lines = Lines { form: Form::Text, bytes: 256 };
    row.scenario == Scenario { source, tls, gzip, lines, rate: Rate::Max, ..Scenario::BASE }
}

fn line(row: &Row, aim: f64, there: f64, here: f64) -> String {
    let micros = row.outcome.micros();
    let noisy = if row.is_noisy() { ", noisy" } else { "" };
    let (goal, multiple) = (aim / there, micros / here);
    let verdict = match multiple / goal {
        over if over > 1.0 => format!("**missed** by {:.0} %", (over - 1.0) * 100.0),
        _ => "met".to_owned(),
    };
    format!(
        "| {} | {} | {there:.2} | {aim:.1} | {goal:.1} | {here:.2} | {micros:.2}{noisy} | {multiple:.1} | {verdict} |\n",
        row.scenario.source,
        row.scenario.wire(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::tests::slower;
    use crate::row::tests::{outcome, row};
    use crate::trial::Outcome;

    #[test]
    fn the_floor_of_the_reference_is_as_it_was_measured() {
        for (source, wire, expected) in [
            (Source::Firehose, Wire::Plain, 0.31),
            (Source::Firehose, Wire::Tls, 0.39),
            (Source::Firehose, Wire::TlsGzip, 1.53),
            (Source::Grpc, Wire::Plain, 0.32),
            (Source::Grpc, Wire::Tls, 0.41),
            (Source::Grpc, Wire::TlsGzip, 1.54),
            (Source::Gateway, Wire::Plain, 0.46),
            (Source::Gateway, Wire::Tls, 0.55),
            (Source::Gateway, Wire::TlsGzip, 1.69),
        ] {
            let floor = floor(source, wire, |_| 1.0);
            assert!((floor - expected).abs() < 0.015, "{source} {wire:?}: {floor}");
        }
    }

    #[test]
    fn a_row_is_told_as_a_multiple_of_the_floor_of_its_machine() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let grpc = Scenario { source: Source::Grpc, ..Scenario::BASE };
        // 1.6 µs on a machine that is twice as slow: 2.5 times the floor, as good as 0.8 µs there.
        let slow = Row { outcome: Outcome { nozzle_cpu: 0.0016, ..outcome(1000) }, ..row(grpc) };
        let other = row(Scenario { apps: 50_000, ..grpc });
        let rows = [&other, &slow].map(|row| serde_json::to_string(row).unwrap() + "\n").concat();
        std::fs::write(&path, rows).unwrap();
        let text = table(&path, &slower(2.0)).unwrap();
        assert!(text.contains("| grpc | plain | 0.32 | 0.9 | 2.8 | 0.64 | 1.60 | 2.5 | met |\n"), "{text}");
        assert!(text.ends_with("reference machine, 0 of 1 are met.\n"), "{text}");
        assert!(!text.contains("Go nozzle"), "not over v1");
        let text = table(&path, &slower(1.0)).unwrap();
        assert!(text.contains("| 5.0 | **missed** by 78 % |"), "{text}");
        // 1.2 µs of a floor of 0.6: a twenty-first of 12.9 of 0.3.
        let v1 = Row { outcome: Outcome { nozzle_cpu: 0.0012, ..outcome(1000) }, ..row(Scenario::BASE) };
        std::fs::write(&path, serde_json::to_string(&v1).unwrap()).unwrap();
        let text = table(&path, &slower(2.0)).unwrap();
        assert!(
            text.contains("42 times at its tuned best (v1, plain), this nozzle 2.0 times: 5 %"),
            "{text}"
        );
        std::fs::write(&path, serde_json::to_string(&other).unwrap()).unwrap();
        assert!(table(&path, &slower(1.0)).unwrap_err().to_string().contains("no rows of 256"));
        assert!(
            table(&folder.path().join("none"), &slower(1.0)).unwrap_err().to_string().contains("perf/run")
        );
    }
}
