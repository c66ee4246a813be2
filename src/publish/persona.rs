//! The system prompt of a published model: the user's own words, then what is known of the user as data.

use std::path::Path;

use crate::config::Publish;
use crate::memory::recall::Memory;
use crate::memory::{MemoryError, profile, prompt};

/// A system prompt, and what is to be said about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Persona {
    /// What follows the first words; empty if nothing is known.
    pub(super) block: String,
    /// The first words that pipeline.toml asks for.
    pub(super) words: String,
    /// Why there is no profile in it although one was asked for.
    pub(super) note: Option<String>,
}

impl Persona {
    /// Reads what is known of the user from memory.db.
    pub(super) fn read(settings: &Publish, memory_db: &Path) -> Result<Self, MemoryError> {
        let words = settings.system.trim().to_owned();
        let mut persona = Persona { words, ..Persona::default() };
        if settings.profile {
            match block(settings, memory_db)? {
                Ok(block) => persona.block = block,
                Err(note) => persona.note = Some(note.to_owned()),
            }
        }
        Ok(persona)
    }

    /// The whole prompt for a base whose own first words are these; empty if there is nothing to say.
    pub(super) fn prompt(&self, base: Option<&str>) -> String {
        let words = if self.words.is_empty() { base.unwrap_or_default().trim() } else { &self.words };
        let parts = [words, self.block.trim_end()].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join("\n\n").replace("\r\n", "\n")
    }
}

/// The block of the one user it can be, or why there is none.
fn block(settings: &Publish, memory_db: &Path) -> Result<Result<String, &'static str>, MemoryError> {
    let Some(memory) = Memory::open(memory_db)? else {
        return Ok(Err("no profile: nothing was learned yet"));
    };
    let conn = memory.connection();
    let user = match &settings.user {
        Some(user) => Some(user.clone()).filter(|user| !user.is_empty()),
        None => match profile::users(conn)?.as_slice() {
            [] => return Ok(Err("no profile: nothing was learned yet")),
            [one] => one.user_id.clone(),
            _ => {
                return Ok(Err(
                    "no profile: there are several users; name one as `user` in [training.publish]",
                ));
            }
        },
    };
    Ok(match profile::profile(conn, user.as_deref())? {
        Some(found) => Ok(prompt::block(Some(&found), &[], settings.profile_tokens)),
        None => Err("no profile: nothing is known of the user that [training.publish] names"),
    })
}
