//! pipeline.toml: what may stand in it, how it is read, and how its mistakes are shown.

mod chain;
mod diagnostics;
mod discover;
mod elsewhere;
mod glob;
mod load;
pub(crate) mod nearest;
pub(crate) mod peel;
mod publish;
mod reference;
mod settings;
mod training;
mod units;
mod validate;

pub use diagnostics::{Diagnostic, Diagnostics, Located, Severity};
pub use discover::{NotFound, VARIABLE, find_config};
pub use elsewhere::{CommandTrainer, OpenaiTrainer, Provider};
pub use glob::Glob;
pub use load::{
    Config, Folders, Loaded, Source, StageEntry, default_pipeline, folders, folders_despite_errors, load,
    parse, settings_and_folders,
};
#[cfg(feature = "trainer")]
pub(crate) use publish::is_model_name;
pub use publish::{FolderTarget, LlamaServerTarget, OllamaTarget, Publish, Target};
pub use reference::pipeline_reference;
pub use settings::{
    Disk, Embeddings, Home, Level, Logs, OnError, Recall, Retention, Retry, Rotate, Settings, Shutdown,
    SourceMode, SourceSettings, Spool, StageKeys, StageRetry, VERSION, Watcher, Workers,
};
pub use training::{Gate, HeldOutBy, MemoryMode, Precision, TrainerKind, Training, Trigger, TriggerMode};
pub use units::{ByteSize, Span};

#[cfg(test)]
mod tests;
