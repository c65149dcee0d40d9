//! `token.N.token`, `token.N.replacementType`, `token.N.replacement`: three settings that make a token.

use std::collections::BTreeMap;

use super::Findings;
use super::finding::{Finding, Level};
use super::ini::Entry;
use super::settings::nearest;
use crate::eventgen::config::{ReplacementKind, TokenConfig};
use crate::eventgen::pattern::Pattern;
use crate::eventgen::time::Zone;
use crate::eventgen::time::format::TimeFormat;

const PARTS: [&str; 3] = ["token", "replacementType", "replacement"];

const KINDS: [(&str, ReplacementKind); 9] = [
    ("static", ReplacementKind::Static),
    ("timestamp", ReplacementKind::Timestamp),
    ("replaytimestamp", ReplacementKind::ReplayTimestamp),
    ("random", ReplacementKind::Random),
    ("rated", ReplacementKind::Rated),
    ("file", ReplacementKind::File),
    ("mvfile", ReplacementKind::MvFile),
    ("seqfile", ReplacementKind::SeqFile),
    ("integerid", ReplacementKind::IntegerId),
];

/// The settings of a stanza's tokens, by number.
#[derive(Debug, Default)]
pub(super) struct Parts {
    by_number: BTreeMap<u32, [Option<Entry>; 3]>,
}

impl Parts {
    /// Takes a setting whose name begins with `token.`.
    pub(super) fn take(&mut self, entry: Entry, findings: &mut Findings) {
        let split = entry.name.strip_prefix("token.").and_then(|rest| rest.split_once('.'));
        let number = split.and_then(|(number, _)| number.parse::<u32>().ok());
        let part = split.map_or("", |(_, part)| part);
        match (number, PARTS.iter().position(|known| *known == part)) {
            (Some(number), Some(place)) => {
                self.by_number.entry(number).or_default()[place] = Some(entry);
            }
            (number, _) => {
                let message = format!("unknown setting {}", entry.name);
                let near = nearest(part, PARTS).zip(number);
                let help = match near {
                    Some((near, number)) => format!("did you mean token.{number}.{near}?"),
                    None => {
                        "expected token.N.token, token.N.replacementType or token.N.replacement".to_owned()
                    }
                };
                findings.push(Finding::at(Level::Warning, &entry.name_spot, message).help(help));
            }
        }
    }

    /// The tokens that can be used, in the order of their numbers.
    pub(super) fn finish(self, findings: &mut Findings) -> Vec<TokenConfig> {
        let tokens = self.by_number.into_iter();
        tokens.filter_map(|(number, parts)| token(number, parts, findings)).collect()
    }
}

fn token(number: u32, parts: [Option<Entry>; 3], findings: &mut Findings) -> Option<TokenConfig> {
    let [Some(pattern), Some(kind), Some(replacement)] = &parts else {
        let spot = parts.iter().flatten().next().map(|entry| entry.name_spot.clone())?;
        let missing: Vec<_> = PARTS
            .iter()
            .zip(&parts)
            .filter(|(_, part)| part.is_none())
            .map(|(name, _)| format!("token.{number}.{name}"))
            .collect();
        let message = format!("token {number} has no {}", missing.join(" and no "));
        findings
            .push(Finding::at(Level::Warning, &spot, message).help(format!("token {number} is left out")));
        return None;
    };
    let mut left_out = |entry: &Entry, offset: Option<usize>, message: String| {
        let spot =
            offset.map_or_else(|| entry.value_spot.clone(), |at| entry.value_spot.inside(&entry.value, at));
        findings
            .push(Finding::at(Level::Warning, &spot, message).help(format!("token {number} is left out")));
        None
    };
    if pattern.value.is_empty() {
        return left_out(pattern, None, format!("{} is empty: it would match everywhere", pattern.name));
    }
    if let Err(error) = Pattern::new(&pattern.value) {
        let message = format!("{} is no regular expression: {error}", pattern.name);
        return left_out(pattern, error.offset, message);
    }
    let Some((_, kind)) = KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&kind.value)) else {
        let names = KINDS.map(|(name, _)| name);
        let expected = match nearest(&kind.value, names) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("expected one of {}", names.join(", ")),
        };
        return left_out(kind, None, format!("{} = {} is not known: {expected}", kind.name, kind.value));
    };
    if *kind == ReplacementKind::Timestamp
        && let Err(why) = TimeFormat::compile(&replacement.value, &Zone::utc())
    {
        return left_out(replacement, None, format!("{}: {why}", replacement.name));
    }
    Some(TokenConfig {
        number: Some(number),
        pattern: pattern.value.clone(),
        pattern_place: Some(pattern.value_spot.place()),
        kind: *kind,
        replacement: replacement.value.clone(),
        replacement_place: Some(replacement.value_spot.place()),
    })
}
