//! Indexed fields: flat, scalars or arrays of scalars, perhaps a measurement.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::sim::hec::code::Code;

/// What good `fields` hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    Plain,
    /// `metric_name` with `_value`, or members named `metric_name:NAME`.
    Measurement,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Looks at `fields`, or gives the code for what is wrong with them.
pub(super) fn inspect(fields: &RawValue) -> Result<Fields, Code> {
    if !fields.get().starts_with('{') {
        return Err(Code::InvalidDataFormat);
    }
    // The text has been read once as JSON; what fails now is an escape no string can hold.
    let members: BTreeMap<Name<'_>, &RawValue> =
        serde_json::from_str(fields.get()).map_err(|_| Code::InvalidDataFormat)?;
    if !members.values().all(|value| is_flat(value)) {
        return Err(Code::IndexedFields);
    }
    let member = |name: &'static str| members.get(&Name(Cow::Borrowed(name)));
    let single = member("metric_name").is_some_and(|name| name.get().starts_with('"'))
        && member("_value").is_some_and(|value| is_number(value));
    let multiple = members.iter().any(|(name, value)| name.0.starts_with("metric_name:") && is_number(value));
    Ok(if single || multiple { Fields::Measurement } else { Fields::Plain })
}

/// A scalar or an array of scalars. `null` is none: no client needs it, and what splunkd
/// makes of it has not been measured.
fn is_flat(value: &RawValue) -> bool {
    match value.get().as_bytes().first() {
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(value.get())
            .is_ok_and(|elements| elements.iter().all(|element| is_scalar(element))),
        _ => is_scalar(value),
    }
}

fn is_scalar(value: &RawValue) -> bool {
    !matches!(value.get().as_bytes().first(), Some(b'{' | b'[' | b'n') | None)
}

/// A number, or one in a string.
fn is_number(value: &RawValue) -> bool {
    value.get().trim_matches('"').parse::<f64>().is_ok_and(f64::is_finite)
}
