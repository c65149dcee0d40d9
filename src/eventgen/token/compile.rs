//! The lines of a sample with its tokens, as programs that write events.
//!
//! At the start each token is applied to each line, as far as that can be done once for all: its matches become slots
//! of a [`Template`], and the text between them literal pieces. A token can be settled while there are no slots, or
//! when [`settle`](super::settle) proves that it cannot meet one. From the first token on that can, a line's tokens
//! are left to [`pass`] for each event. Both ways give the same text: the tests compare them.
//!
//! So for most samples an event is written by copying pieces and rendering values into one buffer.

use super::draw::{Draws, Purpose};
use super::pass::{self, Edits};
use super::replacement::{EventFacts, Replacement};
use super::settle::{Slot, Template};
use super::{Scratch, Token, Tokens};
use crate::clock::UnixNanos;

/// Lines and their programs.
pub(in crate::eventgen) struct Compiled {
    tokens: Tokens,
    /// All literal pieces, one after the other.
    pieces: Vec<u8>,
    steps: Vec<Step>,
    /// Counters of settled tokens, line by line.
    counters: Vec<u16>,
    programs: Vec<Program>,
}

/// How the events of one line are written.
#[derive(Debug)]
struct Program {
    steps: Part,
    /// What follows the last slot.
    rest: Part,
    /// Counters moved on by this line's settled tokens.
    counters: Part,
    /// The first token that is not settled; as many as there are if all are.
    unsettled: u16,
}

/// A literal piece and the slot after it.
#[derive(Debug)]
struct Step {
    literal: Part,
    /// What stands in the slot if there is no value.
    original: Part,
    token: u16,
    variant: u16,
}

/// A part of one of the vectors.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: u32,
    length: u32,
}

impl Part {
    #[inline]
    fn of<T>(self, all: &[T]) -> &[T] {
        let start = self.start as usize;
        all.get(start..start + self.length as usize).unwrap_or_default()
    }
}

/// Why lines could not be compiled.
const TOO_LARGE: &str = "the sample is larger than 4 GiB";

impl Compiled {
    /// Compiles lines.
    pub(in crate::eventgen) fn new<'a>(
        tokens: Tokens,
        lines: impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        let mut compiled = Self {
            tokens,
            pieces: Vec::new(),
            steps: Vec::new(),
            counters: Vec::new(),
            programs: Vec::new(),
        };
        let mut scratch = Scratch::default();
        for line in lines {
            let (template, unsettled) = settled(&compiled.tokens, line, &mut scratch);
            compiled.add(&template, unsettled).ok_or(TOO_LARGE)?;
        }
        compiled.pieces.shrink_to_fit();
        compiled.steps.shrink_to_fit();
        compiled.programs.shrink_to_fit();
        Ok(compiled)
    }

    /// How many lines there are.
    pub(in crate::eventgen) fn len(&self) -> usize {
        self.programs.len()
    }

    /// The tokens they were compiled with.
    pub(in crate::eventgen) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What the events of a line take without their values, in bytes.
    pub(in crate::eventgen) fn literal_bytes(&self) -> usize {
        self.pieces.len()
    }

    /// How many slots all lines have together.
    pub(in crate::eventgen) fn slots(&self) -> usize {
        self.steps.len()
    }

    /// Appends an event of a line to `out`.
    #[inline]
    pub(in crate::eventgen) fn write(
        &self,
        line: usize,
        facts: &EventFacts,
        counts: &mut [i64],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) {
        let Some(program) = self.programs.get(line) else { return };
        for counter in program.counters.of(&self.counters) {
            pass::take_count(usize::from(*counter), counts, scratch);
        }
        if usize::from(program.unsettled) == self.tokens.len() {
            self.run(program, facts, scratch, out);
            return;
        }
        let mut text = std::mem::take(&mut scratch.text);
        text.clear();
        self.run(program, facts, scratch, &mut text);
        scratch.text = text;
        for number in usize::from(program.unsettled)..self.tokens.len() {
            pass::pass(&self.tokens, number, facts, counts, scratch);
        }
        out.extend_from_slice(&scratch.text);
    }

    #[inline]
    fn run(&self, program: &Program, facts: &EventFacts, scratch: &mut Scratch, out: &mut Vec<u8>) {
        for step in program.steps.of(&self.steps) {
            out.extend_from_slice(step.literal.of(&self.pieces));
            let number = usize::from(step.token);
            let Some(token) = self.tokens.tokens.get(number) else { continue };
            let (variant, own) = (usize::from(step.variant), Purpose::token(number));
            if !token.replacement.write(variant, own, facts, &self.tokens.rating, &mut scratch.pad, out) {
                out.extend_from_slice(step.original.of(&self.pieces));
            }
        }
        out.extend_from_slice(program.rest.of(&self.pieces));
    }

    /// Adds a line's program; `None` if there is no more room.
    fn add(&mut self, template: &Template, unsettled: usize) -> Option<()> {
        let (first_step, first_counter) = (self.steps.len(), self.counters.len());
        let mut at = 0;
        for slot in &template.slots {
            let token = self.tokens.tokens.get(slot.token)?;
            let may_decline = token.replacement.may_decline();
            let counter = token.replacement.counter();
            let literal = self.piece(&template.text[at..slot.start])?;
            let original = self.piece(if may_decline { &slot.original } else { "" })?;
            let (token, variant) = (u16::try_from(slot.token).ok()?, u16::try_from(slot.variant).ok()?);
            self.steps.push(Step { literal, original, token, variant });
            if let Some(counter) = counter {
                let counter = u16::try_from(counter).ok()?;
                if !self.counters[first_counter..].contains(&counter) {
                    self.counters.push(counter);
                }
            }
            at = slot.end;
        }
        let program = Program {
            rest: self.piece(&template.text[at..])?,
            steps: part(first_step, self.steps.len())?,
            counters: part(first_counter, self.counters.len())?,
            unsettled: u16::try_from(unsettled).ok()?,
        };
        self.programs.push(program);
        Some(())
    }

    fn piece(&mut self, text: &str) -> Option<Part> {
        let start = self.pieces.len();
        self.pieces.extend_from_slice(text.as_bytes());
        part(start, self.pieces.len())
    }
}

fn part(start: usize, end: usize) -> Option<Part> {
    Some(Part { start: u32::try_from(start).ok()?, length: u32::try_from(end - start).ok()? })
}

/// Applies the tokens of a line that are settled; the template, and the first token that is not.
fn settled(tokens: &Tokens, line: &str, scratch: &mut Scratch) -> (Template, usize) {
    let mut template = Template { text: line.to_owned(), slots: Vec::new() };
    for (number, token) in tokens.tokens.iter().enumerate() {
        if !is_settled(token, &template) {
            return (template, number);
        }
        let finder = &mut token.pattern.finder();
        let Some(first) = scratch.edits.find(token, &template.text, finder) else { continue };
        let variant = token.replacement.variant(first);
        let value = example(tokens, number, variant, scratch);
        match apply(&template, &scratch.edits, token, number, variant, value.as_deref()) {
            Some(applied) => template = applied,
            None => return (template, number),
        }
    }
    (template, tokens.len())
}

/// The first token of a line that is searched for in each event.
#[cfg(test)]
pub(super) fn first_unsettled(tokens: &Tokens, line: &str) -> usize {
    settled(tokens, line, &mut Scratch::default()).1
}

fn is_settled(token: &Token, template: &Template) -> bool {
    template.slots.is_empty() || token.sight().is_some_and(|sight| sight.is_settled(template))
}

/// Some value of a token.
fn example(tokens: &Tokens, number: usize, variant: usize, scratch: &mut Scratch) -> Option<String> {
    let facts = EventFacts { draws: Draws::new(0), time: UnixNanos(0), replay_time: UnixNanos(0) };
    let token = tokens.tokens.get(number)?;
    scratch.value.clear();
    let (pad, value) = (&mut scratch.pad, &mut scratch.value);
    let is_some =
        token.replacement.write(variant, Purpose::token(number), &facts, &tokens.rating, pad, value);
    is_some.then(|| String::from_utf8_lossy(&scratch.value).into_owned())
}

/// The template with a value in all places of `edits`; `None` if one of them touches a slot.
fn apply(
    template: &Template,
    edits: &Edits,
    token: &Token,
    number: usize,
    variant: usize,
    value: Option<&str>,
) -> Option<Template> {
    let mut applied = Template::default();
    let mut at = 0;
    let mut old = template.slots.iter().peekable();
    let mut copy = |to: usize, applied: &mut Template, at: &mut usize| {
        let shift = |place: usize, applied: &Template, at: usize| applied.text.len() + place - at;
        while let Some(slot) = old.next_if(|slot| slot.start < to) {
            if slot.end > to || slot.start < *at {
                return None;
            }
            let (start, end) = (shift(slot.start, applied, *at), shift(slot.end, applied, *at));
            applied.slots.push(Slot { start, end, ..slot.clone() });
        }
        applied.text.push_str(&template.text[*at..to]);
        *at = to;
        Some(())
    };
    for edit in edits.iter() {
        copy(edit.start, &mut applied, &mut at)?;
        let original = &template.text[edit.clone()];
        let start = applied.text.len();
        applied.text.push_str(value.unwrap_or(original));
        if !matches!(token.replacement, Replacement::Static(_)) {
            let end = applied.text.len();
            let (language, original) = (token.language(variant, original), original.to_owned());
            applied.slots.push(Slot { start, end, original, token: number, variant, language });
        }
        at = edit.end;
    }
    copy(template.text.len(), &mut applied, &mut at)?;
    // Those at the very end are empty.
    let end = applied.text.len();
    applied.slots.extend(old.map(|slot| Slot { start: end, end, ..slot.clone() }));
    Some(applied)
}
