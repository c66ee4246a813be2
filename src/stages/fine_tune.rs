//! The stage `fine_tune`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::{Problem, Services, Stage, StageConfig, StageContext, StageError, Verdict};
use crate::session::{Effect, Envelope, Role};
use crate::training::examples::exchanges;
use crate::training::quality;
use crate::training::set::SpokenTurn;

/// Adds the session to the training set, from which a model is fine-tuned beside the pipeline when `[training]` says
/// so. It learns the answers that the stage `training_data` before it found worth learning; the others are context.
/// The session's log says `"training_run": "queued"` until the run that used it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FineTuneSettings {
    /// Sessions with fewer messages are not learned from.
    pub min_messages: usize,
}

impl Default for FineTuneSettings {
    fn default() -> Self {
        FineTuneSettings { min_messages: 4 }
    }
}

impl StageConfig for FineTuneSettings {
    const KIND: &'static str = "fine_tune";

    fn build(self, _: &Services) -> Result<Box<dyn Stage>, Vec<Problem>> {
        Ok(Box::new(FineTune(self)))
    }
}

struct FineTune(FineTuneSettings);

#[async_trait]
impl Stage for FineTune {
    async fn process(&self, envelope: &mut Envelope, _: &StageContext<'_>) -> Result<Verdict, StageError> {
        envelope.effects.retain(|effect| !matches!(effect, Effect::TrainingSet { .. }));
        let worth_learning = envelope.effects.iter().find_map(|effect| match effect {
            Effect::TrainingData { answers, .. } => Some(answers.as_slice()),
            _ => None,
        });
        let messages = envelope.session.messages.len();
        let (chat, note) = match worth_learning {
            None => (Vec::new(), "not queued: there is no `training_data` stage before this one".to_owned()),
            Some(_) if messages < self.0.min_messages => {
                (Vec::new(), format!("not queued: {messages} messages, of {} needed", self.0.min_messages))
            }
            Some([]) => (Vec::new(), "not queued: no answer worth learning".to_owned()),
            Some(answers) => {
                let starts: Vec<usize> = answers.iter().map(|answer| answer.start).collect();
                let count = starts.len();
                let noun = if count == 1 { "answer" } else { "answers" };
                (chat(envelope, &starts), format!("queued, {count} {noun} to learn from"))
            }
        };
        envelope.note = Some(note);
        // Also without a chat: a revision with nothing to learn takes the earlier one out of the set.
        envelope.effects.push(Effect::TrainingSet { chat });
        Ok(Verdict::Continue)
    }
}

/// The exchanges of a session that were answered, as turns. What holds a private key is left out, and what was said
/// before it with it.
fn chat(envelope: &Envelope, learned: &[usize]) -> Vec<SpokenTurn> {
    let mut chat = Vec::new();
    for exchange in exchanges(&envelope.session) {
        let (question, answer) = (&*exchange.question, &*exchange.answer);
        if quality::has_private_key(question) || quality::has_private_key(answer) {
            chat.clear();
            continue;
        }
        if !quality::has_text(question) || !quality::has_text(answer) {
            continue;
        }
        let learn = learned.contains(&exchange.answered.start);
        chat.push(SpokenTurn { role: Role::User, text: question.to_owned(), learn: false });
        chat.push(SpokenTurn { role: Role::Assistant, text: answer.to_owned(), learn });
    }
    chat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{FileFacts, Message, Session};
    use crate::stages::training_data::TrainingDataSettings;

    /// The envelope after `training_data` and this stage, which is run twice.
    async fn run(settings: &str, texts: &[&str]) -> Envelope {
        let services = Services::detached(std::path::Path::new("/home"), std::path::Path::new("/"));
        let roles = [Role::User, Role::Assistant].into_iter().cycle();
        let messages = roles.zip(texts).map(|(role, text)| Message::new(role, *text)).collect();
        let mut envelope = Envelope::new(Session { messages, ..Session::default() }, FileFacts::default());
        let before = TrainingDataSettings::default().build(&services).unwrap();
        let settings: FineTuneSettings = toml::from_str(settings).unwrap();
        let stage = settings.build(&services).unwrap();
        let cx = StageContext { name: "fine_tune", attempt: 1, dry_run: false };
        before.process(&mut envelope, &cx).await.unwrap();
        for _ in 0..2 {
            assert_eq!(stage.process(&mut envelope, &cx).await.unwrap(), Verdict::Continue);
        }
        envelope
    }

    fn queued(envelope: &Envelope) -> &[SpokenTurn] {
        let sets = envelope.effects.iter().filter_map(|effect| match effect {
            Effect::TrainingSet { chat } => Some(chat.as_slice()),
            _ => None,
        });
        let sets: Vec<_> = sets.collect();
        assert_eq!(sets.len(), 1, "once, however often it runs");
        sets[0]
    }

    #[tokio::test]
    async fn good_answers_are_learned_and_the_others_stay_as_context() {
        let envelope = run(
            "",
            &[
                "How warm does the sourdough have to be?",
                "About 25 degrees, then it rises in four hours.",
                "And in the fridge, how long would that take?",
                "I'm sorry, but I can't help with that.",
                "Well, how do I know that it is done?",
                "Press it with a finger: it should come back slowly.",
            ],
        )
        .await;
        let learn: Vec<bool> = queued(&envelope).iter().map(|turn| turn.learn).collect();
        assert_eq!(learn, [false, true, false, false, false, true]);
        assert_eq!(envelope.note.unwrap(), "queued, 2 answers to learn from");
    }

    #[tokio::test]
    async fn short_chats_and_chats_without_a_good_answer_are_not_queued_and_the_note_says_why() {
        let two = ["How warm does the dough have to be?", "About 25 degrees, then it rises in four hours."];
        let envelope = run("", &two).await;
        assert!(queued(&envelope).is_empty());
        assert_eq!(envelope.note.unwrap(), "not queued: 2 messages, of 4 needed");
        assert_eq!(run("min_messages = 2", &two).await.note.unwrap(), "queued, 1 answer to learn from");
        let envelope = run("", &["Hi, can you help me?", "Yes", "So what is it?", "No"]).await;
        assert_eq!(envelope.note.unwrap(), "not queued: no answer worth learning");
    }
}
