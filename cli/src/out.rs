//! Writing to standard output. A reader that has seen enough (`skep get pods | head -1`) ends us, quietly.

use std::{
    fmt,
    io::{ErrorKind, Write, stdout},
};

/// Exit code of a program that the signal for a closed pipe ended, which is what a shell expects to see.
const CLOSED_PIPE: i32 = 128 + 13;

/// Writes text as `print!` does.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    let mut out = stdout().lock();
    if let Err(error) = out.write_fmt(text).and_then(|()| out.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("error: write to standard output: {error}");
            std::process::exit(1);
        }
        std::process::exit(CLOSED_PIPE);
    }
}

/// As `print!`, for an output that may be closed.
macro_rules! out {
    ($($argument:tt)*) => { $crate::out::write(format_args!($($argument)*)) };
}

/// As `println!`, for an output that may be closed.
macro_rules! outln {
    () => { $crate::out::write(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::out::write(format_args!("{}\n", format_args!($($argument)*))) };
}
