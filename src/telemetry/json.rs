//! A log line as JSON.
//!
//! Members are `timestamp`, `level`, `message`, then the fields of the line. A field whose name ends in `.json` holds
//! JSON text, and stands as that under the name without the ending: so a line can carry a structure, which
//! fields cannot.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The ending of the names of fields that hold JSON text.
const JSON: &str = ".json";

/// The message and the fields of a line.
#[derive(Debug, Default)]
pub struct Fields {
    /// What happened.
    pub message: String,
    /// The members of a JSON object, without its braces.
    pub members: String,
}

impl Fields {
    /// Those of an event.
    pub fn of(event: &Event<'_>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        fields
    }

    /// Adds a member whose value is JSON text.
    pub fn add_json(&mut self, name: &str, json: &str) {
        if !self.members.is_empty() {
            self.members.push(',');
        }
        push_string(&mut self.members, name);
        self.members.push(':');
        self.members.push_str(json);
    }

    /// Adds a member whose value is a string.
    pub fn add_text(&mut self, name: &str, text: &str) {
        let mut json = String::new();
        push_string(&mut json, text);
        self.add_json(name, &json);
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_json(field.name(), &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_json(field.name(), &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_json(field.name(), &value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.add_json(field.name(), &number.to_string()),
            // Not finite: JSON has no such number.
            None => self.add_text(field.name(), &value.to_string()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.add_text(name, value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match (field.name(), field.name().strip_suffix(JSON)) {
            (_, Some(name)) => self.add_json(name, &text),
            ("message", None) => self.message = text,
            (name, None) => self.add_text(name.strip_prefix("r#").unwrap_or(name), &text),
        }
    }
}

/// Writes lines as JSON objects.
#[derive(Clone, Copy, Debug)]
pub struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Fields::of(event);
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", event.metadata().level())?;
        let members = std::mem::take(&mut line.members);
        let message = std::mem::take(&mut line.message);
        line.add_text("message", &message);
        write!(writer, ",{}", line.members)?;
        if !members.is_empty() {
            write!(writer, ",{members}")?;
        }
        writer.write_str("}\n")
    }
}

/// Appends a JSON string.
fn push_string(out: &mut String, text: &str) {
    // Text can always be written as JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let writer = written.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer.event_format(JsonLines));
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn fields_keep_their_kinds() {
        let error = io::Error::other("it \"broke\"\n");
        let lines = lines(|| {
            tracing::warn!(
                n = 7_u64,
                m = -7,
                yes = true,
                share = 0.5,
                not_a_number = f64::NAN,
                text = "a \\ b",
                %error,
                shape = ?Some(1),
                nothing = None::<u64>,
                ledger.json = %r#"{"received":3,"dropped":{}}"#,
                "what {}", "happened"
            );
        });
        let mut line = lines[0].clone();
        let time = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        let expected = json!({
            "level": "WARN", "message": "what happened", "n": 7, "m": -7, "yes": true, "share": 0.5,
            "not_a_number": "NaN", "text": "a \\ b", "error": "it \"broke\"\n", "shape": "Some(1)",
            "ledger": { "received": 3, "dropped": {} },
        });
        assert_eq!((lines.len(), &line), (1, &expected));
    }

    #[test]
    fn a_line_need_not_have_anything() {
        let lines = lines(|| {
            tracing::info!("only this");
            tracing::info!(n = 1);
        });
        assert_eq!((&lines[0]["message"], lines[0].as_object().unwrap().len()), (&json!("only this"), 3));
        assert_eq!((&lines[1]["message"], &lines[1]["n"]), (&json!(""), &json!(1)));
    }
}
