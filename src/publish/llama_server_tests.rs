use crate::config::Target;
use crate::publish::world::World;
use crate::publish::{PublishError, VersionFiles};
use crate::stand_in::llama_server::LlamaServer;

fn world_with(adapters: &[&str]) -> (World, VersionFiles, LlamaServer) {
    let mut world = World::new();
    let version = world.version(7);
    let own = version.adapter.as_ref().unwrap().display().to_string();
    let adapters: Vec<&str> =
        adapters.iter().map(|path| if *path == "own" { own.as_str() } else { path }).collect();
    let server = LlamaServer::start("/models/base.gguf", &adapters);
    world.settings.llama_server.url = server.server.url.clone();
    (world, version, server)
}

#[test]
fn the_versions_adapter_is_switched_on_and_the_other_versions_off() {
    for own in ["own", "/elsewhere/models/v0007/adapter.gguf", "C/atles-tiny-v0007.gguf"] {
        let (world, version, server) = world_with(&["/m/v0006/adapter.gguf", "/m/style.gguf", own]);
        server.set_scales(&[1.0, 0.5, 0.0]);
        let published = world.publish(&version, Target::LlamaServer).unwrap();
        assert_eq!(server.scales(), [0.0, 0.5, 1.0], "somebody else's adapter stays as it is");
        assert!(published.name.starts_with("adapter 2 of http://127.0.0.1:"), "{published:?}");
    }
}

#[test]
fn an_adapter_that_was_not_loaded_at_the_start_is_asked_for_with_the_very_command() {
    let (world, version, server) = world_with(&["/m/v0006/adapter.gguf"]);
    let error = world.publish(&version, Target::LlamaServer).unwrap_err();
    assert!(matches!(error, PublishError::Later { .. }), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.starts_with("llama-server -m ") && hint.contains("v0007/adapter.gguf"), "{hint}");
    assert_eq!(server.scales(), [1.0]);
}

#[test]
fn a_failed_probe_puts_the_adapters_back() {
    for (words, deaf) in [("", false), ("@@@@@@@@@@@@", false), ("Hello!", true)] {
        let (world, version, server) = world_with(&["/m/v0006/adapter.gguf", "own"]);
        server.set_scales(&[1.0, 0.0]);
        server.says(words);
        if deaf {
            server.is_deaf();
        }
        let error = world.publish(&version, Target::LlamaServer).unwrap_err();
        assert!(matches!(error, PublishError::Unfit { .. }), "{error:?}");
        assert_eq!(server.scales(), [1.0, 0.0]);
    }
}

#[test]
fn a_server_that_still_loads_is_asked_later_and_one_without_adapters_of_that_kind_never() {
    let (mut world, version, server) = world_with(&["own"]);
    server.is_loading(true);
    let error = world.publish(&version, Target::LlamaServer).unwrap_err();
    assert!(
        matches!(&error, PublishError::Later { message, .. } if message.contains("Loading model")),
        "{error:?}"
    );
    server.is_loading(false);
    server.wants_key("secret");
    let error = world.publish(&version, Target::LlamaServer).unwrap_err();
    assert!(matches!(error, PublishError::Refused { .. }), "{error:?}");
    world.settings.llama_server.api_key_env = Some("ATLES_TEST_NO_SUCH_KEY".into());
    let error = world.publish(&version, Target::LlamaServer).unwrap_err();
    assert!(
        matches!(&error, PublishError::Refused { message, .. } if message.contains("NO_SUCH_KEY")),
        "{error:?}"
    );
    let keyed = super::LlamaServer::new(&world.settings, |_| Some("secret\n".into())).unwrap();
    assert!(!format!("{keyed:?}").contains("secret"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(keyed.publish(&version)).unwrap();

    let other = crate::stand_in::ollama::Ollama::start("0.1.0");
    world.settings.llama_server.api_key_env = None;
    world.settings.llama_server.url = other.url().into();
    let error = world.publish(&version, Target::LlamaServer).unwrap_err();
    assert!(
        matches!(&error, PublishError::Refused { message, .. } if message.contains("/lora-adapters")),
        "{error:?}"
    );
}

#[test]
fn a_whole_model_needs_a_server_that_was_started_with_it() {
    let (world, version, server) = world_with(&[]);
    let merged = VersionFiles { adapter: None, ..version };
    let error = world.publish(&merged, Target::LlamaServer).unwrap_err();
    assert!(matches!(&error, PublishError::Later { .. }), "{error:?}");
    let mut world = world;
    let right = LlamaServer::start("/srv/v0007/merged.gguf", &[]);
    world.settings.llama_server.url = right.server.url.clone();
    world.publish(&merged, Target::LlamaServer).unwrap();
    drop(server);
}
