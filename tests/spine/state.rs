//! What survives a crash, and what is done about damage.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::{Home, Pipeline, chat, numbered_chat, wait_until};

const TEA: [&str; 2] = ["Which tea keeps one awake?", "Black tea has the most caffeine of the common teas."];

/// Every file exactly once in `done/`, and every session exactly once in all that is left of it.
pub(crate) fn assert_learned_once(home: &Home, files: usize) {
    assert_learned_in(home, files, files);
}

/// The same where the ledger has more entries, of dead letters that were put back.
pub(crate) fn assert_learned_in(home: &Home, files: usize, entries: usize) {
    let expected: BTreeSet<String> = (0..files).map(|number| format!("{number}.json")).collect();
    assert_eq!(home.done().into_iter().collect::<BTreeSet<_>>(), expected);
    assert!(home.names("spool").is_empty() && home.names("work").is_empty() && home.failed().is_empty());

    let ids: BTreeSet<String> = (0..files).map(|number| format!("chat-{number}")).collect();
    let mut seen: Vec<String> =
        home.master_log().iter().map(|line| line["session_id"].as_str().unwrap().to_owned()).collect();
    seen.sort();
    assert_eq!(seen.len(), files, "lines of the master log");
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), ids);
    let logs = home.session_logs();
    assert_eq!(logs.len(), files, "session logs");
    assert_eq!(home.names("training_data").len(), files, "training files");
    assert_eq!(home.examples().len(), files, "examples");
    assert_eq!(home.count("SELECT count(*) FROM sessions"), files as i64);
    assert_eq!(home.count("SELECT count(*) FROM messages"), 2 * files as i64);
    wait_until("the index has all turns", || home.is_indexed());

    let items: u64 =
        home.master_log().iter().map(|line| line["memory_items_created"].as_u64().unwrap()).sum();
    let totals = home.status()["totals"].clone();
    let counted = json!({
        "sessions": totals["sessions"], "messages": totals["messages"], "files": totals["files_learned"],
        "examples": totals["examples"], "entries": totals["entries"], "duplicates": totals["duplicates"],
        "revisions": totals["revisions"], "items": totals["memory_items"],
    });
    let files = files as u64;
    let expected = json!({
        "sessions": files, "messages": 2 * files, "files": files, "examples": files, "entries": entries as u64,
        "duplicates": 0, "revisions": 0, "items": items,
    });
    assert_eq!(counted, expected);
}

#[test]
fn a_daemon_killed_again_and_again_in_a_backlog_learns_every_file_once() {
    const FILES: usize = 300;
    let home = Home::with(&Pipeline::new().section("[workers]\nin_flight = 16"));
    for number in 0..FILES {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    // Each round gets a little further; the kill comes at another moment of the commit each time.
    let mut rounds = 0;
    for share in [1, 20, 45, 80, 120, 165, 215, 260] {
        let daemon = home.start_unasked();
        wait_until("some more are done", || home.done().len() >= share);
        daemon.kill();
        rounds += 1;
        let everywhere = home.names("spool").len() + home.names("work").len() + home.done().len();
        assert_eq!(everywhere, FILES, "after {rounds} kills each file is in exactly one place");
        assert!(home.failed().is_empty());
    }
    let daemon = home.start();
    wait_until("all are done", || home.done().len() == FILES);
    wait_until("all small files are written", || home.status()["undelivered"] == 0);
    daemon.stop();
    let daemon = home.start();
    assert_learned_once(&home, FILES);
    daemon.stop();
}

#[test]
fn a_retry_survives_a_restart_with_the_tries_before_it() {
    let stage = "kind = \"exec\"\nname = \"server\"\ncommand = [\"./try.sh\"]\n\
                 retry = { attempts = 30, backoff = \"20ms\", max_backoff = \"200ms\" }";
    let home = Home::with(&Pipeline::new().stage(stage));
    let (gate, tries) = (home.folder().join("open"), home.folder().join("tries"));
    let script = format!(
        "#!/bin/sh\nread -r line\ncase \"$line\" in *'\"attempt\":'*) ;; *) exit 1 ;; esac\n\
         echo \"$line\" | sed 's/.*\"attempt\":\\([0-9]*\\).*/\\1/' >> '{}'\n\
         [ -e '{}' ] || exit 75\n",
        tries.display(),
        gate.display()
    );
    home.script("try.sh", &script);
    home.drop_file("a.json", chat("a", &TEA));
    let attempts = || fs::read_to_string(&tries).unwrap_or_default().lines().count();
    for round in 1..=3 {
        let daemon = home.start_unasked();
        wait_until("tried again", || attempts() >= 2 * round);
        // Between two tries, or in one: both must do.
        daemon.kill();
        assert_eq!(home.names("work"), ["a.json"]);
    }
    fs::write(gate, "").unwrap();
    let daemon = home.start();
    home.wait_done("a.json");
    assert_eq!((home.total("sessions"), home.total("failed")), (1, 0));
    daemon.stop();
    let numbers: Vec<u32> =
        fs::read_to_string(&tries).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert!(
        numbers.is_sorted() && *numbers.last().unwrap() >= 4,
        "counted on over the restarts: {numbers:?}"
    );
}

#[test]
fn a_long_pause_before_a_retry_is_kept_over_a_restart() {
    let stage = "kind = \"exec\"\nname = \"server\"\ncommand = [\"./try.sh\"]\n\
                 retry = { attempts = 3, backoff = \"1h\", max_backoff = \"1h\" }";
    let home = Home::with(&Pipeline::new().stage(stage));
    let tries = home.folder().join("tries");
    home.script("try.sh", &format!("#!/bin/sh\necho x >> '{}'\nexit 75\n", tries.display()));
    home.drop_file("a.json", chat("a", &TEA));
    let daemon = home.start();
    wait_until("it waits", || home.status()["retrying"] == 1);
    daemon.stop();
    let daemon = home.start();
    home.drop_file("b.json", numbered_chat(1));
    wait_until("the other waits too", || home.status()["retrying"] == 2);
    daemon.stop();
    assert_eq!(fs::read_to_string(tries).unwrap().lines().count(), 2, "once each, not again at the start");
}

/// The files of the state store.
fn store_files(home: &Home) -> Vec<PathBuf> {
    crate::support::files_below(&home.path("state/sled"))
}

/// Overwrites the files of the state store, or its log alone.
fn damage(home: &Home, which: &str, how: &str) {
    for path in store_files(home).into_iter().filter(|path| which == "all" || path.ends_with(which)) {
        let length = path.metadata().unwrap().len();
        let mut file = OpenOptions::new().write(true).open(&path).unwrap();
        match how {
            "cut to nothing" => file.set_len(0).unwrap(),
            "cut in half" => file.set_len(length / 2).unwrap(),
            "noise" => {
                let noise: Vec<u8> =
                    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
                file.write_all(&noise).unwrap();
            }
            "zeros" => file.write_all(&vec![0; length as usize]).unwrap(),
            "a hole in the middle" => {
                file.seek(SeekFrom::Start(length / 4)).unwrap();
                file.write_all(&vec![0xA5; length as usize / 2]).unwrap();
            }
            _ => unreachable!("{how}"),
        }
    }
}

#[test]
fn a_damaged_state_store_is_set_aside_and_made_anew_and_no_chat_is_learned_twice() {
    const FILES: usize = 6;
    let damages = [
        ("all", "noise"),
        ("db", "noise"),
        ("db", "zeros"),
        ("all", "cut to nothing"),
        ("db", "cut to nothing"),
        ("db", "cut in half"),
        ("db", "a hole in the middle"),
    ];
    for (which, how) in damages {
        let home = Home::new();
        for number in 0..FILES {
            home.drop_file(format!("{number}.json"), numbered_chat(number));
        }
        home.drop_file("bad.json", "[]");
        home.once(3);
        damage(&home, which, how);
        let daemon = home.start();
        for number in 0..FILES {
            home.drop_file(format!("again-{number}.json"), numbered_chat(number));
        }
        home.drop_file("new.json", chat("new", &TEA));
        wait_until("all are settled", || home.done().len() == 2 * FILES + 1);
        let totals = home.status()["totals"].clone();
        assert_eq!(
            (&totals["sessions"], &totals["messages"]),
            (&json!(FILES + 1), &json!(2 * FILES + 2)),
            "{which} {how}: {totals}"
        );
        assert_eq!(
            (&totals["duplicates"], &totals["failed"]),
            (&json!(FILES), &json!(1)),
            "{which} {how}: {totals}"
        );
        daemon.stop();
        // What sled lost at its end, the redo log still has.
        let may_be_mended = ["cut in half", "a hole in the middle"].contains(&how);
        let is_anew = home.words().contains("made anew from the folders");
        assert!(is_anew || may_be_mended, "{which} {how}, said out loud: {}", home.words());
        let set_aside = home.names("state").iter().any(|name| name.starts_with("sled.damaged-"));
        assert_eq!(set_aside, is_anew, "{which} {how}");
        assert_eq!(home.count("SELECT count(*) FROM sessions"), FILES as i64 + 1, "{which} {how}");
        assert_eq!(
            (home.session_logs().len(), home.examples().len()),
            (FILES + 1, FILES + 1),
            "{which} {how}"
        );
    }
}

#[test]
fn a_state_store_that_is_gone_is_made_anew_and_a_revision_still_finds_its_files() {
    let home = Home::new();
    home.drop_file("tea.json", chat("tea", &TEA));
    home.once(0);
    home.drop_file(
        "reused.json",
        chat("tea", &["Where is Ljubljana?", "It is the capital of Slovenia, in the middle of it."]),
    );
    home.drop_file("copy.json", chat("tea", &TEA));
    home.once(0);
    let logs = || home.session_logs().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let before = (home.names("training_data"), logs());
    fs::remove_dir_all(home.path("state/sled")).unwrap();
    let daemon = home.start();
    let totals = home.status()["totals"].clone();
    assert_eq!(
        (&totals["sessions"], &totals["messages"], &totals["duplicates"]),
        (&json!(2), &json!(4), &json!(1))
    );
    assert_eq!((&totals["examples"], &totals["filtered"]), (&json!(2), &json!(0)), "{totals}");
    daemon.stop();
    let more = ["And for the evening?", "Rooibos: it has no caffeine at all, and tastes sweet by itself."];
    home.drop_file("tea.json", chat("tea", &[TEA[0], TEA[1], more[0], more[1]]));
    home.once(0);
    assert_eq!(
        (home.count("SELECT count(*) FROM sessions"), home.count("SELECT count(*) FROM messages")),
        (2, 6)
    );
    assert_eq!((home.names("training_data"), logs()), before);
    assert_eq!(home.examples().len(), 3);
}

#[test]
fn a_damaged_memory_is_set_aside_said_out_loud_and_can_be_learned_again() {
    let home = Home::new();
    for number in 0..5 {
        home.drop_file(format!("{number}.json"), numbered_chat(number));
    }
    home.once(0);
    let database = home.path("memory.db");
    let length = database.metadata().unwrap().len() as usize;
    fs::write(&database, vec![0x5A; length]).unwrap();
    let daemon = home.start();
    wait_until("it is told", || home.words().contains("memory.db was damaged"));
    for name in home.done() {
        fs::rename(home.path("done").join(&name), home.spool().join(&name)).unwrap();
    }
    wait_until("all are learned again", || home.done().len() == 5);
    assert_eq!((home.total("sessions"), home.total("messages")), (5, 10), "{}", home.status());
    daemon.stop();
    assert!(home.names("").iter().any(|name| name.starts_with("memory.db.damaged-")), "{:?}", home.names(""));
    assert_eq!(
        (home.count("SELECT count(*) FROM sessions"), home.count("SELECT count(*) FROM messages")),
        (5, 10)
    );
}

#[test]
fn a_memory_that_was_deleted_can_be_learned_again() {
    let home = Home::new();
    home.drop_file("a.json", chat("a", &TEA));
    home.once(0);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.path(format!("memory.db{end}")));
    }
    fs::rename(home.path("done/a.json"), home.spool().join("a.json")).unwrap();
    home.once(0);
    assert_eq!(home.count("SELECT count(*) FROM messages"), 2);
    let daemon = home.start();
    assert_eq!((home.total("sessions"), home.total("duplicates")), (1, 0));
    daemon.stop();
}

#[test]
fn a_claimed_file_that_somebody_takes_away_is_let_go_of() {
    let wait = "kind = \"exec\"\nname = \"wait\"\ncommand = [\"./wait.sh\"]";
    let home = Home::with(&Pipeline::new().stage(wait));
    let gate = home.folder().join("open");
    home.script("wait.sh", &format!("#!/bin/sh\nwhile [ ! -e '{}' ]; do sleep 0.02; done\n", gate.display()));
    let daemon = home.start();
    home.drop_file("a.json", chat("a", &TEA));
    wait_until("it is under way", || home.status()["in_flight"] == 1);
    fs::remove_file(home.path("work/a.json")).unwrap();
    fs::write(gate, "").unwrap();
    wait_until("it is over", || home.status()["in_flight"] == 0);
    home.drop_file("b.json", numbered_chat(1));
    home.wait_done("b.json");
    assert_eq!(
        (home.total("sessions"), home.count("SELECT count(*) FROM sessions")),
        (1, 1),
        "{}",
        home.words()
    );
    daemon.stop();
    assert!(!home.words().contains("trying again"), "{}", home.words());
}

/// A small file system of its own below a folder; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount(folder: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"])
            .arg(folder)
            .output();
        mount.is_ok_and(|run| run.status.success()).then(|| SmallDisk(folder.to_path_buf()))
    }

    /// Takes all the room there is, but for so many KiB.
    fn fill(&self, but: u64) {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(but << 10)).unwrap();
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_disk_that_fills_up_pauses_the_intake_and_it_goes_on_by_itself() {
    const FILES: usize = 120;
    let folder = tempfile::TempDir::with_prefix("atles-").unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(disk) = SmallDisk::mount(&disk) else { return };
    // A program that is to be asked again, so that the state store is written to with nothing else before it.
    let stage = "kind = \"exec\"\nname = \"server\"\ncommand = [\"./try.sh\"]\n\
                 retry = { attempts = 1000000, backoff = \"5ms\", max_backoff = \"20ms\" }\nwhen = \"file.name == '0.json'\"";
    let pipeline =
        Pipeline::new().stage(stage).section("[disk]\nmin_free = \"1KiB\"\n[workers]\nin_flight = 8");
    let home = Home::below(folder, Path::new("disk"), &pipeline.text());
    home.script(
        "try.sh",
        &format!("#!/bin/sh\n[ -e '{}' ] || exit 75\n", home.folder().join("open").display()),
    );
    let daemon = home.start();
    home.drop_file("0.json", numbered_chat(0));
    wait_until("it waits", || home.status()["retrying"] == 1 || home.words().contains("trying again later"));

    for (round, but) in [0, 300, 900].into_iter().enumerate() {
        // What is dropped must be there before there is no room for it.
        let names: Vec<_> = (1..FILES).filter(|number| number % 3 == round).collect();
        for number in &names {
            fs::write(home.spool().join(format!(".{number}")), numbered_chat(*number)).unwrap();
        }
        disk.fill(but);
        for number in &names {
            fs::rename(home.spool().join(format!(".{number}")), home.spool().join(format!("{number}.json")))
                .unwrap();
        }
        wait_until("it says why it waits", || home.status()["paused"].is_string());
        disk.free();
        wait_until("it goes on", || {
            names.iter().all(|number| home.path(format!("done/{number}.json")).exists())
        });
    }
    fs::write(home.folder().join("open"), "").unwrap();
    home.wait_done("0.json");
    wait_until("all small files are written", || {
        home.status()["undelivered"] == 0 && home.master_log().len() == FILES
    });
    daemon.stop();
    let daemon = home.start();
    assert_learned_once(&home, FILES);
    daemon.stop();
}
