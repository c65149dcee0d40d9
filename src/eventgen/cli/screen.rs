//! Where text for a person goes, and whether it may have colors.

use std::io::{self, IsTerminal, Write};

/// Standard output or error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    stderr: bool,
    terminal: bool,
    colored: bool,
}

impl Screen {
    /// Standard output; `plain`: without colors even on a terminal.
    pub(super) fn stdout(plain: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { stderr: false, terminal, colored: terminal && !plain }
    }

    /// Standard error.
    pub(super) fn stderr(plain: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Self { stderr: true, terminal, colored: terminal && !plain }
    }

    pub(super) fn is_colored(&self) -> bool {
        self.colored
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints all of a text; a reader who has gone away is no error.
    pub(super) fn print(&self, text: &str) {
        let _ = match self.stderr {
            true => io::stderr().write_all(text.as_bytes()),
            false => io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()),
        };
    }
}
