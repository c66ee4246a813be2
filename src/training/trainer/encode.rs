//! Chats to tokens, with the assistant's words marked as what is to be learned.

use crate::session::Role;
use crate::training::set::SpokenTurn;
use crate::training::tokenizer::{ChatTemplate, ChatTurn, TemplateError, Tokenizer};

/// Tokens of a chat, or of a part of it that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// Which of them are to be learned.
    pub learn: Vec<bool>,
}

/// What came of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// The parts, each of whole exchanges.
    pub examples: Vec<Example>,
    /// Exchanges left out since one alone is longer than allowed.
    pub too_long: usize,
}

/// A base model's way of writing chats.
#[derive(Debug)]
pub struct Encoder {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    longest: usize,
}

impl Encoder {
    /// Examples have at most `longest` tokens.
    pub fn new(tokenizer: Tokenizer, template: ChatTemplate, longest: usize) -> Self {
        Encoder { tokenizer, template, longest }
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat as examples. A chat that is too long is cut between exchanges, never inside a turn; the system
    /// message stands before each part.
    pub fn encode(&self, chat: &[SpokenTurn]) -> Result<Encoded, TemplateError> {
        let systems = chat.iter().take_while(|turn| turn.role == Role::System).count();
        let (system, rest) = chat.split_at(systems);
        let mut encoded = Encoded::default();
        let mut part: Vec<&[SpokenTurn]> = Vec::new();
        let mut fits: Option<Example> = None;
        for exchange in exchanges(rest) {
            part.push(exchange);
            let tried = self.part(system, &part)?;
            if tried.tokens.len() <= self.longest {
                fits = Some(tried);
                continue;
            }
            encoded.examples.extend(fits.take());
            part = vec![exchange];
            let alone = self.part(system, &part)?;
            if alone.tokens.len() <= self.longest {
                fits = Some(alone);
            } else {
                encoded.too_long += 1;
                part.clear();
            }
        }
        encoded.examples.extend(fits);
        encoded.examples.retain(|example| example.learn.iter().any(|learn| *learn));
        Ok(encoded)
    }

    fn part(&self, system: &[SpokenTurn], exchanges: &[&[SpokenTurn]]) -> Result<Example, TemplateError> {
        let turns: Vec<&SpokenTurn> = system.iter().chain(exchanges.iter().copied().flatten()).collect();
        let chat: Vec<ChatTurn> = turns.iter().map(|turn| self.harmless(turn)).collect();
        let mut example = Example { tokens: Vec::new(), learn: Vec::new() };
        let whole = self.template.render(&chat, false)?;
        let mut done = 0;
        for (index, turn) in turns.iter().enumerate() {
            if turn.role != Role::Assistant || !turn.learn {
                continue;
            }
            // What the model sees when it is to answer, and the chat with its answer: the difference is what it
            // should have said. Templates that rewrite earlier turns have no such place there; those are context.
            let asked = self.template.render(&chat[..index], true)?;
            let answered = self.template.render(&chat[..=index], false)?;
            let fits = asked.len() >= done && whole.starts_with(&answered) && answered.starts_with(&asked);
            if !fits {
                continue;
            }
            self.push(&mut example, &whole[done..asked.len()], false);
            self.push(&mut example, &whole[asked.len()..answered.len()], true);
            done = answered.len();
        }
        if let Some(bos) = self.tokenizer.bos().filter(|bos| example.tokens.first() != Some(bos)) {
            example.tokens.insert(0, bos);
            example.learn.insert(0, false);
        }
        Ok(example)
    }

    /// What was said cannot speak the template's own signs.
    fn harmless(&self, turn: &SpokenTurn) -> ChatTurn {
        ChatTurn { role: turn.role, content: self.tokenizer.defuse(&turn.text).into_owned() }
    }

    /// Appends a stretch of text. Of what is learned, everything after the end of the turn is not.
    fn push(&self, example: &mut Example, text: &str, learn: bool) {
        let tokens = self.tokenizer.encode_rendered(text);
        let end = tokens.iter().rposition(|token| self.tokenizer.ends_turn(*token));
        let last = end.unwrap_or(tokens.len());
        example.learn.extend((0..tokens.len()).map(|at| learn && at <= last));
        example.tokens.extend(tokens);
    }
}

/// Runs of turns that end where the assistant has spoken last.
fn exchanges(turns: &[SpokenTurn]) -> impl Iterator<Item = &[SpokenTurn]> {
    turns.chunk_by(|one, next| one.role != Role::Assistant || next.role == Role::Assistant)
}
