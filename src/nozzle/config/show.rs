//! What the nozzle is going to do, setting by setting: `nozzle config`.

use std::fmt::Write as _;

use super::fault::Origin;

/// One setting, as it applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The setting.
    pub name: &'static str,
    /// The value that applies; `[redacted]` for a secret, `–` for nothing.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Renders rows as three aligned columns: name, value, origin. One line each, none empty.
pub fn render(rows: &[Row]) -> String {
    let values: Vec<String> = rows.iter().map(|row| one_line(&row.value)).collect();
    let name_width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    // One long value must not push the origins of all others out of sight.
    let value_width =
        values.iter().map(|value| value.chars().count()).filter(|n| *n <= 48).max().unwrap_or(0);
    let mut text = String::new();
    for (row, value) in rows.iter().zip(&values) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:name_width$}  {value:value_width$}  {}", row.name, row.origin);
    }
    text
}

/// The value with control characters escaped: a line break would fake a row.
fn one_line(value: &str) -> String {
    if value.contains(char::is_control) { value.escape_debug().to_string() } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_rows_stay_rows() {
        let row = |name, value: &str, origin| Row { name, value: value.to_owned(), origin };
        let rows = [
            row("ADD_TAGS", "–", Origin::Default),
            row("SPLUNK_INDEX", "main\nEVIL  x", Origin::Environment),
            row("EXTRA_FIELDS", &"x".repeat(60), Origin::Flag),
        ];
        let expected = format!(
            "ADD_TAGS      –              default\n\
             SPLUNK_INDEX  main\\nEVIL  x  environment\n\
             EXTRA_FIELDS  {}  flag\n",
            "x".repeat(60)
        );
        assert_eq!(render(&rows), expected);
    }
}
