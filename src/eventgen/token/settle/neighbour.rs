//! What is known of the text beside a position, and of assertions there.

use regex_automata::util::look::Look;

use crate::eventgen::token::language::ByteSet;

/// What is known of the byte beside a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Neighbour {
    /// There is none: the text begins or ends here.
    Edge,
    Byte(u8),
    /// Some byte of an ASCII word.
    Word,
    Unknown,
}

impl Neighbour {
    pub(super) fn of(set: ByteSet) -> Self {
        if set.is_within(ByteSet::WORD) { Self::Word } else { Self::Unknown }
    }

    /// Whether it is part of a word, if that is known.
    fn is_word(self) -> Option<bool> {
        match self {
            Self::Edge => Some(false),
            Self::Byte(byte) if byte.is_ascii() => Some(ByteSet::WORD.contains(byte)),
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

/// What is known around a position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) before: Neighbour,
    pub(super) next: Neighbour,
    /// The byte after `next`.
    pub(super) later: Neighbour,
}

/// Whether an assertion holds at a position, if that is known.
pub(super) fn holds(look: Look, around: Around) -> Option<bool> {
    let Around { before, next, later } = around;
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
