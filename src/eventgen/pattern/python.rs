//! The spelling of Python's `re`, in the spelling of Rust's engines.
//!
//! Both agree on most of it. What differs:
//!
//! | Python | here |
//! |---|---|
//! | `{` that begins no repetition is itself (`{"a": 1}`) | escaped |
//! | `[` `&&` `--` `~~` in a class are themselves | escaped |
//! | `\Z`, `\8` … of a class in octal, `\<`, `\ ` and other escaped punctuation | `\z`, the character |
//! | `$` also before a final newline | look-ahead, or each line's end with `(?m)` |
//! | `(?#…)` | left out |
//! | `(?i)` anywhere is for the whole pattern | in front |
//! | `(?a)` | ASCII classes |

mod escape;

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::CharIndices;

use super::PatternError;

/// A pattern in Rust's spelling.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) source: String,
    /// Whether it needs look-around or back-references.
    pub(super) needs_backtracking: bool,
    /// As [`super::Pattern::relaxed`].
    pub(super) relaxed: Option<String>,
}

/// What flags in force change about the spelling.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    multi_line: bool,
    verbose: bool,
    ascii: bool,
}

struct Translator<'a> {
    pattern: &'a str,
    chars: Peekable<CharIndices<'a>>,
    out: String,
    flags: Flags,
    /// Flags to go back to at each `)`.
    groups: Vec<Flags>,
    /// Letters of flags for the whole pattern.
    global: String,
    looks_around: bool,
    refers_back: bool,
    /// Where `out` has a `$` that also matches before a final newline.
    ends: Vec<usize>,
    /// Whether what comes next may be repeated; a second sign of repetition makes it lazy or possessive.
    after: After,
}

#[derive(Clone, Copy, PartialEq)]
enum After {
    Nothing,
    Item,
    Repetition,
}

/// Translates a pattern.
pub(super) fn translate(pattern: &str, multi_line: bool) -> Result<Translated, PatternError> {
    let mut translator = Translator {
        pattern,
        chars: pattern.char_indices().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        flags: Flags { multi_line, ..Flags::default() },
        groups: Vec::new(),
        global: if multi_line { "m".into() } else { String::new() },
        looks_around: false,
        refers_back: false,
        ends: Vec::new(),
        after: After::Nothing,
    };
    translator.run()?;
    Ok(translator.finish())
}

const DOLLAR: &str = r"(?=\n?\z)";
const DOLLAR_RELAXED: &str = "(?m:$)";

impl Translator<'_> {
    fn finish(self) -> Translated {
        let prefix = if self.global.is_empty() { String::new() } else { format!("(?{})", self.global) };
        let relaxed = (!self.looks_around && !self.refers_back).then(|| {
            let mut relaxed = prefix.clone();
            let mut from = 0;
            for &end in &self.ends {
                relaxed.push_str(&self.out[from..end]);
                relaxed.push_str(DOLLAR_RELAXED);
                from = end + DOLLAR.len();
            }
            relaxed + &self.out[from..]
        });
        Translated {
            source: prefix + &self.out,
            needs_backtracking: self.looks_around || self.refers_back || !self.ends.is_empty(),
            relaxed,
        }
    }

    fn run(&mut self) -> Result<(), PatternError> {
        while let Some((at, c)) = self.chars.next() {
            let before = self.after;
            self.after = After::Item;
            match c {
                '\\' => self.escape(at)?,
                '[' => self.class(at)?,
                '(' => self.group(at)?,
                ')' => {
                    let Some(flags) = self.groups.pop() else {
                        return Err(fault(at, "unbalanced parenthesis"));
                    };
                    self.flags = flags;
                    self.out.push(')');
                }
                '{' => self.brace(at, before)?,
                '}' => self.out.push_str(r"\}"),
                '*' | '+' | '?' => self.repetition(at, c, before)?,
                '|' => {
                    self.after = After::Nothing;
                    self.out.push('|');
                }
                '$' if !self.flags.multi_line => {
                    self.ends.push(self.out.len());
                    self.out.push_str(DOLLAR);
                }
                '#' if self.flags.verbose => {
                    self.after = before;
                    while self.chars.next_if(|&(_, c)| c != '\n').is_some() {}
                }
                c if self.flags.verbose && c.is_ascii_whitespace() => self.after = before,
                _ => self.out.push(c),
            }
        }
        if self.groups.is_empty() {
            return Ok(());
        }
        Err(fault(self.pattern.len(), "missing ), unterminated subpattern"))
    }

    /// `*`, `+`, `?`: repetition, or its lazy or possessive sign.
    fn repetition(&mut self, at: usize, sign: char, before: After) -> Result<(), PatternError> {
        match (before, sign) {
            (After::Nothing, _) => return Err(fault(at, "nothing to repeat")),
            (After::Item, _) => self.after = After::Repetition,
            (After::Repetition, '?') => {}
            // Possessive since Python 3.11.
            (After::Repetition, '+') => self.looks_around = true,
            (After::Repetition, _) => return Err(fault(at, "multiple repeat")),
        }
        self.out.push(sign);
        Ok(())
    }

    /// `{`: a repetition if it is spelt as one, else itself.
    fn brace(&mut self, at: usize, before: After) -> Result<(), PatternError> {
        let rest = &self.pattern[at + 1..];
        let Some((low, high, length)) = repetition(rest) else {
            self.out.push_str(r"\{");
            return Ok(());
        };
        match before {
            After::Nothing => return Err(fault(at, "nothing to repeat")),
            After::Repetition => return Err(fault(at, "multiple repeat")),
            After::Item => self.after = After::Repetition,
        }
        for _ in 0..length {
            self.chars.next();
        }
        // Digits and a comma: all ASCII.
        match high {
            Some(high) => write!(self.out, "{{{low},{high}}}"),
            None => write!(self.out, "{{{low},}}"),
        }
        .map_err(|_| fault(at, "the repetition cannot be written"))
    }

    /// `(` and what makes it special.
    fn group(&mut self, at: usize) -> Result<(), PatternError> {
        self.after = After::Nothing;
        let rest = &self.pattern[at + 1..];
        let Some(kind) = rest.strip_prefix('?') else {
            self.groups.push(self.flags);
            self.out.push('(');
            return Ok(());
        };
        if kind.starts_with('#') {
            let Some(length) = rest.find(')') else {
                return Err(fault(at, "missing ), unterminated comment"));
            };
            self.skip_to(at + 1 + length + 1);
            return Ok(());
        }
        if let Some(named) = kind.strip_prefix("P=") {
            let Some(length) = named.find(')') else { return Err(fault(at, "missing ), unterminated name")) };
            self.refers_back = true;
            self.after = After::Item;
            write_to(&mut self.out, format_args!("(?P={})", &named[..length]));
            self.skip_to(at + 1 + 3 + length + 1);
            return Ok(());
        }
        let looks = ["=", "!", "<=", "<!", ">", "("].into_iter().find(|sign| kind.starts_with(sign));
        let plain = looks.or_else(|| kind.starts_with("P<").then_some("P<"));
        if let Some(sign) = plain {
            self.looks_around |= looks.is_some();
            self.groups.push(self.flags);
            write_to(&mut self.out, format_args!("(?{sign}"));
            self.skip_to(at + 2 + sign.len());
            return if sign == "P<" || sign == "(" { self.name(at, sign) } else { Ok(()) };
        }
        self.flag_group(at, kind)
    }

    /// The name of a group, or the condition of a conditional one: copied as it is.
    fn name(&mut self, at: usize, sign: &str) -> Result<(), PatternError> {
        let end = if sign == "(" { ')' } else { '>' };
        for (_, c) in self.chars.by_ref() {
            self.out.push(c);
            if c == end {
                return Ok(());
            }
        }
        Err(fault(at, "unterminated name"))
    }

    /// `(?i)`, `(?i:…)`, `(?:…)`.
    fn flag_group(&mut self, at: usize, kind: &str) -> Result<(), PatternError> {
        let Some(length) = kind.find([')', ':']) else { return Err(fault(at, "unknown extension after (?")) };
        let letters = &kind[..length];
        let is_global = kind[length..].starts_with(')');
        let mut flags = self.flags;
        let mut passed = String::new();
        let mut is_on = true;
        for letter in letters.chars() {
            match letter {
                '-' if is_on && !is_global => is_on = false,
                'm' => flags.multi_line = is_on,
                'x' => flags.verbose = is_on,
                'a' => flags.ascii = is_on,
                'i' | 's' | 'u' | 'L' => {}
                _ => return Err(fault(at, &format!("unknown extension (?{letters}"))),
            }
            // Verbose text is written plainly; sets are written out; there are no locales.
            if matches!(letter, 'i' | 's' | 'm' | '-') {
                passed.push(letter);
            }
        }
        self.skip_to(at + 2 + length + 1);
        if is_global {
            self.flags = flags;
            self.global.extend(
                passed.chars().filter(|c| *c != '-' && !self.global.contains(*c)).collect::<Vec<_>>(),
            );
            return Ok(());
        }
        self.groups.push(self.flags);
        self.flags = flags;
        let passed = passed.trim_end_matches('-');
        write_to(&mut self.out, format_args!("(?{passed}:"));
        Ok(())
    }

    /// Byte of the next character.
    fn offset(&mut self) -> usize {
        self.chars.peek().map_or(self.pattern.len(), |&(at, _)| at)
    }

    fn skip_to(&mut self, offset: usize) {
        while self.chars.next_if(|&(at, _)| at < offset).is_some() {}
    }
}

/// A repetition after its `{`: least, most, characters up to and with its `}`.
fn repetition(rest: &str) -> Option<(u32, Option<u32>, usize)> {
    let length = rest.find('}')?;
    let inner = &rest[..length];
    let number = |text: &str, or: Option<u32>| match text {
        "" => Some(or),
        text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().map(Some),
        _ => None,
    };
    let (low, high) = match inner.split_once(',') {
        Some((low, high)) => (number(low, Some(0))??, number(high, None)?),
        None => {
            let count = number(inner, None)??;
            (count, Some(count))
        }
    };
    Some((low, high, length + 1))
}

/// Writing to a string does not fail.
fn write_to(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}

fn fault(offset: usize, message: &str) -> PatternError {
    PatternError { message: message.to_owned(), offset: Some(offset) }
}
