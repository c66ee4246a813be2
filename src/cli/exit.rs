use std::process::ExitCode;

/// How a command ends. The numbers are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Fine,
    /// Something failed while running.
    Failure,
    /// The command line was wrong.
    Usage,
    /// `run --once` left dead letters.
    DeadLetters,
    /// The daemon is not running.
    NotRunning,
    /// pipeline.toml is wrong (EX_CONFIG of sysexits.h).
    BadConfig,
    /// `run -- COMMAND`: what the app ended with; 126 or 127 if it could not be started.
    App(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::DeadLetters => 3,
            Exit::NotRunning => 4,
            Exit::BadConfig => 78,
            Exit::App(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}
