//! Label selectors: `team=web,stage!=test,owner,!old,tier in (a,b),tier notin (c)`.

use std::collections::BTreeMap;

/// What a resource's labels have to meet, all of it.
#[derive(Debug)]
pub(super) struct Selector(Vec<Requirement>);

#[derive(Debug)]
struct Requirement {
    key: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut requirements = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            // A comma within parentheses separates values.
            let mut depth = 0_u32;
            let end = rest.find(|c| {
                depth = match c {
                    '(' => depth + 1,
                    ')' => depth.saturating_sub(1),
                    _ => depth,
                };
                c == ',' && depth == 0
            });
            let (one, after) = end.map_or((rest, ""), |end| (&rest[..end], &rest[end + 1..]));
            requirements.push(Requirement::parse(one.trim())?);
            rest = after;
        }
        (!requirements.is_empty()).then_some(Self(requirements))
    }

    /// A key that is absent is not equal to any value, nor in any set.
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            let one_of = |values: &[String]| value.is_some_and(|value| values.contains(value));
            match &requirement.kind {
                Kind::Exists => value.is_some(),
                Kind::Absent => value.is_none(),
                Kind::In(values) => one_of(values),
                Kind::NotIn(values) => !one_of(values),
            }
        })
    }
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        let set = |values: &str| {
            let values = values.trim().strip_prefix('(')?.strip_suffix(')')?;
            Some(values.split(',').map(|value| value.trim().to_owned()).collect())
        };
        let one = |value: &str| vec![value.trim().to_owned()];
        let (key, kind) = if let Some(key) = text.strip_prefix('!') {
            (key, Kind::Absent)
        } else if let Some((key, value)) = text.split_once("!=") {
            (key, Kind::NotIn(one(value)))
        } else if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
            (key, Kind::In(one(value)))
        } else if let Some((key, values)) = text.split_once(" notin ") {
            (key, Kind::NotIn(set(values)?))
        } else if let Some((key, values)) = text.split_once(" in ") {
            (key, Kind::In(set(values)?))
        } else {
            (text, Kind::Exists)
        };
        let key = key.trim();
        let is_key = !key.is_empty() && !key.contains([' ', '(', ')', '!', '=']);
        is_key.then(|| Self { key: key.to_owned(), kind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select() {
        let labels = [("team".to_owned(), "web".to_owned()), ("tier".to_owned(), "a".to_owned())].into();
        for (text, expected) in [
            ("team=web", Some(true)),
            ("team == web", Some(true)),
            ("team=mail", Some(false)),
            ("team!=mail", Some(true)),
            ("owner!=me", Some(true)),
            ("team", Some(true)),
            ("owner", Some(false)),
            ("!owner,team", Some(true)),
            ("!team", Some(false)),
            ("tier in (a,b),team=web", Some(true)),
            ("tier in (c)", Some(false)),
            ("tier notin (a,b)", Some(false)),
            ("owner notin (a)", Some(true)),
            ("", None),
            ("tier in a", None),
            ("=web", None),
        ] {
            assert_eq!(Selector::parse(text).map(|selector| selector.matches(&labels)), expected, "{text}");
        }
    }
}
