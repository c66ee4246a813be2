use std::path::Path;

use super::{Exit, open, say};
use crate::memory::{MemoryError, profile};

/// Options of `atles profile`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whose profile. Without it: that of the only user there is, or a list of those there are. An empty name is the
    /// user of apps that know only one.
    user: Option<String>,
    /// As JSON.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As Markdown (the default).
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(config: Option<&Path>, args: &Args) -> Exit {
    let memory = match open::memory(config) {
        Ok(Some(memory)) => memory,
        Ok(None) => return nothing(),
        Err(exit) => return exit,
    };
    match shown(memory.connection(), args) {
        Ok(exit) => exit,
        Err(problem) => {
            say::error(&problem, problem.hint());
            Exit::Failure
        }
    }
}

fn nothing() -> Exit {
    say::error(
        "nothing was learned yet",
        Some("drop session files into the spool and run `atles run --once`"),
    );
    Exit::Failure
}

fn shown(conn: &rusqlite::Connection, args: &Args) -> Result<Exit, MemoryError> {
    let user = match &args.user {
        Some(user) => Some(user.clone()).filter(|user| !user.is_empty()),
        None => match profile::users(conn)?.as_slice() {
            [] => return Ok(nothing()),
            [one] => one.user_id.clone(),
            many => return Ok(list(many, args.json)),
        },
    };
    Ok(match profile::profile(conn, user.as_deref())? {
        Some(found) if args.json => say::json(&found),
        Some(found) => say::page(&found.markdown()),
        None => {
            let name = user.as_deref().unwrap_or("a user without a name");
            say::error(format_args!("nothing is known of {name:?}"), Some("`atles profile` lists the users"));
            Exit::Failure
        }
    })
}

fn list(users: &[profile::KnownUser], json: bool) -> Exit {
    if json {
        return say::json(&serde_json::json!({ "users": users }));
    }
    let line = |user: &profile::KnownUser| {
        let name =
            user.user_id.as_deref().map_or_else(|| "(no name)".to_owned(), crate::memory::prompt::one_line);
        let sessions = say::count(user.sessions, "session", "sessions");
        format!("{name:<24} {sessions}, {}\n", say::count(user.messages, "message", "messages"))
    };
    say::page(&users.iter().map(line).collect::<String>())
}
