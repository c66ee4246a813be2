//! The `atles` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    atles::cli::main()
}
