//! Escapes, and sets in brackets.

use super::{Translator, fault, write_to};
use crate::eventgen::pattern::PatternError;

impl Translator<'_> {
    /// `\` outside a class.
    pub(super) fn escape(&mut self, at: usize) -> Result<(), PatternError> {
        let Some((_, c)) = self.chars.next() else { return Err(fault(at, r"bad escape (end of pattern)")) };
        match c {
            'A' => self.out.push_str(r"\A"),
            'Z' | 'z' => self.out.push_str(r"\z"),
            'b' | 'B' if self.flags.ascii => write_to(&mut self.out, format_args!(r"(?-u:\{c})")),
            'b' | 'B' => write_to(&mut self.out, format_args!(r"\{c}")),
            '1'..='9' => self.back_reference(c)?,
            _ => match self.class_escape(at, c)? {
                Escaped::Set(set) => self.out.push_str(set),
                Escaped::Char(c) => write_char(&mut self.out, c),
            },
        }
        Ok(())
    }

    /// `\1` … `\99`, or three octal digits.
    fn back_reference(&mut self, first: char) -> Result<(), PatternError> {
        let mut digits = String::from(first);
        while digits.len() < 3
            && let Some((_, digit)) = self.chars.next_if(|(_, c)| c.is_ascii_digit())
        {
            digits.push(digit);
            let is_octal = digits.bytes().all(|b| b < b'8') && digits.as_bytes()[0] < b'4';
            if digits.len() == 2
                && !(is_octal && self.chars.peek().is_some_and(|&(_, c)| matches!(c, '0'..='7')))
            {
                break;
            }
        }
        if digits.len() == 3 {
            let code = u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32);
            write_char(&mut self.out, code.unwrap_or_default());
            return Ok(());
        }
        self.refers_back = true;
        // The empty group keeps a digit that follows out of the number.
        write_to(&mut self.out, format_args!(r"(?:\{digits})"));
        Ok(())
    }

    /// What an escape that is allowed in a class stands for.
    fn class_escape(&mut self, at: usize, c: char) -> Result<Escaped, PatternError> {
        let char = match c {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => return Ok(Escaped::Set(set(c, self.flags.ascii))),
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.hex(at, 2)?,
            'u' => self.hex(at, 4)?,
            'U' => self.hex(at, 8)?,
            '0'..='7' => self.octal(c),
            c if c.is_ascii_alphanumeric() => return Err(fault(at, &format!(r"bad escape \{c}"))),
            c => c,
        };
        Ok(Escaped::Char(char))
    }

    fn hex(&mut self, at: usize, digits: usize) -> Result<char, PatternError> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.chars.next().and_then(|(_, c)| c.to_digit(16));
            let Some(digit) = digit else {
                return Err(fault(at, "incomplete escape: hexadecimal digits are missing"));
            };
            code = code * 16 + digit;
        }
        char::from_u32(code).ok_or_else(|| fault(at, "the escape is no character"))
    }

    fn octal(&mut self, first: char) -> char {
        let mut code = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            let Some((_, c)) = self.chars.next_if(|&(_, c)| matches!(c, '0'..='7')) else { break };
            code = code * 8 + c.to_digit(8).unwrap_or_default();
        }
        char::from_u32(code).unwrap_or_default()
    }

    /// `[…]`.
    pub(super) fn class(&mut self, at: usize) -> Result<(), PatternError> {
        self.out.push('[');
        if self.chars.next_if(|&(_, c)| c == '^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let Some((place, c)) = self.chars.next() else {
                return Err(fault(at, "unterminated character set"));
            };
            if c == ']' && !is_first {
                self.out.push(']');
                return Ok(());
            }
            is_first = false;
            let Escaped::Char(low) = self.class_item(place, c)? else { continue };
            let is_range = self.pattern[self.offset()..].starts_with('-')
                && !self.pattern[self.offset() + 1..].starts_with(']');
            if !is_range {
                continue;
            }
            self.chars.next();
            let Some((place, c)) = self.chars.next() else {
                return Err(fault(at, "unterminated character set"));
            };
            self.out.push('-');
            match self.class_item(place, c)? {
                Escaped::Char(high) if low <= high => {}
                _ => return Err(fault(place, "bad character range")),
            }
        }
    }

    /// Writes one character or set of a class.
    fn class_item(&mut self, at: usize, c: char) -> Result<Escaped, PatternError> {
        let item = match c {
            '\\' => match self.chars.next() {
                None => return Err(fault(at, "unterminated character set")),
                Some((_, 'b')) => Escaped::Char('\x08'),
                Some((_, c)) => self.class_escape(at, c)?,
            },
            c => Escaped::Char(c),
        };
        match item {
            Escaped::Set(set) => self.out.push_str(set),
            Escaped::Char(c) => write_char(&mut self.out, c),
        }
        Ok(item)
    }
}

#[derive(Clone, Copy)]
enum Escaped {
    Char(char),
    Set(&'static str),
}

fn set(letter: char, ascii: bool) -> &'static str {
    match (letter, ascii) {
        ('d', false) => r"\d",
        ('D', false) => r"\D",
        ('s', false) => r"\s",
        ('S', false) => r"\S",
        ('w', false) => r"\w",
        ('W', false) => r"\W",
        ('d', true) => "[0-9]",
        ('D', true) => "[^0-9]",
        ('s', true) => r"[\t\n\x0b\x0c\r\x20]",
        ('S', true) => r"[^\t\n\x0b\x0c\r\x20]",
        ('w', true) => "[0-9A-Za-z_]",
        _ => "[^0-9A-Za-z_]",
    }
}

/// Writes a character so that it stands for itself, in a class or outside.
fn write_char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii() {
        out.push(c);
    } else if c.is_ascii_graphic() && !matches!(c, '<' | '>') {
        out.push('\\');
        out.push(c);
    } else {
        write_to(out, format_args!(r"\x{{{:x}}}", u32::from(c)));
    }
}
