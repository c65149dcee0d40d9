//! Threads of an automaton: the states it may be in at a position.

use regex_automata::nfa::thompson::{NFA, State};
use regex_automata::util::primitives::StateID;

use super::neighbour::{Around, Neighbour, holds};
use crate::eventgen::token::language::ByteSet;

/// States a thread is in, each once, in the order they were reached.
pub(super) struct Threads {
    pub(super) states: Vec<StateID>,
    is_in: Vec<bool>,
}

impl Threads {
    pub(super) fn new(nfa: &NFA) -> Self {
        Self { states: Vec::new(), is_in: vec![false; nfa.states().len()] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    pub(super) fn add(&mut self, state: StateID) -> bool {
        let is_new = !std::mem::replace(&mut self.is_in[state.as_usize()], true);
        if is_new {
            self.states.push(state);
        }
        is_new
    }

    pub(super) fn clear(&mut self) {
        for state in self.states.drain(..) {
            self.is_in[state.as_usize()] = false;
        }
    }

    /// Becomes `next`, which becomes empty.
    pub(super) fn replace(&mut self, next: &mut Self) {
        self.clear();
        std::mem::swap(self, next);
    }

    /// Takes in those of `next`, which becomes empty.
    pub(super) fn take_in(&mut self, next: &mut Self) {
        for state in next.states.drain(..) {
            next.is_in[state.as_usize()] = false;
            self.add(state);
        }
    }

    pub(super) fn has_match(&self, nfa: &NFA) -> bool {
        self.states.iter().any(|state| is_match(nfa, *state))
    }

    /// Adds to `next` where these go over a byte of a set.
    pub(super) fn step(&self, nfa: &NFA, set: ByteSet, next: &mut Self) {
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

pub(super) fn is_match(nfa: &NFA, state: StateID) -> bool {
    matches!(nfa.state(state), State::Match { .. })
}

/// The bytes a match can begin with; `None` if it may be empty or begins with an assertion.
pub(super) fn first_bytes(nfa: &NFA) -> Option<ByteSet> {
    let unknown = Around { before: Neighbour::Unknown, next: Neighbour::Unknown, later: Neighbour::Unknown };
    let mut starts = Threads::new(nfa);
    close_over(nfa, &mut starts, None, Some(nfa.start_anchored()), unknown);
    let begins_otherwise =
        |state: &StateID| matches!(nfa.state(*state), State::Look { .. } | State::Match { .. });
    if starts.states.iter().any(begins_otherwise) {
        return None;
    }
    let consumes = |byte: &u8| {
        let mut next = Threads::new(nfa);
        starts.step(nfa, ByteSet::of(&[*byte]), &mut next);
        !next.is_empty()
    };
    let bytes: Vec<u8> = (0..=u8::MAX).filter(consumes).collect();
    Some(ByteSet::of(&bytes))
}

/// Follows the edges that consume nothing from all threads and a new one at `start`. What passes an assertion of
/// unknown outcome goes on in `tainted`, or in `threads` if those are the tainted ones.
pub(super) fn close_over(
    nfa: &NFA,
    threads: &mut Threads,
    mut tainted: Option<&mut Threads>,
    start: Option<StateID>,
    around: Around,
) {
    if threads.is_empty() && start.is_none() {
        return;
    }
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
            State::Look { look, next: to } => match holds(*look, around) {
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
