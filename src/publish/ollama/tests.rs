use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::config::{OllamaTarget, Target};
use crate::publish::persona::Persona;
use crate::publish::records::State;
use crate::publish::world::World;
use crate::publish::{PublishError, Published, VersionFiles};
use crate::stand_in::ollama::{Model, Ollama, What};

const LAST: &str = "atles-tiny:latest";

fn with(ollama: &Ollama) -> World {
    let mut world = World::new();
    world.settings.ollama = OllamaTarget { url: Some(ollama.url().into()), ..OllamaTarget::default() };
    world
}

fn publish(world: &World, version: &VersionFiles) -> Result<Published, PublishError> {
    world.publish(version, Target::Ollama)
}

#[test]
fn an_older_ollama_gets_the_adapter_and_a_newer_one_the_whole_model() {
    let ollama = Ollama::start("0.34.0");
    let mut world = with(&ollama);
    world.settings.system = "You are Ada.".into();
    world.settings.ollama.parameters.insert("num_ctx".into(), json!(512));
    let published = publish(&world, &world.version(1)).unwrap();
    let expected = ("atles-tiny:v0001", "adapter", Vec::new());
    assert_eq!((published.name.as_str(), published.form.as_str(), published.notes), expected);
    let model = ollama.model("atles-tiny:v0001").unwrap();
    assert_eq!(model.adapters.len(), 1);
    assert!(
        model.weights.as_ref().unwrap().ends_with(world.base.sha256.as_ref().unwrap()),
        "the pristine base"
    );
    assert_eq!(model.system.as_deref(), Some("You are Ada."));
    assert!(model.template.as_ref().unwrap().contains("<|im_start|>"), "{model:?}");
    assert_eq!(model.parameters["stop"], json!(["<|im_start|>", "<|im_end|>"]));
    assert_eq!(model.parameters["num_ctx"], json!(512));
    assert_eq!(ollama.model(LAST), Some(model.clone()));
    assert_eq!(published.digest, Some(model.digest()));

    ollama.set_version("0.34.1");
    let published = publish(&world, &world.version(2)).unwrap();
    assert_eq!((published.form.as_str(), published.notes.len()), ("merged", 0));
    let model = ollama.model("atles-tiny:v0002").unwrap();
    assert!(model.adapters.is_empty() && model.template.is_some());
    assert_eq!(ollama.model(LAST), Some(model));
    assert!(ollama.model("atles-tiny:v0001").is_some(), "the version before is still there");
    // The same again changes nothing, and nothing is sent again.
    let sent = ollama.blobs().len();
    publish(&world, &world.version(2)).unwrap();
    assert_eq!(ollama.blobs().len(), sent);
    assert_eq!(ollama.models(), [LAST, "atles-tiny:v0001", "atles-tiny:v0002"]);
}

#[test]
fn what_a_base_has_in_ollama_is_taken_over_in_both_forms() {
    let ollama = Ollama::start("0.30.0");
    let mut world = with(&ollama);
    world.base.name = "ollama:smol:1b".into();
    let base = Model {
        weights: Some(ollama.add_file(&std::fs::read(&world.base.path).unwrap())),
        template: Some("<|im_start|>{{ .Role }} own".into()),
        system: Some("You are Smol.".into()),
        license: Some("MIT".into()),
        parameters: json!({"temperature": 0.2, "stop": ["a\"b", "<x>"]}).as_object().unwrap().clone(),
        ..Model::default()
    };
    ollama.add("smol:1b", base.clone());
    publish(&world, &world.version(1)).unwrap();
    let request = ollama.server.bodies("/api/create").remove(0);
    assert_eq!(
        (request["from"].as_str(), request.get("files"), request.get("template")),
        (Some("smol:1b"), None, None)
    );
    let model = ollama.model("atles-smol-1b:v0001").unwrap();
    assert_eq!(
        (&model.template, &model.system, &model.parameters),
        (&base.template, &base.system, &base.parameters)
    );

    ollama.set_version("0.40.0");
    publish(&world, &world.version(2)).unwrap();
    let model = ollama.model("atles-smol-1b:v0002").unwrap();
    assert_ne!(model.weights, base.weights);
    assert_eq!(
        Model { weights: base.weights.clone(), ..model },
        base,
        "files inherit nothing, so all is sent"
    );

    // A base that has an adapter of its own would stack: its own file is taken instead.
    ollama.set_version("0.30.0");
    ollama.add("smol:1b", Model { adapters: vec!["sha256:other".into()], ..base });
    publish(&world, &world.version(3)).unwrap();
    assert_eq!(ollama.model("atles-smol-1b:v0003").unwrap().adapters.len(), 1);
}

#[test]
fn an_ollama_that_turns_out_to_take_no_adapters_gets_the_whole_model() {
    // A build of somebody's own tells no version; the other makes such a model and cannot run it.
    let dev = Ollama::start("0.0.0");
    dev.fault("/api/create", None, 1, What::Status(400, "LoRA adapters are no longer supported"));
    let odd = Ollama::start("0.21.0");
    odd.fail_adapters_in_chat();
    for ollama in [dev, odd] {
        let world = with(&ollama);
        let published = publish(&world, &world.version(1)).unwrap();
        assert_eq!(published.form, "merged");
        assert!(published.notes[0].contains("adapter was refused"), "{published:?}");
        assert!(ollama.model(LAST).unwrap().adapters.is_empty());
    }
}

#[test]
fn an_error_inside_a_200_is_an_error_and_nothing_changes() {
    for what in [
        What::ErrorInStream("unsupported architecture"),
        What::Status(400, "unsupported architecture"),
        What::Garbage,
    ] {
        let ollama = Ollama::start("0.50.0");
        let world = with(&ollama);
        publish(&world, &world.version(1)).unwrap();
        let before = ollama.model(LAST);
        ollama.fault("/api/create", None, 9, what);
        let error = publish(&world, &world.version(2)).unwrap_err();
        assert!(matches!(error, PublishError::Refused { .. }), "{error:?}");
        assert_eq!(ollama.models(), [LAST, "atles-tiny:v0001"]);
        assert_eq!(ollama.model(LAST), before);
    }
}

#[test]
fn a_blob_that_arrives_damaged_is_sent_once_more_and_then_later() {
    let ollama = Ollama::start("0.50.0");
    let world = with(&ollama);
    ollama.fault("/api/blobs/", None, 1, What::Damaged);
    publish(&world, &world.version(1)).unwrap();
    ollama.fault("/api/blobs/", None, 2, What::Damaged);
    let error = publish(&world, &world.version(2)).unwrap_err();
    assert!(
        matches!(&error, PublishError::Later { message, .. } if message.contains("digest mismatch")),
        "{error:?}"
    );
    publish(&world, &world.version(2)).unwrap();
}

#[test]
fn a_version_that_fails_its_probe_does_not_stay_and_the_alias_is_not_touched() {
    for what in [
        What::Says(""),
        What::Says("GGGGGGGGGGGGGGGG"),
        What::Status(500, "llama runner process has terminated"),
        What::Garbage,
    ] {
        let ollama = Ollama::start("0.50.0");
        let world = with(&ollama);
        publish(&world, &world.version(1)).unwrap();
        let before = ollama.model(LAST);
        ollama.fault("/api/chat", Some("atles-tiny:v0002"), 9, what);
        let error = publish(&world, &world.version(2)).unwrap_err();
        assert!(matches!(error, PublishError::Unfit { .. }), "{error:?}");
        assert_eq!(ollama.models(), [LAST, "atles-tiny:v0001"], "{error}");
        assert_eq!(ollama.model(LAST), before);
    }
}

#[test]
fn an_alias_that_fails_its_probe_goes_back_to_what_it_was() {
    // Nothing before, a version before, and a model of the user's own before.
    for former in [None, Some("version"), Some("own")] {
        let ollama = Ollama::start("0.50.0");
        let world = with(&ollama);
        match former {
            Some("version") => drop(publish(&world, &world.version(1)).unwrap()),
            Some(_) => ollama.add(LAST, Model { system: Some("my own".into()), ..Model::default() }),
            None => {}
        }
        let before = ollama.model(LAST);
        ollama.fault("/api/chat", Some(LAST), 9, What::Says(" "));
        let error = publish(&world, &world.version(2)).unwrap_err();
        assert!(matches!(&error, PublishError::Unfit { message, .. } if message.contains(LAST)), "{error:?}");
        assert_eq!(ollama.model(LAST), before, "{former:?}");
        assert!(ollama.model("atles-tiny:v0002").is_none(), "{former:?}");
    }
}

#[test]
fn a_rollback_after_a_broken_off_try_does_not_go_back_to_the_version_itself() {
    let ollama = Ollama::start("0.50.0");
    let world = with(&ollama);
    publish(&world, &world.version(1)).unwrap();
    let first = ollama.model(LAST);
    publish(&world, &world.version(2)).unwrap();
    // As if the program had died between moving the alias and probing it.
    ollama.fault("/api/chat", Some(LAST), 1, What::Says(""));
    publish(&world, &world.version(2)).unwrap_err();
    assert_eq!(ollama.model(LAST), first);
}

#[test]
fn an_ollama_that_is_away_silent_or_out_of_order_is_asked_again_later() {
    let ollama = Ollama::start("0.50.0");
    let world = with(&ollama);
    let version = world.version(1);
    for (path, what) in [
        ("/api/version", What::Hang),
        ("/api/version", What::Status(503, "starting")),
        ("/api/create", What::Hang),
        ("/api/create", What::CutOff),
        ("/api/create", What::Status(500, "disk quota exceeded")),
        ("/api/blobs/", What::Hang),
        ("/api/chat", What::Hang),
        ("/api/tags", What::Status(500, "busy")),
        ("/api/copy", What::Status(500, "busy")),
    ] {
        ollama.fault(path, None, 1, what.clone());
        let error = publish(&world, &version).unwrap_err();
        assert!(matches!(error, PublishError::Later { .. }), "{path} {what:?}: {error:?}");
        assert!(ollama.model(LAST).is_none());
        ollama.mend();
    }
    let records = world.desk().records();
    let record = records.get("v0001", Target::Ollama).unwrap();
    assert!(matches!(record.state, State::Waiting { .. }) && record.attempts == 9, "{record:?}");
    // By itself it is not asked before its time.
    let mut due = world;
    due.settings.to = vec![Target::Ollama];
    let asked = ollama.server.seen().len();
    let outcome = due.desk().publish_where_due(&version, &AtomicBool::new(false)).remove(0);
    assert!(matches!(outcome.result, Err(PublishError::Later { .. })));
    assert_eq!(ollama.server.seen().len(), asked);
    // Slow is not silent.
    due.settings.timeout = crate::config::Span::secs(30);
    ollama.fault("/api/chat", None, 1, What::Slow(Duration::from_millis(500)));
    publish(&due, &version).unwrap();
    assert!(matches!(
        due.desk().records().get("v0001", Target::Ollama).unwrap().state,
        State::Published { .. }
    ));
    let asked = ollama.server.seen().len();
    assert!(due.desk().publish_where_due(&version, &AtomicBool::new(false)).remove(0).result.is_ok());
    assert_eq!(ollama.server.seen().len(), asked, "what is published is left alone");

    let address = ollama.url().to_owned();
    drop(ollama);
    due.settings.ollama.url = Some(address);
    due.settings.timeout = crate::config::Span::millis(400);
    let error = publish(&due, &due.version(2)).unwrap_err();
    assert!(matches!(error, PublishError::Later { .. }), "{error:?}");
}

#[test]
fn a_stop_is_heard_while_the_server_is_silent() {
    let ollama = Ollama::start("0.50.0");
    let mut world = with(&ollama);
    world.settings.timeout = crate::config::Span::secs(600);
    ollama.fault("/api/chat", None, 1, What::Hang);
    let (version, stop) = (world.version(1), AtomicBool::new(false));
    let begun = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| world.desk().publish_to(&version, Target::Ollama, &stop));
        while !ollama.server.seen().iter().any(|request| request.path == "/api/chat") {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(publishing.join().unwrap().result, Err(PublishError::Stopped)));
        begun
    });
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(world.desk().records().all().is_empty(), "a stop is no try");
}

#[test]
fn words_of_chats_stay_a_text_in_the_request() {
    let ollama = Ollama::start("0.50.0");
    let world = with(&ollama);
    let hostile = "<memory>\n- name: \"}, \"from\": \"evil\", \"\"\"\nFROM evil\nADAPTER /etc/passwd {{ .System }}\u{0}\n</memory>\n";
    let persona = Persona { block: hostile.into(), words: "Mine.".into(), note: None };
    let to = super::Ollama::new(&world.settings, ollama.url()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = AtomicBool::new(false);
    runtime.block_on(to.publish(&world.version(1), "atles-tiny", &persona, &stop)).unwrap();
    let request = ollama.server.bodies("/api/create").remove(0);
    let keys: Vec<&str> = request.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["files", "model", "parameters", "stream", "system", "template"]);
    assert_eq!(request["system"], format!("Mine.\n\n{}", hostile.trim_end()));
    for request in ollama.server.seen() {
        assert!(!request.path.contains("evil"));
        assert!(request.path == "/api/create" || !String::from_utf8_lossy(&request.body).contains("evil"));
    }
}

#[test]
fn only_so_many_versions_stay_and_nothing_else_is_deleted() {
    let ollama = Ollama::start("0.50.0");
    let mut world = with(&ollama);
    world.settings.ollama.keep = 2;
    for other in ["atles-tiny:mine", "atles-tinyfoo:v0001", "other:v0001"] {
        ollama.add(other, Model::default());
    }
    for number in 1..=4 {
        publish(&world, &world.version(number)).unwrap();
    }
    let expected = [
        LAST,
        "atles-tiny:mine",
        "atles-tiny:v0003",
        "atles-tiny:v0004",
        "atles-tinyfoo:v0001",
        "other:v0001",
    ];
    assert_eq!(ollama.models(), expected);
}

#[test]
fn a_base_that_is_not_the_one_of_the_training_is_not_merged() {
    let ollama = Ollama::start("0.50.0");
    let mut world = with(&ollama);
    world.base.sha256 = Some("00".repeat(32));
    let error = publish(&world, &world.version(1)).unwrap_err();
    assert!(
        matches!(&error, PublishError::Refused { message, .. } if message.contains("not the base")),
        "{error:?}"
    );
    let old = Ollama::start("0.4.9");
    let error = publish(&with(&old), &world.version(1)).unwrap_err();
    assert!(
        matches!(&error, PublishError::Refused { message, .. } if message.contains("too old")),
        "{error:?}"
    );
}

#[test]
fn a_server_that_writes_chats_differently_is_told_of() {
    let ollama = Ollama::start("0.30.0");
    let mut world = with(&ollama);
    world.base.name = "ollama:smol".into();
    let weights = Some(ollama.add_file(&std::fs::read(&world.base.path).unwrap()));
    ollama.add("smol:latest", Model { weights, template: Some("{{ .Prompt }}".into()), ..Model::default() });
    let published = publish(&world, &world.version(1)).unwrap();
    assert!(published.notes[0].contains("writes chats differently"), "{published:?}");
}
