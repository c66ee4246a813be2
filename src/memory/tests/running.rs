//! What is stored of chats that still run.

use jiff::Timestamp;

use super::world::{Chat, World, chat};
use crate::memory::provisional::{Ground, Piece, learned_as, tokens};
use crate::memory::{Writer, index, reader};
use crate::session::Keep;
use crate::session::Polarity::For;

/// Stores messages from `first` on; the row, or `None` where the ground is another.
fn piece(world: &mut World, token: &str, chat: &Chat, first: usize, ground: Ground) -> Option<i64> {
    let (envelope, keep) = (chat.clone().envelope(), Keep::default());
    let piece = Piece { token, envelope: &envelope, keep: &keep, first, before: 0 };
    let mut batch = world.writer.begin().unwrap();
    let row = batch.store_piece(&piece, ground, Timestamp::from_second(1_700_000_000).unwrap()).unwrap();
    batch.commit().unwrap();
    row
}

fn on(pieces: usize) -> Ground {
    Ground { learned: None, pieces }
}

/// Rows of every table that holds something of sessions.
fn rows(world: &World) -> i64 {
    world.count(
        "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM messages) + (SELECT count(*) FROM facts)
              + (SELECT count(*) FROM preferences) + (SELECT count(*) FROM live) + (SELECT count(*) FROM index_terms)
              + (SELECT count(*) FROM index_recent)",
    )
}

#[test]
fn pieces_hold_until_the_session_is_stored_and_count_as_nothing_learned() {
    let mut world = World::new();
    let begun = chat("a").says("I live in Rome").is("lives_in", "Rome").answers("Nice");
    piece(&mut world, "t", &begun, 0, on(0)).unwrap();
    let whole = begun.says("I like tea").wants(For, "tea");
    piece(&mut world, "t", &whole, 2, on(1)).unwrap();
    world.index_all();
    assert_eq!(
        (world.facts("anna"), world.preferences("anna")),
        (vec!["lives_in=Rome".into()], vec!["+tea*1".into()])
    );
    assert_eq!((world.hits("rome"), world.hits("tea"), world.hits("nice")), (1, 1, 1));
    assert_eq!(world.count("SELECT group_concat(message, '') = '012' FROM messages"), 1, "each at its place");
    assert_eq!(reader::counts(world.conn()).unwrap().sessions, 0);
    assert_eq!(world.count("SELECT count(*) FROM session_memories"), 0);

    let stored = world.store(whole.clone());
    assert_eq!((stored.new_messages, stored.new_facts, stored.new_preferences), (3, 1, 1));
    assert!(!stored.replaced && !stored.unchanged);
    world.index_all();
    assert_eq!(
        (world.facts("anna"), world.preferences("anna")),
        (vec!["lives_in=Rome".into()], vec!["+tea*1".into()])
    );
    assert_eq!((world.hits("rome"), world.count("SELECT count(*) FROM live")), (1, 0));
    assert_eq!(world.count("SELECT turns FROM index_users"), 3, "the index counts each turn once");
    assert!(world.remove(whole));
    assert_eq!(rows(&world), 0);
}

#[test]
fn what_a_chat_said_that_ends_unlearned_goes_without_a_trace() {
    let mut world = World::new();
    piece(&mut world, "t", &chat("a").says("I live in Rome").is("lives_in", "Rome"), 0, on(0)).unwrap();
    piece(
        &mut world,
        "u",
        &chat("b").user(Some("bob")).says("I live in Oslo").is("lives_in", "Oslo"),
        0,
        on(0),
    );
    world.index_all();
    assert_eq!(tokens(world.conn()).unwrap(), ["t", "u"]);
    let mut batch = world.writer.begin().unwrap();
    assert_eq!((batch.remove_live("t").unwrap(), batch.remove_live("none").unwrap()), (1, 0));
    batch.commit().unwrap();
    assert_eq!((world.facts("anna"), world.hits("rome"), world.hits("oslo")), (vec![], 0, 1));
    assert_eq!(world.text("SELECT group_concat(user_id) FROM users"), "bob");
}

#[test]
fn on_other_ground_than_was_thought_nothing_is_stored() {
    let mut world = World::new();
    let said = chat("a").says("I live in Rome").is("lives_in", "Rome");
    assert_eq!(piece(&mut world, "t", &said, 0, on(1)), None, "its earlier pieces are gone");
    world.store(said.clone());
    assert_eq!(piece(&mut world, "t", &said, 0, on(0)), None, "the session was learned meanwhile");
    let (row, _) = learned_as(world.conn(), &said.clone().envelope().identity).unwrap().unwrap();
    let more = said.says("I like tea").wants(For, "tea");
    piece(&mut world, "t", &more, 1, Ground { learned: Some(row), pieces: 0 }).unwrap();
    assert_eq!((world.facts("anna").len(), world.preferences("anna")), (1, vec!["+tea*1".into()]));
    assert_eq!(world.count("SELECT max(mentions) FROM facts_now"), 1);
    world.store(more);
    assert_eq!(world.count("SELECT max(mentions) FROM preferences_now"), 1);
}

#[test]
fn a_database_from_before_there_were_pieces_is_given_their_table() {
    let mut world = World::new();
    world.conn().execute_batch("DROP TABLE live").unwrap();
    world.writer = Writer::open_beside(&world.path()).unwrap();
    piece(&mut world, "t", &chat("a").says("Rome"), 0, on(0)).unwrap();
    assert!(index::is_behind(world.conn()).unwrap());
}
