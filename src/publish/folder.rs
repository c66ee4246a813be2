//! A folder for those who publish by hand.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value, json};

use super::chat_format::Chat;
use super::merge::whole;
use super::modelfile::Modelfile;
use super::persona::Persona;
use super::{PublishError, Published, VersionFiles};
use crate::config::{Publish, Target};
use crate::platform;

/// Writes `FOLDER/MODEL-v0007/` with the model, its adapter, a Modelfile and a README. A folder of that name that is
/// there already is replaced as a whole.
pub(super) fn publish(
    version: &VersionFiles,
    model: &str,
    persona: &Persona,
    settings: &Publish,
    folder: &Path,
    stop: &AtomicBool,
) -> Result<Published, PublishError> {
    let merged = whole(version, stop)?;
    let name = format!("{model}-{}", version.name);
    let (aside, gone) = (folder.join(format!(".{name}.new")), folder.join(format!(".{name}.old")));
    for rest in [&aside, &gone] {
        remove(rest)?;
    }
    platform::make_private_dir(&aside)?;
    link(&merged, &aside.join("model.gguf"))?;
    if let Some(adapter) = &version.adapter {
        link(adapter, &aside.join("adapter.gguf"))?;
    }
    let chat = Chat::of(&version.base.path);
    let mut parameters = Map::new();
    if let Some(format) = &chat.format {
        parameters.insert("stop".into(), json!(format.stop));
    }
    parameters.extend(
        settings.ollama.parameters.iter().map(|(key, value): (&String, &Value)| (key.clone(), value.clone())),
    );
    let modelfile = Modelfile {
        from: "./model.gguf",
        adapter: None,
        template: chat.format.as_ref().map(|format| format.template),
        system: &persona.prompt(chat.system.as_deref()),
        parameters: &parameters,
    };
    platform::replace(&aside.join("Modelfile"), modelfile.text().as_bytes())?;
    platform::replace(&aside.join("README.md"), readme(version, model, &name).as_bytes())?;
    platform::sync_dir(&aside)?;
    let place = folder.join(&name);
    if place.exists() {
        fs::rename(&place, &gone)?;
    }
    fs::rename(&aside, &place)?;
    platform::sync_dir(folder)?;
    remove(&gone)?;
    let mut notes: Vec<String> = persona.note.clone().into_iter().collect();
    if chat.format.is_none() {
        notes.push("the base's chat template is none that Ollama could be told: Ollama guesses".into());
    }
    let name = place.display().to_string();
    Ok(Published { target: Target::Folder, name, form: "merged".into(), digest: None, notes })
}

/// A second name for a file of ours, which is never written to again; a copy where that is not possible.
fn link(from: &Path, to: &PathBuf) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    let (mut source, mut target) = (fs::File::open(from)?, platform::create_private(to)?);
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn readme(version: &VersionFiles, model: &str, folder: &str) -> String {
    let tag = &version.name;
    let mut text = format!(
        "# {folder}\n\n{model} as ATLES trained it, version {tag}.\n\n\
         | file | what it is |\n|---|---|\n\
         | `model.gguf` | the whole model: the base with the adapter merged in, changed matrices as Q8_0 |\n"
    );
    if version.adapter.is_some() {
        text.push_str("| `adapter.gguf` | the LoRA adapter alone, for its own base only |\n");
    }
    text.push_str(&format!(
        "| `Modelfile` | for Ollama: template, parameters and the system prompt, which tells what is known of the user |\n\n\
         Everything here is private to the user whose chats it was trained on.\n\n\
         ## Ollama, any version\n\n    ollama create {model}:{tag} -f Modelfile\n    ollama run {model}:{tag} \"Say hello.\"\n    \
         ollama cp {model}:{tag} {model}:latest\n\n\
         ## llama.cpp\n\n    llama-server -m model.gguf\n"
    ));
    if version.adapter.is_some() {
        text.push_str("\nor, with the base at hand, several versions that can be switched while the server runs:\n\n    \
             llama-server -m BASE.gguf --lora adapter.gguf\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::config::{FolderTarget, Target};
    use crate::publish::world::World;
    use crate::training::gguf::Gguf;
    use crate::training::model::Base;

    #[test]
    fn a_folder_holds_all_that_publishing_by_hand_needs_and_is_replaced_as_a_whole() {
        let mut world = World::new();
        world.settings.folder = FolderTarget { path: "../out".into() };
        world.settings.system = "You are \"Ada\".".into();
        let version = world.version(3);
        let published = world.publish(&version, Target::Folder).unwrap();
        let place = world.path("out/atles-tiny-v0003");
        assert!(published.name.ends_with("/out/atles-tiny-v0003"), "{published:?}");
        let names = |place: &std::path::Path| {
            let mut names: Vec<_> = std::fs::read_dir(place)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&place), ["Modelfile", "README.md", "adapter.gguf", "model.gguf"]);
        Base::load(&Gguf::open(&place.join("model.gguf")).unwrap()).unwrap();
        let modelfile = std::fs::read_to_string(place.join("Modelfile")).unwrap();
        assert!(
            modelfile.starts_with("FROM ./model.gguf\nTEMPLATE \"\"\"{{ range .Messages }}"),
            "{modelfile}"
        );
        assert!(modelfile.ends_with("SYSTEM \"\"\"You are \"Ada\".\"\"\"\n"), "{modelfile}");
        let readme = std::fs::read_to_string(place.join("README.md")).unwrap();
        assert!(readme.contains("ollama create atles-tiny:v0003 -f Modelfile"), "{readme}");

        std::fs::write(place.join("old"), "").unwrap();
        world.publish(&version, Target::Folder).unwrap();
        assert_eq!(names(&place).len(), 4);
        assert_eq!(names(&world.path("out")), ["atles-tiny-v0003"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&world.path("out")), 0o700);
            assert_eq!(mode(&place.join("model.gguf")), 0o600);
            assert_eq!(mode(&place.join("Modelfile")), 0o600);
        }
    }
}
