//! What is asked for on the command line.

use std::path::PathBuf;

/// The parts there are, in their order; the soak only runs when it is named.
pub(crate) const PARTS: &[&str] =
    &["limits", "throughput", "in-flight", "shares", "latency", "idle", "backlog", "soak"];

/// What the run is asked for.
#[derive(Debug)]
pub(crate) struct Options {
    /// The parts to run, in the order of [`PARTS`].
    pub(crate) parts: Vec<&'static str>,
    /// Rounds of what is measured side by side.
    pub(crate) rounds: usize,
    /// Names of the sizes of `throughput`; empty for all of them.
    pub(crate) sizes: Vec<String>,
    /// Files of `backlog`.
    pub(crate) files: usize,
    /// Sessions of `soak`.
    pub(crate) sessions: usize,
    /// Users whose sessions those are.
    pub(crate) users: usize,
    /// After so many minutes the soak ends with what it has.
    pub(crate) minutes: usize,
    /// Age at which the soak's home deletes settled files; absent keeps all.
    pub(crate) retention: Option<String>,
    /// Where the figures go as JSON.
    pub(crate) json: Option<PathBuf>,
    /// Write the tables into docs/ too.
    pub(crate) docs: bool,
    /// The command, for whoever wants to repeat it.
    pub(crate) command: String,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// A sentence about what is not understood.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        // cargo adds `--bench`.
        let given: Vec<String> = arguments.filter(|argument| argument != "--bench").collect();
        let rounds = std::env::var("BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
        let mut options = Options {
            parts: Vec::new(),
            rounds,
            sizes: Vec::new(),
            files: 100_000,
            sessions: 1_000_000,
            users: 200,
            minutes: usize::MAX / 60,
            retention: None,
            json: None,
            docs: false,
            command: std::iter::once("cargo bench --bench spine --".to_owned())
                .chain(given.iter().cloned())
                .collect::<Vec<_>>()
                .join(" "),
        };
        let mut given = given.into_iter();
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or(format!("{argument} wants a value"));
            match argument.as_str() {
                "--rounds" => options.rounds = number(&value()?)?.max(1),
                "--sizes" => options.sizes = value()?.split(',').map(str::to_owned).collect(),
                "--files" => options.files = number(&value()?)?,
                "--sessions" => options.sessions = number(&value()?)?,
                "--users" => options.users = number(&value()?)?,
                "--minutes" => options.minutes = number(&value()?)?,
                "--retention" => options.retention = Some(value()?),
                "--json" => options.json = Some(value()?.into()),
                "--docs" => options.docs = true,
                part => match PARTS.iter().find(|known| **known == part) {
                    Some(known) => options.parts.push(known),
                    None => return Err(format!("{part:?}: there are {}", PARTS.join(", "))),
                },
            }
        }
        if options.parts.is_empty() {
            options.parts = PARTS.iter().copied().filter(|part| *part != "soak").collect();
        }
        Ok(options)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text:?} is no number"))
}
