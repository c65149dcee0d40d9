//! Settings out of documents: the configuration file, and the credentials of a bound service.
//!
//! Both become pairs of a key and a JSON value; [`text_of`] turns a value into the text that a flag
//! or a variable would have held, so that there is one grammar for each kind of setting.
//!
//! Neither may leak: an error of a parser may quote the line it stumbled over, and that line may
//! hold a token. Only positions are taken from such errors.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use config::{FileFormat, Source as _, ValueKind};
use serde_json::{Map, Number, Value};

use super::fault::{Fault, Origin};
use super::settings::operation::CONFIG_FILE;
use super::settings::{Kind, Setting};

/// The longest configuration file read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Key and value pairs of one document.
pub(super) struct Document {
    pub(super) origin: Origin,
    pub(super) pairs: Map<String, Value>,
}

/// Reads a configuration file; its extension tells the format.
pub(super) fn read_file(path: &Path) -> Result<Document, Fault> {
    let fault = |what: String| Fault::Unreadable {
        name: CONFIG_FILE.name,
        what: format!("{}: {what}", path.display()),
        expected: "a .toml, .yaml, .yml or .json file of settings",
    };
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => FileFormat::Toml,
        Some("yaml" | "yml") => FileFormat::Yaml,
        Some("json") => FileFormat::Json,
        _ => return Err(fault("the extension tells no format".to_owned())),
    };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
    match read {
        Err(error) => return Err(fault(error.to_string())),
        Ok(length) if length as u64 > FILE_BYTES_MAX => {
            return Err(fault(format!("longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok(_) => {}
    }
    let values = config::File::from_str(&text, format)
        .collect()
        .map_err(|error| fault(format!("cannot be parsed{}", position(&error.to_string()))))?;
    let pairs = values.into_iter().map(|(key, value)| (key, json(value.kind))).collect();
    Ok(Document { origin: Origin::File(path.to_owned()), pairs })
}

/// The user-provided services of `VCAP_SERVICES` whose credentials hold at least one setting.
///
/// Keys must be spelled exactly as the settings: `client_id` in the credentials of a single sign-on
/// service is not meant for us, `CLIENT_ID` is.
pub(super) fn read_services(text: &str) -> Result<Vec<Document>, Fault> {
    let fault = |what: String| Fault::Unreadable {
        name: "VCAP_SERVICES",
        what,
        expected: "the JSON object that Cloud Foundry sets",
    };
    let services: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| fault(format!("cannot be parsed{}", position(&error.to_string()))))?;
    let instances = services.get("user-provided").and_then(Value::as_array).into_iter().flatten();
    Ok(instances.filter_map(service).collect())
}

fn service(instance: &Value) -> Option<Document> {
    let credentials = instance.get("credentials")?.as_object()?;
    let pairs: Map<String, Value> = credentials
        .iter()
        .filter(|(key, _)| super::settings::all().any(|setting| setting.name == key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let name = instance.get("name").and_then(Value::as_str).unwrap_or("user-provided");
    Some(Document { origin: Origin::Service(name.to_owned()), pairs })
}

/// The text a variable would hold; `None` for null and for empty text.
///
/// A number is taken only where a number is meant: an index `007` or a token `1e5` without quotes
/// has lost its spelling before it comes here.
///
/// # Errors
/// The form that was expected.
pub(super) fn text_of(setting: &Setting, value: &Value) -> Result<Option<String>, String> {
    let numeric = matches!(
        setting.kind,
        Kind::Integer { .. }
            | Kind::Duration { .. }
            | Kind::AnyDuration
            | Kind::Bytes { .. }
            | Kind::Rate { .. }
    );
    let text = match value {
        Value::Null => return Ok(None),
        Value::String(text) => text.clone(),
        Value::Number(number) if numeric => number.to_string(),
        Value::Bool(flag) if setting.kind == Kind::Bool => flag.to_string(),
        Value::Array(_) if setting.kind == Kind::List => value.to_string(),
        Value::Object(_) if setting.kind == Kind::Pairs => value.to_string(),
        Value::Number(_) | Value::Bool(_) if !numeric && setting.kind != Kind::Bool => {
            return Err("text in quotes".to_owned());
        }
        Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(setting.kind.form().into_owned());
        }
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn json(kind: ValueKind) -> Value {
    match kind {
        ValueKind::Nil => Value::Null,
        ValueKind::Boolean(flag) => Value::Bool(flag),
        ValueKind::I64(number) => Value::Number(number.into()),
        ValueKind::U64(number) => Value::Number(number.into()),
        ValueKind::I128(number) => Value::String(number.to_string()),
        ValueKind::U128(number) => Value::String(number.to_string()),
        // NaN and infinity are no JSON numbers; as text they are refused where a number is meant.
        ValueKind::Float(number) => {
            Number::from_f64(number).map_or_else(|| Value::String(number.to_string()), Value::Number)
        }
        ValueKind::String(text) => Value::String(text),
        ValueKind::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json(value.kind))).collect())
        }
        ValueKind::Array(items) => Value::Array(items.into_iter().map(|item| json(item.kind)).collect()),
    }
}

/// ` at line L, column C` if the message of a parser tells, and nothing else of it.
fn position(message: &str) -> String {
    let number_after = |word: &str| {
        let (_, rest) = message.split_once(word)?;
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    };
    match (number_after("line "), number_after("column ")) {
        (Some(line), Some(column)) => format!(" at line {line}, column {column}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::nozzle::config::settings::find;

    fn read(extension: &str, text: &str) -> Result<Document, Fault> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("nozzle.{extension}"));
        fs::write(&path, text).unwrap();
        read_file(&path)
    }

    #[test]
    fn three_formats_say_the_same() {
        let toml = "SPLUNK_INDEX = \"007\"\nhec_retries = 7\nADD_TAGS = true\nEVENTS = [\"LogMessage\"]\nHEC_TIMEOUT = \"1m\"\n\
                    [EXTRA_FIELDS]\nenv = \"prod\"\n";
        let yaml = "SPLUNK_INDEX: '007'\nhec_retries: 7\nADD_TAGS: true\nEVENTS: [LogMessage]\nHEC_TIMEOUT: 1m\n\
                    EXTRA_FIELDS:\n  env: prod\n";
        let json = r#"{"SPLUNK_INDEX":"007","hec_retries":7,"ADD_TAGS":true,"EVENTS":["LogMessage"],"HEC_TIMEOUT":"1m",
                    "EXTRA_FIELDS":{"env":"prod"}}"#;
        for (extension, text) in [("toml", toml), ("yaml", yaml), ("yml", yaml), ("json", json)] {
            let document = read(extension, text).unwrap_or_else(|fault| panic!("{extension}: {fault}"));
            let mut texts: Vec<_> = document
                .pairs
                .iter()
                .map(|(key, value)| {
                    (key.to_uppercase(), text_of(find(key).unwrap(), value).unwrap().unwrap())
                })
                .collect();
            texts.sort();
            let expected = [
                ("ADD_TAGS", "true"),
                ("EVENTS", "[\"LogMessage\"]"),
                ("EXTRA_FIELDS", "{\"env\":\"prod\"}"),
                ("HEC_RETRIES", "7"),
                ("HEC_TIMEOUT", "1m"),
                ("SPLUNK_INDEX", "007"),
            ]
            .map(|(key, text)| (key.to_owned(), text.to_owned()));
            assert_eq!(texts, expected, "{extension}");
        }
    }

    #[test]
    fn a_broken_file_is_named_with_the_position_and_without_its_text() {
        for (extension, text) in [
            ("toml", "SPLUNK_TOKEN = s3cr3t\n"),
            ("toml", "SPLUNK_TOKEN = \"s3cr3t\n"),
            ("yaml", "a: b\nSPLUNK_TOKEN: [\"s3cr3t\n"),
            ("yaml", "s3cr3t"),
            ("yaml", "? [s3cr3t]\n: x\n"),
            ("yaml", "- s3cr3t\n"),
            ("json", "{\"SPLUNK_TOKEN\": s3cr3t}"),
            ("json", "\"s3cr3t\""),
            ("ini", "SPLUNK_TOKEN=s3cr3t"),
        ] {
            let fault = read(extension, text).err().expect(text);
            let message = format!("{fault} {fault:?}");
            assert!(message.contains("CONFIG_FILE") && message.contains("nozzle."), "{message}");
            assert!(!message.contains("s3cr3t"), "{message}");
        }
        let fault = read("toml", "A = 1\nSPLUNK_TOKEN = s3cr3t\n").err().unwrap().to_string();
        assert!(fault.contains("at line 2, column 16"), "{fault}");
    }

    #[test]
    fn a_file_too_long_or_absent_is_refused() {
        let limit = usize::try_from(FILE_BYTES_MAX).unwrap();
        assert!(read("toml", &"#".repeat(limit)).is_ok());
        let fault = read("toml", &"#".repeat(limit + 1)).err().unwrap().to_string();
        assert!(fault.contains("longer than 1048576 bytes"), "{fault}");
        assert!(read_file(Path::new("/nonexistent/nozzle.toml")).is_err());
    }

    #[test]
    fn services_are_taken_by_exact_names_only() {
        let text = r#"{"user-provided":[
            {"name":"sso","credentials":{"client_id":"foreign","client_secret":"foreign"}},
            {"name":"splunk","credentials":{"SPLUNK_TOKEN":"t","HEC_RETRIES":7,"unrelated":{"a":1}}},
            {"name":"drain","credentials":null}],
            "mysql":[{"name":"db","credentials":{"SPLUNK_HOST":"not ours"}}]}"#;
        let documents = read_services(text).unwrap();
        assert_eq!(documents.len(), 1);
        assert_eq!(documents[0].origin, Origin::Service("splunk".to_owned()));
        assert_eq!(documents[0].pairs.keys().collect::<Vec<_>>(), ["HEC_RETRIES", "SPLUNK_TOKEN"]);
        assert!(read_services("{}").unwrap().is_empty());
        let fault = read_services("[\"s3cr3t\"]").err().unwrap().to_string();
        assert!(fault.starts_with("VCAP_SERVICES: cannot be parsed") && !fault.contains("s3cr3t"), "{fault}");
    }

    #[test]
    fn values_without_quotes_do_not_lose_their_spelling() {
        let expected = |name: &str, value: Value| text_of(find(name).unwrap(), &value);
        assert_eq!(expected("SPLUNK_INDEX", 7.into()), Err("text in quotes".to_owned()));
        assert_eq!(expected("SPLUNK_TOKEN", true.into()), Err("text in quotes".to_owned()));
        assert_eq!(expected("ADD_TAGS", 1.into()), Err("true or false".to_owned()));
        assert_eq!(expected("HEC_RETRIES", 1000.0.into()), Ok(Some("1000.0".to_owned())));
        assert_eq!(expected("HEC_RETRIES", Value::Null), Ok(None));
        assert_eq!(expected("SPLUNK_INDEX", "".into()), Ok(None));
    }
}
