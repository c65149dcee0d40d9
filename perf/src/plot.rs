//! Bars as SVG: one for each row, in two panels, with a title, a scale and the value beside each bar.

use std::fmt::Write as _;

use crate::report::grouped;

const LABEL_WIDTH: f64 = 210.0;
const BAR_WIDTH: f64 = 300.0;
const VALUE_WIDTH: f64 = 80.0;
const ROW_HEIGHT: f64 = 22.0;
const HEAD_HEIGHT: f64 = 56.0;
const FOOT_HEIGHT: f64 = 28.0;
const OURS: &str = "#1f77b4";
const NOISY: &str = "#9ec5e3";
const OTHERS: &str = "#8c8c8c";

/// Whose bar it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This nozzle's.
    Ours,
    /// This nozzle's, on a machine that others used.
    Noisy,
    /// The Go nozzle's.
    Others,
}

/// One bar in each panel.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it is.
    pub label: String,
    /// In the first panel.
    pub micros: f64,
    /// In the second one, if it is known.
    pub events_per_second: Option<f64>,
    /// Whose it is.
    pub whose: Whose,
}

/// What a panel is called, what its bars are, and how a value is written.
type Panel = (&'static str, fn(&Bar) -> Option<f64>, fn(f64) -> String);

/// The picture.
pub fn svg(title: &str, bars: &[Bar]) -> String {
    let panel = BAR_WIDTH + VALUE_WIDTH;
    let width = LABEL_WIDTH + 2.0 * panel;
    let height = HEAD_HEIGHT + ROW_HEIGHT * bars.len() as f64 + FOOT_HEIGHT;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut out,
        10.0,
        20.0,
        "start",
        &format!("<tspan font-size=\"15\" font-weight=\"bold\">{}</tspan>", escaped(title)),
    );
    let panels: [Panel; 2] = [
        (
            "CPU time of the nozzle, µs per event (less is better)",
            |bar| Some(bar.micros),
            |value| format!("{value:.2}"),
        ),
        ("events per second (more is better)", |bar| bar.events_per_second, grouped),
    ];
    for (at, bar) in bars.iter().enumerate() {
        text(&mut out, LABEL_WIDTH - 8.0, middle(at), "end", &escaped(&bar.label));
    }
    for (number, (name, value, written)) in panels.into_iter().enumerate() {
        let left = LABEL_WIDTH + panel * number as f64;
        text(&mut out, left, HEAD_HEIGHT - 12.0, "start", &escaped(name));
        let most = bars.iter().filter_map(value).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        for (at, bar) in bars.iter().enumerate() {
            let Some(value) = value(bar) else { continue };
            let (length, color) = (value / most * BAR_WIDTH, color(bar.whose));
            let top = middle(at) - 12.0;
            let _ = writeln!(
                out,
                "<rect x=\"{left}\" y=\"{top}\" width=\"{length:.1}\" height=\"{}\" fill=\"{color}\"/>",
                ROW_HEIGHT - 6.0
            );
            text(&mut out, left + length + 5.0, middle(at), "start", &written(value));
        }
    }
    legend(&mut out, bars, height - 10.0);
    out + "</svg>\n"
}

fn legend(out: &mut String, bars: &[Bar], y: f64) {
    let all = [
        (Whose::Ours, "this nozzle"),
        (Whose::Noisy, "this nozzle, others used the machine as well"),
        (Whose::Others, "Go nozzle 1.4.3, v1, plain, on the faster reference machine"),
    ];
    let mut x = LABEL_WIDTH;
    for (whose, name) in all.into_iter().filter(|(whose, _)| bars.iter().any(|bar| bar.whose == *whose)) {
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{}\"/>",
            y - 9.0,
            color(whose)
        );
        text(out, x + 15.0, y, "start", name);
        x += 40.0 + 6.5 * name.len() as f64;
    }
}

fn color(whose: Whose) -> &'static str {
    match whose {
        Whose::Ours => OURS,
        Whose::Noisy => NOISY,
        Whose::Others => OTHERS,
    }
}

/// The base line of a row's text.
fn middle(row: usize) -> f64 {
    HEAD_HEIGHT + ROW_HEIGHT * row as f64 + 12.0
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_its_panel_and_the_others_are_in_proportion() {
        let bar = |label: &str, micros, events_per_second, whose| Bar {
            label: label.to_owned(),
            micros,
            events_per_second,
            whose,
        };
        let picture = svg(
            "a < b",
            &[
                bar("x", 1.0, Some(50.0), Whose::Ours),
                bar("y", 2.0, Some(100.0), Whose::Ours),
                bar("z", 4.0, None, Whose::Others),
            ],
        );
        assert!(picture.contains("a &lt; b"));
        let widths: Vec<_> = (picture.lines())
            .filter(|line| line.contains("height=\"16\""))
            .map(|line| line.split("width=\"").nth(1).unwrap().split('"').next().unwrap())
            .collect();
        assert_eq!(widths, ["75.0", "150.0", "300.0", "150.0", "300.0"]);
        assert!(picture.contains("Go nozzle") && !picture.contains("others used"));
    }
}
