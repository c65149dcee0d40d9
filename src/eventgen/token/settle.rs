//! Whether a pattern's matches are settled once for all texts of a template, whatever its slots are filled with.
//!
//! The pattern's automaton is run over the template: through literal text byte by byte, through a slot with every
//! byte its [`Language`] allows. A thread that has met a slot is *tainted*: it began in one, consumed a byte of one,
//! crossed an empty one, or passed an assertion whose outcome depends on one. If no tainted thread ever reaches a
//! match, then all matches, in all texts, lie within the literal pieces and are the same each time.
//!
//! The converse does not hold: languages and assertions are widened where that is simpler. An unsettled pattern is
//! searched for in each event, so an error on that side costs time, never correctness.

use regex_automata::nfa::thompson::{NFA, State, WhichCaptures};
use regex_automata::util::look::Look;
use regex_automata::util::primitives::StateID;

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
}

/// A pattern's automaton.
pub(super) struct Sight {
    nfa: NFA,
}

impl Sight {
    /// The automaton of a pattern in the syntax of the `regex` crate; `None` if it is too large.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let config =
            NFA::config().which_captures(WhichCaptures::None).nfa_size_limit(Some(AUTOMATON_BYTES_MAX));
        NFA::compiler().configure(config).build(pattern).ok().map(|nfa| Self { nfa })
    }

    /// Whether no match, in any text of the template, has to do with a slot; `languages` are those of the slots.
    pub(super) fn is_settled(&self, template: &Template, languages: &[Language]) -> bool {
        debug_assert_eq!(template.slots.len(), languages.len());
        let text = template.text.as_bytes();
        let mut walk = Walk::new(&self.nfa);
        let mut at = 0;
        let mut before = Neighbour::Edge;
        for (slot, language) in template.slots.iter().zip(languages) {
            before = walk.literal(&text[at..slot.start], before, Neighbour::Unknown);
            before = walk.slot(language, before);
            at = slot.end;
            if walk.found {
                return false;
            }
        }
        let before = walk.literal(&text[at..], before, Neighbour::Edge);
        walk.close(before, Neighbour::Edge, Neighbour::Edge);
        !walk.found
    }
}

/// What is known of the byte beside a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neighbour {
    /// There is none: the text begins or ends here.
    Edge,
    Byte(u8),
    /// Some byte of an ASCII word.
    Word,
    Unknown,
}

impl Neighbour {
    fn of(set: ByteSet) -> Self {
        if set.iter().all(is_word) { Self::Word } else { Self::Unknown }
    }

    /// Whether it is part of a word, if that is known.
    fn is_word(self) -> Option<bool> {
        match self {
            Self::Edge => Some(false),
            Self::Byte(byte) if byte.is_ascii() => Some(is_word(byte)),
            Self::Word => Some(true),
            Self::Byte(_) | Self::Unknown => None,
        }
    }

    fn is_line_end(self) -> Option<bool> {
        match self {
            Self::Edge => Some(true),
            Self::Byte(byte) => Some(byte == b'\n'),
            Self::Word => Some(false),
            Self::Unknown => None,
        }
    }

    fn is_edge(self) -> Option<bool> {
        match self {
            Self::Edge => Some(true),
            Self::Byte(_) | Self::Word => Some(false),
            Self::Unknown => None,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether an assertion holds between two bytes, if that is known; `later` is the byte after `next`.
fn holds(look: Look, before: Neighbour, next: Neighbour, later: Neighbour) -> Option<bool> {
    match look {
        Look::Start => before.is_edge(),
        Look::End => next.is_edge(),
        Look::StartLF => before.is_line_end(),
        // Stands for a `$` that asks whether this newline is the last byte, too: see `Pattern::relaxed`.
        Look::EndLF if next == Neighbour::Byte(b'\n') && later == Neighbour::Unknown => None,
        Look::EndLF => next.is_line_end(),
        Look::WordAscii | Look::WordUnicode => Some(before.is_word()? != next.is_word()?),
        Look::WordAsciiNegate | Look::WordUnicodeNegate => Some(before.is_word()? == next.is_word()?),
        _ => None,
    }
}

/// States a thread is in, each once, in the order they were reached.
struct Threads {
    states: Vec<StateID>,
    is_in: Vec<bool>,
}

impl Threads {
    fn new(nfa: &NFA) -> Self {
        Self { states: Vec::new(), is_in: vec![false; nfa.states().len()] }
    }

    fn add(&mut self, state: StateID) -> bool {
        let is_new = !std::mem::replace(&mut self.is_in[state.as_usize()], true);
        if is_new {
            self.states.push(state);
        }
        is_new
    }

    fn clear(&mut self) {
        for state in self.states.drain(..) {
            self.is_in[state.as_usize()] = false;
        }
    }

    /// Becomes `next`, which becomes empty.
    fn replace(&mut self, next: &mut Self) {
        self.clear();
        std::mem::swap(self, next);
    }

    /// Takes in those of `next`, which becomes empty.
    fn take_in(&mut self, next: &mut Self) {
        for state in next.states.drain(..) {
            next.is_in[state.as_usize()] = false;
            self.add(state);
        }
    }

    fn has_match(&self, nfa: &NFA) -> bool {
        self.states.iter().any(|state| is_match(nfa, *state))
    }

    /// Adds to `next` where these go over a byte of a set.
    fn step(&self, nfa: &NFA, set: ByteSet, next: &mut Self) {
        for state in &self.states {
            match nfa.state(*state) {
                State::ByteRange { trans } if set.meets(trans.start, trans.end) => _ = next.add(trans.next),
                State::Sparse(sparse) => {
                    for trans in sparse.transitions.iter().filter(|trans| set.meets(trans.start, trans.end)) {
                        next.add(trans.next);
                    }
                }
                State::Dense(dense) => {
                    for to in set.iter().filter_map(|byte| dense.matches_byte(byte)) {
                        next.add(to);
                    }
                }
                _ => {}
            }
        }
    }
}

struct Walk<'a> {
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
    fn new(nfa: &'a NFA) -> Self {
        let threads = || Threads::new(nfa);
        Self { nfa, clean: threads(), tainted: threads(), fresh: threads(), next: threads(), found: false }
    }

    /// Goes through literal text; returns what is known of the byte before what follows.
    fn literal(&mut self, literal: &[u8], mut before: Neighbour, end: Neighbour) -> Neighbour {
        for (place, &byte) in literal.iter().enumerate() {
            let later = literal.get(place + 1).map_or(end, |byte| Neighbour::Byte(*byte));
            self.close(before, Neighbour::Byte(byte), later);
            let set = ByteSet::of(&[byte]);
            self.clean.step(self.nfa, set, &mut self.next);
            self.clean.replace(&mut self.next);
            self.tainted.step(self.nfa, set, &mut self.next);
            self.tainted.replace(&mut self.next);
            before = Neighbour::Byte(byte);
        }
        before
    }

    /// Goes through all texts of a slot at once.
    fn slot(&mut self, language: &Language, before: Neighbour) -> Neighbour {
        let next = match language.runs().first() {
            Some(run) if run.least > 0 => Neighbour::of(run.set),
            _ => Neighbour::Unknown,
        };
        // What began before the slot is in it now; a match that was complete before has not met it.
        close_over(
            self.nfa,
            &mut self.clean,
            Some(&mut self.tainted),
            None,
            before,
            next,
            Neighbour::Unknown,
        );
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
        close_over(self.nfa, &mut self.tainted, None, None, before, next, Neighbour::Unknown);
        self.fresh.clear();
        let start = Some(self.nfa.start_anchored());
        close_over(
            self.nfa,
            &mut self.fresh,
            Some(&mut self.tainted),
            start,
            before,
            next,
            Neighbour::Unknown,
        );
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

    /// Follows all edges that consume nothing, those of new threads included.
    fn close(&mut self, before: Neighbour, next: Neighbour, later: Neighbour) {
        let start = Some(self.nfa.start_anchored());
        close_over(self.nfa, &mut self.tainted, None, None, before, next, later);
        close_over(self.nfa, &mut self.clean, Some(&mut self.tainted), start, before, next, later);
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

fn is_match(nfa: &NFA, state: StateID) -> bool {
    matches!(nfa.state(state), State::Match { .. })
}

/// Follows the edges that consume nothing from all threads and a new one at `start`. What passes an assertion of unknown outcome
/// goes on in `tainted`, or in `threads` if those are the tainted ones.
fn close_over(
    nfa: &NFA,
    threads: &mut Threads,
    mut tainted: Option<&mut Threads>,
    start: Option<StateID>,
    before: Neighbour,
    next: Neighbour,
    later: Neighbour,
) {
    let mut open: Vec<(StateID, bool)> = threads.states.iter().map(|state| (*state, false)).collect();
    if let Some(start) = start
        && threads.add(start)
    {
        open.push((start, false));
    }
    while let Some((state, is_tainted)) = open.pop() {
        let mut follow = |to: StateID, taints: bool| {
            let into = match &mut tainted {
                Some(tainted) if taints => &mut **tainted,
                _ => &mut *threads,
            };
            if into.add(to) {
                open.push((to, taints));
            }
        };
        match nfa.state(state) {
            State::Look { look, next: to } => match holds(*look, before, next, later) {
                Some(true) => follow(*to, is_tainted),
                Some(false) => {}
                None => follow(*to, true),
            },
            State::Union { alternates } => alternates.iter().for_each(|to| follow(*to, is_tainted)),
            State::BinaryUnion { alt1, alt2 } => {
                [alt1, alt2].into_iter().for_each(|to| follow(*to, is_tainted))
            }
            State::Capture { next: to, .. } => follow(*to, is_tainted),
            State::ByteRange { .. }
            | State::Sparse(_)
            | State::Dense(_)
            | State::Fail
            | State::Match { .. } => {}
        }
    }
}
