//! What people read: errors with hints on stderr, data on stdout.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Exit;
use crate::text::tame;

/// Says what went wrong, and what can be done.
pub(super) fn error(message: impl Display, hint: Option<&str>) {
    let mut err = io::stderr().lock();
    let (red, cyan, plain) = colours(io::stderr().is_terminal());
    let _ = writeln!(err, "{red}error:{plain} {}", tame::page(&message.to_string()));
    if let Some(hint) = hint {
        let _ = writeln!(err, "{cyan}hint:{plain}  {hint}");
    }
}

fn colours(on: bool) -> (&'static str, &'static str, &'static str) {
    if on && std::env::var_os("NO_COLOR").is_none() {
        ("\x1b[31m", "\x1b[36m", "\x1b[0m")
    } else {
        ("", "", "")
    }
}

/// Whether diagnostics on stderr may be coloured.
pub(super) fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Writes data to stdout. A reader that went away (`| head`) is no error.
pub(super) fn data(text: &str) -> Exit {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => Exit::Fine,
        Err(problem) if problem.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(problem) => {
            error(format_args!("cannot write to stdout: {problem}"), None);
            Exit::Failure
        }
    }
}

/// Writes a page for people to stdout. What it tells of may come from outside, and steers no terminal.
pub(super) fn page(text: &str) -> Exit {
    data(&tame::page(text))
}

/// Writes data to stdout as one JSON document.
pub(super) fn json(value: &impl Serialize) -> Exit {
    match serde_json::to_string_pretty(value) {
        Ok(text) => data(&(tame::json(text) + "\n")),
        Err(problem) => {
            error(problem, None);
            Exit::Failure
        }
    }
}

/// `1 file`, `2 files`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
