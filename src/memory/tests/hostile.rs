use super::world::{World, chat};
use crate::memory::{MESSAGES_MAX, MemoryError, reader};
use crate::session::{Message, Polarity, Role};

const NASTY: [&str; 8] = [
    "",
    "'; DROP TABLE sessions; --",
    "\"quoted\" [bracket] `tick`",
    "nul \0 inside",
    "../../etc/passwd",
    "{\"json\": [1, null]} %s ?1 :name @x $y",
    "\u{feff}\u{202e}emoji 👩‍👩‍👧 and \u{1}\u{7f} controls",
    "NEAR(a OR b) AND NOT * ^ : -col",
];

#[test]
fn ids_and_texts_of_any_kind_come_back_as_they_were() {
    let mut world = World::new();
    for nasty in NASTY {
        let mut told = chat(nasty).user(Some(nasty)).says(nasty).is(nasty, nasty).wants(Polarity::For, nasty);
        told.session.messages[0].name = Some(nasty.to_owned());
        told.session.messages[0].id = Some(nasty.to_owned());
        told.session.metadata.insert(nasty.to_owned(), nasty.into());
        let stored = world.store(told);
        assert_eq!((stored.new_items, stored.unproven), (3, 0), "{nasty:?}");
        let summary = reader::summary(world.conn(), stored.session_row).unwrap().unwrap();
        assert_eq!(summary.session_id, nasty);
        assert_eq!(
            (&summary.facts[0].value, &summary.facts[0].quote),
            (&nasty.to_owned(), &nasty.to_owned())
        );
        assert_eq!(summary.preferences[0].object, nasty);
        assert_eq!(world.facts(nasty), [format!("{nasty}={nasty}")]);
    }
    world.index_all();
    assert_eq!(
        world.count("SELECT count(*) FROM session_memories WHERE json_valid(data)"),
        NASTY.len() as i64
    );
    assert_eq!(
        world.count("SELECT count(*) FROM session_memories WHERE json_valid(preferences)"),
        NASTY.len() as i64
    );
    assert_eq!(reader::quick_check(world.conn()).unwrap(), Vec::<String>::new());
}

#[test]
fn a_message_of_ten_megabytes_is_stored_quoted_and_indexed() {
    let mut world = World::new();
    let long = format!("{} ü last", "filler ".repeat(10 << 17));
    let mut told = chat("a").says(&long).is("name", "last");
    let quote = &mut told.facts[0].quote;
    (quote.start, quote.text) = (quote.end - 4, "last".to_owned());
    let stored = world.store(told);
    world.index_all();
    assert_eq!(world.hits("last"), 1);
    let summary = reader::summary(world.conn(), stored.session_row).unwrap().unwrap();
    assert_eq!(summary.facts[0].quote, "last");
}

#[test]
fn what_its_quote_does_not_prove_is_left_out_and_counted() {
    let mut world = World::new();
    let mut told = chat("a").says("I live in Köln");
    for (message, start, end, text) in [
        (1, 0, 1, "I"),
        (0, 0, 99, "I"),
        (0, 12, 13, "?"),
        (0, 9, 2, ""),
        (0, 10, 15, "Paris"),
        (0, 0, usize::MAX, ""),
    ] {
        told = told.is("lives_in", "Köln").wants(Polarity::For, "köln");
        let quote = crate::session::Quote { message, start, end, text: text.to_owned() };
        told.facts.last_mut().unwrap().quote = quote.clone();
        told.preferences.last_mut().unwrap().quote = quote;
    }
    told = told.is("lives_in", "Köln");
    told.facts.last_mut().unwrap().confidence = f64::NAN;
    let stored = world.store(told);
    assert_eq!((stored.new_facts, stored.new_preferences, stored.unproven), (1, 0, 12));
}

#[test]
fn a_session_that_cannot_be_numbered_is_refused_before_anything_is_written() {
    let mut world = World::new();
    let mut endless = chat("a").envelope();
    endless.session.messages = vec![Message::new(Role::User, ""); MESSAGES_MAX + 1];
    let mut batch = world.writer.begin().unwrap();
    let error = batch.store(&endless, jiff::Timestamp::UNIX_EPOCH, false).unwrap_err();
    assert!(matches!(error, MemoryError::TooMany { what: "messages", .. }), "{error}");
    batch.store(&chat("b").says("hello").envelope(), jiff::Timestamp::UNIX_EPOCH, false).unwrap();
    batch.commit().unwrap();
    assert_eq!(reader::counts(world.conn()).unwrap().messages, 1);
}
