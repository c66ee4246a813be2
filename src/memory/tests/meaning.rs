//! Recall by meaning, with made-up vectors of words.

use std::path::PathBuf;

use jiff::Timestamp;

use super::world::{World, chat};
use crate::memory::Writer;
use crate::memory::embedding::{WordVectors, pull};
use crate::memory::recall::{Hit, Memory, Query, Weights, Whose};

/// Sea and beach mean much the same, tax and ledger something else.
fn vectors(world: &World, sea: [f32; 4]) -> PathBuf {
    let words = [
        ("sea", sea),
        ("beach", [1.0, 0.5, 0.0, 0.0]),
        ("tax", [0.0, 0.0, 1.0, 0.0]),
        ("ledger", [0.0, 0.0, 1.0, 0.5]),
    ];
    pull::tests::made_up(world.folder.path(), &words)
}

const SEA: [f32; 4] = [1.0, 0.0, 0.0, 0.0];

fn ask(world: &World, vectors: Option<PathBuf>, user: &str, text: &str) -> Vec<Hit> {
    let mut memory = Memory::open(&world.path()).unwrap().unwrap();
    if let Some(path) = vectors {
        memory = memory.with_meanings(WordVectors::open(&path).unwrap());
    }
    memory.refresh().unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let query =
        Query { text, whose: Whose::Named(user), limit: 9, since: None, now, weights: Weights::default() };
    memory.find(&query).unwrap()
}

fn places(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.session_id.as_str()).collect()
}

fn world() -> World {
    let mut world = World::new();
    world.store(chat("shore").says("sea"));
    world.store(chat("books").says("ledger"));
    world.store(chat("other").user(Some("bert")).says("sea"));
    world
}

#[test]
fn what_means_the_same_is_found_in_other_words_and_nobody_elses() {
    let world = world();
    let path = vectors(&world, SEA);
    assert_eq!(places(&ask(&world, None, "anna", "beach")), Vec::<&str>::new());
    let hits = ask(&world, Some(path.clone()), "anna", "beach");
    assert_eq!(places(&hits), ["shore"]);
    assert!(hits[0].parts.unwrap().meaning > 0.0 && hits[0].parts.unwrap().turn == 0.0);
    assert_eq!(places(&ask(&world, Some(path.clone()), "anna", "tax")), ["books"]);
    assert_eq!(places(&ask(&world, Some(path.clone()), "bert", "beach")), ["other"]);
    for odd in ["", "zzz", "\0\0", "\" OR *", "漢字", "the of and"] {
        assert_eq!(places(&ask(&world, Some(path.clone()), "anna", odd)), Vec::<&str>::new(), "{odd}");
    }
}

#[test]
fn meanings_follow_step_by_step_and_go_with_their_session() {
    let mut world = world();
    let path = vectors(&world, SEA);
    let rows = "SELECT count(*) FROM vectors";
    assert_eq!(world.writer.embed_some(1).unwrap(), 0, "nothing is kept where it was not asked for");
    world.writer.keep_meanings(WordVectors::open(&path).unwrap());
    assert_eq!((world.writer.embed_some(1).unwrap(), world.count(rows)), (2, 1));
    // As after a restart: it goes on where it was.
    let db = world.path();
    world.writer = Writer::open(&db).unwrap();
    world.writer.keep_meanings(WordVectors::open(&path).unwrap());
    assert_eq!((world.writer.embed_some(9).unwrap(), world.count(rows)), (0, 3));
    assert!(world.remove(chat("shore")));
    assert_eq!(world.count(rows), 2);
    world.store(chat("shore").says("tax").says("sea"));
    assert_eq!((world.writer.embed_some(9).unwrap(), world.count(rows)), (0, 3));
    assert_eq!(places(&ask(&world, Some(path), "anna", "beach")), ["shore", "shore"]);
}

#[test]
fn other_vectors_of_words_begin_anew() {
    let world = world();
    assert_eq!(places(&ask(&world, Some(vectors(&world, SEA)), "anna", "beach")), ["shore"]);
    let other = vectors(&world, [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(places(&ask(&world, Some(other), "anna", "beach")), Vec::<&str>::new());
}
