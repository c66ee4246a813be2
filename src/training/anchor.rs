//! General questions that come with the program: facts, sums, rewriting, code, advice, courtesy, a few languages.
//! Two thirds are learned again in every run, so that a model does not forget what it is; one third is only measured.

use serde::Deserialize;

use super::set::SpokenTurn;
use crate::session::Role;

/// The questions and answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Those that are learned again.
    pub replayed: Vec<Vec<SpokenTurn>>,
    /// Those that are measured.
    pub measured: Vec<Vec<SpokenTurn>>,
}

#[derive(Deserialize)]
struct Line {
    question: String,
    answer: String,
}

impl Anchor {
    /// The set of this build.
    pub fn load() -> Self {
        let mut anchor = Anchor { replayed: Vec::new(), measured: Vec::new() };
        for (at, line) in include_str!("anchor.jsonl").lines().enumerate() {
            let Ok(Line { question, answer }) = serde_json::from_str(line) else { continue };
            let chat = vec![
                SpokenTurn { role: Role::User, text: question, learn: false },
                SpokenTurn { role: Role::Assistant, text: answer, learn: true },
            ];
            // Related ones stand together, so every third is a sample of all kinds.
            if at % 3 == 1 { anchor.measured.push(chat) } else { anchor.replayed.push(chat) }
        }
        anchor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::signature;

    #[test]
    fn there_are_sixty_or_so_and_none_is_both_learned_and_measured() {
        let Anchor { replayed, measured } = Anchor::load();
        assert_eq!((replayed.len(), measured.len()), (44, 22));
        let signatures = |chats: &[Vec<SpokenTurn>]| -> Vec<u64> {
            chats.iter().map(|chat| signature(&chat[0].text, &chat[1].text)).collect()
        };
        let replayed = signatures(&replayed);
        for measured in signatures(&measured) {
            assert!(replayed.iter().all(|one| (one ^ measured).count_ones() > 3));
        }
    }
}
