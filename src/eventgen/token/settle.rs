//! Whether a pattern's matches are settled once for all texts of a template, whatever its slots are filled with.
//!
//! The pattern's automaton is run over the template: through literal text byte by byte, through a slot with every
//! byte its [`Language`] allows. A thread that has met a slot is *tainted*: it began in one, consumed a byte of one,
//! crossed an empty one, or passed an assertion whose outcome depends on one. If no tainted thread ever reaches a
//! match, then all matches, in all texts, lie within the literal pieces and are the same each time.
//!
//! The converse does not hold: languages and assertions are widened where that is simpler. An unsettled pattern is
//! searched for in each event, so an error on that side costs time, never correctness.

mod neighbour;
mod threads;

use std::sync::Arc;

use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::primitives::StateID;

use self::neighbour::{Around, Neighbour};
use self::threads::{Threads, close_over, is_match};
use super::language::{ByteSet, Language, Run};

/// Memory one automaton may take, in bytes; larger patterns count as unsettled.
const AUTOMATON_BYTES_MAX: usize = 8 << 20;

/// A text with slots in it, as it is known so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Template {
    /// The text with the slots filled in some way.
    pub(super) text: String,
    /// In the order of the text; none overlaps another one.
    pub(super) slots: Vec<Slot>,
}

/// A place of a template that is filled for each event.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Where it is in the text.
    pub(super) start: usize,
    pub(super) end: usize,
    /// What stood there.
    pub(super) original: String,
    /// Whose value is put there.
    pub(super) token: usize,
    /// Which of the token's formats.
    pub(super) variant: usize,
    /// What may stand in it.
    pub(super) language: Arc<Language>,
}

/// A pattern's automaton.
pub(super) struct Sight {
    nfa: NFA,
    /// The bytes a match can begin with; `None` if it may be empty or begins with an assertion.
    first: Option<ByteSet>,
    /// Whether it matches at the start of a text only.
    is_anchored: bool,
}

impl Sight {
    /// The automaton of a pattern in the syntax of the `regex` crate; `None` if it is too large.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let config =
            NFA::config().which_captures(WhichCaptures::None).nfa_size_limit(Some(AUTOMATON_BYTES_MAX));
        let nfa = NFA::compiler().configure(config).build(pattern).ok()?;
        Some(Self { first: threads::first_bytes(&nfa), is_anchored: nfa.is_always_start_anchored(), nfa })
    }

    /// Whether no match, in any text of the template, has to do with a slot.
    pub(super) fn is_settled(&self, template: &Template) -> bool {
        let text = template.text.as_bytes();
        let mut walk = Walk::new(self);
        let mut at = 0;
        let mut before = Neighbour::Edge;
        for slot in &template.slots {
            before = walk.literal(&text[at..slot.start], before, Neighbour::Unknown);
            before = walk.slot(&slot.language, before);
            at = slot.end;
            if walk.found {
                return false;
            }
        }
        let before = walk.literal(&text[at..], before, Neighbour::Edge);
        walk.close(Around { before, next: Neighbour::Edge, later: Neighbour::Edge }, ByteSet::EMPTY);
        !walk.found
    }
}

struct Walk<'a> {
    sight: &'a Sight,
    nfa: &'a NFA,
    /// Threads that are within the present literal.
    clean: Threads,
    /// Threads that have met a slot.
    tainted: Threads,
    /// Threads that begin at the present position of a slot.
    fresh: Threads,
    next: Threads,
    /// A tainted thread reached a match.
    found: bool,
}

impl<'a> Walk<'a> {
    fn new(sight: &'a Sight) -> Self {
        let threads = || Threads::new(&sight.nfa);
        let (clean, tainted, fresh, next) = (threads(), threads(), threads(), threads());
        Self { sight, nfa: &sight.nfa, clean, tainted, fresh, next, found: false }
    }

    /// Goes through literal text; returns what is known of the byte before what follows.
    fn literal(&mut self, literal: &[u8], mut before: Neighbour, end: Neighbour) -> Neighbour {
        for (place, &byte) in literal.iter().enumerate() {
            let next = Neighbour::Byte(byte);
            // By far the most bytes begin nothing.
            if self.clean.is_empty()
                && self.tainted.is_empty()
                && !self.begins(before, |first| first.contains(byte))
            {
                before = next;
                continue;
            }
            let later = literal.get(place + 1).map_or(end, |byte| Neighbour::Byte(*byte));
            let set = ByteSet::of(&[byte]);
            self.close(Around { before, next, later }, set);
            self.clean.step(self.nfa, set, &mut self.next);
            self.clean.replace(&mut self.next);
            self.tainted.step(self.nfa, set, &mut self.next);
            self.tainted.replace(&mut self.next);
            before = next;
        }
        before
    }

    /// Where a thread begins, if one can that consumes a byte of a set next.
    fn start(&self, before: Neighbour, set: ByteSet) -> Option<StateID> {
        self.begins(before, |first| first.meets_set(set)).then(|| self.nfa.start_anchored())
    }

    /// Whether a thread can begin after `before`, if `fits` tells whether what comes next is one of its first bytes.
    fn begins(&self, before: Neighbour, fits: impl FnOnce(ByteSet) -> bool) -> bool {
        let too_late = self.sight.is_anchored && matches!(before, Neighbour::Byte(_) | Neighbour::Word);
        !too_late && self.sight.first.is_none_or(fits)
    }

    /// Goes through all texts of a slot at once.
    fn slot(&mut self, language: &Language, before: Neighbour) -> Neighbour {
        let next = match language.runs().first() {
            Some(run) if run.least > 0 => Neighbour::of(run.set),
            _ => Neighbour::Unknown,
        };
        // What began before the slot is in it now; a match that was complete before has not met it.
        let around = Around { before, next, later: Neighbour::Unknown };
        close_over(self.nfa, &mut self.clean, Some(&mut self.tainted), None, around);
        for state in self.clean.states.iter().filter(|state| !is_match(self.nfa, **state)) {
            self.tainted.add(*state);
        }
        self.clean.clear();

        // If the slot may be empty, an empty match before it may be the one behind it, too.
        let mut position = Position { before, next, is_start: !language.has_empty() };
        for run in language.runs() {
            let inner = Neighbour::of(run.set);
            for _ in 0..run.least {
                self.byte(run.set, Position { next: inner, ..position }, false);
                position = Position { before: inner, next: Neighbour::Unknown, is_start: false };
            }
            if run.most != Some(run.least) {
                position = self.optional(run, position);
            }
        }
        if language.has_empty() { Neighbour::Unknown } else { position.before }
    }

    /// The bytes of a run beyond the least; returns what is known of the position after them.
    fn optional(&mut self, run: &Run, first: Position) -> Position {
        let inner = Neighbour::of(run.set);
        let before = if first.before == inner { inner } else { Neighbour::Unknown };
        let after = Position { before, next: Neighbour::Unknown, is_start: false };
        let most = run.most.map_or(u32::MAX, |most| most.saturating_sub(run.least));
        for count in 0..most {
            let known = self.tainted.states.len();
            let position = if count == 0 { first } else { after };
            self.byte(run.set, Position { next: inner, ..position }, true);
            // The second byte may begin threads that the first one does not.
            if self.found || count > 0 && self.tainted.states.len() == known {
                break;
            }
        }
        after
    }

    /// One byte of a slot. With `keep` there may be none as well.
    fn byte(&mut self, set: ByteSet, position: Position, keep: bool) {
        let Position { before, next, is_start } = position;
        let around = Around { before, next, later: Neighbour::Unknown };
        close_over(self.nfa, &mut self.tainted, None, None, around);
        self.fresh.clear();
        let start = self.start(before, set);
        close_over(self.nfa, &mut self.fresh, Some(&mut self.tainted), start, around);
        // At the very start of the slot an empty match is one of the literal before it.
        self.found |= self.tainted.has_match(self.nfa) || !is_start && self.fresh.has_match(self.nfa);
        self.tainted.step(self.nfa, set, &mut self.next);
        self.fresh.step(self.nfa, set, &mut self.next);
        if keep {
            self.tainted.take_in(&mut self.next);
        } else {
            self.tainted.replace(&mut self.next);
        }
    }

    /// Follows all edges that consume nothing, those of new threads included, before a byte of a set.
    fn close(&mut self, around: Around, set: ByteSet) {
        let start = self.start(around.before, set);
        close_over(self.nfa, &mut self.tainted, None, None, around);
        close_over(self.nfa, &mut self.clean, Some(&mut self.tainted), start, around);
        self.found |= self.tainted.has_match(self.nfa);
    }
}

/// A position in a slot.
#[derive(Clone, Copy)]
struct Position {
    before: Neighbour,
    next: Neighbour,
    /// Whether it is certainly before the first byte of a slot that is not empty.
    is_start: bool,
}
