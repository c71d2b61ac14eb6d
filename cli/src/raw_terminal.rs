//! A terminal that hands on every key as it is, and is given back as it was, however the command ends.
//!
//! Source: termios(3), "Raw mode"; tty_ioctl(4), TIOCGWINSZ.

use std::io::{IsTerminal as _, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Raw while it lives.
pub(crate) struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    /// Makes the terminal at standard input raw.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn enter() -> std::io::Result<RawTerminal> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(RawTerminal { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to give back.
        _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Whether a person types here.
pub(crate) fn is_terminal() -> bool {
    stdin().is_terminal()
}

/// Columns and rows of what is written to, or read from; None where neither is a terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin())).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}
