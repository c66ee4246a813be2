use std::fs;
use std::io::ErrorKind;

use rusqlite::Connection;

use super::world::{World, chat};
use crate::memory::{Batch, MemoryError, VERSION, Writer, reader};

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let mut world = World::new();
    world.store(chat("a").says("hello"));
    let (path, folder) = (world.path(), world.folder);
    drop(world.writer);
    assert_eq!(reader::counts(&reader::open(&path).unwrap()).unwrap().messages, 1);
    assert_eq!(reader::counts(Writer::open(&path).unwrap().connection()).unwrap().messages, 1);
    drop(folder);
}

#[test]
fn a_reader_sees_what_is_committed_while_the_writer_is_at_work() {
    let mut world = World::new();
    world.store(chat("a").says("hello"));
    let other = reader::open(&world.path()).unwrap();
    let mut batch = world.writer.begin().unwrap();
    batch.store(&chat("b").says("again").envelope(), jiff::Timestamp::UNIX_EPOCH, false).unwrap();
    assert_eq!(reader::counts(&other).unwrap().sessions, 1);
    batch.commit().unwrap();
    assert_eq!(reader::counts(&other).unwrap().sessions, 2);
    assert!(other.execute("DELETE FROM sessions", []).is_err(), "it can only read");
}

#[test]
fn the_database_of_a_later_version_is_refused_and_left_as_it_is() {
    let world = World::new();
    let path = world.path();
    world.conn().pragma_update(None, "user_version", VERSION + 1).unwrap();
    let error = Writer::open(&path).unwrap_err();
    assert!(matches!(error, MemoryError::Newer { found, .. } if found == VERSION + 1), "{error}");
    assert!(error.hint().is_some());
    assert!(matches!(reader::open(&path), Err(MemoryError::Newer { .. })));
}

#[test]
fn the_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE session_memories (id)").unwrap();
    assert!(matches!(Writer::open(&path), Err(MemoryError::Foreign { .. })));
}

#[test]
fn a_damaged_file_is_told_from_other_trouble() {
    let mut world = World::new();
    for number in 0..40 {
        world.store(chat(&format!("session {number}")).says(&"word ".repeat(2000)));
    }
    let (path, _folder) = (world.path(), world.folder);
    drop(world.writer);
    let sound = fs::read(&path).unwrap();
    let mut overwritten = sound.clone();
    overwritten[8192..].fill(0x5a);
    for broken in [
        b"this is no database, it only has the name of one".repeat(50),
        overwritten,
        sound[..3 * 8192].to_vec(),
    ] {
        fs::write(&path, &broken).unwrap();
        let error = Writer::open(&path).unwrap_err();
        assert!(matches!(error, MemoryError::Damaged(_)), "{error:?}");
    }
    fs::write(&path, &sound).unwrap();
    assert!(Writer::open(&path).is_ok());
}

#[test]
fn reading_before_anything_was_learned_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let nothing =
        |error| matches!(error, MemoryError::Open { source, .. } if source.kind() == ErrorKind::NotFound);
    assert!(nothing(reader::open(&path).unwrap_err()));
    assert!(!path.exists(), "a reader makes no file");
    fs::write(&path, "").unwrap();
    assert!(nothing(reader::open(&path).unwrap_err()));
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    world.store(chat("a").says("hello"));
    let mut seen = 0;
    for entry in fs::read_dir(world.folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        seen += 1;
    }
    assert_eq!(seen, 3, "the database, its log and the log's index");
}

#[test]
fn a_second_writer_waits_for_the_first_and_then_says_who_is_in_the_way() {
    let mut world = World::new();
    let mut other = Writer::open(&world.path()).unwrap();
    other.connection().busy_timeout(std::time::Duration::ZERO).unwrap();
    let batch = world.writer.begin().unwrap();
    let error = other.begin().unwrap_err();
    assert!(matches!(error, MemoryError::Busy(_)) && error.is_transient(), "{error}");
    drop(batch);
    assert!(other.begin().is_ok());
}

#[test]
fn views_that_are_worded_anew_replace_the_old_ones() {
    let mut world = World::new();
    world.store(chat("a").says("hello"));
    let conn = world.conn();
    conn.execute_batch("DROP VIEW facts_now; CREATE VIEW facts_now AS SELECT 'old' AS value; CREATE VIEW \"a\"\"b\" AS SELECT 1;
                        UPDATE meta SET value = 1 WHERE name = 'views'")
        .unwrap();
    let again = Writer::open(&world.path()).unwrap();
    assert_eq!(again.connection().query_row("SELECT count(*) FROM facts_now", [], |row| row.get(0)), Ok(0));
}

#[test]
fn a_checkpoint_when_idle_empties_the_log() {
    let mut world = World::new();
    let before = fs::metadata(world.path()).unwrap().len();
    world.store(chat("a").says("short"));
    world.writer.idle().unwrap();
    assert_eq!(fs::metadata(world.path()).unwrap().len(), before, "not worth it");
    world.store(chat("b").says(&"long ".repeat(1 << 20)));
    world.writer.idle().unwrap();
    assert!(fs::metadata(world.path()).unwrap().len() > 5 << 20);
}

#[test]
fn a_full_disk_loses_the_batch_and_nothing_else() {
    let mut world = World::new();
    world.store(chat("a").says("hello"));
    let pages = world.count("PRAGMA page_count");
    world.conn().pragma_update_and_check(None, "max_page_count", pages + 10, |_| Ok(())).unwrap();
    let mut batch = world.writer.begin().unwrap();
    let store = |batch: &mut Batch<'_>, id: &str, text: &str| {
        batch.store(&chat(id).says(text).envelope(), jiff::Timestamp::UNIX_EPOCH, false)
    };
    store(&mut batch, "b", "small").unwrap();
    let error = store(&mut batch, "c", &"large ".repeat(100_000)).unwrap_err();
    assert!(matches!(error, MemoryError::DiskFull(_)) && error.is_transient(), "{error}");
    assert!(matches!(store(&mut batch, "d", "small"), Err(MemoryError::GivenUp)));
    assert!(matches!(batch.commit(), Err(MemoryError::GivenUp)));
    assert_eq!(reader::counts(world.conn()).unwrap().sessions, 1);
    assert_eq!(world.store(chat("b").says("small")).new_messages, 1);
}
