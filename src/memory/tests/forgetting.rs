//! That what is taken out of memory.db is in none of its bytes, and that nobody is told what others said.

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{Chat, World, chat};
use crate::memory::forget::{Blank, sessions, turns_stating};
use crate::memory::reader;
use crate::memory::recall::{Query, Recall, Weights, Whose};
use crate::session::Polarity;

const USERS: [Option<&str>; 3] = [Some("anna"), Some("bob"), None];

/// A word that stands in one turn alone.
fn word(session: usize, turn: usize) -> String {
    let letter = |number: usize| char::from(b'a' + u8::try_from(number).unwrap());
    format!("zq{}x{}q", letter(session), letter(turn))
}

fn told(number: usize, user: usize, turns: usize) -> Chat {
    let mut chat = chat(&format!("s{number}")).user(USERS[user]).examples(&[number as u64]);
    for turn in 0..turns {
        let word = word(number, turn);
        chat = chat.says(&format!("the ferry to {word} was late")).is("lives_in", &word);
        chat = chat.wants(Polarity::For, &word).answers("the ferry is often late");
    }
    chat
}

/// Every byte of the database and of what stands beside it.
fn bytes(world: &World) -> Vec<u8> {
    let files = std::fs::read_dir(world.folder.path()).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn what_was_forgotten_is_in_no_byte_and_the_rest_is_found_as_before(
        chats in vec((0..USERS.len(), 1..4usize), 1..6),
        indexed in 0..6usize,
        which in 0..6usize,
        turns in proptest::option::of(vec(0..4usize, 1..3)),
    ) {
        let mut world = World::new();
        for (number, (user, turns)) in chats.iter().enumerate() {
            world.store(told(number, *user, *turns));
        }
        world.writer.index_some(indexed).unwrap();
        let known = sessions(world.conn()).unwrap();
        let which = which % chats.len();
        let gone: BTreeSet<usize> = turns.iter().flatten().map(|turn| turn % chats[which].1).collect();
        let mut batch = world.writer.begin().unwrap();
        let removed = match &turns {
            None => batch.forget(&known[which].identity).unwrap(),
            Some(_) => {
                let blank = Blank { turns: gone.iter().map(|turn| 2 * turn).collect(), examples: true, ..Blank::default() };
                batch.blank(&known[which].identity, &blank).unwrap()
            }
        };
        batch.forget_empty_users().unwrap();
        batch.commit().unwrap();
        world.writer.scour().unwrap();
        let is_gone = |number: usize, turn: usize| number == which && (turns.is_none() || gone.contains(&turn));
        prop_assert_eq!(removed.facts, (0..chats[which].1).filter(|turn| is_gone(which, *turn)).count() as u64);
        world.index_all();
        let bytes = bytes(&world);
        for (number, (_, turns)) in chats.iter().enumerate() {
            for turn in 0..*turns {
                let word = word(number, turn);
                let there = usize::from(!is_gone(number, turn));
                prop_assert_eq!(world.hits(&word), there);
                prop_assert_eq!(memchr::memmem::find(&bytes, word.as_bytes()).is_some(), there == 1, "{}", word);
            }
        }
        prop_assert_eq!(reader::quick_check(world.conn()).unwrap(), Vec::<String>::new());
        let behind = world.count("SELECT count(*) FROM index_users i WHERE turns <> (SELECT count(*) FROM messages m
            JOIN sessions s ON s.id = m.session WHERE s.user = i.user AND m.text <> '')");
        prop_assert_eq!(behind, 0);
    }

    #[test]
    fn recall_never_tells_one_user_what_another_said(
        chats in vec((0..USERS.len(), vec(0..6usize, 1..5)), 1..8),
        asked in vec(0..6usize, 1..3),
        whose in 0..USERS.len(),
    ) {
        const WORDS: [&str; 6] = ["ferry", "kettle", "dinner", "vegan", "Ljubljana", "last week"];
        let mut world = World::new();
        for (number, (user, said)) in chats.iter().enumerate() {
            let mut chat = chat(&format!("s{number}")).user(USERS[*user]).on("2024-06-05T10:00:00");
            for word in said {
                chat = chat.says(&format!("I always want {} there", WORDS[*word])).is("lives_in", WORDS[*word]);
                chat = chat.wants(Polarity::For, WORDS[*word]);
            }
            world.store(chat);
        }
        world.index_all();
        let text = asked.iter().map(|word| WORDS[*word]).collect::<Vec<_>>().join(" ") + " what should I cook?";
        let query = Query {
            text: &text,
            whose: USERS[whose].map_or(Whose::Unnamed, Whose::Named),
            limit: 100,
            since: None,
            now: "2024-06-12T15:00:00Z".parse::<Timestamp>().unwrap(),
            weights: Weights::default(),
        };
        for hit in Recall::default().find(world.conn(), &query).unwrap() {
            prop_assert_eq!(hit.user_id.as_deref(), USERS[whose]);
        }
    }
}

#[test]
fn a_fact_is_stated_by_all_turns_of_its_user_that_give_the_same_value() {
    let mut world = World::new();
    let home = |id: &str| chat(id).says("hello").says("I live in Koper").is("lives_in", "Koper");
    world.store(home("a"));
    world.store(home("b"));
    world.store(home("c").user(Some("bob")));
    world.store(chat("d").says("I live in Piran").is("lives_in", "Piran"));
    let fact = world.count("SELECT min(id) FROM facts");
    let turns = turns_stating(world.conn(), fact).unwrap().unwrap();
    assert_eq!(turns.into_values().collect::<Vec<_>>(), [BTreeSet::from([1]), BTreeSet::from([1])]);
    assert_eq!(turns_stating(world.conn(), -7).unwrap(), None);
}

#[test]
fn notes_of_a_session_keep_nothing_of_the_turns_that_went() {
    let mut world = World::new();
    let mut secret = chat("a").says("the heron project starts in May").says("a kettle whistles");
    secret.session.metadata.insert("title".into(), "About the Heron Project".into());
    secret.session.metadata.insert("tag".into(), "kept".into());
    world.store(secret);
    let sql = "UPDATE sessions SET key_phrases = '[{\"text\":\"heron project\",\"score\":1},{\"text\":\"kettle\",\"score\":1}]',
               patterns = '{\"messages\":2,\"feedback\":[{\"kind\":\"x\",\"quote\":{\"message\":0,\"text\":\"heron\"}},{\"kind\":\"y\",\"quote\":{\"message\":1,\"text\":\"kettle\"}}]}',
               extra = '{\"summary\":\"of herons\"}'";
    world.conn().execute(sql, []).unwrap();
    let identity = sessions(world.conn()).unwrap()[0].identity;
    let matching = regex::RegexBuilder::new("heron project").case_insensitive(true).build().unwrap();
    let mut batch = world.writer.begin().unwrap();
    let blank = Blank { turns: BTreeSet::from([0]), matching: Some(&matching), ..Blank::default() };
    assert_eq!(batch.blank(&identity, &blank).unwrap().messages, 1);
    batch.commit().unwrap();
    let all = world.text("SELECT metadata || key_phrases || patterns || ifnull(extra, '') FROM sessions");
    assert!(!all.to_lowercase().contains("heron") && all.contains("kept") && all.contains("kettle"), "{all}");
    assert_eq!(world.count("SELECT text_bytes FROM sessions"), 17);
}
