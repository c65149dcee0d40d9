//! One token over one event's text: find, draw, put in.
//!
//! What the rest of the tokens does when the text is not known before; and what [`super::compile`] has to agree with.

use std::ops::Range;

use super::draw::Purpose;
use super::replacement::EventFacts;
use super::{Scratch, Token, Tokens};

/// Places of a text that one value is put in.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<Range<usize>>);

impl Edits {
    /// Finds where a token's value belongs; the text of the first of them, if any.
    pub(super) fn find<'a>(
        &mut self,
        token: &Token,
        text: &'a str,
        finder: &mut super::Finder,
    ) -> Option<&'a str> {
        self.0.clear();
        token.pattern.for_each(text, finder, |found| {
            let place = found.group.unwrap_or(found.whole);
            // A group in a look-ahead may lie behind the match: what is replaced already stays.
            if self.0.last().is_none_or(|last| last.end <= place.start) {
                self.0.push(place);
            }
        });
        self.0.first().map(|first| &text[first.clone()])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Range<usize>> {
        self.0.iter()
    }

    pub(super) fn put(&self, text: &[u8], value: &[u8], out: &mut Vec<u8>) {
        out.clear();
        let mut from = 0;
        for place in &self.0 {
            out.extend_from_slice(&text[from..place.start]);
            out.extend_from_slice(value);
            from = place.end;
        }
        out.extend_from_slice(&text[from..]);
    }

    /// Moves `places` of the old text to where they are in the new one, and adds those of the value. Places that were
    /// replaced themselves are gone.
    pub(super) fn follow(&self, value_length: usize, places: &mut Vec<Range<usize>>) {
        let touches =
            |place: &Range<usize>, edit: &Range<usize>| edit.start < place.end && place.start < edit.end;
        places.retain(|place| !self.0.iter().any(|edit| touches(place, edit)));
        let moved = |at: usize| {
            let before = self.0.iter().take_while(|edit| edit.end <= at);
            let (count, removed) = before.fold((0, 0), |(count, sum), edit| (count + 1, sum + edit.len()));
            at + count * value_length - removed
        };
        for place in places.iter_mut() {
            *place = moved(place.start)..moved(place.start) + place.len();
        }
        let starts = self.0.iter().enumerate().map(|(number, edit)| {
            let removed: usize = self.0[..number].iter().map(Range::len).sum();
            edit.start + number * value_length - removed
        });
        places.extend(starts.map(|start| start..start + value_length));
        places.sort_by_key(|place| (place.start, place.end));
    }
}

/// Applies one token to `scratch.text`; true if its value was put in, which then is in `scratch.value`.
pub(super) fn pass(
    tokens: &Tokens,
    number: usize,
    facts: &EventFacts,
    counts: &mut [i64],
    scratch: &mut Scratch,
) -> bool {
    let Some(token) = tokens.tokens.get(number) else { return false };
    if scratch.finders.len() < tokens.tokens.len() {
        scratch.finders.resize_with(tokens.tokens.len(), || None);
    }
    // Samples and values are texts, and so is what they are put together to.
    let Ok(text) = std::str::from_utf8(&scratch.text) else { return false };
    let finder = scratch.finders[number].get_or_insert_with(|| token.pattern.finder());
    let Some(first) = scratch.edits.find(token, text, finder) else { return false };
    let variant = token.replacement.variant(first);
    if let Some(counter) = token.replacement.counter() {
        take_count(counter, counts, scratch);
    }
    scratch.value.clear();
    let (pad, value) = (&mut scratch.pad, &mut scratch.value);
    if !token.replacement.write(variant, Purpose::token(number), facts, &tokens.rating, pad, value) {
        return false;
    }
    scratch.edits.put(&scratch.text, &scratch.value, &mut scratch.other);
    std::mem::swap(&mut scratch.text, &mut scratch.other);
    true
}

/// Shows a counter's number in this event, and moves it on.
pub(super) fn take_count(counter: usize, counts: &mut [i64], scratch: &mut Scratch) {
    let shown = &mut scratch.pad.counts;
    if shown.len() <= counter {
        shown.resize(counter + 1, 0);
    }
    if let Some(count) = counts.get_mut(counter) {
        shown[counter] = *count;
        *count = count.wrapping_add(1);
    }
}
