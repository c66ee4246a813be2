//! The models of the local Ollama, found on disk: a manifest for each tag, blobs named by their hash.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::BaseError;
use crate::platform;

const WEIGHTS: &str = "application/vnd.ollama.image.model";
const PROJECTOR: &str = "application/vnd.ollama.image.projector";
const ADAPTER: &str = "application/vnd.ollama.image.adapter";
const REGISTRY: &str = "registry.ollama.ai";
/// Where Ollama's service for all users of a Linux machine keeps models.
const SERVICE: &str = "/usr/share/ollama/.ollama/models";
/// Manifests are small; a larger file is none.
const LARGEST_MANIFEST: u64 = 1 << 20;

/// A model's weights in Ollama's store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The model with its tag.
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) sha256: String,
}

/// Where Ollama keeps models: `$OLLAMA_MODELS`, else the user's own folder and that of the service.
pub(super) fn stores() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("OLLAMA_MODELS").filter(|folder| !folder.is_empty()) {
        return vec![named.into()];
    }
    let own = platform::user_home().map(|home| home.join(".ollama").join("models"));
    let service = cfg!(target_os = "linux").then(|| PathBuf::from(SERVICE));
    own.into_iter().chain(service).collect()
}

/// Finds a model's weights in the first store that has it.
pub(super) fn find(name: &str, stores: &[PathBuf]) -> Result<Found, BaseError> {
    let name = Name::parse(name).ok_or_else(|| BaseError::OllamaName(name.to_owned()))?;
    let (mut have, mut stores_there, mut refused) = (Vec::new(), 0, None);
    for store in stores {
        let path = name.manifest(store);
        match read(&path) {
            Ok(manifest) => return weights(&name, &path, &manifest, store),
            Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                refused.get_or_insert(BaseError::Forbidden { path: store.clone(), source, ollama: true });
            }
            Err(source) if is_missing(&source) => {}
            Err(source) => return Err(BaseError::Io { path, source }),
        }
        stores_there += usize::from(store.is_dir());
        have.extend(names(store));
    }
    Err(match refused {
        Some(refused) => refused,
        None if stores_there == 0 => BaseError::NoOllama(stores.to_vec()),
        None => BaseError::NotInOllama { name: name.to_string(), have },
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `[HOST/][NAMESPACE/]MODEL[:TAG]`.
struct Name {
    host: String,
    namespace: String,
    model: String,
    tag: String,
}

impl Name {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // A colon before the last slash is the port of a host.
        let (path, tag) = match text.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, tag),
            _ => (text, "latest"),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (host, namespace, model) = match parts[..] {
            [model] => (REGISTRY, "library", model),
            [namespace, model] => (REGISTRY, namespace, model),
            [host, namespace, model] => (host, namespace, model),
            _ => return None,
        };
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let is_host = |part: &str| part.split(':').count() <= 2 && part.split(':').all(plain);
        (is_host(host) && [namespace, model, tag].into_iter().all(plain)).then(|| Name {
            host: host.to_owned(),
            namespace: namespace.to_owned(),
            model: model.to_owned(),
            tag: tag.to_owned(),
        })
    }

    fn manifest(&self, store: &Path) -> PathBuf {
        store.join("manifests").join(&self.host).join(&self.namespace).join(&self.model).join(&self.tag)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host != REGISTRY {
            write!(f, "{}/{}/", self.host, self.namespace)?;
        } else if self.namespace != "library" {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}:{}", self.model, self.tag)
    }
}

#[derive(Debug, Deserialize)]
struct Manifest {
    layers: Vec<Layer>,
}

#[derive(Debug, Deserialize)]
struct Layer {
    #[serde(rename = "mediaType")]
    media_type: String,
    digest: String,
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_MANIFEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn weights(name: &Name, path: &Path, manifest: &[u8], store: &Path) -> Result<Found, BaseError> {
    let damaged = |what: &str| BaseError::OllamaManifest { path: path.to_path_buf(), what: what.to_owned() };
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| damaged(&error.to_string()))?;
    let of_type = |kind: &str| manifest.layers.iter().filter(|layer| layer.media_type == kind).count();
    let refuse = |what| Err(BaseError::OllamaLayers { name: name.to_string(), what });
    if of_type(PROJECTOR) > 0 {
        return refuse("a projector for images, which is not trained here");
    }
    if of_type(ADAPTER) > 0 {
        return refuse("an adapter of its own; adapters are trained on plain models, or they would stack");
    }
    match of_type(WEIGHTS) {
        0 => return refuse("no weights in GGUF form on this machine"),
        1 => {}
        _ => return refuse("its weights in several files"),
    }
    let layer = manifest.layers.iter().find(|layer| layer.media_type == WEIGHTS);
    let sha256 = layer.and_then(|layer| layer.digest.strip_prefix("sha256:")).unwrap_or_default();
    if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(damaged("its weights have no sha256"));
    }
    let path = store.join("blobs").join(format!("sha256-{sha256}"));
    match std::fs::metadata(&path) {
        Err(source) if is_missing(&source) => return Err(damaged("the weights it names are not there")),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Err(BaseError::Forbidden { path: store.to_path_buf(), source, ollama: true });
        }
        _ => {}
    }
    Ok(Found { name: name.to_string(), path, sha256: sha256.to_owned() })
}

/// The models that a store has, for messages: those of Ollama's own registry, in order, not too many.
fn names(store: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for namespace in entries(&store.join("manifests").join(REGISTRY)) {
        for model in entries(&namespace) {
            for tag in entries(&model) {
                let part = |path: &Path| {
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
                };
                let (namespace, model, tag) = (part(&namespace), part(&model), part(&tag));
                let owner = if namespace == "library" { String::new() } else { format!("{namespace}/") };
                found.push(format!("{owner}{model}:{tag}"));
            }
        }
    }
    found.sort();
    found.truncate(20);
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

    fn store_with(name: &str, layers: &[(&str, &str)]) -> tempfile::TempDir {
        let store = tempfile::tempdir().unwrap();
        let path = store.path().join("manifests").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, digest)| serde_json::json!({"mediaType": kind, "digest": digest, "size": 3}))
            .collect();
        let manifest = serde_json::json!({"schemaVersion": 2, "config": {}, "layers": layers});
        std::fs::write(path, manifest.to_string()).unwrap();
        std::fs::create_dir(store.path().join("blobs")).unwrap();
        std::fs::write(store.path().join("blobs").join(format!("sha256-{HASH}")), "abc").unwrap();
        store
    }

    fn find_in(store: &tempfile::TempDir, name: &str) -> Result<Found, BaseError> {
        let nothing = store.path().join("no-such-store");
        find(name, &[nothing, store.path().to_path_buf()])
    }

    #[test]
    fn a_model_is_found_by_the_names_ollama_shows() {
        let digest = format!("sha256:{HASH}");
        let template = ("application/vnd.ollama.image.template", digest.as_str());
        for (manifest, asked, shown) in [
            ("registry.ollama.ai/library/smollm2/latest", "smollm2", "smollm2:latest"),
            ("registry.ollama.ai/library/smollm2/135m", "smollm2:135m", "smollm2:135m"),
            ("registry.ollama.ai/ann/mine/v1", "ann/mine:v1", "ann/mine:v1"),
            (
                "hf.co/bartowski/Llama-3.2-1B-GGUF/Q8_0",
                "hf.co/bartowski/Llama-3.2-1B-GGUF:Q8_0",
                "hf.co/bartowski/Llama-3.2-1B-GGUF:Q8_0",
            ),
        ] {
            let store = store_with(manifest, &[template, (WEIGHTS, &digest)]);
            let found = find_in(&store, asked).unwrap();
            assert_eq!((found.name.as_str(), found.sha256.as_str()), (shown, HASH));
            assert!(found.path.ends_with(format!("blobs/sha256-{HASH}")));
        }
    }

    #[test]
    fn projectors_adapters_and_models_without_weights_are_refused() {
        let digest = format!("sha256:{HASH}");
        for (layers, expected) in [
            (&[(WEIGHTS, digest.as_str()), (PROJECTOR, &digest)][..], "projector for images"),
            (&[(WEIGHTS, &digest), (ADAPTER, &digest)], "adapter of its own"),
            (&[(WEIGHTS, &digest), (WEIGHTS, &digest)], "several files"),
            (&[], "no weights"),
            (&[(WEIGHTS, "sha256:../../../../etc/passwd")], "no sha256"),
            (&[(WEIGHTS, &format!("sha256:{}", "0".repeat(64)))], "are not there"),
        ] {
            let store = store_with("registry.ollama.ai/library/m/latest", layers);
            let error = find_in(&store, "m").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let store = store_with("registry.ollama.ai/library/m/latest", &[]);
        std::fs::write(store.path().join("manifests/registry.ollama.ai/library/m/latest"), "{").unwrap();
        assert!(matches!(find_in(&store, "m"), Err(BaseError::OllamaManifest { .. })));
    }

    #[test]
    fn names_that_would_leave_the_store_are_no_names() {
        for name in ["", "../x", "a/../b", "a/b/c/d", "x:", ":x", "a b", "x:..", "/etc/passwd", "a\\b"] {
            assert!(matches!(find(name, &[]), Err(BaseError::OllamaName(_))), "{name:?}");
        }
        assert!(Name::parse("localhost:5000/me/model:tag").is_some());
    }

    #[test]
    fn a_model_that_is_not_there_is_told_from_an_ollama_that_is_not() {
        let digest = format!("sha256:{HASH}");
        let store = store_with("registry.ollama.ai/library/smollm2/135m", &[(WEIGHTS, &digest)]);
        let error = find_in(&store, "llama3.2").unwrap_err();
        assert_eq!(error.to_string(), "Ollama has no model llama3.2:latest; it has smollm2:135m");
        assert_eq!(error.hint().unwrap(), "`ollama pull llama3.2:latest` fetches it");
        let error = find("llama3.2", &["/no/such/store".into()]).unwrap_err().to_string();
        assert!(error.contains("no Ollama on this machine"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_store_of_another_user_is_explained() {
        use std::os::unix::fs::PermissionsExt;
        let digest = format!("sha256:{HASH}");
        let store = store_with("registry.ollama.ai/library/m/latest", &[(WEIGHTS, &digest)]);
        let manifests = store.path().join("manifests");
        std::fs::set_permissions(&manifests, std::fs::Permissions::from_mode(0o000)).unwrap();
        // The superuser reads everything; there is nothing to refuse then.
        let outcome = find_in(&store, "m");
        std::fs::set_permissions(&manifests, std::fs::Permissions::from_mode(0o700)).unwrap();
        match outcome {
            Ok(found) => assert_eq!(found.sha256, HASH),
            Err(error) => {
                assert!(matches!(error, BaseError::Forbidden { ollama: true, .. }), "{error}");
                assert!(error.hint().unwrap().contains("usermod -aG ollama"));
            }
        }
    }
}
