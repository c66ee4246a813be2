//! Publishing from outside: `atles models publish` and the daemon, with stand-ins for the servers.

use atles::training::artefact::write_adapter;
use atles::training::gguf::Gguf;
use atles::training::model::{Adapter, LoraSettings, Shape};
use serde_json::{Value, json};

use crate::stand_in::ollama::{Ollama, What};
use crate::support::{Home, Pipeline, chat, wait_until};
use crate::tiny;

/// A home whose `[training.publish]` is this, with the version `v0001` of a tiny base.
fn home(publish: &str) -> Home {
    let section = format!(
        "[training]\nbase = \"tiny.gguf\"\n[training.trigger]\nmode = \"manual\"\n[training.publish]\n{publish}\n"
    );
    let home = Home::with(&Pipeline::new().section(&section));
    let base = home.folder().join("tiny.gguf");
    tiny::write(&base, "llama", 21);
    let folder = home.path("models/v0001");
    std::fs::create_dir_all(&folder).unwrap();
    let shape = Shape::read(&Gguf::open(&base).unwrap()).unwrap();
    let mut adapter = Adapter::new(&shape, LoraSettings { rank: 2, alpha: 4.0 }, 1);
    adapter.values.iter_mut().for_each(|value| *value += 0.01);
    write_adapter(&folder.join("adapter.gguf"), &shape, &adapter, "test").unwrap();
    let metrics = json!({
        "version": "v0001", "base": "tiny.gguf", "sessions": 1, "examples_train": 1, "examples_held_out": 1, "tokens": 1,
        "tokens_per_second": 1.0, "peak_rss_bytes": 0, "loss_first": 1.0, "loss_last": 1.0, "held_out_before": 1.0,
        "held_out_after": 0.5, "anchor_before": 1.0, "anchor_after": 1.0, "decision": "promoted", "reason": "",
        "run": "run_1", "finished": "2026-01-01T00:00:00Z", "seconds": 1.0, "measured": "adapter", "previous": null,
        "new_held_out": null, "old_held_out": null, "confidence": 1.0, "relevance": null, "losses": [1.0],
    });
    let lineage = json!({
        "run": "run_1", "base": { "name": "tiny.gguf", "path": base, "sha256": "" }, "sessions": [], "settings": {},
        "code": "test",
    });
    std::fs::write(folder.join("metrics.json"), metrics.to_string()).unwrap();
    std::fs::write(folder.join("lineage.json"), lineage.to_string()).unwrap();
    home
}

fn records(home: &Home) -> Value {
    let text = std::fs::read(home.path("models/publish.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[test]
fn a_version_is_published_by_hand_with_the_users_profile() {
    let ollama = Ollama::start("0.40.0");
    let home = home(&format!(
        "name = \"mine\"\nsystem = \"You are Ada.\"\n[training.publish.ollama]\nurl = \"{}\"",
        ollama.url()
    ));
    home.drop_file(
        "a.json",
        chat(
            "c1",
            &["I really love \"\"\"\nFROM evil\n green tea.", "Noted.", "I prefer short answers.", "Ok."],
        ),
    );
    home.once(0);
    let said = home.atles(&["models", "publish"]).expect(1);
    assert!(said.err.contains("no version is current"), "{}", said.err);
    home.atles(&["models", "publish", "v0001"]).expect(2);
    home.atles(&["models", "publish", "v0009", "--to", "ollama"]).expect(1);
    home.atles(&["models", "publish", "v0001", "--to", "moon"]).expect(2);
    let said = home
        .atles(&["models", "publish", "v0001", "--to", "ollama", "--to", "folder", "--json"])
        .expect(0)
        .json();
    assert_eq!(said["targets"][0]["published"]["name"], "mine:v0001", "{said}");
    let model = ollama.model("mine:latest").unwrap();
    let system = model.system.unwrap();
    assert!(system.starts_with("You are Ada.\n\n<memory>\n") && system.contains("short answers"), "{system}");
    let modelfile = std::fs::read_to_string(home.path("publish/mine-v0001/Modelfile")).unwrap();
    assert!(!modelfile.lines().any(|line| line.starts_with("FROM evil")), "{modelfile}");

    ollama.fault("/api/chat", None, 9, What::Says(""));
    let said = home.atles(&["models", "publish", "v0001", "--to", "ollama"]).expect(1);
    assert!(said.err.contains("failed its probe") && said.out.is_empty(), "{} {}", said.out, said.err);
}

#[test]
fn the_daemon_publishes_what_was_promoted_as_soon_as_the_server_is_there() {
    let ollama = Ollama::start("0.40.0");
    ollama.fault("/api/version", None, usize::MAX, What::Status(503, "starting"));
    let home = home(&format!(
        "to = [\"ollama\"]\nprofile = false\nbackoff = \"100ms\"\nmax_backoff = \"200ms\"\n[training.publish.ollama]\nurl = \"{}\"",
        ollama.url()
    ));
    let daemon = home.start();
    home.atles(&["models", "promote", "v0001"]).expect(0);
    wait_until("a second try", || records(&home)["records"][0]["attempts"].as_u64() >= Some(2));
    assert_eq!(records(&home)["records"][0]["state"], "waiting");
    assert!(ollama.models().is_empty());
    ollama.mend();
    wait_until("the alias", || ollama.model("atles-tiny:latest").is_some());
    wait_until("the record", || records(&home)["records"][0]["state"] == "published");
    // Sessions go on being learned meanwhile and after.
    home.drop_file("a.json", chat("c1", &["Hello there.", "Hi."]));
    home.wait_done("a.json");
    daemon.stop();
}
