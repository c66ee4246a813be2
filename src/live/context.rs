use std::hash::{DefaultHasher, Hash, Hasher};

use crate::session::{Envelope, Message};

/// Bytes of text from which the oldest messages of a chat are let go of. What is said is understood, and redacted, in
/// the light of what was said before; of a longer chat, of its end.
const LONGEST: usize = 128 << 10;
/// Bytes of text that are left then.
const LEFT: usize = LONGEST / 2;

/// A message that was read.
#[derive(Debug)]
pub(super) struct Said {
    /// Its place in the chat.
    pub(super) ordinal: usize,
    pub(super) message: Message,
    /// Something in it was redacted: the same value may come again, and has to be known then.
    pub(super) redacted: bool,
    /// What is stored of it, as [`print`] has it.
    pub(super) stored: Option<u64>,
}

/// The messages in whose light new ones are read, oldest first. The last ones have no gaps between them.
#[derive(Debug, Default)]
pub(super) struct Context {
    pub(super) said: Vec<Said>,
    /// Messages of the chat.
    pub(super) count: usize,
}

impl Context {
    pub(super) fn add(&mut self, messages: Vec<Message>) {
        for message in messages {
            self.said.push(Said { ordinal: self.count, message, redacted: false, stored: None });
            self.count += 1;
        }
    }

    pub(super) fn messages(&self) -> Vec<Message> {
        self.said.iter().map(|said| said.message.clone()).collect()
    }

    /// The place in the chat from which on all messages are at hand.
    pub(super) fn unbroken_from(&self) -> usize {
        let mut from = self.count;
        for said in self.said.iter().rev() {
            if said.ordinal + 1 != from {
                break;
            }
            from = said.ordinal;
        }
        from
    }

    /// Where among the messages at hand one of the unbroken ones stands.
    pub(super) fn index_of(&self, ordinal: usize) -> usize {
        self.said.len().saturating_sub(self.count - ordinal.min(self.count))
    }

    /// The first message of which now something else would be stored than is.
    pub(super) fn first_changed(&self, prints: &[u64]) -> Option<usize> {
        let changed = |(said, print): &(&Said, &u64)| said.stored.is_some_and(|stored| stored != **print);
        self.said.iter().zip(prints).find(changed).map(|(said, _)| said.ordinal)
    }

    /// Notes what was found and stored of each message, from `from` on all of them, and lets go of the oldest.
    pub(super) fn note(&mut self, envelope: &Envelope, prints: &[u64], from: usize) {
        for ((said, now), print) in self.said.iter_mut().zip(&envelope.session.messages).zip(prints) {
            said.redacted |= said.message.text != now.text;
            if said.ordinal >= from || said.stored.is_some() {
                said.stored = Some(*print);
            }
        }
        self.shorten();
    }

    fn shorten(&mut self) {
        let bytes = |said: &Said| said.message.text.len();
        let mut all: usize = self.said.iter().map(bytes).sum();
        if all <= LONGEST {
            return;
        }
        // What was redacted goes last, and only where there is too much of it alone.
        for redacted in [false, true] {
            self.said.retain(|said| {
                let goes = all > LEFT && said.redacted == redacted;
                all -= if goes { bytes(said) } else { 0 };
                !goes
            });
        }
    }
}

/// What there is to store of each message, as a number that changes with it.
pub(super) fn prints(envelope: &Envelope) -> Vec<u64> {
    let mut prints: Vec<DefaultHasher> = Vec::new();
    for message in &envelope.session.messages {
        let mut print = DefaultHasher::new();
        message.text.hash(&mut print);
        prints.push(print);
    }
    for fact in &envelope.learned.facts {
        if let Some(print) = prints.get_mut(fact.quote.message) {
            (&fact.attribute, &fact.value, fact.exclusive, fact.quote.start, fact.quote.end).hash(print);
        }
    }
    for preference in &envelope.learned.preferences {
        if let Some(print) = prints.get_mut(preference.quote.message) {
            let quote = &preference.quote;
            (&preference.object, preference.polarity, &preference.kind, quote.start, quote.end).hash(print);
        }
    }
    prints.iter().map(Hasher::finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{FileFacts, Role, Session};

    fn envelope(texts: &[&str]) -> Envelope {
        let messages = texts.iter().map(|text| Message::new(Role::User, *text)).collect();
        Envelope::new(Session { messages, ..Session::default() }, FileFacts::default())
    }

    #[test]
    fn a_long_chat_lets_go_of_its_beginning_but_not_of_what_was_redacted() {
        let mut context = Context::default();
        let long = "x".repeat(LONGEST / 10);
        context.add(["secret", &long].map(|text| Message::new(Role::User, text)).into());
        context.note(&envelope(&["<PASSWORD_1>", &long]), &[1, 2], 0);
        for _ in 0..10 {
            context.add(vec![Message::new(Role::User, &long)]);
            let envelope = Envelope::new(
                Session { messages: context.messages(), ..Session::default() },
                FileFacts::default(),
            );
            let prints = vec![0; context.said.len()];
            context.note(&envelope, &prints, context.count - 1);
        }
        let kept: Vec<usize> = context.said.iter().map(|said| said.ordinal).collect();
        assert_eq!(kept, [0, 7, 8, 9, 10, 11]);
        assert_eq!((context.count, context.unbroken_from(), context.index_of(8)), (12, 7, 2));
        assert_eq!(context.index_of(12), context.said.len());
    }

    #[test]
    fn what_is_stored_of_a_message_is_compared_with_what_there_is_now() {
        let mut context = Context::default();
        context.add(["a", "b"].map(|text| Message::new(Role::User, text)).into());
        let first = envelope(&["a", "b"]);
        assert_eq!(context.first_changed(&prints(&first)), None, "nothing is stored yet");
        context.note(&first, &prints(&first), 0);
        assert_eq!(context.first_changed(&prints(&first)), None);
        assert_eq!(context.first_changed(&prints(&envelope(&["a", "<NAME_1>"]))), Some(1));
    }
}
