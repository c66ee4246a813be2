use super::world::{World, chat};
use crate::memory::reader::{self, Counts};
use crate::session::{KeyPhrase, Polarity, Role, Topic};

#[test]
fn the_same_session_twice_changes_nothing() {
    let mut world = World::new();
    let told = chat("a").says("I live in Berlin").is("lives_in", "Berlin").answers("Nice").examples(&[7]);
    let first = world.store(told.clone());
    assert_eq!((first.new_messages, first.new_facts, first.new_items), (2, 1, 3));
    let again = world.store(told);
    assert!(again.unchanged && !again.replaced);
    // What was new the first time is told again: a crash may have kept it from being counted.
    assert_eq!((again.session_row, again.new_facts, again.new_items), (first.session_row, 1, 3));
    let counts = reader::counts(world.conn()).unwrap();
    let expected = Counts {
        sessions: 1,
        messages: 2,
        text_bytes: 20,
        facts: 1,
        examples: 1,
        users: 1,
        items: 3,
        index_behind: true,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn what_a_run_stored_that_was_cut_off_before_it_counted_is_counted_by_whatever_comes_in_its_place() {
    let counted = chat("a").says("I live in Berlin").is("lives_in", "Berlin").answers("Nice");
    let longer = counted.clone().says("I own a bike").is("owns", "a bike").answers("Good");
    let longest = longer.clone().says("And a car").is("owns", "a car").answers("Better");
    let mut world = World::new();
    world.store(counted.clone());
    let first = counted.envelope().key.0;
    let only_first = |key: &[u8]| key == first;
    let mut items = 3;
    // The first of these is cut off; the one that comes is longer, or shorter, or it again.
    for (cut_off, comes, new) in
        [(&longer, &longest, (4, 2)), (&longest, &longer, (2, 1)), (&longer, &longer, (2, 1))]
    {
        for (chat, new) in [(cut_off, None), (comes, Some(new))] {
            let envelope = chat.clone().envelope();
            let mut batch = world.writer.begin().unwrap();
            let stored =
                batch.store_over(&envelope, jiff::Timestamp::UNIX_EPOCH, false, &only_first).unwrap();
            batch.commit().unwrap();
            if let Some(new) = new {
                assert_eq!((stored.new_messages, stored.new_facts), new);
                items = 3 + new.0 + new.1;
            }
        }
        assert_eq!(reader::counts(world.conn()).unwrap().items, items);
        assert_eq!(reader::remembered(world.conn()).unwrap()[0].items, items);
    }
}

#[test]
fn a_revision_takes_its_place_everywhere_and_counts_only_what_it_adds() {
    let mut world = World::new();
    let short = chat("a").says("I play the cello").has("hobby", "cello").answers("Lovely").examples(&[1, 2]);
    world.store(short.clone());
    world.index_all();
    let long = short.says("no more emojis please").wants(Polarity::Against, "emojis").examples(&[1, 2, 3]);
    let stored = world.store(long);
    assert!(stored.replaced);
    assert_eq!((stored.new_messages, stored.new_facts, stored.new_preferences), (1, 0, 1));
    let counts = reader::counts(world.conn()).unwrap();
    assert_eq!((counts.sessions, counts.messages, counts.facts, counts.examples), (1, 3, 1, 3));
    assert_eq!(counts.items, 5, "three of the first revision, two of the second");
    assert_eq!(world.hits("cello"), 0, "the earlier turn left the index at once");
    world.index_all();
    assert_eq!((world.hits("cello"), world.hits("emoji")), (1, 1));
}

#[test]
fn only_what_the_user_never_said_before_is_new() {
    let mut world = World::new();
    world.store(chat("a").says("x").wants(Polarity::For, "tea").has("hobby", "chess"));
    let stored = world.store(
        chat("b")
            .says("y")
            .wants(Polarity::For, "tea")
            .wants(Polarity::Against, "tea")
            .wants(Polarity::Against, "tea")
            .has("hobby", "Chess")
            .has("pet", "chess"),
    );
    assert_eq!((stored.new_preferences, stored.new_facts), (1, 1));
    let other = world.store(chat("c").user(None).says("z").wants(Polarity::For, "tea"));
    assert_eq!(other.new_preferences, 1, "another user");
}

#[test]
fn a_batch_that_is_given_up_leaves_nothing() {
    let mut world = World::new();
    let mut batch = world.writer.begin().unwrap();
    batch.store(&chat("a").says("hello").envelope(), jiff::Timestamp::UNIX_EPOCH, false).unwrap();
    drop(batch);
    assert_eq!(reader::counts(world.conn()).unwrap(), Counts::default());
    assert_eq!(world.store(chat("a").says("hello")).new_messages, 1);
}

#[test]
fn a_session_taken_back_leaves_no_row_and_no_hit() {
    let mut world = World::new();
    let secret =
        chat("a").says("zanzibar").is("lives_in", "zanzibar").wants(Polarity::For, "zanzibar").examples(&[9]);
    world.store(secret.clone());
    world.store(chat("b").says("zanzibar too"));
    world.index_all();
    assert_eq!(world.hits("zanzibar"), 2);
    assert!(world.remove(secret.clone()));
    assert!(!world.remove(secret));
    assert_eq!(world.hits("zanzibar"), 1);
    let counts = reader::counts(world.conn()).unwrap();
    assert_eq!((counts.sessions, counts.facts, counts.preferences, counts.examples), (1, 0, 0, 0));
    assert_eq!(reader::quick_check(world.conn()).unwrap(), Vec::<String>::new());
}

#[test]
fn row_numbers_are_not_used_again() {
    let mut world = World::new();
    let first = world.store(chat("a").says("one")).session_row;
    world.index_all();
    world.remove(chat("a"));
    let second = world.store(chat("b").says("two")).session_row;
    assert!(second > first, "or the index would believe to have it already");
    world.index_all();
    assert_eq!(world.hits("two"), 1);
}

#[test]
fn the_index_follows_in_steps_and_says_how_far_it_is() {
    let mut world = World::new();
    for id in ["a", "b", "c", "d", "e"] {
        world.store(chat(id).says("pelican"));
    }
    assert_eq!(world.writer.index_some(2).unwrap(), 3);
    assert_eq!(world.hits("pelicans"), 2, "words are found by their stem");
    assert_eq!(world.writer.index_some(100).unwrap(), 0);
    assert_eq!(world.writer.index_some(100).unwrap(), 0);
    assert_eq!(world.hits("pelicans"), 5);
    crate::memory::index::restart(world.conn()).unwrap();
    assert_eq!(world.hits("pelicans"), 0);
    world.index_all();
    assert_eq!(world.hits("pelicans"), 5);
}

#[test]
fn another_process_can_bring_the_index_up_to_date() {
    let mut world = World::new();
    world.store(chat("a").says("pelican"));
    let other = crate::memory::Writer::open(&world.path()).unwrap();
    crate::memory::index::catch_up(other.connection()).unwrap();
    assert_eq!(world.hits("pelican"), 1);
}

#[test]
fn a_summary_shows_what_was_learned_with_the_words_that_prove_it() {
    let mut world = World::new();
    let mut told =
        chat("a").says("Grüße! Ich wohne in Köln.").is("lives_in", "Köln").wants(Polarity::For, "köln");
    let quote = &mut told.facts[0].quote;
    let from = quote.text.find("Köln").unwrap();
    (quote.start, quote.end, quote.text) = (from, from + "Köln".len(), "Köln".to_owned());
    let mut envelope = told.envelope();
    envelope.learned.topics = vec![Topic { name: "travel".to_owned(), score: 1.0, messages: vec![0] }];
    envelope.learned.key_phrases = vec![KeyPhrase { text: "köln".to_owned(), score: 2.0 }];
    envelope.learned.redactions.insert("email".to_owned(), 2);
    let mut batch = world.writer.begin().unwrap();
    let row = batch.store(&envelope, jiff::Timestamp::UNIX_EPOCH, false).unwrap().session_row;
    batch.commit().unwrap();
    assert_eq!(reader::latest_sessions(world.conn(), 10).unwrap(), [row]);
    let summary = reader::summary(world.conn(), row).unwrap().unwrap();
    assert_eq!(summary.facts[0].quote, "Köln");
    assert_eq!(summary.preferences[0].quote, "Grüße! Ich wohne in Köln.");
    assert_eq!((summary.topics, summary.key_phrases), (vec!["travel".to_owned()], vec!["köln".to_owned()]));
    assert_eq!(summary.redactions["email"], 2);
    assert_eq!(reader::summary(world.conn(), row + 1).unwrap(), None);
}

#[test]
fn the_view_of_the_old_daemon_is_there() {
    let mut world = World::new();
    let mut told = chat("a").on("2024-05-01T10:00:00").says("tea").wants(Polarity::Against, "tea");
    told = told.says("tea after all").wants(Polarity::For, "tea").is("name", "Anna");
    world.store(told);
    let row = "SELECT session_id || ' ' || topics || ' ' || preferences || ' ' || message_count FROM session_memories";
    assert_eq!(world.text(row), r#"a [] {"tea":true} 2"#);
    assert_eq!(world.text("SELECT timestamp FROM session_memories"), "2023-11-14T22:13:21.000Z");
    let data: serde_json::Value =
        serde_json::from_str(&world.text("SELECT data FROM session_memories")).unwrap();
    assert_eq!(data["start_time"], "2024-05-01T10:00:00");
    assert_eq!(data["facts"], serde_json::json!([{"attribute": "name", "value": "Anna"}]));
}

#[test]
fn roles_that_are_not_kept_leave_their_place_but_not_their_words() {
    let mut world = World::new();
    let mut told = chat("a").says("hello").answers("pelican").says("bye");
    told.keep.as_mut().unwrap().roles = vec![Role::User];
    assert_eq!(world.store(told).new_messages, 3);
    world.index_all();
    assert_eq!(world.hits("pelican"), 0);
    assert_eq!(
        world.text("SELECT group_concat(role || ':' || text) FROM turns"),
        "user:hello,assistant:,user:bye"
    );
}

#[test]
fn without_the_memory_stage_only_the_signatures_are_kept() {
    let mut world = World::new();
    let mut told = chat("a").says("hello").has("hobby", "chess").examples(&[u64::MAX, 3]);
    told.keep = None;
    let stored = world.store(told.clone());
    assert_eq!(stored.new_items, 0);
    let mut found = Vec::new();
    reader::signatures(world.conn(), |_, signature| found.push(signature)).unwrap();
    assert_eq!(found, [u64::MAX, 3]);
    assert_eq!(world.count("SELECT count(*) FROM messages"), 0);
    assert_eq!(world.count("SELECT count(*) FROM session_memories"), 0);
    told.session.session_id = "b".to_owned();
    told.signatures.clear();
    assert_eq!(world.store(told.clone()).session_row, 0, "nothing to store");
    assert_eq!(world.count("SELECT count(*) FROM sessions"), 1);
    told.session.session_id = "a".to_owned();
    assert!(world.store(told.says("a revision without examples")).replaced);
    assert_eq!(world.count("SELECT count(*) FROM examples"), 0);
}

#[test]
fn a_session_is_written_anew_on_request() {
    let mut world = World::new();
    let told = chat("a").says("I play chess");
    world.store(told.clone());
    let mut batch = world.writer.begin().unwrap();
    let learned_more = told.has("hobby", "chess").envelope();
    let stored = batch.store(&learned_more, jiff::Timestamp::UNIX_EPOCH, true).unwrap();
    batch.commit().unwrap();
    assert!(stored.replaced);
    assert_eq!((stored.new_messages, stored.new_facts), (0, 1));
    assert_eq!(reader::counts(world.conn()).unwrap().messages, 1);
}

#[test]
fn what_was_taken_back_can_be_wiped_from_the_files() {
    let mut world = World::new();
    world.store(chat("a").says("pelican"));
    let secret = chat("b").says("zanzibar").is("lives_in", "zanzibar");
    world.store(secret.clone());
    world.store(chat("c").says("pelican"));
    while world.writer.index_some(1).unwrap() > 0 {}
    world.remove(secret);
    world.conn().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(memchr::memmem::find(&bytes, b"zanzib").is_none());
    }
    world.index_all();
    assert_eq!(world.hits("pelican"), 2);
}
