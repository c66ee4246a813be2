use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::memory::index::{postings, recent::Recent, terms::Terms};
use crate::memory::{Stored, Writer, index, reader};
use crate::session::{
    Effect, Envelope, Fact, FileFacts, Keep, Message, Moment, Polarity, Preference, Quote, Role, Session,
};

/// A memory.db in a folder of its own.
pub(super) struct World {
    pub writer: Writer,
    pub folder: TempDir,
    /// Seconds since 1970 that the clock shows; each store takes one.
    clock: i64,
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writer = Writer::open(&folder.path().join("memory.db")).unwrap();
        World { writer, folder, clock: 1_700_000_000 }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("memory.db")
    }

    /// Stores one session in a batch of its own.
    pub(super) fn store(&mut self, chat: Chat) -> Stored {
        let mut batch = self.writer.begin().unwrap();
        self.clock += 1;
        let stored =
            batch.store(&chat.envelope(), Timestamp::from_second(self.clock).unwrap(), false).unwrap();
        batch.commit().unwrap();
        stored
    }

    pub(super) fn remove(&mut self, chat: Chat) -> bool {
        let mut batch = self.writer.begin().unwrap();
        let removed = batch.remove(&chat.envelope().identity).unwrap();
        batch.commit().unwrap();
        removed
    }

    pub(super) fn conn(&self) -> &Connection {
        self.writer.connection()
    }

    pub(super) fn count(&self, sql: &str) -> i64 {
        self.conn().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(super) fn text(&self, sql: &str) -> String {
        self.conn().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// Turns that hold a word, by the index as it is now.
    pub(super) fn hits(&self, word: &str) -> usize {
        let term = &Terms::default().distinct(word, 1)[0];
        let sql = "SELECT first, turns FROM index_terms WHERE term = ?";
        let mut statement = self.conn().prepare(sql).unwrap();
        let mut rows = statement.query([term]).unwrap();
        let mut hits = 0;
        while let Some(row) = rows.next().unwrap() {
            let (first, block): (i64, Vec<u8>) = (row.get(0).unwrap(), row.get(1).unwrap());
            postings::read(&block, first, |_, _, turns| hits += turns.len(), &mut Vec::new()).unwrap();
        }
        for (session, block) in Recent::find(self.conn(), None, [term.as_str()].into_iter()).unwrap().of(term)
        {
            postings::read(block, *session, |_, _, turns| hits += turns.len(), &mut Vec::new()).unwrap();
        }
        hits
    }

    pub(super) fn index_all(&self) {
        index::catch_up(self.conn()).unwrap();
    }

    /// `attribute=value`, with `!` before those that hold no more; sorted as they were said.
    pub(super) fn facts(&self, user: &str) -> Vec<String> {
        let held = reader::facts_history(self.conn(), Some(user)).unwrap();
        let shown = |fact: reader::FactHeld| {
            format!("{}{}={}", if fact.valid_to.is_some() { "!" } else { "" }, fact.attribute, fact.value)
        };
        held.into_iter().map(shown).collect()
    }

    /// `+object*mentions` or `-object*mentions`.
    pub(super) fn preferences(&self, user: &str) -> Vec<String> {
        let held = reader::preferences_now(self.conn(), Some(user)).unwrap();
        let shown = |it: reader::PreferenceHeld| {
            format!("{}{}*{}", if it.polarity == "for" { "+" } else { "-" }, it.object, it.mentions)
        };
        held.into_iter().map(shown).collect()
    }
}

/// A session to store, told sentence by sentence.
#[derive(Clone)]
pub(super) struct Chat {
    pub session: Session,
    pub facts: Vec<Fact>,
    pub preferences: Vec<Preference>,
    pub signatures: Vec<u64>,
    pub keep: Option<Keep>,
}

/// A session of user `anna`.
pub(super) fn chat(id: &str) -> Chat {
    let session = Session {
        session_id: id.to_owned(),
        user_id: Some("anna".to_owned()),
        app: Some("test".to_owned()),
        ..Session::default()
    };
    Chat {
        session,
        facts: Vec::new(),
        preferences: Vec::new(),
        signatures: Vec::new(),
        keep: Some(Keep::default()),
    }
}

impl Chat {
    pub(super) fn user(mut self, user: Option<&str>) -> Self {
        self.session.user_id = user.map(str::to_owned);
        self
    }

    /// When the chat began.
    pub(super) fn on(mut self, day: &str) -> Self {
        self.session.start_time = Some(Moment::parse(day).unwrap());
        self
    }

    pub(super) fn says(mut self, text: &str) -> Self {
        self.session.messages.push(Message::new(Role::User, text));
        self
    }

    pub(super) fn answers(mut self, text: &str) -> Self {
        self.session.messages.push(Message::new(Role::Assistant, text));
        self
    }

    /// When the last message was said.
    pub(super) fn at(mut self, time: &str) -> Self {
        self.session.messages.last_mut().unwrap().timestamp = Some(Moment::parse(time).unwrap());
        self
    }

    /// The whole of the last message.
    pub(super) fn quote(&self) -> Quote {
        let text = self.session.messages.last().unwrap().text.clone();
        Quote { message: self.session.messages.len() - 1, start: 0, end: text.len(), text }
    }

    /// The last message states something of which only one value can hold.
    pub(super) fn is(self, attribute: &str, value: &str) -> Self {
        self.fact(attribute, value, true)
    }

    /// The last message states something of which many values can hold.
    pub(super) fn has(self, attribute: &str, value: &str) -> Self {
        self.fact(attribute, value, false)
    }

    pub(super) fn fact(mut self, attribute: &str, value: &str, exclusive: bool) -> Self {
        self.facts.push(Fact {
            attribute: attribute.to_owned(),
            value: value.to_owned(),
            exclusive,
            confidence: 0.9,
            quote: self.quote(),
        });
        self
    }

    /// The last message is for or against something.
    pub(super) fn wants(mut self, polarity: Polarity, object: &str) -> Self {
        self.preferences.push(Preference {
            kind: "like".to_owned(),
            polarity,
            object: object.to_owned(),
            strength: 0.5,
            quote: self.quote(),
        });
        self
    }

    pub(super) fn examples(mut self, signatures: &[u64]) -> Self {
        self.signatures = signatures.to_vec();
        self
    }

    pub(super) fn envelope(self) -> Envelope {
        let mut envelope =
            Envelope::new(self.session, FileFacts { name: "chat.json".to_owned(), ..FileFacts::default() });
        envelope.learned.facts = self.facts;
        envelope.learned.preferences = self.preferences;
        envelope.effects.extend(self.keep.map(Effect::Memory));
        let examples = self.signatures.len();
        envelope.effects.push(Effect::TrainingData {
            lines: String::new(),
            examples,
            signatures: self.signatures,
            answers: Vec::new(),
        });
        envelope
    }
}
