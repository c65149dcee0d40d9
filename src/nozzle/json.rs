//! JSON text, read in place and strictly.
//!
//! A [`Cursor`] goes over strings, numbers and whole values without building anything. Log lines
//! are checked with it, the gateway's batches are read with it. Whether the text is UTF-8 is for
//! the caller to check.

mod escapes;
mod nesting;
pub(in crate::nozzle) mod words;

use std::borrow::Cow;

use memchr::memchr2;

pub(in crate::nozzle) use self::escapes::{unescape, write_without_lone_surrogates};
use self::nesting::Nesting;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    lone_surrogates: bool,
}

/// A string as it stands between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Str<'a> {
    /// What is between the quotes.
    pub raw: &'a [u8],
    /// Whether there is a backslash in it.
    pub escaped: bool,
}

impl<'a> Str<'a> {
    /// What it stands for. What stands for no character becomes U+FFFD.
    #[inline]
    pub fn text(self) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(self.unescaped()) } else { Cow::Borrowed(self.raw) }
    }

    #[cold]
    fn unescaped(self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.raw.len());
        unescape(self.raw, |piece| text.extend_from_slice(piece));
        text
    }
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of a text.
    #[inline]
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, lone_surrogates: false }
    }

    /// Starts at a place in a text.
    #[inline]
    pub fn starting_at(text: &'a [u8], at: usize) -> Self {
        Self { text, at, lone_surrogates: false }
    }

    /// Bytes read so far.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes to another place.
    #[inline]
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What was read since an earlier place.
    #[inline]
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Whether there is no more text.
    #[inline]
    pub fn is_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Whether a string held `\uD800` to `\uDFFF` outside a pair, which stand for no character.
    pub fn has_seen_lone_surrogates(&self) -> bool {
        self.lone_surrogates
    }

    /// The next byte.
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Goes past the next byte if it is this one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Goes past white space.
    #[inline]
    pub fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads a string. Like all that read here, it gives `None` if there is no correct one, and is
    /// then near the first byte that is wrong.
    // Always inlined, like what leads here: its result does not fit into registers, and half of what
    // reading a gateway's envelope costs was handing it on through memory.
    #[inline(always)]
    pub fn string(&mut self) -> Option<Str<'a>> {
        if !self.take(b'"') {
            return None;
        }
        let rest = self.text.get(self.at..)?;
        let run = words::plain_run(rest);
        let start = self.at;
        self.at += run;
        if self.take(b'"') {
            return Some(Str { raw: &rest[..run], escaped: false });
        }
        self.rest_of_string()?;
        Some(Str { raw: self.text.get(start..self.at - 1)?, escaped: true })
    }

    /// From the first byte that needs a closer look up to and with the closing quote.
    #[inline(never)]
    fn rest_of_string(&mut self) -> Option<()> {
        loop {
            self.at += words::plain_run(self.text.get(self.at..)?);
            let byte = self.peek()?;
            match byte {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    self.at += 1;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let unit = escapes::hex(self.text.get(self.at + 1..self.at + 5)?)?;
                self.at += 5;
                match unit {
                    0xd800..0xdc00 if escapes::starts_with_low_surrogate(&self.text[self.at..]) => {
                        self.at += 6
                    }
                    0xd800..0xe000 => self.lone_surrogates = true,
                    _ => {}
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// Reads this word.
    #[inline]
    pub fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Reads a number that a double can hold.
    pub fn number(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.since(start);
        // Strict parsers refuse a number no double can hold.
        if (exponent || text.len() > 300)
            && std::str::from_utf8(text).ok()?.parse::<f64>().ok()?.is_infinite()
        {
            return None;
        }
        Some(text)
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Reads a member `"key":"value"` that is written without white space and backslashes; anything else is left
    /// where it is. The same as [`key`](Self::key) and [`string`](Self::string), in half the time.
    #[inline(always)]
    pub fn usual_member(&mut self) -> Option<Member<'a, 'a>> {
        let [b'"', from_key @ ..] = self.text.get(self.at..)? else { return None };
        let key_length = words::plain_run(from_key);
        let [b'"', b':', b'"', text @ ..] = from_key.get(key_length..)? else { return None };
        let (raw, text) = text.split_at_checked(words::plain_run(text))?;
        let [b'"', rest @ ..] = text else { return None };
        self.at = self.text.len() - rest.len();
        Some(Member { from_key, key_length, value: Str { raw, escaped: false } })
    }

    /// Reads a string that is written without backslashes, whatever else is in it: for those who check what they
    /// get. Anything else is left where it is.
    #[inline]
    pub fn unescaped_string(&mut self) -> Option<&'a [u8]> {
        let [b'"', text @ ..] = self.text.get(self.at..)? else { return None };
        let (string, rest) = text.split_at_checked(memchr2(b'"', b'\\', text)?)?;
        let [b'"', rest @ ..] = rest else { return None };
        self.at = self.text.len() - rest.len();
        Some(string)
    }

    /// Reads any value, nested at most `DEPTH_MAX` deep, and goes past it.
    pub fn value(&mut self) -> Option<()> {
        let mut nesting = Nesting::default();
        loop {
            if self.scalar_or_open(&mut nesting)? {
                continue;
            }
            // A value has ended; so may the containers around it.
            loop {
                if nesting.is_outside() {
                    return Some(());
                }
                self.space();
                let byte = self.peek()?;
                match (byte, nesting.in_object()) {
                    (b',', true) => {
                        self.at += 1;
                        self.space();
                        if self.usual_member().is_some() {
                            continue;
                        }
                        self.key()?;
                        break;
                    }
                    (b',', false) => {
                        self.at += 1;
                        break;
                    }
                    (b'}', true) | (b']', false) => {
                        self.at += 1;
                        nesting.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// Reads one value, or all of a container's first member; true if it opened a container whose first value comes next.
    fn scalar_or_open(&mut self, nesting: &mut Nesting) -> Option<bool> {
        self.space();
        match self.peek()? {
            b'{' => {
                self.at += 1;
                nesting.push(true)?;
                self.space();
                if self.take(b'}') {
                    nesting.pop();
                    return Some(false);
                }
                if self.usual_member().is_some() {
                    return Some(false);
                }
                self.key()?;
                return Some(true);
            }
            b'[' => {
                self.at += 1;
                nesting.push(false)?;
                self.space();
                if self.take(b']') {
                    nesting.pop();
                    return Some(false);
                }
                return Some(true);
            }
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number().map(|_| ()),
        }?;
        Some(false)
    }

    /// Reads a member's name and the colon after it.
    #[inline(always)]
    pub fn key(&mut self) -> Option<Str<'a>> {
        let key = self.string()?;
        self.space();
        self.take(b':').then_some(key)
    }
}

/// A member of an object whose value is a string.
#[derive(Clone, Copy, Debug)]
pub struct Member<'k, 'a> {
    /// The text from the key on.
    pub from_key: &'k [u8],
    /// How much of it is the key.
    pub key_length: usize,
    /// The value.
    pub value: Str<'a>,
}

impl<'k> Member<'k, '_> {
    /// The key.
    pub fn key(&self) -> &'k [u8] {
        self.from_key.get(..self.key_length).unwrap_or_default()
    }
}
