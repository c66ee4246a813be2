//! The stage `memory`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::memory::MESSAGES_MAX;
use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Effect, Envelope, Keep, Role};

/// Remembers the session: its turns and everything the stages before learned go into memory.db when the chain ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MemorySettings {
    /// Whose messages keep their text. A message of another role keeps its place, its role and its time, but not its
    /// words; `["user", "assistant"]` leaves out what tools replied, which is often long and seldom worth recalling.
    pub roles: Vec<Role>,
    /// Whether the chat app's notes about the session and its messages, and fields that no format knows, are kept.
    pub metadata: bool,
    /// Whether the phrases that stand out in the session are kept.
    pub key_phrases: bool,
}

impl Default for MemorySettings {
    fn default() -> Self {
        let Keep { roles, metadata, key_phrases } = Keep::default();
        MemorySettings { roles, metadata, key_phrases }
    }
}

impl StageConfig for MemorySettings {
    const KIND: &'static str = "memory";

    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        if !self.roles.contains(&Role::User) {
            let problem = Problem::new("roles", "`user` is missing")
                .hint("what was learned is proved by the user's words, so they have to be kept");
            return Err(vec![problem]);
        }
        let MemorySettings { roles, metadata, key_phrases } = self;
        Ok(Box::new(Remember(Keep { roles, metadata, key_phrases })))
    }
}

struct Remember(Keep);

#[async_trait]
impl Stage for Remember {
    async fn process(&self, envelope: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        let messages = envelope.session.messages.len();
        if messages > MESSAGES_MAX {
            return Err(StageError::permanent(
                format!(
                    "the session has {messages} messages, more than the {MESSAGES_MAX} that memory.db can number"
                ),
                "split the session, or keep such sessions out with a `filter` stage",
            ));
        }
        let learned = &envelope.learned;
        envelope.note = Some(format!(
            "{messages} messages, {} preferences and {} facts to remember",
            learned.preferences.len(),
            learned.facts.len()
        ));
        // A second stage of this kind would only say the same again.
        envelope.effects.retain(|effect| !matches!(effect, Effect::Memory(_)));
        envelope.effects.push(Effect::Memory(self.0.clone()));
        Ok(Verdict::Continue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{FileFacts, Message, Session};

    fn services() -> Services {
        Services::detached(std::path::Path::new("/home"), std::path::Path::new("/"))
    }

    async fn run(settings: MemorySettings, messages: usize) -> (Result<Verdict, StageError>, Envelope) {
        let messages = vec![Message::new(Role::User, "hello"); messages];
        let mut envelope = Envelope::new(Session { messages, ..Session::default() }, FileFacts::default());
        let stage = settings.build(&services()).unwrap();
        let cx = StageContext { name: "memory", attempt: 1, dry_run: false };
        let verdict = stage.process(&mut envelope, &cx).await;
        (verdict.and(stage.process(&mut envelope, &cx).await), envelope)
    }

    #[tokio::test]
    async fn it_promises_to_remember_once_however_often_it_runs() {
        let (verdict, envelope) = run(toml::from_str("key_phrases = false").unwrap(), 2).await;
        assert_eq!(verdict.unwrap(), Verdict::Continue);
        let expected = Keep { key_phrases: false, ..Keep::default() };
        assert!(matches!(envelope.effects.as_slice(), [Effect::Memory(keep)] if *keep == expected));
        assert_eq!(envelope.note.unwrap(), "2 messages, 0 preferences and 0 facts to remember");
    }

    #[tokio::test]
    async fn a_session_longer_than_memory_can_number_fails_before_the_commit() {
        let (verdict, envelope) = run(MemorySettings::default(), MESSAGES_MAX + 1).await;
        assert!(matches!(verdict, Err(StageError::Permanent { hint: Some(_), .. })));
        assert!(envelope.effects.is_empty());
    }

    #[test]
    fn the_users_words_cannot_be_left_out() {
        let settings: MemorySettings = toml::from_str(r#"roles = ["assistant"]"#).unwrap();
        let problems = settings.build(&services()).err().unwrap();
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, "roles"));
        assert!(toml::from_str::<MemorySettings>(r#"roles = ["everyone"]"#).is_err());
    }
}
